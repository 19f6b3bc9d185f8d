"""The five tasks of a forward run: open what a task needs, do its step, record a failure. Free of Airflow.

Between tasks travel references only (which run, which slice); rows travel through staging. Each task imports the step
that it takes when it takes it: to import those of the others would be half of what a small task costs.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from dynamics_sync.entity import Entity
from dynamics_sync.errors import RunParameterError, StagedFileDamaged, StagingGone
from dynamics_sync.forward.manifest import FILE as MANIFEST
from dynamics_sync.forward.manifest import Manifest, read_manifest, remove_staging
from dynamics_sync.forward.request import RunRequest, request_for_backfill, request_from_params
from dynamics_sync.services import Services, connected, recorded
from dynamics_sync.staging import StagingFolder
from dynamics_sync.store.database import MarketingDatabase
from dynamics_sync.store.runs import RunIdentity, begin_run, earlier_attempt, run_state

log = logging.getLogger(__name__)

#: `run_key`, `slice` (counted from 1) and `label`; small enough for XCom.
SliceReference = dict[str, Any]


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
        if self.is_backfill:
            if self.interval_start is None or self.interval_end is None:
                message = f"the backfill run {self.run_id} has no data interval"
                raise RunParameterError(message, not_done="Nothing was read")
            return request_for_backfill(self.interval_start, self.interval_end)
        return request_from_params(self.params)


def begin(entity: Entity, services: Services, trigger: Trigger) -> tuple[str, list[SliceReference]]:
    """Return the key of the run and one reference for each slice; the manifest in staging holds the rest.

    A try that follows one that did not come to its end goes on with the feed that is staged in part.
    """
    from dynamics_sync.forward.attempt import may_go_on, new_run, remove_attempt  # noqa: PLC0415 - see above
    from dynamics_sync.forward.planning import plan_run  # noqa: PLC0415 - see above

    runs: list[RunIdentity] = []
    with recorded(services, runs) as database:
        now = datetime.now(UTC)
        run, earlier = new_run(entity.entity, trigger.run_id, now), earlier_attempt(database, entity, trigger.run_id)
        if earlier is not None:
            runs.append(earlier.run)
            run = earlier.run if may_go_on(services, entity, earlier, now) else run
        runs[:] = [run]
        begin_run(database, run, "backfill" if trigger.is_backfill else str(trigger.params.get("mode") or "changes"))
        if earlier is not None and earlier.run.run_key != run.run_key:
            remove_attempt(services, entity, earlier.run)
        with connected(services, database, run) as client:
            try:
                slices = plan_run(entity, trigger.request(), run, services, client, database).slices
            except (StagingGone, StagedFileDamaged):
                # A later try would go on with the same files, and stop at the same place.
                remove_attempt(services, entity, run)
                raise
    return run.run_key, [
        {"run_key": run.run_key, "slice": piece.number, "label": f"{piece.number} of {len(slices)}: {piece.label}"}
        for piece in slices
    ]


def extract(entity: Entity, services: Services, reference: SliceReference) -> SliceReference:
    """Stage one slice, going on where an earlier try of the task stopped."""
    from dynamics_sync.forward.extract import extract_slice  # noqa: PLC0415 - see above

    with (
        _opened(entity, services, reference["run_key"]) as opened,
        connected(services, opened.database, opened.manifest.run) as client,
    ):
        extract_slice(opened.manifest, reference["slice"], opened.folder, client, log=log.info)
    return reference


def transform(entity: Entity, services: Services, reference: SliceReference) -> SliceReference:
    """Bring one staged slice into our format."""
    from dynamics_sync.forward.transform import transform_slice  # noqa: PLC0415 - see above
    from dynamics_sync.store.schema import rows_schema  # noqa: PLC0415 - see above

    with _opened(entity, services, reference["run_key"]) as opened:
        schema, digits = rows_schema(entity), opened.database.exact_digits
        rows = transform_slice(opened.manifest, reference["slice"], opened.folder, entity, schema, exact_digits=digits)
    log.info("%s rows are ready for load.", f"{rows:,}")
    return reference


def load(entity: Entity, services: Services, reference: SliceReference) -> dict[str, int]:
    """Merge one slice into the marketing database; return its counts."""
    from dynamics_sync.forward.load import load_staged  # noqa: PLC0415 - see above

    with _opened(entity, services, reference["run_key"]) as opened:
        counts = load_staged(opened.manifest, reference["slice"], opened.folder, entity, opened.database, log=log.info)
    return asdict(counts)


def finish(entity: Entity, services: Services, run_id: str, run_key: str) -> dict[str, int]:
    """Apply deletions, check the counts, advance the watermark; return the counts of the run."""
    from dynamics_sync.forward.finish import finish_slices  # noqa: PLC0415 - see above

    folder = services.folder(entity, run_key)
    run = RunIdentity(entity.entity, run_id, run_key, datetime.now(UTC))
    with recorded(services, [run]) as database:
        if not folder.exists(MANIFEST) and run_state(database, run) == "success":
            # A try that was killed after its work was done has begun to remove the folder, the manifest first.
            log.info("The run was finished by an earlier try.")
            remove_staging(folder)
            return {}
        manifest = read_manifest(folder, entity)
        store = services.watermark(entity)
        counts = finish_slices(manifest, folder, entity, database, store, services.settings, log=log.info)
        remove_staging(folder)
    return asdict(counts)


@dataclass(frozen=True, slots=True)
class _Opened:
    """What begin left for a task, and the database."""

    manifest: Manifest
    folder: StagingFolder
    database: MarketingDatabase


@contextmanager
def _opened(entity: Entity, services: Services, run_key: str) -> Iterator[_Opened]:
    folder = services.folder(entity, run_key)
    # The key alone says which run failed, should the manifest be the thing that is missing.
    with recorded(services, [RunIdentity(entity.entity, "", run_key, datetime.now(UTC))]) as database:
        yield _Opened(read_manifest(folder, entity), folder, database)
