"""What a run to Dynamics hands from task to task, in staging: what was collected, and how each entity is written."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Self

from dynamics_sync.dataverse.bindings import Bindings
from dynamics_sync.entity import Entity
from dynamics_sync.reverse.matching import MatchQuery
from dynamics_sync.reverse.request import ReverseMode, ReverseRequest
from dynamics_sync.staging import StagingFolder
from dynamics_sync.store.runs import RunIdentity, Way, new_run_key
from dynamics_sync.translation.fields import ReadPlan

#: The folder in staging under which all runs to Dynamics stand.
FOLDER = "reverse"
#: The plan as people and programs read it.
PLAN_FILE = "plan.json"
_COLLECTED, _PLANNED = "collected.json", "planned.json"


@dataclass(frozen=True, slots=True)
class ReverseRun:
    """One attempt at a run of dynamics_reverse, over all entities that go both ways."""

    run_id: str
    run_key: str
    begun_at: datetime
    request: ReverseRequest

    @classmethod
    def begin(cls, run_id: str, begun_at: datetime, request: ReverseRequest) -> Self:
        """Name the run."""
        return cls(run_id, new_run_key(run_id, begun_at), begun_at, request)

    def of(self, entity: Entity) -> RunIdentity:
        """Return the run of one entity; each is a row of `sync_run`."""
        return self.of_name(entity.entity)

    def of_name(self, name: str) -> RunIdentity:
        """Return the run of the entity of that logical name."""
        return RunIdentity(name, self.run_id, f"{self.run_key}-{name}", self.begun_at, Way.TO_DYNAMICS)

    @property
    def moves_watermark(self) -> bool:
        """Whether rows that were not looked at cannot have been left out."""
        return self.request.mode is not ReverseMode.QUARANTINE and not self.request.dry_run


@dataclass(frozen=True, slots=True)
class CollectedEntity:
    """What was collected of an entity.

    `collected_at` is the database's time; `is_complete` says that all rows were compared.
    """

    entity: str
    records: int
    held_back: int
    collected_at: datetime
    is_complete: bool
    #: Which catalogue the differences were collected with.
    catalogue: str


@dataclass(frozen=True, slots=True)
class PlannedEntity:
    """How an entity is written: how its rows are read back, how lookups are bound, and in how many batches."""

    entity: str
    batches: int
    #: How many records the plan holds; what becomes of each must be known at the end.
    records: int
    #: Fields that this organisation does not let be updated, or be set when a record is created.
    not_updated: tuple[str, ...]
    not_created: tuple[str, ...]
    #: How many calls of the Web API carrying out its batches takes, if nothing is in the way.
    api_calls: int
    reading: ReadPlan
    bindings: Bindings
    matching: MatchQuery | None


def write_collected(folder: StagingFolder, run: ReverseRun, entities: Iterable[CollectedEntity]) -> None:
    """Write what collect found, with the run itself."""
    request = {"mode": run.request.mode, "dry_run": run.request.dry_run, "deletions": run.request.allow_deletions}
    folder.write_json(
        _COLLECTED,
        {
            "run": {"run_id": run.run_id, "run_key": run.run_key, "begun_at": run.begun_at.isoformat()},
            "request": request,
            "entities": [{**asdict(one), "collected_at": one.collected_at.isoformat()} for one in entities],
        },
    )


def read_collected(folder: StagingFolder) -> tuple[ReverseRun, tuple[CollectedEntity, ...]]:
    """Read what collect found; StagingGone if it is not there."""
    value: Mapping[str, Any] = folder.read_json(_COLLECTED)
    asked = value["request"]
    request = ReverseRequest(ReverseMode(asked["mode"]), asked["dry_run"], asked["deletions"])
    begun_at = datetime.fromisoformat(value["run"]["begun_at"])
    run = ReverseRun(value["run"]["run_id"], value["run"]["run_key"], begun_at, request)
    entities = (
        CollectedEntity(**{**one, "collected_at": datetime.fromisoformat(one["collected_at"])})
        for one in value["entities"]
    )
    return run, tuple(entities)


def write_planned(folder: StagingFolder, entities: Iterable[PlannedEntity], stopped: Mapping[str, str]) -> None:
    """Write how the entities are written, without those that do not differ; `stopped` says why others are left out."""
    planned = {
        one.entity: {
            "batches": one.batches,
            "records": one.records,
            "not_updated": list(one.not_updated),
            "not_created": list(one.not_created),
            "api_calls": one.api_calls,
            "reading": one.reading.to_json(),
            "bindings": _bindings_to_json(one.bindings),
            "matching": one.matching and asdict(one.matching),
        }
        for one in entities
    }
    folder.write_json(_PLANNED, {"planned": planned, "stopped": dict(stopped)})


def read_planned(folder: StagingFolder) -> tuple[dict[str, PlannedEntity], dict[str, str]]:
    """Read how the entities are written, by name, and why others are left out; StagingGone if plan has not run."""
    value = folder.read_json(_PLANNED)
    planned = {
        name: PlannedEntity(
            name,
            one["batches"],
            one["records"],
            tuple(one["not_updated"]),
            tuple(one["not_created"]),
            one["api_calls"],
            ReadPlan.from_json(one["reading"]),
            Bindings(**one["bindings"]),
            one["matching"] and MatchQuery(**{**one["matching"], "columns": tuple(one["matching"]["columns"])}),
        )
        for name, one in value["planned"].items()
    }
    return planned, value["stopped"]


def is_collected(folder: StagingFolder) -> bool:
    """Say whether the run was begun, and not ended and removed."""
    return folder.exists(_COLLECTED)


def remove_staging(folder: StagingFolder) -> None:
    """Remove what the run staged, the beginning first: without it a later try knows that the work was done."""
    folder.remove_file(_COLLECTED)
    folder.remove()


def _bindings_to_json(bindings: Bindings) -> dict[str, Any]:
    navigations = {column: dict(by_target) for column, by_target in bindings.navigations.items()}
    targets = {target for by_target in navigations.values() for target in by_target}
    set_names = {name: set_name for name, set_name in bindings.set_names.items() if name in targets}
    return {"table": bindings.table, "navigations": navigations, "set_names": set_names}
