"""The environment of Airflow's processes: of those that steer, and of the workers, which know much less."""

import os
from collections.abc import Mapping
from pathlib import Path

from dynamics_demo.installation import airflow_environment
from scale.site import LOGS, STORE_CONNECTION, Site, address_of, database_url

#: How many tasks a worker runs at once.
WORKER_TASKS = 2
WORKERS = ("worker-1", "worker-2")
#: Who takes the place of the first that dies.
SUCCESSOR = "worker-3"

#: After so many seconds without a heartbeat a task is lost. Airflow's own value, 300, suits a night's work; a task
#: sends one every 5 seconds, so that a busy machine has several tries.
HEARTBEAT_TIMEOUT = 30
#: A message that a dead worker had taken, and whose task had not begun, is sent again after so many seconds.
QUEUED_TIMEOUT = 120

#: Longer than any task may take, as the broker hands a message that is not acknowledged to a second worker after it.
VISIBILITY_TIMEOUT = 24 * 3600

#: What only those may know that steer: a worker asks the API server for whatever it needs.
_SECRETS = ("DATABASE__SQL_ALCHEMY_CONN", "CORE__FERNET_KEY", "API_AUTH__JWT_SECRET", "API__SECRET_KEY")


def steering_environment(site: Site, ports: Mapping[str, int]) -> dict[str, str]:
    """Return the environment of the API server, scheduler, DAG processor and triggerer."""
    metadata = database_url(ports, "airflow", "postgresql+psycopg2")
    environment = airflow_environment(site, ports, metadata) | _prefixed(_celery(ports) | _patience() | _logs())
    return environment | {"DYNAMICS_SYNC_CATALOGUE": str(site.catalogue), "PYTHONPATH": str(site.project / "include")}


def worker_environment(site: Site, ports: Mapping[str, int], name: str) -> dict[str, str]:
    """Return the environment of one worker: its own folders and code, and neither Airflow's database nor its keys."""
    home = site.machine(name)
    code = home / "code"
    environment = steering_environment(site, ports)
    for secret in _SECRETS:
        del environment[f"AIRFLOW__{secret}"]
    own = {
        "CORE__DAGS_FOLDER": code / "dags",
        "CORE__PLUGINS_FOLDER": code / "plugins",
        # The machines have one host name; a name of its own is what Airflow shows for each task that it runs.
        "CORE__HOSTNAME_CALLABLE": "getpass.getuser",
        "CELERY__CELERY_CONFIG_OPTIONS": "celery_config.CELERY_CONFIG",
    }
    return (
        environment
        | _prefixed(own)
        | {
            "AIRFLOW_HOME": str(home / "airflow"),
            "HOME": str(home / "home"),
            "TMPDIR": str(home / "tmp"),
            "LOGNAME": name,
            "PYTHONPATH": f"{code / 'include'}{os.pathsep}{code}",
            "DYNAMICS_SYNC_CATALOGUE": str(code / "catalogue"),
        }
    )


def service_environment(folder: Path) -> dict[str, str]:
    """Return the environment of a server that is not Airflow: this one, with a folder for what is temporary."""
    return {**os.environ, "TMPDIR": str(folder)}


def _celery(ports: Mapping[str, int]) -> dict[str, object]:
    return {
        "CORE__EXECUTOR": "CeleryExecutor",
        "CELERY__BROKER_URL": address_of(ports, "broker", "redis") + "/0",
        "CELERY__RESULT_BACKEND": f"db+{database_url(ports, 'celery', 'postgresql+psycopg')}",
        "CELERY__WORKER_CONCURRENCY": WORKER_TASKS,
        "CELERY_BROKER_TRANSPORT_OPTIONS__VISIBILITY_TIMEOUT": VISIBILITY_TIMEOUT,
    }


def _patience() -> dict[str, object]:
    return {
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": HEARTBEAT_TIMEOUT,
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": 5,
        "SCHEDULER__TASK_QUEUED_TIMEOUT": QUEUED_TIMEOUT,
        "SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": 15,
    }


def _logs() -> dict[str, object]:
    return {
        "LOGGING__REMOTE_LOGGING": True,
        "LOGGING__REMOTE_BASE_LOG_FOLDER": LOGS,
        "LOGGING__REMOTE_LOG_CONN_ID": STORE_CONNECTION,
    }


def _prefixed(settings: Mapping[str, object]) -> dict[str, str]:
    return {f"AIRFLOW__{name}": str(value) for name, value in settings.items()}
