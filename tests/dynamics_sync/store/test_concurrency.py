"""Several processes at one marketing database, and processes that are killed in the middle of their work."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import pytest

from dynamics_sync.errors import MarketingDatabaseBusy
from dynamics_sync.store.database import MarketingDatabase, take_lock
from dynamics_sync.store.environments import IDENTITY_FIELDS, check_environment
from dynamics_sync.store.merge import entity_lock
from dynamics_sync.store.runs import Counts, finish_run
from dynamics_sync.store.schema import ensure_tables

SCRIPT = Path(__file__).parent / "loading_process.py"


@contextmanager
def loading(sandbox, run, slices, dies=None) -> Iterator[subprocess.Popen[str]]:
    """Start a process that waits for a line before it loads the slices, lists of (key, version)."""
    order = {"url": sandbox.url, "run_id": run.run_id, "run_key": run.run_key, "slices": slices, "dies": dies}
    order["begun_at"] = run.begun_at.isoformat()
    command = [sys.executable, str(SCRIPT), json.dumps(order)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            assert process.stdout.readline() == "ready\n", process.stderr.read()
            yield process
        finally:
            process.kill()


def states(sandbox):
    return {int(key[-12:], 16): (row["crm_version"], row["name"]) for key, row in sandbox.held().items()}


@pytest.mark.parametrize("moment", ["before the commit", "after the commit"])
def test_a_load_that_is_killed_and_repeated_is_exact(sandbox, words, moment):
    slice_rows = [(key, 2) for key in range(200)]
    run = sandbox.begin()
    sandbox.load(run, [words.row(key, 1, name="state 1") for key in range(150)], slice_number=7)
    with loading(sandbox, run, [slice_rows], dies=moment) as process:
        process.communicate("go\n", timeout=60)
        assert process.returncode == -signal.SIGKILL
    assert len(states(sandbox)) == (150 if moment == "before the commit" else 200)

    expected = Counts(read=200, inserted=50, updated=150)
    rows = [words.row(key, version, name=f"state {version}") for key, version in slice_rows]
    assert sandbox.load(run, rows) == expected
    assert states(sandbox) == dict.fromkeys(range(200), (2, "state 2"))
    assert finish_run(sandbox.db, run, 0) == expected + Counts(read=150, inserted=150)


def test_processes_that_load_overlapping_rows_at_once_lose_nothing(sandbox):
    # Each goes through the keys in another order: new rows may lock each other crosswise, and are merged alone then.
    versions = (3, 5)
    keys = [list(range(300)), list(reversed(range(150, 450)))]
    runs = [sandbox.begin() for _ in versions]
    with ExitStack() as stack:
        processes = []
        for run, version, numbers in zip(runs, versions, keys, strict=True):
            slices = [[(key, version) for key in numbers[start : start + 60]] for start in range(0, 300, 60)]
            processes.append(stack.enter_context(loading(sandbox, run, slices)))
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        answers = [process.communicate(timeout=60) for process in processes]
        assert [process.returncode for process in processes] == [0, 0], answers
    totals = [finish_run(sandbox.db, run, 0) for run in runs]
    assert [total.read for total in totals] == [300, 300]
    assert sum(total.inserted for total in totals) == 450
    assert states(sandbox) == {key: (3, "state 3") if key < 150 else (5, "state 5") for key in range(450)}


def test_several_can_begin_with_an_empty_database_at_once(database_url, clock, sample):
    together = Barrier(4)
    identity = {name: name for name in IDENTITY_FIELDS}

    def begin(_: int) -> tuple[str, ...]:
        with MarketingDatabase.open(database_url, clock=clock) as db:
            together.wait()
            check_environment(db, identity)
            return ensure_tables(db, sample)

    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(begin, range(4)))
    assert sorted(done) == [(), (), (), ("created table sample",)]


def test_a_lock_that_lasts_too_long_is_said_to_be_busy(sandbox, words):
    run = sandbox.begin()
    with MarketingDatabase.open(sandbox.url, clock=sandbox.clock, lock_timeout=0.05) as impatient:
        other = replace(sandbox, db=impatient)
        with sandbox.db.writing() as connection:
            take_lock(connection, entity_lock(sandbox.entity))
            with pytest.raises(MarketingDatabaseBusy, match=r"DS-705 .* nothing of it is stored"):
                other.load(run, [words.row(1, 1)])
        assert other.load(run, [words.row(1, 1)]) == Counts(read=1, inserted=1)


def test_readers_go_on_while_one_writes(sandbox, words):
    sandbox.load(sandbox.begin(), [words.row(1, 1)])
    with sandbox.db.writing() as connection:
        take_lock(connection, entity_lock(sandbox.entity))
        assert sandbox.held().keys() == {words.guid(1)}
