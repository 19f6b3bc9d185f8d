"""Housekeeping that belongs to no entity."""

from datetime import UTC, datetime

from airflow.sdk import CronDataIntervalTimetable, dag, task


@dag(
    dag_id="dynamics_operations",
    dag_display_name="Dynamics: housekeeping",
    description="Removes what failed runs left in staging.",
    doc_md="Removes the staging of runs that ended long ago (`staging_days` of the Variable `dynamics_sync`); it holds "
    "personal data. A run that succeeds removes its own.",
    schedule=CronDataIntervalTimetable("17 3 * * *", timezone="UTC"),
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["dynamics"],
    default_args={"owner": "marketing-operations", "retries": 2},
)
def dynamics_operations() -> None:
    """Wire the one task."""

    @task
    def remove_old_staging() -> int:
        """Return how many folders were removed."""
        from dynamics_sync.airflow_services import read_settings, staging_root  # noqa: PLC0415 - parsing is free
        from dynamics_sync.staging import remove_old_runs  # noqa: PLC0415 - see above

        settings = read_settings()
        return remove_old_runs(staging_root(settings), days=settings.staging_days, now=datetime.now(UTC))

    remove_old_staging()


dynamics_operations()
