"""From an entity of the catalogue to its DAG: wiring and nothing else.

Parsing is free: what needs pandas, Arrow, a database or the network is imported inside the tasks.
"""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from airflow.sdk import DAG, Asset, CronDataIntervalTimetable, Param, task, task_group

from dynamics_sync.entity import Column, Entity
from dynamics_sync.retry_policy import SyncRetryPolicy
from dynamics_sync.waiting_task import waiting_task

#: What a run can read, and how the form says it.
MODES = {
    "changes": "What changed since the last run",
    "full": "Everything, again",
    "window": "What was modified between two instants",
    "ids": "Named records",
    "quarantine": "The records that stand in quarantine",
}

#: The one limit that all DAGs share: how many tasks may talk to Dynamics at once.
POOL = "dynamics_api"

#: Backfills reach back as far as Dynamics' own dates do.
_FIRST_DAY = datetime(2000, 1, 1, tzinfo=UTC)

#: What all tasks have in common.
TASK_DEFAULTS: dict[str, Any] = {
    "retries": 3,
    "retry_delay": timedelta(seconds=20),
    "retry_exponential_backoff": True,
    "max_retry_delay": timedelta(minutes=10),
    "retry_policy": SyncRetryPolicy(),
    # A hung task would block its entity for ever, as one run is active at a time.
    "execution_timeout": timedelta(hours=6),
    # Airflow would let the many slices of one large copy go before the first task of all other entities.
    "weight_rule": "absolute",
    "priority_weight": 2,
}

#: Each mapped task shows in the grid which slice it works on.
_SLICE = "{{ slice_label }}"

#: What a task returns is one value. Airflow would write each word of a dict by itself too, with a call for each.
sync_task = partial(task, multiple_outputs=False)


def build_dag(entity: Entity) -> DAG:
    """Return the DAG `dynamics_<entity>`: begin → (extract → transform → load) for each slice → finish."""
    # A bare cron string would give intervals of zero length in Airflow 3, and a backfill would read nothing.
    schedule = CronDataIntervalTimetable(entity.schedule, timezone="UTC") if entity.schedule else None
    with DAG(
        dag_id=entity.dag_id,
        dag_display_name=f"Dynamics: {entity.title}",
        description=entity.description,
        doc_md=document(entity),
        schedule=schedule,
        start_date=_FIRST_DAY,
        catchup=False,
        max_active_runs=1,
        tags={"dynamics", *entity.tags},
        params=_form(),
        default_args={"owner": entity.owner, **TASK_DEFAULTS},
    ) as dag:
        _wire(entity)
    return dag


def _wire(entity: Entity) -> None:
    # Each task imports what it needs when it runs: parsing must not pay for Arrow, pandas and the databases.

    @waiting_task(task_id="begin", pool=POOL)
    def begin() -> list[dict[str, Any]]:
        """Check the organisation, read the feed, cut the work into slices."""
        from dynamics_sync import airflow_tasks  # noqa: PLC0415 - see above

        return airflow_tasks.begin(entity)

    # After everything else: no other DAG waits for a large copy, and what was read is merged while the rest is read.
    @waiting_task(task_id="extract", pool=POOL, map_index_template=_SLICE, priority_weight=1)
    def extract(reference: Any) -> dict[str, Any]:
        """Read one slice page by page into staging."""
        from dynamics_sync import airflow_tasks  # noqa: PLC0415 - see above

        return airflow_tasks.extract(entity, reference)

    @sync_task(task_id="transform", map_index_template=_SLICE)
    def transform(reference: Any) -> dict[str, Any]:
        """Bring the slice into our format; set aside what does not fit."""
        from dynamics_sync import airflow_tasks  # noqa: PLC0415 - see above

        return airflow_tasks.transform(entity, reference)

    # New rows are inserted by two loads at once. Merges into one table happen one after another: the next one waits at
    # the door, so that no time is lost until the scheduler looks again; more of them would only fill worker slots.
    @sync_task(task_id="load", map_index_template=_SLICE, max_active_tis_per_dag=2)
    def load(reference: Any) -> dict[str, int]:
        """Merge the slice into the marketing database, in one transaction."""
        from dynamics_sync import airflow_tasks  # noqa: PLC0415 - see above

        return airflow_tasks.load(entity, reference)

    @sync_task(task_id="finish", trigger_rule="none_failed", outlets=[asset_of(entity)])
    def finish() -> dict[str, int]:
        """Apply deletions, check the counts, advance the watermark."""
        from dynamics_sync import airflow_tasks  # noqa: PLC0415 - see above

        return airflow_tasks.finish(entity)

    @task_group(group_id="slice")
    def copy_slice(reference: Any) -> None:
        load(transform(extract(reference)))

    references = begin()
    copied = copy_slice.expand(reference=references)
    [references, copied] >> finish()


def asset_of(entity: Entity) -> Asset:
    """The asset that a finished run updates; DAGs of others can be scheduled on it."""
    return Asset(name=f"marketing.{entity.table}", uri=f"dynamics-sync://marketing/{entity.table}", group="dynamics")


def _form() -> dict[str, Param]:
    """The trigger form. A scheduled run takes the defaults."""
    return {
        "mode": Param(
            "changes",
            type="string",
            title="What to read",
            description="The word in brackets is the value of `mode` for the command line and the REST API.",
            enum=list(MODES),
            values_display={mode: f"{text} ({mode})" for mode, text in MODES.items()},
        ),
        "window_start": Param(
            None,
            type=["null", "string"],
            format="date-time",
            title="Window start",
            description="Mode window only: rows with modifiedon from this instant on.",
        ),
        "window_end": Param(
            None,
            type=["null", "string"],
            format="date-time",
            title="Window end",
            description="Mode window only: rows with modifiedon before this instant.",
        ),
        "ids": Param(
            None,
            type=["null", "string"],
            format="multiline",
            title="Record ids",
            description="Mode ids only: GUIDs of Dynamics records, one a line or separated by commas.",
        ),
        "allow_deletions": Param(
            default=False,
            type="boolean",
            title="Allow many deletions",
            description="Only after the deletion breaker has stopped a run, and the deletions in Dynamics are real.",
        ),
    }


def document(entity: Entity) -> str:
    """The DAG's page in the UI: what it copies, field by field, and what to do when it fails."""
    rows = "\n".join(
        f"| `{column.field}`{_part(column)} | `{column.name}` | {column.kind} |" for column in entity.columns
    )
    modes = "\n".join(f"- `{mode}`: {text[0].lower()}{text[1:]}" for mode, text in MODES.items())
    return f"""# {entity.title}

{entity.description}

Table `{entity.entity}` of Dynamics → table `{entity.table}` of the marketing database, key `{entity.key.column}`.
A deleted record stays, with `crm_deleted_at` set. Each run is a row of `sync_run`; rows that could not be applied stand
in `sync_quarantine`. Error codes (`DS-…`) are explained in `docs/errors.md`.

Trigger it with a mode:

{modes}

Only `changes` and `full` move the watermark, the Variable `dynamics_watermark_{entity.entity}`. A backfill reads what
was modified in its interval. A run that found nothing to copy shows its slices as skipped; that is as it should be.

| Dynamics | column | type |
| --- | --- | --- |
| `{entity.key.name}` | `{entity.key.column}` | guid, key |
{rows}
"""


def _part(column: Column) -> str:
    return "" if column.part == "value" else f" ({column.part})"
