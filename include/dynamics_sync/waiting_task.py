"""A task that waits without a worker: told to come back later, it is deferred, and then called anew."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar

from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk.bases.decorator import DecoratedOperator, TaskDecorator, task_decorator_factory
from airflow.sdk.definitions.context import Context

from dynamics_sync.errors import SyncError, told_wait


class WaitingTask(DecoratedOperator, PythonOperator):
    """As `@task`, but an error that knows how long to wait is no failure.

    The task is deferred meanwhile: it holds neither a worker slot nor a slot of its pool, and uses up no try. Then its
    function is called anew, as after a retry.
    """

    template_fields: Sequence[str] = ("templates_dict", "op_args", "op_kwargs")
    template_fields_renderers: ClassVar[dict[str, str]] = {"templates_dict": "json", "op_args": "py", "op_kwargs": "py"}
    custom_operator_name = "@task"

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Collection[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(
            kwargs_to_upstream={"python_callable": python_callable, "op_args": op_args, "op_kwargs": op_kwargs},
            python_callable=python_callable,
            op_args=op_args,
            op_kwargs=op_kwargs,
            **options,
        )

    def execute(self, context: Context) -> Any:
        """Call the function, or be deferred."""
        try:
            return super().execute(context)
        except SyncError as error:
            seconds = told_wait(error)
            if seconds is None:
                raise
            self.log.info("The task waits for %s seconds without a worker. %s", f"{seconds:,.0f}", error)
        # Imported here because parsing must not pay for what only a long wait needs.
        from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger  # noqa: PLC0415 - see above

        self.defer(trigger=TimeDeltaTrigger(timedelta(seconds=seconds)), method_name="execute_again")
        return None

    def execute_again(self, context: Context, event: Any = None) -> Any:  # noqa: ARG002 - Airflow's signature
        """Go on after the wait; it may have to wait once more."""
        return self.execute(context)


def waiting_task(**options: Any) -> TaskDecorator:
    """Decorate a function as `@task(...)` does; see WaitingTask. What it returns is one value, also if it is a dict."""
    return task_decorator_factory(decorated_operator_class=WaitingTask, multiple_outputs=False, **options)
