"""A run of the DAG that is watched: how far it is, what the workers take, and, if wanted, the death of workers."""

import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dynamics_demo.airflow_api import Run
from dynamics_demo.console import Progress, say
from dynamics_demo.problems import DemoError
from dynamics_demo.processes import ProcessRecord, is_running, signal_all
from scale.tasks import Try, instant, path_of, read_latest, read_tries
from scale.workers import footprint

if TYPE_CHECKING:
    # What it imports is installed for the demo only, while the report and its tests do without.
    from scale.start import Started

_EVERY = 1.0
_DEADLINE = 3 * 3600.0
_QUICK_LOOKS = 30
_LOOK_EVERY = 5.0

_SHOWN = ("success", "running")
_STEPS = ("begin", "extract", "transform", "load", "finish")


@dataclass(frozen=True, slots=True)
class Blow:
    """A worker is to be killed while it is at a step, once a third of the slices has that step behind it.

    `successor` is the worker that is started then, as whoever keeps workers would do; empty: nobody takes its place.
    """

    worker: str
    step: str
    successor: str = ""


@dataclass(slots=True)
class Taken:
    """What was seen of processes and of staging: megabytes and seconds of computing by name, bytes by object."""

    megabytes: dict[str, float] = field(default_factory=dict)
    cpu_seconds: dict[str, float] = field(default_factory=dict)
    objects: dict[str, int] = field(default_factory=dict)
    most_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Death:
    """The end of a worker: when, how many processes died with it, and which tasks were running there."""

    blow: Blow
    at: float
    processes: int
    running: tuple[str, ...]
    slices_done: int
    slices: int


@dataclass(frozen=True, slots=True)
class Watched:
    """A run that succeeded; instants are seconds since 1970."""

    run: Run
    began: float
    ended: float
    tries: tuple[Try, ...]
    taken: Taken
    deaths: tuple[Death, ...]

    @property
    def seconds(self) -> float:
        """From the start of the run by the scheduler to its success."""
        return self.ended - self.began


