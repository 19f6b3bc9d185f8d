"""A round: every entity's DAG runs once, through Airflow's scheduler, while somebody watches."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from dynamics_demo.airflow_api import AirflowApi, Run
from dynamics_demo.console import Progress
from dynamics_demo.entities import Entity
from dynamics_demo.problems import DemoError

#: The schedule runs a DAG that has never run as soon as it is unpaused; after so many seconds we trigger it.
_SCHEDULE_MAY_TAKE = 20.0


@dataclass(slots=True)
class Round:
    """One run of each entity's DAG, and whatever else runs in the meantime.

    `things` is what the line that is kept up to date counts, `parameters` are the words of the trigger form;
    `deadline` is in seconds; `clock` and `sleep` are those of the time module.
    """

    airflow: AirflowApi
    entities: Sequence[Entity]
    label: str
    things: str = "entities"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    deadline: float = 900.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _earlier: set[tuple[str, str]] = field(init=False, default_factory=set)

    def run(self) -> Mapping[str, Run]:
        """Start the runs and wait for their end; returns the longest new run of each entity by its name.

        Raises DemoError with the tasks that failed, or if the deadline passes.
        """
        progress = Progress(self.label, clock=self.clock)
        self._earlier = {(run.dag_id, run.run_id) for run in self._runs()}
        self._start()
        while True:
            new = [run for run in self._runs() if (run.dag_id, run.run_id) not in self._earlier]
            finished = self._finished(new)
            self._check_failures(new, progress)
            if len(finished) == len(self.entities):
                progress.done(f"{len(finished)} of {len(self.entities)} {self.things}")
                return {entity.name: _longest(new, entity) for entity in self.entities}
            if progress.seconds > self.deadline:
                message = f"The runs did not end within {self.deadline:.0f} seconds; look at {self.airflow.address}"
                raise DemoError(message)
            if progress.seconds > _SCHEDULE_MAY_TAKE:
                self._trigger_missing(new)
            progress.show(self._state(finished))
            self.sleep(1.0)

    def _runs(self) -> list[Run]:
        ids = {entity.dag_id for entity in self.entities}
        return [run for run in self.airflow.latest_runs() if run.dag_id in ids]

    def _start(self) -> None:
        have_run = {dag_id for dag_id, _ in self._earlier}
        for entity in self.entities:
            if entity.dag_id in have_run or not entity.has_schedule:
                self.airflow.trigger(entity.dag_id, self.parameters)
            # Now, as this run has to be the first: another may follow at once.
            self.airflow.unpause(entity.dag_id)

    def _trigger_missing(self, new: Sequence[Run]) -> None:
        begun = {run.dag_id for run in new}
        for entity in self.entities:
            if entity.dag_id not in begun:
                self.airflow.trigger(entity.dag_id, self.parameters)

    def _finished(self, new: Sequence[Run]) -> frozenset[str]:
        """The DAGs of which a new run has ended and no other is under way."""
        waiting = {run.dag_id for run in new if not run.is_finished}
        return frozenset({run.dag_id for run in new} - waiting)

    def _check_failures(self, new: Sequence[Run], progress: Progress) -> None:
        failed = [run for run in new if run.state == "failed"]
        if not failed:
            return
        progress.done("failed")
        tasks = [f"{run.dag_id}: {', '.join(self.airflow.failed_tasks(run)) or 'no task'}" for run in failed]
        message = "These tasks failed; their logs are in the UI and below .local/airflow/logs:\n  " + "\n  ".join(tasks)
        raise DemoError(message)

    def _state(self, finished: frozenset[str]) -> str:
        text = f"{len(finished)} of {len(self.entities)} {self.things}"
        running = self.airflow.running_tasks()
        return f"{text}; now {', '.join(running)}" if running else text


@contextmanager
def rest(
    airflow: AirflowApi,
    entities: Sequence[Entity],
    *,
    deadline: float = 300.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[None]:
    """Let no run of these DAGs be under way or begin until the block ends; those that are, may end before.

    Raises DemoError if one does not end within `deadline` seconds.
    """
    begun = clock()
    try:
        for entity in entities:
            while _is_busy(airflow, entity):
                if clock() - begun > deadline:
                    message = (
                        f"A run of {entity.dag_id} did not end in {deadline:.0f} seconds; look at {airflow.address}"
                    )
                    raise DemoError(message)
                sleep(1.0)
        yield
    finally:
        for entity in entities:
            airflow.unpause(entity.dag_id)


def _is_busy(airflow: AirflowApi, entity: Entity) -> bool:
    """Pause a DAG unless a run is under way, which would stand still."""
    airflow.pause(entity.dag_id)
    if not airflow.is_busy(entity.dag_id):
        return False
    airflow.unpause(entity.dag_id)
    return True


def _longest(runs: Sequence[Run], entity: Entity) -> Run:
    return max((run for run in runs if run.dag_id == entity.dag_id), key=lambda run: run.seconds)
