"""The tasks of a run to Dynamics: collect, plan, apply for each batch, record. Free of Airflow.

Between tasks travel references only; what is written travels in `sync_plan`.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from dynamics_sync.dataverse.organization import read_organization
from dynamics_sync.entity import Entity
from dynamics_sync.errors import (
    CatalogueChanged,
    EntityStopped,
    EnvironmentChanged,
    FirstCopyMissing,
    PlanRefused,
    StopRun,
    TryAgain,
)
from dynamics_sync.reverse.apply import BatchApply
from dynamics_sync.reverse.collect import collect_entity
from dynamics_sync.reverse.finish import finish_entity
from dynamics_sync.reverse.manifest import (
    FOLDER,
    PLAN_FILE,
    CollectedEntity,
    PlannedEntity,
    ReverseRun,
    is_collected,
    read_collected,
    read_planned,
    remove_staging,
    write_collected,
    write_planned,
)
from dynamics_sync.reverse.plan import PlanSummary, plan_entity, summarise, write_plan
from dynamics_sync.reverse.request import request_from_params
from dynamics_sync.services import Services, connected, recorded
from dynamics_sync.staging import StagingFolder
from dynamics_sync.store.environments import check_environment
from dynamics_sync.store.runs import begin_run, fail_run
from dynamics_sync.store.schema import ensure_tables, has_table

log = logging.getLogger(__name__)

#: `run_key`, `entity`, `batch` (counted from 1) and `label`; small enough for XCom.
BatchReference = dict[str, Any]


def collect(entities: Sequence[Entity], services: Services, run_id: str, params: Mapping[str, Any]) -> str:
    """Write what differs into `sync_plan`; return the key of the run.

    An entity that was never copied is left out with a warning, so that the others go on.
    """
    run = ReverseRun.begin(run_id, datetime.now(UTC), request_from_params(params))
    folder = _folder(services, run.run_key)
    found = []
    for entity in entities:
        try:
            with recorded(services, [run.of(entity)]) as database:
                if not has_table(database, entity):
                    message = f"{entity.entity} was never copied from Dynamics into this marketing database"
                    raise FirstCopyMissing(message, not_done="Nothing was planned for it")
                begin_run(database, run.of(entity), _mode(run))
                ensure_tables(database, entity)
                mark = services.reverse_watermark(entity).read()
                found.append(collect_entity(entity, run, database, mark, services.settings))
                count, held = found[-1].records, found[-1].held_back
                log.info("%s: %s records differ, %s new ones are held back.", entity.title, f"{count:,}", f"{held:,}")
        except FirstCopyMissing as missing:
            log.warning("%s", missing)
    with recorded(services, [run.of_name(one.entity) for one in found]):
        write_collected(folder, run, found)
    return run.run_key


def _mode(run: ReverseRun) -> str:
    return f"{run.request.mode.value}{', dry run' if run.request.dry_run else ''}"


def plan(entities: Sequence[Entity], services: Services, run_key: str) -> tuple[PlanSummary, list[BatchReference]]:
    """Make the plan; return what it amounts to, and a reference for each batch. A dry run has none.

    What stops one entity does not stop the others; `record` says at the end what it was.
    """
    folder = _folder(services, run_key)
    run, collected = read_collected(folder)
    planned: list[PlannedEntity] = []
    stopped: dict[str, str] = {}
    for one in collected:
        entity = _named(entities, one)
        if not one.records:
            continue
        try:
            identity = run.of(entity)
            with recorded(services, [identity]) as database, connected(services, database, identity) as client:
                check_environment(database, asdict(read_organization(client)), is_first=False)
                planned.append(plan_entity(entity, run, client, database, services.settings))
        except (EnvironmentChanged, TryAgain):
            raise
        except StopRun as error:
            log.error("%s", error)
            stopped[entity.entity] = str(error)
    going_on = [_named(entities, one) for one in collected if one.entity not in stopped]
    with recorded(services, [run.of(entity) for entity in going_on]) as database:
        summary = summarise(going_on, run, planned, database)
        write_plan(folder, going_on, run, summary, database)
        write_planned(folder, planned, stopped)
    _say_plan(run, folder, summary)
    return summary, [] if run.request.dry_run else _references(run_key, planned)


def _references(run_key: str, planned: Sequence[PlannedEntity]) -> list[BatchReference]:
    return [
        {
            "run_key": run_key,
            "entity": one.entity,
            "batch": batch,
            "label": f"{one.entity}, batch {batch} of {one.batches}",
        }
        for one in planned
        for batch in range(1, one.batches + 1)
    ]


def _say_plan(run: ReverseRun, folder: StagingFolder, summary: PlanSummary) -> None:
    if not summary.records:
        log.info("Both sides are equal; there is nothing to write.")
        return
    log.info("The plan, %s API calls:\n%s", f"{summary.api_calls:,}", summary.as_table())
    log.info(
        "Field by field: SELECT * FROM sync_plan WHERE run_id = '%s' ORDER BY entity, record_id; or the file %s/%s.",
        run.run_id,
        folder.path,
        PLAN_FILE,
    )


def apply(entities: Sequence[Entity], services: Services, reference: BatchReference) -> dict[str, int]:
    """Send one batch and record what became of it; return its counts."""
    folder = _folder(services, reference["run_key"])
    run, collected = read_collected(folder)
    entity = _named(entities, next(one for one in collected if one.entity == reference["entity"]))
    identity = run.of(entity)
    with recorded(services, [identity]) as database, connected(services, database, identity) as client:
        # The plan may have waited for days, and the connection may lead elsewhere by now.
        check_environment(database, asdict(read_organization(client)), is_first=False)
        planned, _ = read_planned(folder)
        one = planned[entity.entity]
        counts = BatchApply(entity, identity, reference["batch"], one, client, database, services.settings).apply()
    log.info(
        "Created %s, updated %s, equal after all %s, refused %s, left for the next run %s.",
        *(f"{n:,}" for n in (counts.inserted, counts.updated, counts.unchanged, counts.rejected, counts.postponed)),
    )
    return asdict(counts)


def record(entities: Sequence[Entity], services: Services, run_key: str) -> dict[str, dict[str, int]]:
    """End the run of each entity; return the counts by entity. Raises EntityStopped if plan had to leave one out."""
    folder = _folder(services, run_key)
    if not is_collected(folder):
        # A try that was killed after its work was done has removed what it needs.
        log.info("The run was finished by an earlier try.")
        return {}
    run, collected = read_collected(folder)
    planned, stopped = read_planned(folder)
    counts = {}
    for one in collected:
        if one.entity in stopped:
            continue
        entity = _named(entities, one)
        with recorded(services, [run.of(entity)]) as database:
            done = finish_entity(
                entity,
                run,
                one,
                planned.get(one.entity),
                database,
                services.reverse_watermark(entity),
                log=log.info,
            )
        counts[one.entity] = asdict(done)
    if stopped:
        raise EntityStopped("; ".join(stopped.values()), not_done=f"Nothing was written for {', '.join(stopped)}")
    if not run.request.dry_run:
        remove_staging(folder)
    return counts


def refuse(services: Services, run_key: str) -> None:
    """Note that a person refused the plan: nothing of it was written."""
    run, collected = read_collected(_folder(services, run_key))
    with services.marketing() as database:
        for one in collected:
            refusal = PlanRefused(f"{one.entity}: the plan was refused by a person", not_done="Nothing was written")
            fail_run(database, run.of_name(one.entity), refusal)


def _named(entities: Sequence[Entity], collected: CollectedEntity) -> Entity:
    """Return the entity of that name; CatalogueChanged if its file was edited since the differences were collected."""
    entity = next((entity for entity in entities if entity.entity == collected.entity), None)
    if entity is None or entity.digest != collected.catalogue:
        message = f"the catalogue file of {collected.entity} was edited while a run to Dynamics was going on"
        step = "Clear the run from its task collect"
        raise CatalogueChanged(message, not_done="The task did nothing", next_step=step)
    return entity


def _folder(services: Services, run_key: str) -> StagingFolder:
    return StagingFolder(services.staging / FOLDER / run_key)
