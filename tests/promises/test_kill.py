"""Any task can be killed at any moment and tried again: nothing is missing, nothing twice, and the counts stay exact.

A child process runs the task against the real Dynamics and database, and ends itself with SIGKILL at the n-th moment at
which something outside the process changes: a staged file (half-written, and whole), a commit, the
watermark. Then the task is tried again, as Airflow would.
"""

import os
import signal
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import pytest
import sqlalchemy as sa

from dynamics_sync.forward import tasks
from dynamics_sync.store.database import MarketingDatabase


@dataclass
class Countdown:
    """Kills the process at the n-th moment; never if n is 0."""

    at: int
    passed: int = 0

    def moment(self) -> None:
        self.passed += 1
        if self.passed == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


class DeadlyFile:
    """A staged file that may be the last thing a process writes, and then only by half."""

    def __init__(self, file: IO[bytes], countdown: Countdown) -> None:
        self.file, self.countdown = file, countdown
        self.begun = self.closed = False

    def write(self, data: bytes) -> int:
        if self.begun:
            return self.file.write(data)
        self.begun = True
        half = len(data) // 2
        self.file.write(bytes(data)[:half])
        self.file.flush()
        self.countdown.moment()
        return half + self.file.write(bytes(data)[half:])

    def __enter__(self) -> "DeadlyFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.file.close()
        if not self.closed:
            self.closed = True
            self.countdown.moment()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


class DeadlyPath:
    """A staging path that counts what happens to it."""

    def __init__(self, path: Path, countdown: Countdown) -> None:
        self.path, self.countdown = path, countdown

    @property
    def name(self) -> str:
        return self.path.name

    def __truediv__(self, name: str) -> "DeadlyPath":
        return DeadlyPath(self.path / name, self.countdown)

    def open(self, mode: str) -> Any:
        file = self.path.open(mode)
        return DeadlyFile(file, self.countdown) if "w" in mode else file

    def unlink(self) -> None:
        self.path.unlink()
        self.countdown.moment()

    def iterdir(self) -> Any:
        return (DeadlyPath(child, self.countdown) for child in self.path.iterdir())

    def __getattr__(self, name: str) -> Any:
        return getattr(self.path, name)


class FileStore:
    """Variables that outlive a killed process, as Airflow's own do."""

    def __init__(self, folder: Path, countdown: Countdown) -> None:
        self.folder, self.countdown = folder, countdown
        folder.mkdir(exist_ok=True)

    def get(self, key: str, default: Any = None) -> Any:
        path = self.folder / key
        return eval(path.read_text()) if path.exists() else default  # noqa: S307 - we wrote it

    def set(self, key: str, value: Any) -> None:
        self.countdown.moment()
        draft = self.folder / f"{key}.draft"
        draft.write_text(repr(value))
        draft.replace(self.folder / key)
        self.countdown.moment()


@dataclass
class Harness:
    """Runs the tasks of one run, killing the n-th moment of one of them."""

    sync: Any
    folder: Path

    def services(self, countdown: Countdown) -> tasks.Services:
        def marketing() -> MarketingDatabase:
            database = self.sync.open_database()
            sa.event.listen(database.engine, "commit", lambda _: countdown.moment())
            sa.event.listen(database.engine, "checkin", lambda *_: countdown.moment())
            return database

        return replace(
            self.sync.services,
            variables=FileStore(self.folder / "variables", countdown),
            staging=DeadlyPath(self.folder / "staging", countdown),
            marketing=marketing,
        )

    def die_at(self, moment: int, step: Callable[[Countdown], object]) -> bool:
        """Run a step in a child that is killed at the n-th moment; say whether it got so far."""
        with warnings.catch_warnings():
            # Newer Pythons warn that the emulator's thread does not come along; the child has no need of it.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            try:
                # The connection that is open belongs to the parent.
                self.sync.wire.init_poolmanager(1, 1)
                step(Countdown(moment))
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
        return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


@pytest.fixture
def harness(sync: Any, tmp_path: Path) -> Harness:
    """Eleven leads, four of which were copied and changed since; one of those was deleted. Small pages."""
    sync.settings |= {"page_size": 3}
    return Harness(sync, tmp_path)


