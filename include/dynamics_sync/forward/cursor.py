"""What survives a retry of a task, so that a long read goes on at the page where it stopped."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from dynamics_sync.entity import Entity
from dynamics_sync.store.runs import RunIdentity, new_run_key

_BEGIN = "begin"


class Cursor(Protocol):
    """Airflow's task state store, or a dict-like stand-in. Values are JSON."""

    def get(self, key: str, default: Any = None) -> Any: ...

    def set(self, key: str, value: Any) -> None: ...


@dataclass(slots=True)
class FeedCursor:
    """How far begin read the feed: which read, how many pages are staged, and the links that follow."""

    cursor: Cursor
    run: RunIdentity
    held: dict[str, Any] = field(default_factory=dict)

    def resume(self, read: str) -> dict[str, Any] | None:
        """Return `pages`, `next_link`, `delta_link` and `ended_at` of that read, or None if it was not begun."""
        return self.held if self.held.get("read") == read else None

    def remember(self, read: str, **progress: Any) -> None:
        """Note how far a read has come."""
        self.held = {"read": read, **progress}
        self._write()

    def begin(self) -> None:
        """Note the run itself, before anything is staged under its key."""
        self._write()

    def forget(self) -> None:
        """The task is done: if it is cleared and run again, it begins anew."""
        self.cursor.set(_BEGIN, {"run_id": ""})

    def _write(self) -> None:
        began = self.run.begun_at.isoformat()
        value = {"run_id": self.run.run_id, "run_key": self.run.run_key, "begun_at": began, "feed": self.held}
        self.cursor.set(_BEGIN, value)


def resume_run(cursor: Cursor, entity: Entity, run_id: str, now: datetime) -> tuple[RunIdentity, FeedCursor]:
    """Return the run that an earlier try of the same task began, or a new one."""
    held = cursor.get(_BEGIN) or {}
    if held.get("run_id") == run_id:
        begun_at = datetime.fromisoformat(held["begun_at"])
        run = RunIdentity(entity.entity, run_id, held["run_key"], begun_at)
        return run, FeedCursor(cursor, run, dict(held["feed"]))
    run = new_run(entity.entity, run_id, now)
    feed = FeedCursor(cursor, run)
    feed.begin()
    return run, feed


def new_run(entity: str, run_id: str, begun_at: datetime) -> RunIdentity:
    """Name a run of an entity that begins at that instant."""
    return RunIdentity(entity=entity, run_id=run_id, run_key=new_run_key(run_id, begun_at), begun_at=begun_at)
