"""A real Airflow with its scheduler, as `make demo` starts it, and what its runs of this project's DAG took."""

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from dynamics_demo.airflow_api import AirflowApi, Run
from dynamics_demo.installation import PROJECT, Installation, choose_ports
from dynamics_demo.services import Services
from dynamics_demo.settings_file import (
    Connection,
    LocalValues,
    import_settings,
    read_settings,
    with_local_values,
)

CATALOGUE = Path(__file__).with_name("catalogue")
DAG_ID = "dynamics_lead"

_LISTENER = Path(__file__).with_name("listener") / "bench_listener.py"
_FIGURES = "DYNAMICS_BENCH_FIGURES"
_FIGURES_WITHIN = 30
_READY_WITHIN = 180
_RUN_WITHIN = 3 * 3600


@dataclass(frozen=True, slots=True)
class TaskTimes:
    """One task of a run, in seconds since the run began, and its memory.

    `queued`: the scheduler gave it to the executor; `started`: its process called Airflow's API; `called`: the
    project's function was called; `returned`: it returned; `ended`: Airflow knows that it succeeded.
    """

    task_id: str
    map_index: int
    queued: float
    started: float
    called: float
    returned: float
    ended: float
    cpu_seconds: float
    peak_megabytes: float

    @property
    def work(self) -> float:
        """Seconds in the project's own function."""
        return self.returned - self.called


@dataclass(frozen=True, slots=True)
class MeasuredRun:
    """A run that succeeded: seconds from its start by the scheduler to its success, and its tasks by their start."""

    seconds: float
    seconds_in_queue: float
    tasks: Sequence[TaskTimes]

    @property
    def work_seconds(self) -> float:
        """Seconds within the project's own functions, added up."""
        return sum(task.work for task in self.tasks)

    @property
    def busy_seconds(self) -> float:
        """Seconds in which at least one of the project's functions ran."""
        busy = until = 0.0
        for task in sorted(self.tasks, key=lambda task: task.called):
            busy += max(0.0, task.returned - max(task.called, until))
            until = max(until, task.returned)
        return busy

    @property
    def peak_megabytes(self) -> float:
        """The most memory that the process of any task held."""
        return max(task.peak_megabytes for task in self.tasks)

    def table(self) -> str:
        """Where the time went, a line a task; seconds of mapped tasks are added up, although they overlap."""
        names = dict.fromkeys(task.task_id for task in self.tasks)
        lines = [_line(name, [task for task in self.tasks if task.task_id == name]) for name in names]
        return "\n".join(
            [
                "| task | times | in queue s | start-up s | work s | of it CPU s | most MB |",
                "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
                *lines,
                "",
                f"In {self.busy_seconds:.1f} of the run's {self.seconds:.1f} s a function of the sync was at work; in "
                "the others only Airflow was.",
            ]
        )


def _line(name: str, tasks: Sequence[TaskTimes]) -> str:
    sums = (
        sum(task.started - task.queued for task in tasks),
        sum(task.called - task.started for task in tasks),
        sum(task.work for task in tasks),
        sum(task.cpu_seconds for task in tasks),
    )
    most = max(task.peak_megabytes for task in tasks)
    return f"| {name} | {len(tasks)} | " + " | ".join(f"{value:.2f}" for value in sums) + f" | {most:.0f} |"


