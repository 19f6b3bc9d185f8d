"""The five tasks of a forward run, as Airflow calls them: open what a task needs, do its step, record a failure."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from airflow.sdk.exceptions import AirflowFailException

from dynamics_sync import airflow_services as services
from dynamics_sync.catalogue import Entity
from dynamics_sync.dataverse.metadata import read_table
from dynamics_sync.dataverse.organization import read_organization
from dynamics_sync.errors import StagingGone, StopRun, SyncError
from dynamics_sync.forward.begin import Begin, new_run
from dynamics_sync.forward.extract import Cursor, extract_slice
from dynamics_sync.forward.fields import plan_reading
from dynamics_sync.forward.finish import finish
from dynamics_sync.forward.load import load_staged
from dynamics_sync.forward.manifest import Manifest
from dynamics_sync.forward.request import RunRequest, request_for_backfill, request_from_params
from dynamics_sync.forward.transform import transform_slice
from dynamics_sync.settings import Settings
from dynamics_sync.staging import StagingFolder
from dynamics_sync.store.database import MarketingDatabase
from dynamics_sync.store.environments import check_environment
from dynamics_sync.store.runs import RunIdentity, begin_run, fail_run, run_state
from dynamics_sync.store.schema import ensure_tables, rows_schema
from dynamics_sync.store.views import ensure_views

log = logging.getLogger("dynamics_sync")

#: What one mapped task gets by XCom: which run, which slice. Rows never travel this way.
SliceReference = dict[str, Any]

Context = Mapping[str, Any]


def run_begin(entity: Entity, context: Context) -> list[SliceReference]:
    """begin: return one reference for each slice; the manifest holds the rest."""
    settings = services.read_settings()
    run = new_run(entity.entity, context["run_id"], datetime.now(UTC))
    with _recorded(settings, run) as database:
        begin_run(database, run, str(context["params"].get("mode")))
        request = _request(context)
        begin_run(database, run, request.mode.value)
        manifest = _plan(entity, request, run, settings, database)
    context["ti"].xcom_push(key="run_key", value=run.run_key)
    return [
        {
            "run_key": run.run_key,
            "slice": piece.number,
            "label": f"{piece.number} of {len(manifest.slices)}: {piece.label}",
        }
        for piece in manifest.slices
    ]


def _plan(
    entity: Entity, request: RunRequest, run: RunIdentity, settings: Settings, database: MarketingDatabase
) -> Manifest:
    client = services.open_dynamics(settings)
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
        watermark=services.watermarks(entity.entity).read(),
        settings=settings,
        client=client,
        database=database,
        folder=services.staging_folder(settings, entity.entity, run.run_key),
        log=log.info,
    ).plan_run()


def run_extract(entity: Entity, reference: SliceReference, context: Context) -> SliceReference:
    """extract: stage one slice, going on where an earlier try of the task stopped."""
    settings, manifest, folder = _opened(entity, reference["run_key"])
    cursor: Cursor = context["task_state_store"]
    with _recorded(settings, manifest.run):
        extract_slice(manifest, reference["slice"], folder, services.open_dynamics(settings), cursor, log=log.info)
    return reference


def run_transform(entity: Entity, reference: SliceReference) -> SliceReference:
    """transform: bring one staged slice into our format."""
    settings, manifest, folder = _opened(entity, reference["run_key"])
    with _recorded(settings, manifest.run) as database:
        rows = transform_slice(
            manifest,
            reference["slice"],
            folder,
            entity,
            rows_schema(entity),
            exact_digits=database.exact_digits,
        )
    log.info("%s rows are ready for load.", f"{rows:,}")
    return reference


def run_load(entity: Entity, reference: SliceReference) -> dict[str, int]:
    """load: merge one slice into the marketing database; return its counts."""
    settings, manifest, folder = _opened(entity, reference["run_key"])
    with _recorded(settings, manifest.run) as database:
        return asdict(load_staged(manifest, reference["slice"], folder, entity, database, log=log.info))


def run_finish(entity: Entity, context: Context) -> dict[str, int]:
    """finish: apply deletions, check the counts, advance the watermark; return the counts of the run."""
    settings = services.read_settings()
    run_key = context["ti"].xcom_pull(task_ids="begin", key="run_key")
    folder = services.staging_folder(settings, entity.entity, run_key)
    try:
        manifest = Manifest.read(folder)
    except StagingGone:
        # A try that was killed after its work was done removed the folder already.
        return _finished_before(entity, settings, run_key, context)
    with _recorded(settings, manifest.run) as database:
        store = services.watermarks(entity.entity)
        return asdict(finish(manifest, folder, entity, database, store, settings, log=log.info))


def _finished_before(entity: Entity, settings: Settings, run_key: str, context: Context) -> dict[str, int]:
    run = RunIdentity(entity.entity, context["run_id"], run_key, datetime.now(UTC))
    with _recorded(settings, run) as database:
        if run_state(database, run) != "success":
            message = f"the staging of run {run.run_id} is gone"
            raise StagingGone(message, not_done="The watermark did not move")
    log.info("The run was finished by an earlier try.")
    return {}


def _request(context: Context) -> RunRequest:
    dag_run = context["dag_run"]
    if dag_run.run_type == "backfill":
        return request_for_backfill(dag_run.data_interval_start, dag_run.data_interval_end)
    return request_from_params(context["params"])


def _opened(entity: Entity, run_key: str) -> tuple[Settings, Manifest, StagingFolder]:
    settings = services.read_settings()
    folder = services.staging_folder(settings, entity.entity, run_key)
    with _as_airflow_failure():
        return settings, Manifest.read(folder), folder


@contextmanager
def _recorded(settings: Settings, run: RunIdentity) -> Iterator[MarketingDatabase]:
    """Open the marketing database; a failure inside is written to `sync_run` and told to Airflow in its own terms."""
    with _as_airflow_failure(), services.open_marketing(settings) as database:
        try:
            yield database
        except SyncError as error:
            fail_run(database, run, error)
            raise
        except BaseException as error:
            # Its text may hold values of records; the kind of error is enough here, the log has the place.
            fail_run(database, run, f"unexpected {type(error).__name__}; see the log of the task")
            raise


@contextmanager
def _as_airflow_failure() -> Iterator[None]:
    """What cannot be helped by retrying fails at once; everything else is left to the task's retries."""
    try:
        yield
    except StopRun as error:
        raise AirflowFailException(str(error)) from error
