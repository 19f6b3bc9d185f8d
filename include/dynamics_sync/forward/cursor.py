"""What survives a retry of begin: which run it began, under whose key the pages of the feed are staged."""

from datetime import datetime
from typing import Any, Protocol

from dynamics_sync.entity import Entity
from dynamics_sync.store.runs import RunIdentity, new_run_key

_BEGIN = "begin"


class Cursor(Protocol):
    """Airflow's task state store, or a dict-like stand-in. Values are JSON."""

    def get(self, key: str, default: Any = None) -> Any: ...

    def set(self, key: str, value: Any) -> None: ...


def resume_run(cursor: Cursor, entity: Entity, run_id: str, now: datetime) -> RunIdentity:
    """Return the run that an earlier try of the same task began, or a new one, which is noted before it is used."""
    held = cursor.get(_BEGIN) or {}
    if held.get("run_id") == run_id:
        return RunIdentity(entity.entity, run_id, held["run_key"], datetime.fromisoformat(held["begun_at"]))
    run = new_run(entity.entity, run_id, now)
    cursor.set(_BEGIN, {"run_id": run_id, "run_key": run.run_key, "begun_at": run.begun_at.isoformat()})
    return run


def forget_run(cursor: Cursor) -> None:
    """The task is done: if it is cleared and run again, it begins anew."""
    cursor.set(_BEGIN, {"run_id": ""})


def new_run(entity: str, run_id: str, begun_at: datetime) -> RunIdentity:
    """Name a run of an entity that begins at that instant."""
    return RunIdentity(entity=entity, run_id=run_id, run_key=new_run_key(run_id, begun_at), begun_at=begun_at)
