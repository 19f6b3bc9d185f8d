"""The way back: both sides are changed, a dry run shows its plan, a run carries it out, and the books are checked."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NoReturn

from dynamics_demo.console import say, table, total
from dynamics_demo.edits import WINNERS, Edits, Value, edit_both_sides
from dynamics_demo.entities import REVERSE, Entity
from dynamics_demo.problems import DifferenceError
from dynamics_demo.rounds import Round, rest
from dynamics_demo.stage import Stage

_SHOWN_KEY, _SHOWN_TEXT = 8, 28


@dataclass(frozen=True, slots=True)
class _Books:
    """Where the history and the conflicts of this demo begin."""

    history: int
    conflicts: int


def change_and_write_back(stage: Stage) -> Mapping[str, str]:
    """Tell this part of the story; returns the key of the row that was deleted here, by entity.

    Raises DifferenceError if something else was planned, written or decided than what people did calls for.
    """
    books = _Books(_last(stage, "sync_history", "history_id"), _last(stage, "sync_conflict", "conflict_id"))
    with ExitStack() as stack:
        # Nothing is to be written before the dry run has shown it, not even by a run that the schedule brings about.
        with rest(stage.airflow, [REVERSE]):
            done = _edit(stage)
            say("\n  First copy what changed in Dynamics:")
            stage.run_round(stage.two_way)
            stack.enter_context(rest(stage.airflow, stage.two_way))
        say("\n  A dry run of dynamics_reverse, which writes nothing to Dynamics:")
        _write(stage, dry_run=True)
    _show_plan(stage, done, books)
    say("\n  And now for real:")
    _write(stage, dry_run=False)
    _show_conflicts(stage, done, books)
    _show_result(stage, done, books)
    return {name: edits.deleted for name, edits in done.items()}


def _last(stage: Stage, name: str, column: str) -> int:
    return stage.marketing.number(f"SELECT coalesce(max({column}), 0) FROM {name}")


def _edit(stage: Stage) -> Mapping[str, Edits]:
    stamp = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
    done = {}
    for entity in stage.two_way:
        spared = stage.marketing.quarantined(entity.name) | stage.marketing.deleted_here(entity)
        done[entity.name] = edit_both_sides(entity, stage.dynamics, stage.marketing, stamp, spared)
    return done


def _write(stage: Stage, *, dry_run: bool) -> None:
    with stage.trouble.troubling(stage.started.dynamics, writing=not dry_run):
        Round(stage.airflow, [REVERSE], "Run", things="runs", parameters={"dry_run": dry_run}).run()


# --- the plan ----------------------------------------------------------------------------------------


def _show_plan(stage: Stage, done: Mapping[str, Edits], books: _Books) -> None:
    latest = "SELECT run_id FROM sync_run WHERE direction = 'to_dynamics' ORDER BY begun_at DESC LIMIT 1"
    rows = list(
        stage.marketing.rows(
            "SELECT entity, record_id, operation, column_name, old_value, new_value, rule FROM sync_plan"
            f" WHERE run_id = ({latest}) ORDER BY entity DESC, operation DESC, column_name, record_id"
        )
    )
    header = ("entity", "record", "operation", "field", "Dynamics has", "will have", "because of")
    say("\n" + table(header, [_shown_change(row) for row in rows], texts=True))
    for entity in stage.two_way:
        _check_plan(entity, done[entity.name], [row for row in rows if row["entity"] == entity.name])
        title = next(value.text for value in done[entity.name].values if value.column == "job_title")
        there = stage.dynamics.rows(entity.name, (entity.key,), f"jobtitle eq '{title}'")
        if any(there) or _written(stage, books, entity):
            _fail(f"A dry run has written something to {entity.name}.")


def _shown_change(row: Mapping[str, object]) -> tuple[str, ...]:
    new = _short(row["new_value"]) if row["operation"] == "link" else _text(row["new_value"])
    changed = (str(row["operation"]), _text(row["column_name"]), _text(row["old_value"]), new, str(row["rule"]))
    return (str(row["entity"]), _short(row["record_id"]), *changed)


def _check_plan(entity: Entity, edits: Edits, rows: Sequence[Mapping[str, object]]) -> None:
    links = [row["new_value"] for row in rows if row["operation"] == "link"]
    planned = [_value(row) for row in rows if row["operation"] in ("create", "update")]
    # What the linked row brings is planned once it has taken the record's place.
    wanted = [value for value in edits.values if value.key != edits.linked]
    if Counter(planned) != Counter(wanted) or links != [edits.linked] or len(rows) != len(planned) + 1:
        _fail(f"What is planned for {entity.name} is not what was changed here.")


def _value(row: Mapping[str, object]) -> Value:
    return Value(str(row["record_id"]), str(row["column_name"]), str(row["new_value"]))


def _short(key: object) -> str:
    return str(key)[:_SHOWN_KEY]


def _text(value: object) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= _SHOWN_TEXT else f"{text[: _SHOWN_TEXT - 3]}..."


# --- what came of it ---------------------------------------------------------------------------------


def _show_conflicts(stage: Stage, done: Mapping[str, Edits], books: _Books) -> None:
    rows = list(
        stage.marketing.rows(
            "SELECT entity, record_id, column_name, base, ours, theirs, rule, outcome FROM sync_conflict"
            f" WHERE conflict_id > {books.conflicts} ORDER BY entity DESC, record_id"
        )
    )
    say("\n  Where both sides had changed the same field, the rule decided; sync_conflict keeps the other value:")
    header = ("entity", "record", "field", "both had", "here", "in Dynamics", "winner by rule")
    say("\n" + table(header, [_shown_conflict(row) for row in rows], texts=True))
    for entity in stage.two_way:
        found = [(row["record_id"], row["outcome"]) for row in rows if row["entity"] == entity.name]
        wanted = [(key, WINNERS[entity.wins]) for key in done[entity.name].contested]
        if Counter(found) != Counter(wanted):
            _fail(f"The conflicts of {entity.name} are not the fields that were edited on both sides.")


def _shown_conflict(row: Mapping[str, object]) -> tuple[str, ...]:
    values = (_text(row[name]) for name in ("column_name", "base", "ours", "theirs"))
    return (str(row["entity"]), _short(row["record_id"]), *values, str(row["rule"]))


def _show_result(stage: Stage, done: Mapping[str, Edits], books: _Books) -> None:
    rows = [(entity.title, *_result(stage, entity, done[entity.name], books)) for entity in stage.two_way]
    written = sum(len(edits.values) for edits in done.values())
    header = ("entity", "edited here", "on both sides", "added here", "deleted here")
    say("\n" + table((*header, "updated there", "created there", "linked", "deleted there"), [*rows, total(rows)]))
    say(f"\n  {written:,} values were written to Dynamics; each stands in sync_history, with what it replaced and why.")


def _result(stage: Stage, entity: Entity, edits: Edits, books: _Books) -> tuple[int, ...]:
    """Return the figures of an entity, after a look at the history and at Dynamics itself."""
    rows = _written(stage, books, entity)
    if Counter(_value(row) for row in rows) != Counter(edits.values):
        _fail(f"The values of {entity.name} that were written are not those that were changed here.")
    # A record that is created replaces no version.
    created = {row["record_id"] for row in rows if not row["crm_version"]}
    updated = {row["record_id"] for row in rows} - created
    linked = stage.marketing.number(
        f"SELECT count(*) FROM sync_history WHERE history_id > {books.history} AND side = 'marketing'"
        " AND rule = 'matched' AND entity = ? AND column_name = ?",
        [entity.name, entity.key_column],
    )
    there = {row[entity.key].lower() for row in stage.dynamics.rows(entity.name, (entity.key,))}
    if created != {edits.born} or linked != 1 or edits.deleted not in there:
        _fail(f"Of {entity.name}, one row had to be created in Dynamics, one to be linked, and none to be deleted.")
    people = (len(edits.edited), len(edits.contested), 2, 1)
    return (*people, len(updated), len(created), linked, int(edits.deleted not in there))


def _written(stage: Stage, books: _Books, entity: Entity) -> list[Mapping[str, object]]:
    """Return what the history says was written to Dynamics."""
    query = (
        "SELECT record_id, column_name, new_value, crm_version FROM sync_history"
        f" WHERE side = 'dynamics' AND history_id > {books.history} AND entity = ?"
    )
    return list(stage.marketing.rows(query, [entity.name]))


def _fail(problem: str) -> NoReturn:
    message = f"{problem} The tables sync_plan, sync_history and sync_conflict tell more."
    raise DifferenceError(message)
