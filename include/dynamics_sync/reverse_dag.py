"""The DAG that writes marketing's changes to Dynamics: wiring and nothing else."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from airflow.sdk import DAG, AssetAny, Param

from dynamics_sync.dag_factory import POOL, TASK_DEFAULTS, asset_of, sync_task
from dynamics_sync.entity import Entity
from dynamics_sync.plan_approval import PlanApproval
from dynamics_sync.waiting_task import waiting_task

DAG_ID = "dynamics_reverse"

#: Which rows a run looks at, and how the form says it.
REVERSE_MODES = {
    "changes": "What changed here since the last run",
    "full": "Compare everything",
    "quarantine": "The records that stand in quarantine",
}

_SUBJECT = "Write {{ '{:,}'.format(ti.xcom_pull(task_ids='plan', key='records') or 0) }} records to Dynamics?"
_BODY = """{{ ti.xcom_pull(task_ids='plan', key='table') }}

{{ '{:,}'.format(ti.xcom_pull(task_ids='plan', key='api_calls') or 0) }} calls of the Web API. The first records of each
entity, without the values, which are personal data:

{{ ti.xcom_pull(task_ids='plan', key='first_records') }}

All of them field by field, with the values:

    SELECT entity, record_id, operation, column_name, old_value, new_value, rule
    FROM sync_plan WHERE run_id = '{{ run_id }}' ORDER BY entity, record_id;

Nothing is written before somebody approves. After a refusal the rows here stay as they are, and the next run asks
again.
"""


def build_reverse_dag(entities: Sequence[Entity]) -> DAG:
    """Return the DAG `dynamics_reverse`: collect → plan → approve → apply for each batch → record."""
    owner = entities[0].owner
    with DAG(
        dag_id=DAG_ID,
        dag_display_name="Dynamics: write changes back",
        description="Writes to Dynamics what was changed, added or removed in the marketing database.",
        doc_md=_document(entities),
        # After each run that brought news from Dynamics, as the two sides are then as near as they can be.
        schedule=AssetAny(*(asset_of(entity) for entity in entities)),
        start_date=datetime(2000, 1, 1, tzinfo=UTC),
        catchup=False,
        max_active_runs=1,
        tags={"dynamics", "two-way"},
        params=_form(),
        default_args={"owner": owner, **TASK_DEFAULTS},
    ) as dag:
        _wire(tuple(entities))
    return dag


def _wire(entities: tuple[Entity, ...]) -> None:
    # Each task imports what it needs when it runs: parsing must not pay for Arrow and the databases.

    @sync_task(task_id="collect")
    def collect() -> str:
        """Find what differs from what Dynamics last said."""
        from dynamics_sync import airflow_reverse_tasks  # noqa: PLC0415 - see above

        return airflow_reverse_tasks.collect(entities)

    @waiting_task(task_id="plan", pool=POOL)
    def plan(run_key: str) -> list[dict[str, Any]]:
        """Fit it to the organisation, find records that exist already, cut it into batches. A dry run ends here."""
        from dynamics_sync import airflow_reverse_tasks  # noqa: PLC0415 - see above

        return airflow_reverse_tasks.plan(entities, run_key)

    @waiting_task(task_id="apply", pool=POOL, map_index_template="{{ batch_label }}")
    def apply(reference: Any) -> dict[str, int]:
        """Send one batch, and record what Dynamics made of it."""
        from dynamics_sync import airflow_reverse_tasks  # noqa: PLC0415 - see above

        return airflow_reverse_tasks.apply(entities, reference)

    @sync_task(task_id="record", trigger_rule="none_failed")
    def record(run_key: str) -> dict[str, dict[str, int]]:
        """Check that the figures add up, and advance the watermark."""
        from dynamics_sync import airflow_reverse_tasks  # noqa: PLC0415 - see above

        return airflow_reverse_tasks.record(entities, run_key)

    run_key = collect()
    references = plan(run_key)  # type: ignore[arg-type] # Airflow hands over the result.
    approve = PlanApproval(task_id="approve", subject=_SUBJECT, body=_BODY, execution_timeout=None)
    applied = apply.expand(reference=references)
    references >> approve >> applied >> record(run_key)  # type: ignore[arg-type] # as above


def _form() -> dict[str, Param]:
    """The trigger form. A run of the schedule takes the defaults."""
    return {
        "dry_run": Param(
            default=False,
            type="boolean",
            title="Dry run",
            description="Make the plan, write it to the table sync_plan and to a file, and write nothing to Dynamics.",
        ),
        "mode": Param(
            "changes",
            type="string",
            title="What to look at",
            description="The word in brackets is the value of `mode` for the command line and the REST API.",
            enum=list(REVERSE_MODES),
            values_display={mode: f"{text} ({mode})" for mode, text in REVERSE_MODES.items()},
        ),
        "allow_deletions": Param(
            default=False,
            type="boolean",
            title="Allow many deletions",
            description="Only after the deletion breaker has stopped a run, and the rows were deleted here on purpose.",
        ),
    }


def _document(entities: Sequence[Entity]) -> str:
    modes = "\n".join(f"- `{mode}`: {text[0].lower()}{text[1:]}" for mode, text in REVERSE_MODES.items())
    rows = "\n".join(
        f"| `{entity.table}` | `{entity.entity}` | {entity.wins} | {', '.join(entity.match) or 'no'} "
        f"| {entity.deleted_here} | {entity.approve_above:,} |"
        for entity in entities
    )
    return f"""# Write changes back to Dynamics

What was changed, added or removed in these tables of the marketing database is written to Dynamics:

| table | in Dynamics | who wins a conflict | new rows are matched by | rows deleted here | approval above |
| --- | --- | --- | --- | --- | --- |
{rows}

It runs after the DAGs that copy from Dynamics, and can be triggered. A *dry run* makes the plan and writes nothing:
look at the table `sync_plan`. Modes:

{modes}

A plan with more records than the limit waits under *Required actions* until somebody approves it. Conflicts stand in
`sync_conflict`, records that Dynamics refused in `sync_quarantine` (direction `to_dynamics`), each value that was
changed in `sync_history`. See `docs/two-way.md`; error codes (`DS-…`) are explained in `docs/errors.md`.
"""
