"""Laws of the three-way merge, against an oracle in plain Python that knows fields and values, but no SQL."""

import os
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from dynamics_sync.entity import Winner
from dynamics_sync.store.database import MarketingDatabase
from dynamics_sync.store.deletions import Breaker, mark_absent, mark_deleted
from dynamics_sync.store.runs import RunIdentity
from dynamics_sync.store.schema import base_table, entity_table
from dynamics_sync.store.sync_tables import SYNC_CONFLICT, SYNC_HISTORY

OPEN = Breaker(0, 0, open=True)

#: The fixture gives one database for all examples; each of them begins by emptying its tables. A story has nothing to
#: shrink but its number.
#: `make soak` asks for thousands, and for others each time.
SOAK = int(os.environ.get("SOAK_EXAMPLES", "0"))
LAWS = {
    "phases": [Phase.generate],
    "deadline": None,
    "derandomize": not SOAK,
    "suppress_health_check": [HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
}

#: The minute of an edit whose `updated_at` comes from the database's own clock: later than all others here.
REAL = 1_000_000.0

ANN, TEAM = "00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000b"

#: Of a lookup that somebody emptied who thought of its id only. It means the same as none.
HALF_EMPTY = (None, "team")

#: For each field the values that it can have. A lookup is (id, table), an instant is minutes after midnight.
VALUES = {
    "name": [None, "", "a", "it's\t\\N ä"],
    "employees": [None, 0, 2**40],
    "revenue": [None, Decimal(2), Decimal("0.0001"), Decimal("-1234567.5")],
    "donotemail": [None, True, False],
    "seenon": [None, 0.0, 0.125],
    "birthdate": [None, date(1999, 12, 31), date(2024, 2, 29)],
    "rating": [None, 1, 2],
    "ownerid": [None, (ANN, "systemuser"), (ANN, "team"), (TEAM, "team")],
    "score": [None, 1, 2],
    "modifiedon": [None, 2.0, 4.0, 6.0],
}
COLUMNS = {
    "name": "name",
    "employees": "employees",
    "revenue": "revenue",
    "donotemail": "do_not_email",
    "seenon": "seen_at",
    "birthdate": "born_on",
    "rating": "rating_code",
    "ownerid": "owner_id",
    "score": "score",
    "modifiedon": "modified_at",
}
EMPTY = dict.fromkeys(VALUES)
INSTANTS = {"seenon", "modifiedon"}

Values = dict[str, Any]
Rules = dict[str, Winner]


# --- what happens ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Arrive:
    """Versions of records come from Dynamics in one load. Option labels have an ending; a field may be missing."""

    begun: int
    picks: list[tuple[int, int]]
    ending: str = ""
    absent: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Write:
    """Somebody updates the row here, or inserts it. Without a minute the database says when."""

    key: int
    values: Values
    minute: float | None


class Insert(Write):
    """The row is written whole."""


class Update(Write):
    """The other columns stay."""


@dataclass(frozen=True)
class Remove:
    """Somebody deletes the row here."""

    key: int


@dataclass(frozen=True)
class Gone:
    """Dynamics names records that are deleted there."""

    begun: int
    keys: list[int]


class Sweep(Gone):
    """Dynamics names all records that it has."""


@dataclass(frozen=True)
class Here:
    """What people do here between two loads."""

    acts: list[Any]


@dataclass(frozen=True)
class Decide:
    """A person decides the open conflicts of a record."""

    key: int
    decision: str


@dataclass(frozen=True)
class Story:
    """What each version of each record says in Dynamics, whose value wins, and what happens."""

    versions: dict[tuple[int, int], Values]
    rules: Rules
    steps: list[Any]


KEYS = tuple(range(1, 9))
VERSIONS = (1, 2, 3, 4, 5)
#: Never a whole minute, so that no edit has the instant of a load.
MINUTES = (None, 1.5, 3.5, 5.5)
ABSENT = frozenset({"employees"})


@dataclass(frozen=True)
class Author:
    """Makes stories up, evenly: hypothesis prefers what is simple, and then both sides rarely meet in one field."""

    random: Random

    def story(self, rounds: int) -> Story:
        versions = {}
        for key in KEYS:
            values = EMPTY
            for version in VERSIONS:
                values = versions[key, version] = {**values, **self.patch()}
        rules = {name: self.random.choice(list(Winner)) for name in VALUES} | {"score": Winner.DYNAMICS}
        # Most stories begin with rows that both sides have.
        steps: list[Any] = [Arrive(0, [(key, 1) for key in KEYS if self.random.random() < 0.8])]
        for newest in range(2, 2 + rounds):
            steps += [self.acts(), self.arrival(newest), *([self.deletion()] if self.random.random() < 0.5 else [])]
        return Story(versions, rules, steps)

    def patch(self) -> Values:
        return {name: self.random.choice(values) for name, values in VALUES.items() if self.random.random() < 0.6}

    def acts(self) -> Here:
        return Here([self.act() for _ in range(self.random.randint(1, 16))])

    def act(self) -> Any:
        key, kind = self.random.choice(KEYS), self.random.choice([Update] * 6 + [Insert] * 2 + [Remove, Decide])
        if kind is Remove:
            return Remove(key)
        if kind is Decide:
            return Decide(key, self.random.choice(["ours", "theirs"]))
        half_empty = {"ownerid": HALF_EMPTY} if self.random.random() < 0.2 else {}
        return kind(key, {**self.patch(), **half_empty}, self.random.choice(MINUTES))

    def arrival(self, newest: int) -> Arrive:
        """Return a load in which most records come with the version that is the newest at the time."""
        versions = [newest] * 4 + list(VERSIONS)
        picks = [(self.random.choice(KEYS), self.random.choice(versions)) for _ in range(self.random.randint(1, 16))]
        ending = self.random.choice(["", "", " (new)"])
        return Arrive(self.begun(), picks, ending, self.random.choice([frozenset(), frozenset(), ABSENT]))

    def deletion(self) -> Gone:
        kind = self.random.choice([Gone, Gone, Sweep])
        return kind(self.begun(), self.random.sample(KEYS, self.random.randint(1, 3)))

    def begun(self) -> int:
        return self.random.randint(0, 9)


AUTHORS = st.integers(0, 2**32).map(lambda seed: Author(Random(seed)))  # noqa: S311 - nothing is secret here
STORIES = st.builds(Author.story, AUTHORS, rounds=st.integers(1, 4))


# --- the oracle --------------------------------------------------------------------------------------


@dataclass
class Base:
    """What Dynamics last said of a record."""

    version: int
    values: Values
    label: str | None
    read: int
    deleted: int | None = None


@dataclass
class Ours:
    """A row here. `edited` is when a person last wrote it."""

    values: Values
    label: str | None
    updated: float
    version: int | None = None
    read: int | None = None
    deleted: int | None = None
    edited: float | None = None


@dataclass
class Oracle:
    """What the tables must hold. Instants are minutes; the clock of step n stands at minute n."""

    rules: Rules
    bases: dict[int, Base] = field(default_factory=dict)
    rows: dict[int, Ours] = field(default_factory=dict)
    conflicts: list[dict[str, Any]] = field(default_factory=list)
    history: list[tuple[Any, ...]] = field(default_factory=list)

    def take(self, step: Any, versions: dict[tuple[int, int], Values], now: int) -> None:
        match step:
            case Arrive():
                for key in {key for key, _ in step.picks}:
                    version = max(version for other, version in step.picks if other == key)
                    self.arrive(step, key, version, versions[key, version], now)
            case Here():
                for act in step.acts:
                    self.take(act, versions, now)
            case Insert() if step.key not in self.rows:
                minute = REAL if step.minute is None else step.minute
                values = {**EMPTY, **meant(step.values)}
                self.rows[step.key] = Ours(values, label_of(values), updated=minute, edited=minute)
            case Update() if step.key in self.rows:
                self.edit(self.rows[step.key], step)
            case Remove():
                self.rows.pop(step.key, None)
            case Gone():
                self.delete(step, now)
            case Decide():
                for conflict in self.open_conflicts(step.key):
                    conflict["decision"] = step.decision

    def edit(self, row: Ours, step: Write) -> None:
        row.values = {**row.values, **meant(step.values)}
        if "rating" in step.values:
            row.label = label_of(row.values)
        # Who writes the instant that was there has not said when.
        row.edited = row.updated = REAL if step.minute in (None, row.updated) else step.minute

    def arrive(self, step: Arrive, key: int, version: int, said: Values, now: int) -> None:
        base, row = self.bases.get(key), self.rows.get(key)
        if base is not None and (version < base.version or (base.deleted is not None and step.begun <= base.deleted)):
            return
        before = base.values if base else EMPTY
        values = {name: before[name] if name in step.absent else value for name, value in said.items()}
        label = label_of(values, step.ending)
        is_news = base is None or base.deleted is not None or (base.values, base.label) != (values, label)
        if row is None and base is None:
            self.rows[key] = Ours(values, label, now, version, step.begun)
        elif row is not None:
            if is_news:
                self.merge(key, row, before, values, label, version, now, step.absent)
            if is_news or row.version != version:
                row.version, row.deleted = version, None
        if base is None:
            self.bases[key] = Base(version, values, label, step.begun)
            return
        if is_news or version > base.version:
            base.read = max(base.read, step.begun)
        base.version, base.values, base.label, base.deleted = version, values, label, None

    def merge(self, key, row, before, values, label, version, now, absent):
        after, changed = dict(row.values), row.deleted is not None
        for name in VALUES.keys() - absent:
            base, ours, theirs = before[name], row.values[name], values[name]
            if theirs == base:
                continue
            if theirs == ours:
                self.settle(key, COLUMNS[name], now)
            elif ours == base:
                self.settle(key, COLUMNS[name], now)
                after[name] = theirs
                self.note_history(key, name, ours, theirs, "changed there", version, now)
            else:
                rule = self.rules[name]
                outcome = winner(rule, ours, theirs, row.edited, values["modifiedon"])
                if outcome != "open":
                    self.settle(key, COLUMNS[name], now)
                self.note_conflict(key, name, (base, ours, theirs), rule, outcome, now)
                if outcome == "theirs":
                    after[name] = theirs
                    self.note_history(key, name, ours, theirs, rule.value, version, now)
        changed |= after != row.values
        row.values = after
        # A label says what the code means today.
        if after["rating"] == values["rating"] and row.label != label:
            row.label, changed = label, True
        if changed:
            row.updated = now
        self.settle(key, "", now)

    def delete(self, step: Gone, now: int) -> None:
        seen = step.begun + 1
        for key, base in self.bases.items():
            is_named = (key in step.keys) != isinstance(step, Sweep)
            if is_named and base.deleted is None and base.read <= seen and base.read != step.begun:
                base.deleted = seen
        for key, base in self.bases.items():
            row = self.rows.get(key)
            if row is None or base.deleted is None or row.deleted is not None:
                continue
            is_edited = any(row.values[name] != base.values[name] for name in VALUES if name != "score")
            if is_edited and not self.open_conflicts(key, ""):
                conflict = conflict_row(key, "", (None, "edited", "deleted"), "review", "open", now)
                self.conflicts.append(conflict)
            row.deleted, row.updated = base.deleted, now

    def open_conflicts(self, key: int, column: str | None = None) -> list[dict[str, Any]]:
        found = [conflict for conflict in self.conflicts if conflict["key"] == key and conflict["resolved"] is None]
        return [conflict for conflict in found if column in (None, conflict["column"])]

    def settle(self, key: int, column: str, now: int) -> None:
        for conflict in self.open_conflicts(key, column):
            # A record that was deleted there is there again: as a person wanted it, or by itself.
            is_as_decided = column == "" and conflict["decision"] == "ours"
            conflict.update(outcome="ours" if is_as_decided else "agreed", resolved=now)

    def note_conflict(self, key, name, sides, rule, outcome, now):
        texts = tuple(text_of(name, side) for side in sides)
        held = self.open_conflicts(key, COLUMNS[name])
        if outcome == "open" and held:
            held[0].update(ours=texts[1], theirs=texts[2], decision=None, run=now)
            return
        self.conflicts.append(conflict_row(key, COLUMNS[name], texts, rule.value, outcome, now))

    def note_history(self, key, name, old, new, rule, version, now):
        texts = (text_of(name, old), text_of(name, new))
        self.history.append((key, COLUMNS[name], *texts, "marketing", rule, version, now, now))


def winner(rule, ours, theirs, edited, modified):
    """Return whose value stands: ours, theirs, or open for a person's."""
    match rule:
        case Winner.MARKETING:
            return "ours"
        case Winner.DYNAMICS:
            return "theirs"
        case Winner.REVIEW:
            return "open"
        case Winner.LATEST:
            is_later = edited is not None and modified is not None and edited >= modified
            return "ours" if is_later else "theirs"
        case Winner.FILL_BLANK:
            return "ours" if theirs in (None, "") and ours not in (None, "") else "theirs"


def conflict_row(key, column, texts, rule, outcome, now):
    base, ours, theirs = texts
    sides = {"base": base, "ours": ours, "theirs": theirs}
    ends = {"detected": now, "resolved": None if outcome == "open" else now}
    return {
        "key": key,
        "column": column,
        **sides,
        "rule": rule,
        "outcome": outcome,
        "decision": None,
        "run": now,
        **ends,
    }


def meant(values):
    return {name: None if value == HALF_EMPTY else value for name, value in values.items()}


def label_of(values, ending=""):
    code = values["rating"]
    return None if code is None else f"Option {code}{ending}"


def text_of(name, value):
    """Return a value as conflicts and history hold it."""
    if value is None:
        return None
    match name:
        case "revenue":
            return plain(value)
        case "donotemail":
            return "true" if value else "false"
        case "seenon" | "modifiedon":
            instant = datetime(2025, 3, 1, tzinfo=UTC) + timedelta(minutes=value)
            return f"{instant:%Y-%m-%d %H:%M:%S.%f}"
        case "ownerid":
            return f"{value[1]}/{value[0]}"
        case _:
            return str(value)


def plain(number):
    """Write a number without zeros at its end: PostgreSQL has as many as the column, SQLite has none or one."""
    return None if number is None else f"{Decimal(number).normalize():f}"


# --- the databases -----------------------------------------------------------------------------------


@dataclass
class Stage:
    """Lets stories happen in a sandbox, and reads what became of them."""

    sandbox: Any
    words: Any
    run: RunIdentity | None = None

    def begin(self, story: Story) -> None:
        """Empty all tables, and make the story's rules those of the catalogue."""
        entity = self.words.entity("two_way")
        spec = entity.model_dump(exclude_none=True)
        for name, rule in story.rules.items():
            if name != "score":
                spec["fields"][name]["wins"] = rule
        self.sandbox.entity = type(entity).model_validate(spec)
        with self.sandbox.db.writing() as connection:
            for table in (entity_table(entity), base_table(entity), SYNC_CONFLICT, SYNC_HISTORY):
                connection.execute(table.delete())
            for name in ("sync_run", "sync_slice"):
                connection.execute(sa.text(f"DELETE FROM {name}"))

    def take(self, step: Any, versions: dict[tuple[int, int], Values], now: int) -> None:
        match step:
            case Arrive():
                self.load(self.begin_run(step, now), step, versions)
            case Here():
                for act in step.acts:
                    self.take(act, versions, now)
            case Write():
                self.write(step)
            case Remove():
                self.execute(self.ours.delete().where(self.has_key(step.key)))
            case Gone():
                self.mark(self.begin_run(step, now), step)
            case Decide():
                record = SYNC_CONFLICT.c.record_id == self.words.guid(step.key)
                which = sa.and_(record, SYNC_CONFLICT.c.resolved_at.is_(None))
                self.execute(SYNC_CONFLICT.update().where(which).values(decision=step.decision))

    def begin_run(self, step: Any, now: int) -> RunIdentity:
        """Begin run n of step n, at the step's minute, and set the clock to minute n."""
        self.sandbox.runs = now - 1
        self.run = self.sandbox.begin(minutes=step.begun)
        self.sandbox.clock.set(now)
        return self.run

    def load_again(self, step: Arrive, versions: dict[tuple[int, int], Values]) -> None:
        """Load the same rows a minute later, as another slice of the same run."""
        self.sandbox.clock.instant += timedelta(minutes=1)
        self.load(self.run, step, versions, slice_number=1)

    def load(self, run, step, versions, slice_number=0):
        rows = []
        for key, version in step.picks:
            values = versions[key, version]
            columns = self.columns(values, label_of(values, step.ending))
            rows.append(self.words.row(key, version, **columns))
        self.sandbox.load(run, rows, slice_number=slice_number, absent=step.absent)

    def write(self, step: Write) -> None:
        moment = {} if step.minute is None else {"updated_at": self.words.at(step.minute)}
        label = {"rating_label": label_of(step.values)} if "rating" in step.values else {}
        columns = {**self.columns(step.values), **label, **moment}
        if isinstance(step, Insert):
            held = self.words.guid(step.key) in self.sandbox.held()
            statement = self.ours.insert().values(sample_id=self.words.guid(step.key), **columns)
            if not held:
                self.execute(statement)
            return
        # An update that sets no value is one that sets a value to what it was.
        self.execute(self.ours.update().where(self.has_key(step.key)).values(columns or {"name": self.ours.c.name}))

    def mark(self, run, step):
        seen = self.words.at(step.begun + 1)
        if isinstance(step, Sweep):
            mark_absent(self.sandbox.db, self.sandbox.entity, run, [self.words.keys(*step.keys)], OPEN, seen_at=seen)
            return
        ids = pa.array([self.words.guid(key) for key in step.keys], pa.string())
        mark_deleted(self.sandbox.db, self.sandbox.entity, run, ids, OPEN, seen_at=seen)

    @property
    def ours(self) -> sa.Table:
        return entity_table(self.sandbox.entity)

    def has_key(self, key):
        return self.ours.c.sample_id == self.words.guid(key)

    def execute(self, statement):
        with self.sandbox.db.writing() as connection:
            connection.execute(statement)

    def columns(self, values: Values, label: str | None = None) -> Values:
        columns = {COLUMNS[name]: value for name, value in values.items()}
        for name in INSTANTS & values.keys():
            columns[COLUMNS[name]] = None if values[name] is None else self.words.at(values[name])
        if "ownerid" in values:
            columns["owner_id"], columns["owner_type"] = values["ownerid"] or (None, None)
        return {**columns, **({"rating_label": label} if label else {})}

    def minute(self, instant: datetime | None) -> float | None:
        """Return an instant as minutes; any of the database's own clock is REAL."""
        if instant is None:
            return None
        minutes = (instant - self.words.at(0)).total_seconds() / 60
        return minutes if minutes < 100 else REAL

    def values(self, row: dict[str, Any]) -> Values:
        values = {name: row[column] for name, column in COLUMNS.items()}
        for name in INSTANTS:
            values[name] = self.minute(values[name])
        return {**values, "ownerid": row["owner_id"] and (row["owner_id"], row["owner_type"])}

    def tables(self) -> dict[str, Any]:
        """Return all that the oracle knows, as it says it."""
        return {"ours": self.read_ours(), "base": self.read_base(), **self.read_notes()}

    def read_ours(self):
        found = {}
        for key, row in self.sandbox.held().items():
            state = (row["crm_version"], self.minute(row["crm_deleted_at"]), self.minute(row["updated_at"]))
            found[int(key[-12:], 16)] = (self.values(row), row["rating_label"], *state)
        return found

    def read_base(self):
        found = {}
        for row in self.sandbox.query(sa.select(base_table(self.sandbox.entity))):
            state = (row["crm_version"], self.minute(row["crm_deleted_at"]), self.minute(row["crm_read_at"]))
            found[int(row["sample_id"][-12:], 16)] = (self.values(row), row["rating_label"], *state)
        return found

    @staticmethod
    def said(row, side):
        return plain(row[side]) if row["column_name"] == "revenue" else row[side]

    def read_notes(self):
        conflicts, history = [], []
        for row in self.sandbox.query(sa.select(SYNC_CONFLICT)):
            sides = {side: self.said(row, side) for side in ("base", "ours", "theirs")}
            ends = {"detected": self.minute(row["detected_at"]), "resolved": self.minute(row["resolved_at"])}
            words = {word: row[word] for word in ("rule", "outcome", "decision")}
            named = {"key": int(row["record_id"][-12:], 16), "column": row["column_name"], "run": run_of(row)}
            conflicts.append({**named, **sides, **words, **ends})
        for row in self.sandbox.query(sa.select(SYNC_HISTORY)):
            texts = (self.said(row, "old_value"), self.said(row, "new_value"))
            ends = (row["side"], row["rule"], row["crm_version"], run_of(row), self.minute(row["changed_at"]))
            history.append((int(row["record_id"][-12:], 16), row["column_name"], *texts, *ends))
        return {"conflicts": sorted(conflicts, key=repr), "history": sorted(history, key=repr)}


def run_of(row):
    return int(row["run_id"].removeprefix("run "))


def said_by(oracle: Oracle) -> dict[str, Any]:
    """Return what the tables must hold, in the form of `Stage.tables`."""
    return {
        "ours": {key: (r.values, r.label, r.version, r.deleted, r.updated) for key, r in oracle.rows.items()},
        "base": {key: (b.values, b.label, b.version, b.deleted, b.read) for key, b in oracle.bases.items()},
        "conflicts": sorted(
            ({name: conflict[name] for name in CONFLICT_ORDER} for conflict in oracle.conflicts), key=repr
        ),
        "history": sorted(oracle.history, key=repr),
    }


CONFLICT_ORDER = (
    *("key", "column", "run", "base", "ours", "theirs", "rule", "outcome", "decision", "detected", "resolved"),
)


@pytest.fixture
def stage(db, database_url, clock, words):
    return Stage(words.sandbox(db, database_url, clock, words.entity("two_way")), words)


@settings(max_examples=SOAK or 20, **LAWS)
@given(story=STORIES)
def test_tables_conflicts_and_history_are_those_of_the_oracle(stage, story):
    stage.begin(story)
    oracle = Oracle(story.rules)
    for now, step in enumerate(story.steps):
        stage.take(step, story.versions, now)
        oracle.take(step, story.versions, now)
        assert stage.tables() == said_by(oracle)


@settings(max_examples=SOAK or 5, **LAWS)
@given(story=STORIES)
def test_a_load_does_nobodys_work_undone_and_nothing_when_it_is_repeated(stage, story):
    stage.begin(story)
    for now, step in enumerate(story.steps):
        before = stage.tables()
        stage.take(step, story.versions, now)
        after = stage.tables()
        if isinstance(step, Arrive):
            check_moves(before, after)
            stage.load_again(step, story.versions)
            assert stage.tables() == after
        if isinstance(step, Gone):
            assert values_of(after["ours"]) == values_of(before["ours"])
        assert all(conflict["ours"] != conflict["theirs"] for conflict in after["conflicts"])


def values_of(rows):
    return {key: values for key, (values, *_) in rows.items()}


def check_moves(before, after):
    """Check that a load moved only what Dynamics had moved, and brought back no row that was deleted here."""
    assert before["ours"].keys() <= after["ours"].keys()
    assert not (after["ours"].keys() - before["ours"].keys()) & before["base"].keys()
    for key in before["ours"]:
        said = before["base"][key][0] if key in before["base"] else EMPTY
        for name, was in before["ours"][key][0].items():
            now = after["ours"][key][0][name]
            if now != was:
                assert now == after["base"][key][0][name] != said[name]


@settings(max_examples=SOAK or 5, **LAWS)
@given(story=STORIES)
def test_both_databases_say_the_same(tmp_path, postgresql_url, clock, words, story):
    said = []
    for url in (f"sqlite:///{tmp_path / 'marketing.db'}", postgresql_url):
        with MarketingDatabase.open(url, clock=clock) as db:
            stage = Stage(words.sandbox(db, url, clock, words.entity("two_way")), words)
            stage.begin(story)
            for now, step in enumerate(story.steps):
                stage.take(step, story.versions, now)
            said.append(stage.tables())
    assert said[0] == said[1]
