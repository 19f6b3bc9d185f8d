"""The five tasks of a forward run: open what a task needs, do its step, record a failure. Free of Airflow.

Between tasks travel references only (which run, which slice); rows travel through staging.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from dynamics_sync.dataverse.client import DataverseClient
from dynamics_sync.dataverse.metadata import read_table
from dynamics_sync.dataverse.organization import read_organization
from dynamics_sync.entity import Entity
from dynamics_sync.errors import StagingGone, SyncError
from dynamics_sync.forward.begin import Begin, new_run
from dynamics_sync.forward.extract import Cursor, extract_slice
from dynamics_sync.forward.fields import plan_reading
from dynamics_sync.forward.finish import finish_slices
from dynamics_sync.forward.load import load_staged
from dynamics_sync.forward.manifest import Manifest
from dynamics_sync.forward.request import RunRequest, request_for_backfill, request_from_params
from dynamics_sync.forward.transform import transform_slice
from dynamics_sync.settings import Settings
from dynamics_sync.staging import StagingFolder, StagingPath
from dynamics_sync.store.database import MarketingDatabase
from dynamics_sync.store.environments import check_environment
from dynamics_sync.store.runs import RunIdentity, begin_run, fail_run, run_state
from dynamics_sync.store.schema import ensure_tables, rows_schema
from dynamics_sync.store.views import ensure_views
from dynamics_sync.watermark import Variables, WatermarkStore

log = logging.getLogger(__name__)

#: `run_key`, `slice` (counted from 1) and `label`; small enough for XCom.
SliceReference = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Services:
    """What the tasks work with. Airflow's connections and Variables stand behind it, or a test's own."""

    settings: Settings
    variables: Variables
    staging: StagingPath
    dynamics: Callable[[], DataverseClient]
    marketing: Callable[[], MarketingDatabase]

    def folder(self, entity: Entity, run_key: str) -> StagingFolder:
        """Return the staging folder of a run."""
        return StagingFolder(self.staging / entity.entity / run_key)

    def watermark(self, entity: Entity) -> WatermarkStore:
        """Return the watermark of an entity."""
        return WatermarkStore(entity.entity, self.variables)


@dataclass(frozen=True, slots=True)
class Trigger:
    """What set a run off: its type, the form, and for a backfill the interval to read."""

    run_id: str
    params: Mapping[str, Any] = field(default_factory=dict)
    is_backfill: bool = False
    interval_start: datetime | None = None
    interval_end: datetime | None = None

    def request(self) -> RunRequest:
        """Return what the run is asked to do; RunParameterError if it cannot be done."""
        if self.is_backfill and self.interval_start and self.interval_end:
            return request_for_backfill(self.interval_start, self.interval_end)
        return request_from_params(self.params)


def begin(entity: Entity, services: Services, trigger: Trigger) -> tuple[str, list[SliceReference]]:
    """Return the key of the run and one reference for each slice; the manifest in staging holds the rest."""
    run = new_run(entity.entity, trigger.run_id, datetime.now(UTC))
    with _recorded(services, run) as database:
        begin_run(database, run, "backfill" if trigger.is_backfill else str(trigger.params.get("mode") or "changes"))
        slices = _plan(entity, trigger.request(), run, services, database).slices
    return run.run_key, [
        {"run_key": run.run_key, "slice": piece.number, "label": f"{piece.number} of {len(slices)}: {piece.label}"}
        for piece in slices
    ]


def _plan(
    entity: Entity, request: RunRequest, run: RunIdentity, services: Services, database: MarketingDatabase
) -> Manifest:
    client = services.dynamics()
    # Before all else: nothing of a foreign organisation may reach the tables.
    check_environment(database, asdict(read_organization(client)))
    for change in ensure_tables(database, entity):
        log.info("%s", change)
    ensure_views(database)
    table = read_table(client, entity.entity)
    plan = plan_reading(entity, table)
    if plan.absent:
        log.info("Not in this organisation, so left empty: %s.", ", ".join(plan.absent))
    return Begin(
        entity=entity,
        request=request,
        run=run,
        table=table,
        plan=plan,
        watermark=services.watermark(entity).read(),
        settings=services.settings,
        client=client,
        database=database,
        folder=services.folder(entity, run.run_key),
        log=log.info,
    ).plan_run()


def extract(entity: Entity, services: Services, reference: SliceReference, cursor: Cursor) -> SliceReference:
    """Stage one slice, going on where an earlier try of the task stopped."""
    folder = services.folder(entity, reference["run_key"])
    manifest = Manifest.read(folder)
    with _recorded(services, manifest.run):
        extract_slice(manifest, reference["slice"], folder, services.dynamics(), cursor, log=log.info)
    return reference


def transform(entity: Entity, services: Services, reference: SliceReference) -> SliceReference:
    """Bring one staged slice into our format."""
    folder = services.folder(entity, reference["run_key"])
    manifest = Manifest.read(folder)
    with _recorded(services, manifest.run) as database:
        schema, digits = rows_schema(entity), database.exact_digits
        rows = transform_slice(manifest, reference["slice"], folder, entity, schema, exact_digits=digits)
    log.info("%s rows are ready for load.", f"{rows:,}")
    return reference


def load(entity: Entity, services: Services, reference: SliceReference) -> dict[str, int]:
    """Merge one slice into the marketing database; return its counts."""
    folder = services.folder(entity, reference["run_key"])
    manifest = Manifest.read(folder)
    with _recorded(services, manifest.run) as database:
        return asdict(load_staged(manifest, reference["slice"], folder, entity, database, log=log.info))


def finish(entity: Entity, services: Services, run_id: str, run_key: str) -> dict[str, int]:
    """Apply deletions, check the counts, advance the watermark; return the counts of the run."""
    folder = services.folder(entity, run_key)
    try:
        manifest = Manifest.read(folder)
    except StagingGone:
        # A try that was killed after its work was done has begun to remove the folder.
        counts = _finished_before(services, RunIdentity(entity.entity, run_id, run_key, datetime.now(UTC)))
        folder.remove()
        return counts
    with _recorded(services, manifest.run) as database:
        store = services.watermark(entity)
        return asdict(finish_slices(manifest, folder, entity, database, store, services.settings, log=log.info))


def _finished_before(services: Services, run: RunIdentity) -> dict[str, int]:
    with _recorded(services, run) as database:
        if run_state(database, run) != "success":
            message = f"the staging of run {run.run_id} is gone"
            raise StagingGone(message, not_done="The watermark did not move")
    log.info("The run was finished by an earlier try.")
    return {}


@contextmanager
def _recorded(services: Services, run: RunIdentity) -> Iterator[MarketingDatabase]:
    """Open the marketing database for a task; a failure inside is written to `sync_run`."""
    with services.marketing() as database:
        try:
            yield database
        except SyncError as error:
            fail_run(database, run, error)
            raise
        except Exception as error:
            # Its text may hold values of records; the kind of error is enough here, the log has the place.
            fail_run(database, run, f"unexpected {type(error).__name__}; see the log of the task")
            raise
