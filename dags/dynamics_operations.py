"""Housekeeping that belongs to no entity."""

from datetime import UTC, datetime, timedelta

from airflow.sdk import CronDataIntervalTimetable, dag, task


@dag(
    dag_id="dynamics_operations",
    dag_display_name="Dynamics: housekeeping",
    description="Removes what failed runs left in staging, and old plans.",
    doc_md="Removes what holds personal data and is not needed any more, after as many days as the Variable "
    "`dynamics_sync` says: the staging of runs that ended long ago (`staging_days`; a run that succeeds removes its "
    "own), and from the table `sync_plan` what runs of `dynamics_reverse` had planned (`plan_days`).",
    schedule=CronDataIntervalTimetable("17 3 * * *", timezone="UTC"),
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["dynamics"],
    default_args={"owner": "marketing-operations", "retries": 2},
)
def dynamics_operations() -> None:
    """Wire the two tasks, neither of which needs the other."""

    @task
    def remove_old_staging() -> int:
        """Return how many folders were removed."""
        from dynamics_sync.airflow_services import read_settings, staging_root  # noqa: PLC0415 - parsing is free
        from dynamics_sync.staging import remove_old_runs  # noqa: PLC0415 - see above

        settings = read_settings()
        return remove_old_runs(staging_root(settings), days=settings.staging_days, now=datetime.now(UTC))

    @task
    def remove_old_plans() -> int:
        """Return how many rows of plans were removed."""
        from dynamics_sync.airflow_services import open_marketing, read_settings  # noqa: PLC0415 - see above
        from dynamics_sync.store.plan import remove_plans  # noqa: PLC0415 - see above
        from dynamics_sync.store.sync_tables import ensure_sync_tables  # noqa: PLC0415 - see above

        settings = read_settings()
        with open_marketing(settings) as database:
            ensure_sync_tables(database)
            return remove_plans(database, before=datetime.now(UTC) - timedelta(days=settings.plan_days))

    remove_old_staging()
    remove_old_plans()


dynamics_operations()
