"""A run of the DAG that is watched: how far it is, what the workers take, and, if wanted, one worker's death."""

import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from dynamics_demo.airflow_api import Run
from dynamics_demo.console import Progress, say
from dynamics_demo.problems import DemoError
from dynamics_demo.processes import is_running, signal_all
from scale.start import Started
from scale.tasks import Try, instant, path_of, read_latest, read_tries
from scale.workers import footprint

_EVERY = 1.0
_DEADLINE = 3 * 3600.0
#: The objects are listed so seldom, as that is work for the store too.
_LIST_EVERY = 5.0

_SHOWN = ("success", "running")
_STEPS = ("begin", "extract", "transform", "load", "finish")


@dataclass(slots=True)
class Taken:
    """What was seen of the workers and of staging: most megabytes and seconds of computing by worker, bytes by object."""

    megabytes: dict[str, float] = field(default_factory=dict)
    cpu_seconds: dict[str, float] = field(default_factory=dict)
    objects: dict[str, int] = field(default_factory=dict)
    most_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Death:
    """The end of a worker: when, how many processes died with it, and which tasks Airflow thought were running there."""

    worker: str
    at: float
    processes: int
    running: tuple[str, ...]
    slices_done: int


@dataclass(frozen=True, slots=True)
class Watched:
    """A run that succeeded; instants are seconds since 1970."""

    run: Run
    began: float
    ended: float
    tries: tuple[Try, ...]
    taken: Taken
    death: Death | None

    @property
    def seconds(self) -> float:
        """From the start of the run by the scheduler to its success."""
        return self.ended - self.began


@dataclass(slots=True)
class Copying:
    """One run; `victim` names the worker that is killed once a third of the slices is loaded."""

    started: Started
    label: str
    victim: str = ""
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    _taken: Taken = field(init=False, default_factory=Taken)
    _death: Death | None = field(init=False, default=None)
    _listed: float = field(init=False, default=0.0)

    def run(self) -> Watched:
        """Trigger the DAG and watch until it has succeeded; DemoError if it fails, or if nobody had to be killed."""
        run = self.started.airflow.trigger(self.started.entity.dag_id)
        progress = Progress(self.label)
        while not (now := self._state(run)).is_finished:
            tasks = read_latest(self.started.airflow, run)
            self._look_at_workers()
            self._look_at_staging()
            self._kill_if_due(run, tasks)
            self._check(progress)
            progress.show(_summary(tasks))
            self.sleep(_EVERY)
        self._look_at_workers()
        tries = tuple(read_tries(self.started.airflow, run))
        progress.done(f"{now.state}; {_summary(tries)}")
        self._require_success(now)
        return Watched(now, *self._instants(now), tries, self._taken, self._death)

    def _state(self, run: Run) -> Run:
        row = self.started.airflow.call("GET", path_of(run)).json()
        return Run(run.dag_id, run.run_id, str(row["state"]), float(row.get("duration") or 0.0))

    def _instants(self, run: Run) -> tuple[float, float]:
        row = self.started.airflow.call("GET", path_of(run)).json()
        began, ended = (instant(row[name]) for name in ("start_date", "end_date"))
        return began, ended

    def _kill_if_due(self, run: Run, tasks: list[Try]) -> None:
        slices = sum(task.task.endswith("load") and task.map_index >= 0 for task in tasks)
        if not self.victim or self._death or not slices or 3 * _loaded(tasks) < slices:
            return
        if not _running_on(tasks, self.victim):
            return
        record = self.started.workers[self.victim]
        # It is held still for a look: what runs there now can no longer end before the blow.
        signal_all(record, signal.SIGSTOP)
        tasks = read_latest(self.started.airflow, run)
        running = _running_on(tasks, self.victim)
        if not running:
            signal_all(record, signal.SIGCONT)
            return
        killed = signal_all(record, signal.SIGKILL)
        self._death = Death(self.victim, self.clock(), len(killed), running, _loaded(tasks))
        say(
            f"  {self.victim} was killed with SIGKILL, {len(killed)} processes in all, after {_loaded(tasks)} of {slices} "
            f"slices; it was at {', '.join(running)}. No other takes its place."
        )

    def _look_at_workers(self) -> None:
        for name, record in self.started.workers.items():
            if is_running(record):
                seen = footprint(record)
                self._taken.megabytes[name] = max(seen.megabytes, self._taken.megabytes.get(name, 0.0))
                self._taken.cpu_seconds[name] = seen.cpu_seconds

    def _look_at_staging(self) -> None:
        if self.clock() - self._listed >= _LIST_EVERY:
            now = self.started.store.sizes("staging/")
            self._taken.objects |= now
            self._taken.most_bytes = max(self._taken.most_bytes, sum(now.values()))
            self._listed = self.clock()

    def _check(self, progress: Progress) -> None:
        self.started.servers.check_alive()
        for name, record in self.started.workers.items():
            if not is_running(record) and not (self._death and self._death.worker == name):
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
        if self.victim and self._death is None:
            message = f"{self.victim} was at no task when a third was done, so nobody was killed. Take more ROWS."
            raise DemoError(message)


def _loaded(tasks: Sequence[Try]) -> int:
    return sum(task.task.endswith("load") and task.state == "success" for task in tasks)


def _running_on(tasks: Sequence[Try], worker: str) -> tuple[str, ...]:
    return tuple(task.name for task in tasks if task.worker == worker and task.state == "running")


def _summary(tasks: Sequence[Try]) -> str:
    done, running = (Counter(task.task.rpartition(".")[2] for task in tasks if task.state == state) for state in _SHOWN)
    texts = [f"{step} {done[step]}" + (f" (+{running[step]})" if running[step] else "") for step in _STEPS]
    waiting = sum(task.state == "up_for_retry" for task in tasks)
    return "done: " + ", ".join(texts) + (f"; {waiting} wait to be tried again" if waiting else "")