@dataclass(frozen=True, slots=True)
class BenchAirflow:
    """A running Airflow and the folder of its PostgreSQL's socket."""

    api: AirflowApi
    installation: Installation
    socket_folder: Path
    figures: Path

    def connect(self, dynamics: Mapping[str, Any], marketing: Connection) -> None:
        """Point Airflow's connections at a local Dynamics and at a marketing database."""
        local = LocalValues(dynamics, marketing, self.installation.staging.as_uri())
        import_settings(with_local_values(read_settings(self.installation.settings_file), local), self.api)

    def run(self, parameters: Mapping[str, Any] | None = None) -> MeasuredRun:
        """Run the DAG once; RuntimeError names the tasks that failed if it does not succeed."""
        run = self.api.trigger(DAG_ID, parameters)
        row = self._wait(run)
        if row["state"] != "success":
            message = f"the run {run.run_id} is {row['state']}; failed: {', '.join(self.api.failed_tasks(run))}"
            raise RuntimeError(message)
        began = _instant(row["start_date"])
        tasks = [_task(instance, self._figures_of(instance["id"]), began) for instance in self._instances(run)]
        queued = began - _instant(row["queued_at"])
        return MeasuredRun(_instant(row["end_date"]) - began, queued, sorted(tasks, key=lambda task: task.started))

    def _wait(self, run: Run) -> Mapping[str, Any]:
        until = time.monotonic() + _RUN_WITHIN
        while time.monotonic() < until:
            row = self.api.call("GET", f"/dags/{DAG_ID}/dagRuns/{run.run_id}").json()
            if row["state"] in ("success", "failed"):
                return dict(row)
            time.sleep(1)
        message = f"the run {run.run_id} did not end within {_RUN_WITHIN} s"
        raise RuntimeError(message)

    def _instances(self, run: Run) -> Iterator[Mapping[str, Any]]:
        """The task instances of a run that did something."""
        path, size = f"/dags/{DAG_ID}/dagRuns/{run.run_id}/taskInstances", 100
        for offset in range(0, 100_000, size):
            rows = self.api.call("GET", path, params={"limit": size, "offset": offset}).json()["task_instances"]
            yield from (row for row in rows if row["state"] == "success")
            if len(rows) < size:
                return

    def _figures_of(self, instance: str) -> Mapping[str, Any]:
        """What the listener wrote, which it does only after Airflow knows that the task succeeded."""
        file, until = self.figures / f"{instance}.json", time.monotonic() + _FIGURES_WITHIN
        while not file.exists() and time.monotonic() < until:
            time.sleep(0.1)
        return dict(json.loads(file.read_text(encoding="utf-8")))


def _task(row: Mapping[str, Any], figures: Mapping[str, Any], began: float) -> TaskTimes:
    called = _instant(figures["begun_at"]) - began
    return TaskTimes(
        task_id=row["task_id"],
        map_index=row["map_index"],
        queued=_instant(row["queued_when"]) - began,
        started=_instant(row["start_date"]) - began,
        called=called,
        returned=called + figures["seconds"],
        ended=_instant(row["end_date"]) - began,
        cpu_seconds=figures["cpu_seconds"],
        peak_megabytes=figures["peak_megabytes"],
    )


def _instant(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@contextmanager
def bench_airflow(folder: Path, **options: int) -> Iterator[BenchAirflow]:
    """Serve an Airflow over this project's DAGs, with the catalogue of the benchmarks, until the block ends.

    `options` are those of the installation, for instance `parallelism`.
    """
    installation = Installation(_project(folder / "project"), **options)
    installation.prepare()
    figures = folder / "figures"
    figures.mkdir()
    os.environ |= {"DYNAMICS_SYNC_CATALOGUE": str(CATALOGUE), _FIGURES: str(figures)}
    services = Services(installation, choose_ports(installation, frozenset()))
    try:
        socket_folder = services.start_postgres()
        services.start_airflow(socket_folder)
        api = services.airflow()
        _wait_until_ready(services, api)
        api.unpause(DAG_ID)
        yield BenchAirflow(api, installation, socket_folder, figures)
    finally:
        services.stop()
        os.environ.pop("DYNAMICS_SYNC_CATALOGUE")


def _project(folder: Path) -> Path:
    """A folder that looks like the clone, with one plugin more."""
    plugins = folder / "plugins"
    plugins.mkdir(parents=True)
    for plugin in [*(PROJECT / "plugins").glob("*.py"), _LISTENER]:
        (plugins / plugin.name).symlink_to(plugin)
    for name in ("dags", "include", "airflow_settings.yaml"):
        (folder / name).symlink_to(PROJECT / name)
    return folder


def _wait_until_ready(services: Services, api: AirflowApi) -> None:
    until = time.monotonic() + _READY_WITHIN
    while missing := api.missing_components() or _unread(api):
        services.check_alive("airflow")
        if time.monotonic() > until:
            message = f"Airflow is not ready after {_READY_WITHIN} s: {', '.join(missing)}"
            raise RuntimeError(message)
        time.sleep(1)


def _unread(api: AirflowApi) -> tuple[str, ...]:
    if errors := api.import_errors():
        message = "Airflow cannot read these DAG files:\n" + "\n".join(errors)
        raise RuntimeError(message)
    return () if DAG_ID in api.dag_ids("dynamics") else (DAG_ID,)
