"""Where everything of the local installation lies, and the environment in which its Airflow runs."""

import json
import os
import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import quote

from cryptography.fernet import Fernet

from dynamics_demo.ports import choose_port, is_free

PROJECT = Path(__file__).resolve().parents[2]

USERNAME = "admin"

#: The ports that are tried first.
PREFERRED_PORTS = {"airflow": 8080, "emulator": 8443, "task_logs": 8793, "trigger_logs": 8794}


class Marketing(StrEnum):
    """Which marketing database the demo fills."""

    SQLITE = "sqlite"
    POSTGRES = "postgres"


@dataclass(frozen=True, slots=True)
class Installation:
    """The folders of one local installation; `project` is the root of the clone."""

    project: Path = PROJECT
    #: Tasks at once. Twice the two cores of a small machine, as a task waits for others half of its time.
    parallelism: int = 4

    @property
    def folder(self) -> Path:
        """All that the demo writes."""
        return self.project / ".local"

    @property
    def airflow_home(self) -> Path:
        """AIRFLOW_HOME."""
        return self.folder / "airflow"

    @property
    def postgres(self) -> Path:
        """The data of PostgreSQL: Airflow's metadata and, if wanted, the marketing database."""
        return self.folder / "postgres"

    @property
    def emulator(self) -> Path:
        """The data, the CA and the connection.json of the local Dynamics."""
        return self.folder / "emulator"

    @property
    def marketing_file(self) -> Path:
        """The marketing database, if it is SQLite."""
        return self.folder / "marketing.db"

    @property
    def staging(self) -> Path:
        """Where rows wait between two tasks."""
        return self.folder / "staging"

    @property
    def logs(self) -> Path:
        """The output of the background processes."""
        return self.folder / "logs"

    @property
    def records(self) -> Path:
        """Which processes were started."""
        return self.folder / "processes"

    @property
    def catalogue(self) -> Path:
        """The catalogue: one YAML file an entity."""
        return self.project / "include" / "entities"

    @property
    def settings_file(self) -> Path:
        """Connections, pools and variables of a local installation."""
        return self.project / "airflow_settings.yaml"

    def prepare(self) -> None:
        """Create the folders that must exist before anything starts."""
        for folder in (self.airflow_home, self.logs, self.records, self.staging):
            folder.mkdir(parents=True, exist_ok=True)


def read_ports(installation: Installation) -> dict[str, int]:
    """Return the ports that were chosen last; empty if none were."""
    try:
        return {str(name): int(port) for name, port in json.loads(_ports_file(installation).read_text()).items()}
    except (OSError, ValueError):
        return {}


def choose_ports(
    installation: Installation, running: frozenset[str], *, free: Callable[[int], bool] = is_free
) -> dict[str, int]:
    """Return a port for each server and remember them.

    What is in `running` keeps its port. The others get the one they had before, as delta links and bookmarks hold
    it, else the usual one, else the next free one.
    """
    before = read_ports(installation)
    chosen = {name: port for name, port in before.items() if name in running}
    for name, usual in PREFERRED_PORTS.items():
        if name in chosen:
            continue
        taken = frozenset(chosen.values())
        had = before.get(name)
        keeps = had is not None and had not in taken and free(had)
        chosen[name] = had if had is not None and keeps else choose_port(usual, taken, free=free)
    _ports_file(installation).write_text(json.dumps(chosen))
    return chosen


def _ports_file(installation: Installation) -> Path:
    return installation.folder / "ports.json"


def read_keys(installation: Installation) -> dict[str, str]:
    """Return the installation's keys, generated once and kept in a file that only its owner can read."""
    return _kept(
        installation.folder / "keys.json",
        lambda: {
            "fernet": Fernet.generate_key().decode(),
            "jwt": secrets.token_urlsafe(64),
            "session": secrets.token_urlsafe(32),
        },
    )


def read_password(installation: Installation) -> str:
    """Return the password of `admin`, generated once where Airflow's simple auth manager looks for it."""
    passwords = _kept(
        installation.airflow_home / "simple_auth_manager_passwords.json.generated",
        lambda: {USERNAME: secrets.token_urlsafe(9)},
    )
    return passwords[USERNAME]


def _kept(path: Path, make: Callable[[], dict[str, str]]) -> dict[str, str]:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        values: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
        return values
    values = make()
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(values, file)
    return values


def metadata_url(socket_folder: Path) -> str:
    """Return the SQLAlchemy URL of Airflow's metadata database behind the unix socket in that folder."""
    return f"postgresql+psycopg2://postgres:@/airflow?host={quote(str(socket_folder))}"


def clean_environment(given: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without another Airflow's settings, with this Python's commands first on the path."""
    kept = {name: value for name, value in given.items() if not name.startswith(("AIRFLOW_", "_AIRFLOW"))}
    kept["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), given.get("PATH", os.defpath)])
    for name in ("NO_PROXY", "no_proxy"):
        kept[name] = ",".join(filter(None, [given.get(name), "localhost,127.0.0.1"]))
    return kept


def airflow_environment(
    installation: Installation,
    ports: Mapping[str, int],
    metadata: str,
    *,
    given: Mapping[str, str] = os.environ,
) -> dict[str, str]:
    """Return the whole environment of Airflow's processes; nothing is written into airflow.cfg."""
    keys = read_keys(installation)
    address = f"http://localhost:{ports['airflow']}"
    settings = {
        "CORE__DAGS_FOLDER": installation.project / "dags",
        "CORE__PLUGINS_FOLDER": installation.project / "plugins",
        "CORE__LOAD_EXAMPLES": False,
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": installation.parallelism,
        "CORE__MAX_ACTIVE_TASKS_PER_DAG": installation.parallelism,
        "CORE__TEST_CONNECTION": "Enabled",
        "CORE__FERNET_KEY": keys["fernet"],
        "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USERNAME}:admin",
        "CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        "CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": 5,
        "DATABASE__SQL_ALCHEMY_CONN": metadata,
        "API__HOST": "127.0.0.1",
        "API__PORT": ports["airflow"],
        "API__BASE_URL": address,
        "API__SECRET_KEY": keys["session"],
        "API_AUTH__JWT_SECRET": keys["jwt"],
        "DAG_PROCESSOR__REFRESH_INTERVAL": 15,
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": 30,
        "DAG_PROCESSOR__PARSING_PROCESSES": 1,
        "LOGGING__REMOTE_LOGGING": False,
        "LOGGING__COLORED_CONSOLE_LOG": False,
        "LOGGING__WORKER_LOG_SERVER_PORT": ports["task_logs"],
        "LOGGING__TRIGGER_LOG_SERVER_PORT": ports["trigger_logs"],
        "METRICS__STATSD_ON": False,
        "TRACES__OTEL_ON": False,
        # A run is five tasks, one after another, and each waits until the scheduler looks again.
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": 0.5,
        "SCHEDULER__MP_START_METHOD": "forkserver",
        "SCHEDULER__MP_FORKSERVER_PRELOAD": "dynamics_sync.preload",
    }
    environment = clean_environment(given)
    environment["AIRFLOW_HOME"] = str(installation.airflow_home)
    return environment | {f"AIRFLOW__{name}": str(value) for name, value in settings.items()}
