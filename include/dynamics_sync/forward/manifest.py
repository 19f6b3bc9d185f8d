"""The manifest: what begin decided, written to staging once and read by every other task of the run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from dynamics_sync.entity import Entity
from dynamics_sync.errors import CatalogueChanged, StagingGone
from dynamics_sync.forward.request import Mode
from dynamics_sync.forward.slices import Slice
from dynamics_sync.staging import StagingFolder
from dynamics_sync.store.runs import RunIdentity
from dynamics_sync.translation.fields import ReadPlan
from dynamics_sync.watermark import Watermark

FILE = "begin.json"
#: The newest `modifiedon` before the feed was read.
NEWEST_FILE = "newest.json"
#: Within the folder of a slice of ids: which rows to fetch (id), and how new they must be (version).
IDS_FILE = "ids.arrow"

#: Where a task says how far it is, in plain words.
Log = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Manifest:
    """One run of one entity: who it is, how it reads, its slices, and what finish does at the end."""

    run: RunIdentity
    mode: Mode
    plan: ReadPlan
    slices: tuple[Slice, ...]
    page_size: int
    #: What finish writes when all is well; None for runs that leave the watermark alone.
    watermark: Watermark | None
    #: Where the feed named all keys of the table, on how many pages; what is on none of them is marked as deleted.
    pages_of_all_keys: int | None
    allow_deletions: bool
    #: When the feed had been read to its end: what it calls deleted was so by then.
    seen_at: datetime
    #: Which catalogue the run was planned with.
    catalogue: str
    #: Where the feed named what was deleted, on how many pages.
    pages_of_deletions: int | None = None

    def write(self, folder: StagingFolder) -> None:
        """Write the manifest as the last thing that begin does."""
        folder.write_json(
            FILE,
            {
                "run": {
                    "entity": self.run.entity,
                    "run_id": self.run.run_id,
                    "run_key": self.run.run_key,
                    "begun_at": self.run.begun_at.isoformat(),
                },
                "mode": self.mode.value,
                "plan": self.plan.to_json(),
                "slices": [piece.to_json() for piece in self.slices],
                "page_size": self.page_size,
                "watermark": None if self.watermark is None else self.watermark.model_dump_json(exclude_none=True),
                "pages_of_all_keys": self.pages_of_all_keys,
                "allow_deletions": self.allow_deletions,
                "seen_at": self.seen_at.isoformat(),
                "catalogue": self.catalogue,
                "pages_of_deletions": self.pages_of_deletions,
            },
        )

    @classmethod
    def read(cls, folder: StagingFolder) -> Self:
        """Read what begin wrote; StagingGone if it is not there, or not what this version of the sync writes."""
        value: Mapping[str, Any] = folder.read_json(FILE)
        if "pages_of_deletions" not in value:
            message = f"{FILE} in {folder.path} is of another version of the sync"
            raise StagingGone(message, not_done="Nothing was written by this task")
        run = {**value["run"], "begun_at": datetime.fromisoformat(value["run"]["begun_at"])}
        written = value["watermark"]
        return cls(
            RunIdentity(**run),
            Mode(value["mode"]),
            ReadPlan.from_json(value["plan"]),
            tuple(Slice.from_json(piece) for piece in value["slices"]),
            value["page_size"],
            None if written is None else Watermark.model_validate_json(written),
            value["pages_of_all_keys"],
            value["allow_deletions"],
            datetime.fromisoformat(value["seen_at"]),
            value["catalogue"],
            value["pages_of_deletions"],
        )

    def piece(self, number: int) -> Slice:
        """Return the slice of that number; they count from 1."""
        return self.slices[number - 1]


def read_manifest(folder: StagingFolder, entity: Entity) -> Manifest:
    """Read what begin wrote; StagingGone if it is not there, CatalogueChanged if it was for another catalogue."""
    manifest = Manifest.read(folder)
    if manifest.catalogue != entity.digest:
        message = f"the catalogue file of {entity.entity} was edited while its run {manifest.run.run_id} was going on"
        raise CatalogueChanged(message, not_done="The task did nothing")
    return manifest


def remove_staging(folder: StagingFolder) -> None:
    """Remove what a run staged, the manifest first: without it a later try of finish knows that the work was done."""
    folder.remove_file(FILE)
    folder.remove()
