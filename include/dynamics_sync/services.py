"""What the tasks of both directions work with, and how a failure of one of them is written down. Free of Airflow."""

import logging
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dynamics_sync.dataverse.client import DataverseClient
from dynamics_sync.entity import Entity
from dynamics_sync.errors import SyncError, Unexpected
from dynamics_sync.settings import Settings
from dynamics_sync.staging import StagingFolder, StagingPath
from dynamics_sync.store.database import MarketingDatabase
from dynamics_sync.store.runs import RunIdentity, fail_run
from dynamics_sync.watermark import ReverseWatermarkStore, Variables, WatermarkStore

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Services:
    """What the tasks work with. Airflow's connections and Variables stand behind it, or a test's own."""

    settings: Settings
    variables: Variables
    staging: StagingPath
    dynamics: Callable[[], DataverseClient]
    marketing: Callable[[], MarketingDatabase]

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
def recorded(services: Services, *runs: RunIdentity) -> Iterator[MarketingDatabase]:
    """Open the marketing database for a task; a failure inside is written to `sync_run`, for each of the runs.

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


def record_failure(database: MarketingDatabase, runs: Iterable[RunIdentity], error: SyncError) -> None:
    try:
        for run in runs:
            fail_run(database, run, error)
    except SyncError as second:
        # The first error says what happened; that it could not be written down must not take its place.
        log.warning("The failure could not be written to sync_run: %s", second)


def place_of(error: BaseException) -> str:
    """Say where an error came from: files, lines and functions, innermost first, without any values."""
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    return " < ".join(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in reversed(frames))
