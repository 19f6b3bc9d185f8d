"""Where everything of the scale demo lies, and the ports of its servers."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dynamics_demo.installation import PROJECT, Installation
from dynamics_demo.ports import choose_port
from dynamics_demo.processes import ProcessRecords

#: The servers that listen, in the order in which they get their ports.
SERVERS = ("airflow", "emulator", "postgres", "broker", "object_store", "task_logs", "trigger_logs")

#: The port that is tried first; the others follow it.
FIRST_PORT = 18_000

#: The Airflow connection to the object store, its bucket, and where in it rows and logs lie.
STORE_CONNECTION = "object_store"
BUCKET = "dynamics-sync"
STAGING = f"s3://{STORE_CONNECTION}@{BUCKET}/staging"
LOGS = f"s3://{BUCKET}/logs"
#: The local store takes any credentials, but S3's protocol wants some.
STORE_LOGIN = "scale-demo"
STORE_SECRET = "not-a-secret"  # noqa: S105 - see above


@dataclass(frozen=True, slots=True)
class Site(Installation):
    """The folders of the scale demo; `place` is all that it writes."""

    place: Path = PROJECT / ".local-scale"

    @property
    def folder(self) -> Path:
        """All that the scale demo writes."""
        return self.place

    @property
    def catalogue(self) -> Path:
        """The catalogue of the benchmarks: leads with 40 columns, from Dynamics only."""
        return self.project / "bench" / "catalogue"

    @property
    def objects(self) -> Path:
        """What the object store keeps."""
        return self.folder / "objects"

    @property
    def process_records(self) -> ProcessRecords:
        """Which processes were started."""
        return ProcessRecords(self.records)

    def log_of(self, name: str) -> Path:
        """The file that holds the output of a process."""
        return self.logs / f"{name}.log"

    def machine(self, name: str) -> Path:
        """The folder of a worker machine."""
        return self.folder / "machines" / name


def choose_ports(first: int = FIRST_PORT) -> Mapping[str, int]:
    """Return a free port for each server."""
    chosen: dict[str, int] = {}
    for server in SERVERS:
        chosen[server] = choose_port(first, frozenset(chosen.values()))
    return chosen


def address_of(ports: Mapping[str, int], server: str, scheme: str = "http") -> str:
    """The URL of a server."""
    return f"{scheme}://127.0.0.1:{ports[server]}"


def database_url(ports: Mapping[str, int], name: str, driver: str = "postgresql") -> str:
    """The URL of a database."""
    return f"{driver}://postgres@127.0.0.1:{ports['postgres']}/{name}"