@dataclass(slots=True)
class Copying:
    """One run; the blows fall in their order."""

    started: "Started"
    label: str
    blows: Sequence[Blow] = ()
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    _taken: Taken = field(init=False, default_factory=Taken)
    _deaths: list[Death] = field(init=False, default_factory=list)
    _looked: float = field(init=False, default=0.0)

    def run(self) -> Watched:
        """Trigger the DAG and watch until it has succeeded; DemoError if it fails, or if a blow did not fall."""
        run = self.started.airflow.trigger(self.started.entity.dag_id)
        progress = Progress(self.label)
        while not (now := self._state(run)).is_finished:
            tasks = read_latest(self.started.airflow, run)
            self._look_at(self.started.workers)
            self._look_elsewhere()
            self._strike_if_due(run, tasks)
            self._check(progress)
            progress.show(_summary(tasks))
            self.sleep(_EVERY)
        self._look_at(self.started.workers)
        tries = tuple(read_tries(self.started.airflow, run))
        progress.done(f"{now.state}; {_summary(tries)}")
        self._require_success(now)
        return Watched(now, *self._instants(now), tries, self._taken, tuple(self._deaths))

    def _state(self, run: Run) -> Run:
        row = self.started.airflow.call("GET", path_of(run)).json()
        return Run(run.dag_id, run.run_id, str(row["state"]), float(row.get("duration") or 0.0))

    def _instants(self, run: Run) -> tuple[float, float]:
        row = self.started.airflow.call("GET", path_of(run)).json()
        began, ended = (instant(row[name]) for name in ("start_date", "end_date"))
        return began, ended

    def _strike_if_due(self, run: Run, tasks: list[Try]) -> None:
        blow = next(iter(self.blows[len(self._deaths) :]), None)
        if blow is None or not _is_due(tasks, blow):
            return
        # Short tasks come and go between two looks, so that now these follow each other without a pause.
        for _ in range(_QUICK_LOOKS):
            if _at(tasks, blow) and self._strike(run, blow):
                return
            tasks = read_latest(self.started.airflow, run)

    def _strike(self, run: Run, blow: Blow) -> bool:
        """Kill a worker if it is at a task; held still for a look, it cannot end what runs there before the blow."""
        record = self.started.workers[blow.worker]
        signal_all(record, signal.SIGSTOP)
        tasks = read_latest(self.started.airflow, run)
        if not _at(tasks, blow):
            signal_all(record, signal.SIGCONT)
            return False
        running = tuple(task.name for task in tasks if task.worker == blow.worker and task.state == "running")
        killed = signal_all(record, signal.SIGKILL)
        del self.started.workers[blow.worker]
        death = Death(blow, self.clock(), len(killed), running, _done(tasks, blow.step), _slices(tasks, blow.step))
        self._deaths.append(death)
        say(f"  {_told(death)}")
        if blow.successor:
            self.started.start_worker(blow.successor)
        return True

    def _look_at(self, processes: Mapping[str, ProcessRecord]) -> None:
        for name, record in processes.items():
            seen = footprint(record)
            self._taken.megabytes[name] = max(seen.megabytes, self._taken.megabytes.get(name, 0.0))
            self._taken.cpu_seconds[name] = max(seen.cpu_seconds, self._taken.cpu_seconds.get(name, 0.0))

    def _look_elsewhere(self) -> None:
        """Look at staging and at the servers, which changes less and costs more."""
        if self.clock() - self._looked >= _LOOK_EVERY:
            self._look_at(self.started.servers.processes())
            now = self.started.store.sizes("staging/")
            self._taken.objects |= now
            self._taken.most_bytes = max(self._taken.most_bytes, sum(now.values()))
            self._looked = self.clock()

    def _check(self, progress: Progress) -> None:
        self.started.servers.check_alive()
        for name, record in self.started.workers.items():
            if not is_running(record):
                message = f"{name} ended while it should run; see {self.started.site.log_of(name)}"
                raise DemoError(message)
        if progress.seconds > _DEADLINE:
            message = f"The run did not end within {_DEADLINE:.0f} s; look at {self.started.airflow.address}"
            raise DemoError(message)

    def _require_success(self, run: Run) -> None:
        if run.state != "success":
            failed = ", ".join(self.started.airflow.failed_tasks(run)) or "no task"
            message = f"The run {run.run_id} is {run.state}; failed: {failed}. Logs: {self.started.site.logs}"
            raise DemoError(message)
        if len(self._deaths) < len(self.blows):
            blow = self.blows[len(self._deaths)]
            message = f"{blow.worker} was never seen at a task of {blow.step}, so it was not killed. Take more ROWS."
            raise DemoError(message)


def _of(tasks: Sequence[Try], step: str) -> list[Try]:
    """The tasks of a step, one a slice."""
    return [task for task in tasks if task.step == step and task.map_index >= 0]


def _slices(tasks: Sequence[Try], step: str) -> int:
    return len(_of(tasks, step))


def _done(tasks: Sequence[Try], step: str) -> int:
    return sum(task.state == "success" for task in _of(tasks, step))


def _is_due(tasks: Sequence[Try], blow: Blow) -> bool:
    slices = _slices(tasks, blow.step)
    return slices > 0 and 3 * _done(tasks, blow.step) >= slices


def _at(tasks: Sequence[Try], blow: Blow) -> bool:
    return any(task.worker == blow.worker and task.state == "running" for task in _of(tasks, blow.step))


def _told(death: Death) -> str:
    blow = death.blow
    then = f"{blow.successor} takes its place" if blow.successor else "nobody takes its place"
    return (
        f"{blow.worker} was killed with SIGKILL, {death.processes} processes at once, when {blow.step} had ended for "
        f"{death.slices_done} of {death.slices} slices; it was at {', '.join(death.running)}; {then}."
    )


def _summary(tasks: Sequence[Try]) -> str:
    done, running = (Counter(task.step for task in tasks if task.state == state) for state in _SHOWN)
    texts = [f"{step} {done[step]}" + (f" (+{running[step]})" if running[step] else "") for step in _STEPS]
    waiting = sum(task.state == "up_for_retry" for task in tasks)
    return "done: " + ", ".join(texts) + (f"; {waiting} wait to be tried again" if waiting else "")
