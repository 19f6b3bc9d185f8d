"""The servers of the local installation: PostgreSQL, the local Dynamics and Airflow."""

import json
import signal
import sqlite3
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from dynamics_demo.airflow_api import AirflowApi
from dynamics_demo.installation import (
    USERNAME,
    Installation,
    airflow_environment,
    metadata_url,
    read_password,
)
from dynamics_demo.postgres import ensure_database, start_postgres
from dynamics_demo.problems import DemoError
from dynamics_demo.processes import (
    ProcessRecord,
    ProcessRecords,
    is_running,
    start_process,
    stop_process,
)

#: In this order they are stopped: nobody loses what it still writes to.
NAMES = ("airflow", "emulator", "postgres")


#: Kinds of tenant that the local Dynamics can be, the default first. The demo knows it by its command line only.
PROFILES = ("standard", "customised")


@dataclass(frozen=True, slots=True)
class Sample:
    """What the local Dynamics is to hold, and whether it has a control API."""

    rows: int
    profile: str | None = None
    is_controlled: bool = False


@dataclass(frozen=True, slots=True)
class Services:
    """The servers of one installation, at the ports chosen for them."""

    installation: Installation
    ports: Mapping[str, int]

    @property
    def records(self) -> ProcessRecords:
        """What was started."""
        return ProcessRecords(self.installation.records)

    def log_of(self, name: str) -> Path:
        """Return the file that holds a server's output."""
        return self.installation.logs / f"{name}.log"

    def start_postgres(self) -> Path:
        """Start PostgreSQL if it does not run; returns the folder of its unix socket."""
        socket_folder = start_postgres(self.installation.postgres, self.records)
        for database in ("airflow", "marketing"):
            ensure_database(socket_folder, database)
        return socket_folder

    def start_emulator(self, sample: Sample) -> None:
        """Start the local Dynamics if it does not run; it fills an empty folder with the sample."""
        if self._runs("emulator"):
            return
        (self.installation.emulator / "connection.json").unlink(missing_ok=True)
        command = [
            sys.executable,
            "-m",
            "dynamics_emulator",
            "serve",
            "--folder",
            str(self.installation.emulator),
        ]
        command += ["--port", str(self.ports["emulator"]), "--rows", str(sample.rows)]
        command += ["--profile", sample.profile] if sample.profile else []
        command += ["--control-port", "0"] if sample.is_controlled else []
        self._start("emulator", command, airflow_environment(self.installation, self.ports, ""))

    def start_airflow(self, socket_folder: Path) -> None:
        """Start Airflow's scheduler, DAG processor, triggerer and API server if they do not run."""
        read_password(self.installation)  # Airflow takes the generated one instead of making its own.
        if self._runs("airflow"):
            return
        environment = airflow_environment(self.installation, self.ports, metadata_url(socket_folder))
        command = [str(Path(sys.executable).parent / "airflow"), "standalone"]
        # On SIGINT it ends its four children; on SIGTERM it would leave them behind.
        self._start("airflow", command, environment, ending=signal.SIGINT)

    def airflow(self) -> AirflowApi:
        """Return a client of this installation's Airflow."""
        return AirflowApi(f"http://localhost:{self.ports['airflow']}", USERNAME, read_password(self.installation))

    def emulator_connection(self) -> dict[str, str] | None:
        """Return the local Dynamics' connection.json once it answers, else None."""
        try:
            text = (self.installation.emulator / "connection.json").read_text(encoding="utf-8")
            connection: dict[str, str] = json.loads(text)
            requests.get(f"{connection['url']}/", verify=connection["ca_file"], timeout=5).raise_for_status()
        except (OSError, ValueError, requests.RequestException):
            return None
        return connection

    def check_alive(self, name: str) -> None:
        """Raise DemoError with the end of its log, as far as it is of this start, if a server has ended."""
        if not self._runs(name):
            log, record = self.log_of(name), self.records.read(name)
            written = log.read_bytes()[record.log_start if record else 0 :] if log.exists() else b""
            end = "\n".join(written.decode(errors="replace").splitlines()[-15:])
            message = f"{name} ended while it should run. The end of {log}:\n{end}"
            raise DemoError(message)

    def kept_profile(self) -> str | None:
        """Return the profile of the local Dynamics' organisation, or None if there is none yet."""
        file = self.installation.emulator / "organisation.sqlite"
        try:
            with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as connection:
                found = connection.execute("SELECT value FROM _state WHERE key = 'profile'").fetchone()
        except sqlite3.Error:
            return None
        return None if found is None else str(found[0])

    def require_profile(self, sample: Sample) -> None:
        """Raise DemoError if the local Dynamics has an organisation of another profile than the sample's."""
        kept = self.kept_profile()
        if sample.profile and kept and sample.profile != kept:
            message = f"The local Dynamics has the profile {kept}, not {sample.profile}; nothing was started anew. "
            raise DemoError(message + "Run `make clean` first, which removes its data.")

    def running(self) -> frozenset[str]:
        """Return the names of the servers that run."""
        return frozenset(name for name in NAMES if self._runs(name))

    def stop(self) -> list[str]:
        """End what was started; returns the names of what was running."""
        stopped = []
        for name in NAMES:
            record = self.records.read(name)
            if record is not None and stop_process(record):
                stopped.append(name)
            self.records.forget(name)
        return stopped

    def _runs(self, name: str) -> bool:
        record = self.records.read(name)
        return record is not None and is_running(record)

    def _start(self, name: str, command: list[str], environment: Mapping[str, str], **options: Any) -> ProcessRecord:
        return start_process(
            name,
            command,
            environment=environment,
            folder=self.installation.project,
            log=self.log_of(name),
            records=self.records,
            **options,
        )
