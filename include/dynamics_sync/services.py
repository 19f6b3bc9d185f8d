"""What the tasks of both directions work with, and how a failure of one of them is written down. Free of Airflow."""

import logging
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dynamics_sync.entity import Entity
from dynamics_sync.errors import SyncError, Unexpected, told_wait
from dynamics_sync.settings import Settings
from dynamics_sync.staging import StagingFolder, StagingPath
from dynamics_sync.store.database import MarketingDatabase
from dynamics_sync.store.runs import RunIdentity, fail_run, go_on_with_run, hold_run
from dynamics_sync.watermark import ReverseWatermarkStore, Variables, WatermarkStore

if TYPE_CHECKING:
    # Half of the tasks do not talk to Dynamics, and shall not import what does.
    from dynamics_sync.api_gate import SharedGate
    from dynamics_sync.dataverse.client import DataverseClient

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Services:
    """What the tasks work with. Airflow's connections and Variables stand behind it, or a test's own."""

    settings: Settings
    variables: Variables
    staging: StagingPath
    dynamics: "Callable[..., DataverseClient]"
    marketing: Callable[[], MarketingDatabase]
    #: Through which the requests to Dynamics pass; None where only one task talks to it.
    gate: "Callable[[MarketingDatabase], SharedGate] | None" = None

    def folder(self, entity: Entity, run_key: str) -> StagingFolder:
        """Return the staging folder of a run."""
        return StagingFolder(self.staging / entity.entity / run_key)

    def watermark(self, entity: Entity) -> WatermarkStore:
        """Return the watermark of an entity."""
        return WatermarkStore(entity.entity, self.variables)

    def reverse_watermark(self, entity: Entity) -> ReverseWatermarkStore:
        """Return the watermark of the way back of an entity."""
        return ReverseWatermarkStore(entity.entity, self.variables)


@contextmanager
def recorded(services: Services, runs: Iterable[RunIdentity]) -> Iterator[MarketingDatabase]:
    """Open the marketing database for a task; a failure inside is written to `sync_run`, for each of the runs.

    They are looked at then: a list may be filled in the block.

    So is a wait whose length is known, for which the task frees its worker; the run has not failed then.
    An error that is not of our tree leaves as `Unexpected`, without its text, which may quote values of records.
    """
    with services.marketing() as database:
        try:
            yield database
        except SyncError as error:
            record_failure(database, runs, error)
            raise
        except Exception as error:  # noqa: BLE001 - it is raised again, as one of ours
            unexpected = Unexpected(f"{type(error).__name__} at {place_of(error)}", not_done="The task stopped there")
            record_failure(database, runs, unexpected)
            raise unexpected from None


@contextmanager
def connected(services: Services, database: MarketingDatabase, *runs: RunIdentity) -> "Iterator[DataverseClient]":
    """Give a client to a task of the runs. At the end its place among those who talk to Dynamics is free again."""
    for run in runs:
        go_on_with_run(database, run)
    if services.gate is None:
        yield services.dynamics()
        return
    gate = services.gate(database)
    try:
        yield services.dynamics(gate=gate)
    finally:
        _leave(gate)


def _leave(gate: "SharedGate") -> None:
    try:
        gate.leave()
    except SyncError as error:
        # What the task has done, or why it failed, must not be lost for it: the place is free after a while anyway.
        log.warning("The place among those who talk to Dynamics could not be given back: %s", error)


def record_failure(database: MarketingDatabase, runs: Iterable[RunIdentity], error: SyncError) -> None:
    try:
        write = fail_run if told_wait(error) is None else hold_run
        for run in runs:
            write(database, run, error)
    except SyncError as second:
        # The first error says what happened; that it could not be written down must not take its place.
        log.warning("The failure could not be written to sync_run: %s", second)


def place_of(error: BaseException) -> str:
    """Say where an error came from: files, lines and functions, innermost first, without any values."""
    frames = traceback.extract_tb(error.__traceback__)
    # Modules that were compiled from Python's kin have frames too, of which Arrow puts four above the call into it.
    readable = [frame for frame in frames if frame.filename.endswith(".py")][-4:]
    return " < ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in reversed(readable))
