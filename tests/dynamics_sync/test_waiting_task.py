"""Which errors defer a task, and which tasks of the DAGs can wait."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import TaskDeferred

from dynamics_sync import errors
from dynamics_sync.catalogue import load_catalogue
from dynamics_sync.dag_factory import POOL, build_dag
from dynamics_sync.reverse_dag import build_reverse_dag
from dynamics_sync.waiting_task import WaitingTask, waiting_task


def task_that_raises(*failures: errors.SyncError) -> Any:
    """A task that fails with one after another, and then succeeds."""
    left = list(failures)

    @waiting_task(task_id="ask")
    def ask() -> str:
        if left:
            raise left.pop(0)
        return "done"

    with DAG("sample"):
        return ask().operator


def context() -> Any:
    """As much of Airflow's as a PythonOperator looks at."""
    return {}


@pytest.mark.parametrize(
    "error",
    [
        errors.Throttled("busy", retry_after=300),
        errors.BudgetSpent("spent", retry_after=40_000),
        errors.NoPlaceFree("full", retry_after=35),
    ],
    ids=lambda error: error.code,
)
def test_a_wait_that_is_known_defers_the_task_and_then_calls_it_anew(error: errors.WaitAsTold) -> None:
    task = task_that_raises(error, error)
    for call in (task.execute, task.execute_again):
        before = datetime.now(UTC)
        with pytest.raises(TaskDeferred) as deferred:
            call(context())
        assert deferred.value.method_name == "execute_again"
        assert error.retry_after is not None
        told = timedelta(seconds=error.retry_after)
        assert before + told <= deferred.value.trigger.moment <= datetime.now(UTC) + told
    assert task.execute_again(context(), event=datetime.now(UTC)) == "done"


@pytest.mark.parametrize(("told", "seconds"), [(None, 30), (0, 5), (0.5, 5), (6, 6)])
def test_no_wait_is_so_short_that_the_task_is_back_at_once(told: float | None, seconds: float) -> None:
    before = datetime.now(UTC)
    with pytest.raises(TaskDeferred) as deferred:
        task_that_raises(errors.Throttled("busy", retry_after=told)).execute(context())
    assert deferred.value.trigger.moment >= before + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "error",
    [
        errors.NetworkFault("dropped"),
        # An outage must show, so that it uses up tries.
        errors.ServiceUnavailable("maintenance", retry_after=900),
        errors.SignInRefused("wrong secret"),
    ],
)
def test_all_else_is_left_to_the_tasks_own_retries(error: errors.SyncError) -> None:
    with pytest.raises(type(error)):
        task_that_raises(error).execute(context())


def test_the_tasks_that_talk_to_dynamics_can_wait() -> None:
    entities = load_catalogue().entities
    dags = [*map(build_dag, entities), build_reverse_dag([entity for entity in entities if entity.is_two_way])]
    tasks = [task for dag in dags for task in dag.tasks if task.pool == POOL]
    assert {task.task_id for task in tasks} == {"begin", "slice.extract", "plan", "apply"}
    kinds = {getattr(task, "operator_class", type(task)) for task in tasks}
    assert kinds == {WaitingTask}