def expected_rows(sync: Any) -> dict[str, str]:
    return {key: row["lastname"] for key, row in sync.their_rows("leads", "leadid").items()}


def held_rows(sync: Any) -> dict[str, str]:
    return {key: row["last_name"] for key, row in sync.living("lead").items()}


def test_killed_at_each_moment_of_each_task(harness: Harness) -> None:
    sync = harness.sync
    ids = [sync.create("leads", lastname=f"Lee {n}") for n in range(8)]
    run_to_the_end(harness)
    run_to_the_end(harness)
    sync.api("DELETE", f"leads({ids[0]})")
    sync.api("PATCH", f"leads({ids[1]})", {"lastname": "Edited"}, **{"If-Match": "*"})
    for n in range(4):
        sync.create("leads", lastname=f"New {n}")
    deaths = run_to_the_end(harness, deadly=True)
    assert held_rows(sync) == expected_rows(sync)
    run = sync.last_run("lead")
    counts = [run[name] for name in ("state", "read_rows", "inserted", "updated", "unchanged", "deleted")]
    assert counts == ["success", 5, 4, 1, 0, 1]
    least = {"begin": 6, "extract": 4, "transform": 4, "load": 2, "finish": 6}
    assert all(deaths[step] >= moments for step, moments in least.items()), deaths


def test_killed_at_each_moment_of_a_full_copy(harness: Harness) -> None:
    """Four pages: after each death, reading goes on at the page where it stopped."""
    sync = harness.sync
    for n in range(11):
        sync.create("leads", lastname=f"Lee {n}")
    deaths = run_to_the_end(harness, deadly=True, mode="full")
    assert held_rows(sync) == expected_rows(sync)
    run = sync.last_run("lead")
    assert [run[name] for name in ("state", "read_rows", "inserted", "unchanged")] == ["success", 11, 11, 0]
    # Each try goes on where the one before it died, so that fewer moments are left for the next.
    assert deaths["extract"] >= 6
    assert run_to_the_end(harness) == {}
    assert sync.last_run("lead")["read_rows"] == 0
    assert not any((harness.folder / "staging" / "lead").glob("*/slice-*"))


def test_killed_over_a_plan_that_is_made_anew(harness: Harness) -> None:
    """Pages of the old plan are never taken for those of the new one, which has other rows on them."""
    sync = harness.sync
    entity, trigger = sync.entity("lead"), sync.trigger()
    for n in range(4):
        sync.create("leads", lastname=f"Lee {n}")
    _, references = tasks.begin(entity, harness.services(Countdown(0)), trigger)
    for reference in references:
        tasks.extract(entity, harness.services(Countdown(0)), reference)
    for n in range(4):
        sync.create("leads", lastname=f"Later {n}")
    deaths = run_to_the_end(harness, deadly=True, trigger=trigger)
    assert held_rows(sync) == expected_rows(sync)
    assert sync.last_run("lead")["read_rows"] == 8
    assert deaths["begin"] >= 6


def run_to_the_end(
    harness: Harness, *, deadly: bool = False, trigger: tasks.Trigger | None = None, **params: Any
) -> dict[str, int]:
    """Run all tasks; if deadly, first kill each at its first moment, then at its second, and so on to its last.

    Return how often each was killed.
    """
    sync, entity = harness.sync, harness.sync.entity("lead")
    trigger = trigger or sync.trigger(**params)
    deaths: dict[str, int] = {}

    def survive(name: str, step: Callable[[Countdown], Any]) -> Any:
        moment = 0
        while deadly and harness.die_at(moment := moment + 1, step):
            deaths[name] = moment
        return step(Countdown(0))

    run_key, references = survive("begin", lambda c: tasks.begin(entity, harness.services(c), trigger))
    for reference in references:
        survive("extract", lambda c, r=reference: tasks.extract(entity, harness.services(c), r))
        survive("transform", lambda c, r=reference: tasks.transform(entity, harness.services(c), r))
        survive("load", lambda c, r=reference: tasks.load(entity, harness.services(c), r))
    survive("finish", lambda c: tasks.finish(entity, harness.services(c), trigger.run_id, run_key))
    return deaths
