"""Processes are started, recognised and ended exactly; a stranger under the same number is left alone."""

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from dynamics_demo.processes import (
    ProcessRecord,
    ProcessRecords,
    is_running,
    members_of,
    signal_all,
    start_process,
    stop_process,
)

_SLEEPER = "import time; time.sleep(60)"
#: Starts a child of its own, writes its number, and waits.
_PARENT = f"import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', {_SLEEPER!r}]).pid, flush=True); "
#: Says that it listens where it listens, as the signal may come at once. Whoever runs the tests in the background lets
#: them, and all that they start, ignore SIGINT.
_LISTENING = """
import signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)
try: print("ready", flush=True); time.sleep(60)
except KeyboardInterrupt: print("asked")
"""
_DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); " + _SLEEPER

Start = Callable[[str], ProcessRecord]


@pytest.fixture
def records(tmp_path: Path) -> ProcessRecords:
    return ProcessRecords(tmp_path / "processes")


@pytest.fixture
def start(tmp_path: Path, records: ProcessRecords) -> Iterator[Start]:
    started: list[ProcessRecord] = []

    def start_python(code: str) -> ProcessRecord:
        record = start_process(
            "child",
            [sys.executable, "-c", code],
            environment=os.environ,
            folder=tmp_path,
            log=tmp_path / "child.log",
            records=records,
        )
        started.append(record)
        return record

    yield start_python
    for record in started:
        stop_process(record, patience=0.1)


def _first_line(log: Path) -> str:
    """Wait for the child's first line; the test's own time limit is what ends a child that stays silent."""
    for _ in range(1000):
        if log.exists() and "\n" in (text := log.read_text()):
            return text.splitlines()[0]
        time.sleep(0.01)
    message = "the child wrote nothing"
    raise AssertionError(message)


def test_a_started_process_runs_until_it_is_stopped(start: Start, records: ProcessRecords) -> None:
    record = start(_SLEEPER)
    assert is_running(record)
    assert records.read("child") == record
    assert stop_process(record)
    assert not is_running(record)


def test_stopping_twice_says_that_nothing_was_running(start: Start) -> None:
    record = start(_SLEEPER)
    stop_process(record)
    assert not stop_process(record)


def test_children_end_with_their_parent(start: Start, tmp_path: Path) -> None:
    record = start(_PARENT + _SLEEPER)
    child = psutil.Process(int(_first_line(tmp_path / "child.log")))
    stop_process(record)
    assert not child.is_running()


def test_children_are_found_after_their_parent_ended(start: Start, tmp_path: Path) -> None:
    record = start(_PARENT + "sys.exit()")
    child = psutil.Process(int(_first_line(tmp_path / "child.log")))
    psutil.wait_procs([psutil.Process(record.pid)], timeout=10)
    assert not is_running(record)
    assert stop_process(record)
    assert not child.is_running()


def test_a_process_that_does_not_listen_is_killed(start: Start, tmp_path: Path) -> None:
    record = start(_DEAF)
    assert _first_line(tmp_path / "child.log") == "ready"
    assert stop_process(record, patience=0.2)
    assert not is_running(record)


def test_a_process_is_asked_with_the_signal_of_its_record(start: Start, tmp_path: Path) -> None:
    record = start(_LISTENING)
    _first_line(tmp_path / "child.log")
    stop_process(replace(record, ending=signal.SIGINT))
    assert (tmp_path / "child.log").read_text().splitlines() == ["ready", "asked"]


def test_a_stranger_under_the_same_number_is_left_alone(start: Start) -> None:
    record = start(_SLEEPER)
    earlier = replace(record, started=record.started - 100)
    assert not is_running(earlier)
    assert not stop_process(earlier, patience=0.1)
    assert is_running(record)


def test_a_copied_record_is_none(start: Start, records: ProcessRecords, tmp_path: Path) -> None:
    start(_SLEEPER)
    copy = ProcessRecords(tmp_path / "copy")
    shutil.copytree(records.folder, copy.folder)
    assert records.read("child") is not None
    assert copy.read("child") is None


@pytest.mark.parametrize("text", ["", "{", '{"name": "child"}', "[]"])
def test_a_record_that_cannot_be_read_is_none(records: ProcessRecords, text: str) -> None:
    records.folder.mkdir()
    (records.folder / "child.json").write_text(text)
    assert records.read("child") is None


def test_a_record_can_be_forgotten(start: Start, records: ProcessRecords) -> None:
    start(_SLEEPER)
    records.forget("child")
    records.forget("child")
    assert records.read("child") is None


def test_a_whole_machine_can_be_held_still_and_killed(start: Start, tmp_path: Path) -> None:
    record = start(_PARENT + _SLEEPER)
    child = psutil.Process(int(_first_line(tmp_path / "child.log")))
    stranger = start(_SLEEPER)
    assert {process.pid for process in members_of(record)} == {record.pid, child.pid}
    assert signal_all(record, signal.SIGSTOP) == sorted([record.pid, child.pid])
    assert child.status() == psutil.STATUS_STOPPED
    assert signal_all(record, signal.SIGKILL) == sorted([record.pid, child.pid])
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
    assert not is_running(record)
    assert members_of(record) == []
    assert is_running(stranger)
