"""What the tasks get from Airflow: Variables, connections and staging. Imported by tasks only, never while parsing."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from airflow.sdk import BaseHook, ObjectStoragePath, Variable, get_current_context

from dynamics_sync.errors import MarketingConnectionError
from dynamics_sync.services import Services
from dynamics_sync.settings import VARIABLE, Settings, parse_settings
from dynamics_sync.store.database import MarketingDatabase

if TYPE_CHECKING:
    from dynamics_sync.api_gate import SharedGate
    from dynamics_sync.dataverse.client import DataverseClient


class AirflowVariables:
    """Airflow's Variables, as the watermark store uses them."""

    def get(self, key: str) -> str | None:
        """Return the Variable's text, or None if there is none."""
        value: str | None = Variable.get(key, default=None)
        return value

    def set(self, key: str, value: str) -> None:
        """Write the Variable."""
        Variable.set(key, value, description="Written by the sync; see docs/operations.md")


def read_settings() -> Settings:
    """Read the Variable `dynamics_sync`; SettingsError if it is wrong."""
    return parse_settings(AirflowVariables().get(VARIABLE))


def staging_root(settings: Settings) -> ObjectStoragePath:
    """Return the folder under which all runs are staged; a local one is made for its owner only."""
    root = ObjectStoragePath(settings.staging or f"file://{_airflow_home()}/dynamics_staging")
    if root.protocol == "file":
        # Staged rows are personal data, and a folder in a shared place would be open to every user of the machine.
        Path(root.path).mkdir(mode=0o700, parents=True, exist_ok=True)
    return root


def _airflow_home() -> Path:
    """Airflow's own rule; its SDK has no public name for the folder."""
    return Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser().resolve()


def open_services() -> Services:
    """Return what the tasks work with; connections are opened only when a task asks for them."""
    settings = read_settings()
    return Services(
        settings,
        AirflowVariables(),
        staging_root(settings),
        dynamics=lambda **options: open_dynamics(settings, **options),
        marketing=lambda: open_marketing(settings),
        gate=lambda database: open_gate(settings, database),
    )


def open_gate(settings: Settings, database: MarketingDatabase) -> "SharedGate":
    """Return the gate for the task that runs just now; another try of the task has the same name."""
    # Half of the tasks do not talk to Dynamics, and shall not import what does.
    from dynamics_sync.api_gate import Caller, SharedGate  # noqa: PLC0415 - see above

    task: Any = get_current_context()["ti"]
    number = f" {task.map_index}" if task.map_index is not None and task.map_index >= 0 else ""
    caller = Caller(task.dag_id, f"{task.dag_id} {task.run_id} {task.task_id}{number}")
    return SharedGate(database, caller, settings.budget)


def open_dynamics(settings: Settings, **options: Any) -> "DataverseClient":
    """Return a client for the connection that the settings name; `options` are those of DataverseClient."""
    # The hook lives in plugins/, which Airflow puts on the path of its own processes only.
    from dynamics_hook import DynamicsHook  # noqa: PLC0415 - see above

    hook = DynamicsHook(settings.dynamics_conn_id)
    client: DataverseClient = hook.get_client(longest_wait=settings.longest_wait_seconds, **options)
    return client


def open_marketing(settings: Settings) -> MarketingDatabase:
    """Open the marketing database that the settings name; MarketingConnectionError if it is of no kind we support."""
    url = marketing_url(BaseHook.get_connection(settings.marketing_conn_id))
    if url.get_backend_name() == "sqlite" and url.database:
        # SQLite would make the file readable for every user of the machine.
        os.close(os.open(url.database, os.O_CREAT | os.O_RDWR, 0o600))
    return MarketingDatabase.open(url)


def marketing_url(connection: Any) -> sa.URL:
    """Return the SQLAlchemy URL of an Airflow connection of type sqlite or postgres.

    SQLite's file stands in `host`; a relative path begins at AIRFLOW_HOME.
    """
    match connection.conn_type:
        case "sqlite":
            return sa.URL.create("sqlite", database=str(_airflow_home() / connection.host))
        case "postgres" | "postgresql":
            # A Unix socket's folder stands in `host` with a leading slash; libpq takes it from the query.
            on_socket = (connection.host or "").startswith("/")
            return sa.URL.create(
                "postgresql",
                username=connection.login,
                password=connection.password or None,
                host=None if on_socket else connection.host,
                port=connection.port,
                database=connection.schema,
                query={
                    **({"host": connection.host} if on_socket else {}),
                    **{name: str(value) for name, value in connection.extra_dejson.items() if name in _LIBPQ_WORDS},
                },
            )
        case other:
            message = f"the connection {connection.conn_id} is of type {other}"
            raise MarketingConnectionError(message, not_done="Nothing was read or written")


#: What a connection's extra field may hand on to PostgreSQL; Airflow keeps words of its own there too.
_LIBPQ_WORDS = frozenset(
    {
        "sslmode",
        "sslrootcert",
        "sslcert",
        "sslkey",
        "connect_timeout",
        "application_name",
        "options",
        "keepalives",
    }
)
