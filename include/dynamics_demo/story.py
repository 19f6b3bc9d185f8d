"""The demo: copy, change something in Dynamics, copy again, change both sides, write back, and compare both sides."""

from collections.abc import Mapping
from datetime import UTC, datetime

from dynamics_demo.changes import Moved, make_changes
from dynamics_demo.comparison import Comparison, compare_entity
from dynamics_demo.console import Progress, say, table, total
from dynamics_demo.dynamics import DynamicsApi
from dynamics_demo.entities import Entity, read_entities
from dynamics_demo.installation import USERNAME, Installation, Marketing, read_password
from dynamics_demo.problems import DifferenceError
from dynamics_demo.services import Sample
from dynamics_demo.stage import Stage
from dynamics_demo.start import Started, start_installation
from dynamics_demo.trouble import Trouble
from dynamics_demo.way_back import change_and_write_back

_SHOWN_DIFFERENCES = 20


def run_up(installation: Installation, kind: Marketing, sample: Sample) -> None:
    """Start everything and say where it is."""
    started = start_installation(installation, kind, sample)
    _say_where(installation, started)


def run_demo(installation: Installation, kind: Marketing, sample: Sample, trouble: Trouble) -> None:
    """Tell the whole story, with trouble while rows are copied.

    Raises DifferenceError if both sides are not equal at its end, DemoError if a step fails.
    """
    begun = datetime.now(UTC)
    say("1. Start")
    started = start_installation(installation, kind, sample)
    entities = read_entities(installation.catalogue)
    stage = Stage(started, DynamicsApi(started.dynamics), entities, trouble)
    deleted_before = {entity.name: started.marketing.deleted_here(entity) for entity in entities}
    say("\n2. Copy from Dynamics to the marketing database")
    _copy(stage)
    say("\n3. Change something in Dynamics, and copy again")
    _change_and_copy(stage)
    say("\n4. Change both sides, and write to Dynamics what was changed here")
    missing = {entity.name: deleted_before[entity.name] & started.marketing.deleted_here(entity) for entity in entities}
    for name, key in change_and_write_back(stage).items():
        missing[name] |= {key}
    say("\n5. Compare both sides, row by row and field by field")
    _compare(stage, missing)
    say(f"\nAll equal, after {(datetime.now(UTC) - begun).total_seconds():.0f} seconds. Everything is left running.\n")
    _say_where(installation, started)
    say("  To try the way back  UPDATE lead SET city = 'Oslo' WHERE …; Dynamics has it within a few minutes")


def _copy(stage: Stage) -> None:
    runs = stage.run_round()
    rows = []
    for entity in stage.entities:
        there = sum(1 for _ in stage.dynamics.rows(entity.name, (entity.key,)))
        here = stage.marketing.number(f'SELECT count(*) FROM "{entity.table}" WHERE crm_deleted_at IS NULL')
        quarantined = len(stage.marketing.quarantined(entity.name))
        rows.append((entity.title, there, here, quarantined, runs[entity.name].seconds))
    header = ("entity", "rows in Dynamics", "rows in marketing", "in quarantine", "seconds")
    say("\n" + table(header, [*rows, total(rows)]))


def _change_and_copy(stage: Stage) -> None:
    finished_before = {(run.entity, run.run_id) for run in stage.marketing.runs() if run.state != "running"}
    stamp = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S")
    done = make_changes(stage.dynamics, stage.marketing.quarantined, stamp)
    stage.run_round()
    arrived = _arrived(stage, finished_before)
    rows = [
        (entity.title, *_figures(done.get(entity.name, Moved())), *_figures(arrived.get(entity.name, Moved())))
        for entity in stage.entities
    ]
    header = ("entity", "created", "changed", "deleted", "inserted here", "updated here", "deleted here")
    say("\n" + table(header, [*rows, total(rows)]))
    wrong = [entity.name for entity in stage.entities if _moved(done, entity) != _moved(arrived, entity)]
    if wrong:
        message = f"What arrived is not what was done: {', '.join(wrong)}. The table sync_run has the counts."
        raise DifferenceError(message)


def _arrived(stage: Stage, finished_before: set[tuple[str, str]]) -> Mapping[str, Moved]:
    """Add up what all later runs did: a run of the schedule may have taken part of the changes."""
    arrived: dict[str, Moved] = {}
    for run in stage.marketing.runs():
        if (run.entity, run.run_id) not in finished_before:
            so_far = arrived.get(run.entity, Moved())
            arrived[run.entity] = Moved(
                so_far.created + run.inserted, so_far.changed + run.updated, so_far.deleted + run.deleted
            )
    return arrived


def _figures(moved: Moved) -> tuple[int, int, int]:
    return (moved.created, moved.changed, moved.deleted)


def _moved(all_moved: Mapping[str, Moved], entity: Entity) -> Moved:
    return all_moved.get(entity.name, Moved())


def _compare(stage: Stage, deleted_here: Mapping[str, frozenset[str]]) -> None:
    """Compare all rows; `deleted_here` holds the keys of those that people deleted here, and only here, by entity."""
    progress = Progress("Compare")
    results: list[Comparison] = []
    for entity in stage.entities:
        progress.show(entity.title)
        results.append(compare_entity(entity, stage.dynamics, stage.marketing, deleted_here[entity.name]))
    differences = [difference for result in results for difference in result.differences]
    rows = sum(result.rows for result in results)
    values = sum(result.values for result in results)
    progress.done(f"{rows:,} rows with {values:,} values, {len(differences):,} differences")
    quarantined = sum(result.quarantined for result in results)
    if quarantined:
        say(f"  {quarantined:,} rows stand in quarantine, each with its reason; they were not compared.")
    if deleted := sum(result.deleted_here for result in results):
        say(f"  {deleted:,} rows were deleted here on purpose; Dynamics still has them, and they did not come back.")
    if differences:
        shown = [f"  {difference}" for difference in differences[:_SHOWN_DIFFERENCES]]
        message = "\n".join([f"{len(differences):,} differences; the first:", *shown])
        raise DifferenceError(message)


def _say_where(installation: Installation, started: Started) -> None:
    say(f"  Airflow              {started.airflow.address}   user {USERNAME}, password {read_password(installation)}")
    say(f"  Local Dynamics       {started.dynamics['url']}")
    say(f"  Marketing database   {started.marketing.place}")
    say("  For example          SELECT * FROM sync_run ORDER BY begun_at DESC;")
    say("  To end it            make stop")
