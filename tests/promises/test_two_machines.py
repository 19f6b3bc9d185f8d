"""Machines that share nothing but network services copy a table together, and two of them are killed in the middle.

Each machine is a process with folders of its own. Staging is an object store, the marketing database PostgreSQL. One
dies with a page of its slice staged and the next one on its way, another in the middle of a merge.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from dynamics_emulator.testing import running_emulator

ROOT = Path(__file__).resolve().parents[2]
ROWS = 1_500
CUTS = {"rows_per_slice": 100, "page_size": 40}
WITHIN = 60


@dataclass
class Machine:
    """A worker machine, and the pipe to it."""

    process: subprocess.Popen[str]
    home: Path

    def tell(self, words: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()

    def hear(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, (self.home / "errors").read_text()
        return dict(json.loads(line))

    def kill(self) -> None:
        os.kill(self.process.pid, signal.SIGKILL)
        assert self.process.wait(WITHIN) == -signal.SIGKILL


@dataclass
class Steering:
    """What Airflow does: starts machines, gives out tasks, and keeps what must outlive a machine."""

    dynamics: Any
    about: dict[str, Any]
    folder: Path
    kept: dict[str, dict[str, Any]] = field(default_factory=dict)
    machines: list[Machine] = field(default_factory=list)
    staged: list[str] = field(default_factory=list)

    def start(self) -> Machine:
        """A machine with folders of its own, where nothing of another one lies."""
        home = self.folder / f"machine-{len(self.machines) + 1}"
        home.mkdir()
        names = {"HOME": home, "TMPDIR": home, "AIRFLOW_HOME": home, "PYTHONPATH": ROOT / "include"}
        environment = os.environ | {name: str(value) for name, value in names.items()}
        command = [sys.executable, str(Path(__file__).with_name("machine.py"))]
        with (home / "errors").open("w") as errors:
            process = subprocess.Popen(
                command, cwd=home, env=environment, stdin=-1, stdout=-1, stderr=errors, text=True
            )
        machine = Machine(process, home)
        self.machines.append(machine)
        machine.tell(self.about)
        return machine

    def do(self, machine: Machine, stop_at: Callable[[dict[str, Any]], bool] = lambda _: False, **order: Any) -> Any:
        """Let a machine do a task, and answer its questions; returns what the task does, None where it was stopped."""
        machine.tell(order)
        while "done" not in (said := machine.hear()):
            if stop_at(said):
                return None
            self.answer(machine, said)
        return said["done"]

    def answer(self, machine: Machine, said: dict[str, Any]) -> None:
        if "get" in said:
            name, key = said["get"]
            machine.tell(self.kept.get(name, {}).get(key))
        elif "set" in said:
            name, key, value = said["set"]
            self.kept.setdefault(name, {})[key] = value
            machine.tell("kept")
        elif "staged" in said:
            self.staged.append(said["staged"])
            machine.tell("go on")


@pytest.fixture
def steering(s3_bucket: str, postgresql_url: str, tmp_path: Path) -> Iterator[Steering]:
    with running_emulator(rows=ROWS) as dynamics:
        words = ("tenant_id", "client_id", "client_secret", "authority")
        credentials = {word: getattr(dynamics, word) for word in words} | {"ca_file": str(dynamics.ca_file)}
        about = {"url": dynamics.url, "credentials": credentials, "settings": CUTS}
        about |= {"marketing": postgresql_url, "staging": f"{s3_bucket}/staging"}
        steering = Steering(dynamics, about, tmp_path)
        yield steering
        for machine in steering.machines:
            machine.process.kill()
            machine.process.communicate()


def test_two_of_three_machines_die_and_nothing_is_missing_or_twice(
    steering: Steering, postgresql_url: str, make_sync: Any
) -> None:
    one, two, three = (steering.start() for _ in range(3))
    run_key, slices = steering.do(one, task="begin")
    assert len(slices) > 3

    # The machine that staged the second page is gone; another one goes on with the third.
    first = slices[0]
    steering.do(one, lambda said: said.get("staged", "").startswith("Page 2:"), task="extract", slice=first)
    one.kill()
    steering.do(two, task="extract", slice=first)
    assert [line.partition(":")[0] for line in steering.staged][:2] == ["Page 1", "Page 3"]

    for piece in slices[1:]:
        steering.do(three, task="extract", slice=piece)
    for number, piece in enumerate(slices):
        steering.do((two, three)[number % 2], task="transform", slice=piece)

    steering.do(two, task="load", slice=slices[0])
    kill_in_merge(two, slices[1], postgresql_url)
    for piece in slices[:2] + slices[1:]:
        steering.do(three, task="load", slice=piece)
    steering.do(three, task="finish", run_key=run_key)

    check(steering, make_sync(steering.dynamics, postgresql_url, steering.folder / "unused"))


def kill_in_merge(machine: Machine, piece: dict[str, Any], url: str) -> None:
    """Hold the table, so that the machine has loaded its rows and waits to merge them, and kill it there."""
    with psycopg.connect(url) as holder, psycopg.connect(url, autocommit=True) as watcher:
        holder.execute("LOCK TABLE lead IN EXCLUSIVE MODE")
        machine.tell({"task": "load", "slice": piece})
        until = time.monotonic() + WITHIN
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        while watcher.execute(waiting).fetchone() == (0,):
            assert time.monotonic() < until, "the machine never waited for the table"
            time.sleep(0.01)
        machine.kill()


def check(steering: Steering, sync: Any) -> None:
    """Compare both sides, look at the books, and see that nothing was left on a machine."""
    run, held = sync.last_run("lead"), sync.living("lead")
    assert run["state"] == "success"
    assert run["read_rows"] == run["inserted"] + run["rejected"]
    assert run["inserted"] == len(held) == sync.sql("SELECT count(*) AS rows FROM lead")[0]["rows"]
    theirs = {key: row["versionnumber"] for key, row in sync.their_rows("leads", "leadid").items()}
    assert run["read_rows"] == len(theirs)
    assert len(theirs) - len(held) == run["rejected"]
    assert {key: row["crm_version"] for key, row in held.items()}.items() <= theirs.items()
    assert [path for machine in steering.machines for path in machine.home.rglob("*.arrow")] == []
