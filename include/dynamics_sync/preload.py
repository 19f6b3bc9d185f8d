"""Imports ahead what tasks import, in the process from which workers are forked.

A task then takes a quarter of a second of computing before it begins instead of two, and shares the memory. For
`[scheduler] mp_forkserver_preload`, and for Celery's `imports`. Whoever edits Python below include/ starts Airflow
anew; the catalogue and dags/ are read by each task.
"""

import logging
from importlib import import_module

MODULES = (
    "airflow.dag_processing.dagbag",
    "airflow.executors.local_executor",
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "airflow.sdk.definitions.decorators",
    "airflow.sdk.definitions.retry_policy",
    "airflow.sdk.definitions.timetables.interval",
    "airflow.providers.http.hooks.http",
    "airflow.providers.standard.decorators.python",
    "airflow.providers.standard.operators.hitl",
    "asyncpg",
    "msal",
    "pandas",
    "pgpq",
    "psycopg",
    "psycopg2.extras",
    "pyarrow.compute",
    "pyarrow.json",
    "pyarrow.pandas_compat",
    "sqlalchemy.dialects.postgresql",
    "sqlalchemy.dialects.sqlite",
    "tenacity",
    "dynamics_sync.airflow_reverse_tasks",
    "dynamics_sync.airflow_tasks",
    "dynamics_sync.api_gate",
    "dynamics_sync.dag_factory",
    "dynamics_sync.forward.attempt",
    "dynamics_sync.forward.extract",
    "dynamics_sync.forward.finish",
    "dynamics_sync.forward.load",
    "dynamics_sync.forward.planning",
    "dynamics_sync.forward.transform",
    "dynamics_sync.reverse_dag",
)

log = logging.getLogger(__name__)


def import_ahead() -> None:
    """Import the modules; one that cannot be is named in the log, and left to the tasks that need it."""
    for name in MODULES:
        try:
            import_module(name)
        except Exception as error:  # noqa: BLE001 - it would end the process from which the tasks of all DAGs are forked
            log.warning("%s is not imported ahead: %s", name, type(error).__name__)


import_ahead()
