"""The tasks of a reverse run as Airflow calls them; a module of its own, so that forward runs do not import it."""

from collections.abc import Sequence
from typing import Any

from airflow.sdk import get_current_context

from dynamics_sync.airflow_services import open_services
from dynamics_sync.entity import Entity
from dynamics_sync.reverse import tasks


def collect(entities: Sequence[Entity]) -> str:
    """Find what differs from what Dynamics last said; return the key of the run."""
    context = get_current_context()
    return tasks.collect(entities, open_services(), context["dag_run"].run_id, context["params"])


def plan(entities: Sequence[Entity], run_key: str) -> list[tasks.BatchReference]:
    """Make the plan; return one reference for each batch. The figures go to the task that asks a person."""
    summary, references = tasks.plan(entities, open_services(), run_key)
    task = get_current_context()["ti"]
    task.xcom_push(key="records", value=summary.records)
    task.xcom_push(key="api_calls", value=summary.api_calls)
    task.xcom_push(key="table", value=summary.as_table())
    task.xcom_push(key="first_records", value=summary.as_list())
    task.xcom_push(key="needs_approval", value=summary.needs_approval and bool(references))
    return references


def apply(entities: Sequence[Entity], reference: tasks.BatchReference) -> dict[str, int]:
    """Send one batch, and record what Dynamics made of it."""
    context: Any = get_current_context()
    context["batch_label"] = reference["label"]
    return tasks.apply(entities, open_services(), reference)


def record(entities: Sequence[Entity], run_key: str) -> dict[str, dict[str, int]]:
    """End the run."""
    return tasks.record(entities, open_services(), run_key)


def refuse_plan() -> None:
    """Note that a person refused the plan of this run."""
    run_key = get_current_context()["ti"].xcom_pull(task_ids="collect")
    tasks.refuse(open_services(), run_key)
