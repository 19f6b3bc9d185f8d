"""What Airflow does after a failed task follows from the error's place in the tree."""

from datetime import timedelta

import pytest
from airflow.sdk.definitions.retry_policy import RetryAction

from dynamics_sync import errors
from dynamics_sync.catalogue import load_catalogue
from dynamics_sync.dag_factory import build_dag
from dynamics_sync.retry_policy import SyncRetryPolicy

POLICY = SyncRetryPolicy()


@pytest.mark.parametrize("stops", [errors.SignInRefused, errors.DeletionBreaker, errors.CountsDoNotAddUp])
def test_what_no_retry_can_help_fails_at_once(stops: type[errors.SyncError]) -> None:
    decision = POLICY.evaluate(stops("it happened"), 1, 3)
    assert decision.action is RetryAction.FAIL
    assert decision.reason == str(stops("it happened"))


@pytest.mark.parametrize("seconds", [300, 7.5, 0])
def test_a_told_wait_is_obeyed_in_full(seconds: float) -> None:
    decision = POLICY.evaluate(errors.ServiceUnavailable("maintenance", retry_after=seconds), 1, 3)
    assert (decision.action, decision.retry_delay) == (RetryAction.RETRY, timedelta(seconds=seconds))


@pytest.mark.parametrize(
    "error", [errors.NetworkFault("dropped"), errors.VersionConflict("changed"), RuntimeError("other")]
)
def test_the_rest_is_left_to_the_tasks_own_retries(error: Exception) -> None:
    assert POLICY.evaluate(error, 1, 3).action is RetryAction.DEFAULT


def test_each_task_of_each_dag_has_the_policy() -> None:
    for entity in load_catalogue().entities:
        assert all(isinstance(task.retry_policy, SyncRetryPolicy) for task in build_dag(entity).tasks)
