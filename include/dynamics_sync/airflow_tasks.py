"""The tasks as Airflow calls them: the context's words become arguments, Airflow's services stand behind the sync's."""

from collections.abc import Sequence
from typing import Any

from airflow.sdk import get_current_context

from dynamics_sync.airflow_services import open_services
from dynamics_sync.entity import Entity
from dynamics_sync.forward import tasks
from dynamics_sync.reverse import tasks as reverse


def begin(entity: Entity) -> list[tasks.SliceReference]:
    """Return one reference for each slice; the key of the run goes to finish, which must run without slices too."""
    context = get_current_context()
    run = context["dag_run"]
    trigger = tasks.Trigger(
        run.run_id,
        context["params"],
        is_backfill=run.run_type == "backfill",
        interval_start=run.data_interval_start,
        interval_end=run.data_interval_end,
    )
    run_key, references = tasks.begin(entity, open_services(), trigger, context["task_state_store"])
    context["ti"].xcom_push(key="run_key", value=run_key)
    return references


def extract(entity: Entity, reference: tasks.SliceReference) -> tasks.SliceReference:
    """Stage one slice."""
    _named_slice(reference)
    return tasks.extract(entity, open_services(), reference)


def transform(entity: Entity, reference: tasks.SliceReference) -> tasks.SliceReference:
    """Bring one slice into our format."""
    _named_slice(reference)
    return tasks.transform(entity, open_services(), reference)


def load(entity: Entity, reference: tasks.SliceReference) -> dict[str, int]:
    """Merge one slice into the marketing database."""
    _named_slice(reference)
    return tasks.load(entity, open_services(), reference)


def finish(entity: Entity) -> dict[str, int]:
    """End the run."""
    context = get_current_context()
    run_key = context["ti"].xcom_pull(task_ids="begin", key="run_key")
    return tasks.finish(entity, open_services(), context["dag_run"].run_id, run_key)


def collect(entities: Sequence[Entity]) -> str:
    """Find what differs from what Dynamics last said; return the key of the run."""
    context = get_current_context()
    return reverse.collect(entities, open_services(), context["dag_run"].run_id, context["params"])


def plan(entities: Sequence[Entity], run_key: str) -> list[reverse.BatchReference]:
    """Make the plan; return one reference for each batch. The figures go to the task that asks a person."""
    summary, references = reverse.plan(entities, open_services(), run_key)
    task = get_current_context()["ti"]
    task.xcom_push(key="records", value=summary.records)
    task.xcom_push(key="api_calls", value=summary.api_calls)
    task.xcom_push(key="table", value=summary.as_table())
    task.xcom_push(key="first_records", value=summary.as_list())
    task.xcom_push(key="needs_approval", value=summary.needs_approval and bool(references))
    return references


def apply(entities: Sequence[Entity], reference: reverse.BatchReference) -> dict[str, int]:
    """Send one batch, and record what Dynamics made of it."""
    context: Any = get_current_context()
    context["batch_label"] = reference["label"]
    return reverse.apply(entities, open_services(), reference)


def record(entities: Sequence[Entity], run_key: str) -> dict[str, dict[str, int]]:
    """End the run."""
    return reverse.record(entities, open_services(), run_key)


def refuse_plan() -> None:
    """Note that a person refused the plan of this run."""
    run_key = get_current_context()["ti"].xcom_pull(task_ids="collect")
    reverse.refuse(open_services(), run_key)


def _named_slice(reference: tasks.SliceReference) -> Any:
    """Let the grid show which slice a mapped task works on."""
    context: Any = get_current_context()
    context["slice_label"] = reference["label"]
    return context
