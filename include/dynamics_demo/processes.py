"""Background processes: started in a session of their own, recorded, and ended exactly.

A record holds the process id and the start time. A process id that meanwhile belongs to somebody else has another
start time, so nothing is ever ended that was not started here.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

#: Start times come from the kernel's clock ticks; two readings of one differ by less than this (seconds).
_SAME_START = 1.0

#: Seconds that it may take until a signal has done its work.
_SIGNAL_MAY_TAKE = 5.0

#: They are meant to outlive us; Python would warn of each one that is dropped while it runs.
_STARTED: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """A process that was started here; `started` is its start time, in seconds since 1970, by the kernel."""

    name: str
    pid: int
    started: float
    #: The folder of the records. A copy of it does not make the processes those of the copy.
    home: str
    ending: int = signal.SIGTERM
    #: How long the log was, in bytes, when the process began to write to it.
    log_start: int = 0


@dataclass(frozen=True, slots=True)
class ProcessRecords:
    """The records of one installation: one JSON file a process."""

    folder: Path

    def read(self, name: str) -> ProcessRecord | None:
        """Return the record, or None if there is none, it cannot be read, or it was written elsewhere."""
        try:
            record = ProcessRecord(**json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        return record if record.home == str(self.folder) else None

    def write(self, record: ProcessRecord) -> None:
        """Keep a record, in place of an earlier one of that name."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / f"{record.name}.json").write_text(json.dumps(asdict(record)), encoding="utf-8")

    def forget(self, name: str) -> None:
        """Drop a record; nothing happens if there is none."""
        (self.folder / f"{name}.json").unlink(missing_ok=True)


def start_process(
    name: str,
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    folder: Path,
    log: Path,
    records: ProcessRecords,
    ending: signal.Signals = signal.SIGTERM,
) -> ProcessRecord:
    """Start a command in the background, its output appended to `log`, and record it.

    `ending` is the signal that asks it to end.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        log_start = output.tell()
        process = subprocess.Popen(  # noqa: S603 - the commands are the demo's own, without a shell
            command,
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _STARTED[process.pid] = process
    return record_process(name, process.pid, records=records, ending=ending, log_start=log_start)


def record_process(
    name: str, pid: int, *, records: ProcessRecords, ending: signal.Signals = signal.SIGTERM, log_start: int = 0
) -> ProcessRecord:
    """Record a running process; `ending` is the signal that asks it to end, and its output begins at `log_start`."""
    record = ProcessRecord(name, pid, psutil.Process(pid).create_time(), str(records.folder), int(ending), log_start)
    records.write(record)
    return record


def is_running(record: ProcessRecord) -> bool:
    """Say whether the recorded process, and not another one under its number, is alive."""
    return _look_up(record) is not None


def _look_up(record: ProcessRecord) -> psutil.Process | None:
    try:
        process = psutil.Process(record.pid)
        alive = process.status() != psutil.STATUS_ZOMBIE
        return process if alive and _began_with(process, record) else None
    except psutil.NoSuchProcess:
        return None


def _began_with(process: psutil.Process, record: ProcessRecord) -> bool:
    return abs(process.create_time() - record.started) < _SAME_START


def stop_process(record: ProcessRecord, *, patience: float = 30.0) -> bool:
    """Ask the process to end, then what it left behind; kill what still runs after `patience` seconds.

    Returns whether anything was running.
    """
    leader = _look_up(record)
    members = _members(record, leader)
    if leader is not None:
        _send(leader, record.ending)
        psutil.wait_procs([leader], timeout=patience)
    for number in (signal.SIGTERM, signal.SIGKILL):
        left = [process for process in members if process.is_running()]
        for process in left:
            _send(process, number)
        psutil.wait_procs(left, timeout=min(patience, 5))
    started = _STARTED.get(record.pid)
    if started is not None and started.poll() is not None:
        del _STARTED[record.pid]
    return bool(members)


def members_of(record: ProcessRecord) -> list[psutil.Process]:
    """Return the process and all that it started, as far as they run."""
    return _members(record, _look_up(record))


def signal_all(record: ProcessRecord, number: signal.Signals) -> list[int]:
    """Send a signal to the process and to all that it started, also to what they start meanwhile; return their ids.

    After SIGSTOP none of them does anything more, after SIGKILL none is left.
    """
    reached: dict[int, psutil.Process] = {}
    while new := [process for process in members_of(record) if process.pid not in reached]:
        for process in new:
            _send(process, number)
            reached[process.pid] = process
    if number is signal.SIGKILL:
        psutil.wait_procs(list(reached.values()), timeout=_SIGNAL_MAY_TAKE)
    if number is signal.SIGSTOP:
        _wait_until_still(reached.values())
    return sorted(reached)


def _wait_until_still(processes: Iterable[psutil.Process]) -> None:
    """A busy machine delivers a signal when it gets to it."""
    until = time.monotonic() + _SIGNAL_MAY_TAKE
    while any(_is_moving(process) for process in processes) and time.monotonic() < until:
        time.sleep(0.01)


def _is_moving(process: psutil.Process) -> bool:
    try:
        return process.status() not in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _members(record: ProcessRecord, leader: psutil.Process | None) -> list[psutil.Process]:
    """The process, its descendants, and its session: children stay in there also when they outlive it."""
    found = {process.pid: process for process in _family(leader)}
    if leader is not None or not _number_is_anothers(record):
        found |= {process.pid: process for process in _session(record)}
    return list(found.values())


def _number_is_anothers(record: ProcessRecord) -> bool:
    try:
        return not _began_with(psutil.Process(record.pid), record)
    except psutil.NoSuchProcess:
        return False


def _family(leader: psutil.Process | None) -> list[psutil.Process]:
    try:
        return [leader, *leader.children(recursive=True)] if leader else []
    except psutil.NoSuchProcess:
        return []


def _session(record: ProcessRecord) -> list[psutil.Process]:
    members = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == record.pid and process.status() != psutil.STATUS_ZOMBIE:
                members.append(process)
        except (OSError, psutil.NoSuchProcess):
            continue  # It ended while the list was read.
    return members


def _send(process: psutil.Process, number: int) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return
