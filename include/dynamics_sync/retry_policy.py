"""What Airflow does after a failed task follows from the tree of errors: stop, or try again, when it was told to."""

from datetime import timedelta
from typing import Any, Self

from airflow.sdk.definitions.context import Context
from airflow.sdk.definitions.retry_policy import RetryDecision, RetryPolicy

from dynamics_sync.errors import StopRun, TryAgain


class SyncRetryPolicy(RetryPolicy):
    """Fails at once where no retry can help."""

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,  # noqa: ARG002 - Airflow's signature
        max_tries: int,  # noqa: ARG002 - Airflow's signature
        context: Context | None = None,  # noqa: ARG002 - Airflow's signature
    ) -> RetryDecision:
        """Decide by the error's place in the tree; what is not of the tree is left to the task's own retries."""
        match exception:
            case StopRun():
                return RetryDecision.fail(reason=str(exception))
            case TryAgain(retry_after=float() | int() as seconds):
                return RetryDecision.retry(timedelta(seconds=seconds), reason=str(exception))
            case _:
                return RetryDecision.default()

    def serialize(self) -> dict[str, Any]:
        """There is nothing to keep: the tree of errors is the policy."""
        return {}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> Self:  # noqa: ARG003 - Airflow's signature
        """Return the policy."""
        return cls()
