"""The task that lets a person decide about a large plan; a small one passes by itself."""

from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk.definitions.context import Context


class PlanApproval(ApprovalOperator):
    """Waits for a person under *Required actions* if the plan has more records than the catalogue lets pass.

    The request shows the plan in figures and where to read its values, which are personal data and stay in the
    marketing database. After a refusal nothing that follows is run; the rows differ still, and the next run asks again.
    """

    def __init__(self, *, plan_task_id: str = "plan", **options: Any) -> None:
        super().__init__(ignore_downstream_trigger_rules=True, **options)
        self._plan_task_id = plan_task_id

    def execute(self, context: Context) -> Any:
        """Ask, or return at once where nothing is to be asked."""
        if not context["ti"].xcom_pull(task_ids=self._plan_task_id, key="needs_approval"):
            self.log.info("The plan is within the limit of the catalogue; nobody has to approve it.")
            return None
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Go on, or note the refusal and leave out what follows."""
        # First, as Airflow leaves by an exception where it skips what follows.
        if event.get("chosen_options") == [self.REJECT]:
            # Imported here because parsing must not pay for the database.
            from dynamics_sync import airflow_reverse_tasks  # noqa: PLC0415 - see above

            airflow_reverse_tasks.refuse_plan()
        return super().execute_complete(context, event)
