"""The tasks of a forward run as Airflow calls them: its context becomes arguments, its services stand behind ours."""

from typing import Any

from airflow.sdk import get_current_context

from dynamics_sync.airflow_services import open_services
from dynamics_sync.entity import Entity
from dynamics_sync.forward import tasks


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
    run_key, references = tasks.begin(entity, open_services(), trigger)
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


def _named_slice(reference: tasks.SliceReference) -> Any:
    """Let the grid show which slice a mapped task works on."""
    context: Any = get_current_context()
    context["slice_label"] = reference["label"]
    return context
