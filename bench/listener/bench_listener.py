"""An Airflow plugin that writes down what each task needed; it stands beside the project's own plugin while we measure.

Airflow tells its listeners within the process of the task: when the task's function is about to be called, and when it
has returned. Between the two is the sync's own work; what is left of a task's time is Airflow's.
"""

import json
import os
import resource
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow.listeners import hookimpl
from airflow.plugins_manager import AirflowPlugin

#: The folder that the figures go to.
FOLDER = "DYNAMICS_BENCH_FIGURES"

_BEGUN: dict[str, float] = {}


@hookimpl
def on_task_instance_running(previous_state: Any, task_instance: Any) -> None:  # noqa: ARG001 - Airflow's names
    """Keep when the work began."""
    _BEGUN.update(wall=time.time(), cpu=time.process_time())


@hookimpl
def on_task_instance_success(previous_state: Any, task_instance: Any) -> None:  # noqa: ARG001 - Airflow's names
    """Write one file a task: seconds of the clock and of computing, and the most memory that it held."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    figures = {
        "dag_id": task_instance.dag_id,
        "run_id": task_instance.run_id,
        "task_id": task_instance.task_id,
        "map_index": task_instance.map_index,
        "begun_at": datetime.fromtimestamp(_BEGUN["wall"], UTC).isoformat(),
        "seconds": time.time() - _BEGUN["wall"],
        "cpu_seconds": time.process_time() - _BEGUN["cpu"],
        "peak_megabytes": usage.ru_maxrss / 1024,
    }
    # Somebody waits for this file, so it appears whole or not at all.
    draft = Path(os.environ[FOLDER], f"{task_instance.id}.new")
    draft.write_text(json.dumps(figures), encoding="utf-8")
    draft.replace(draft.with_suffix(".json"))


class BenchListener(AirflowPlugin):
    """Brings the listener into Airflow."""

    name = "bench_listener"
    listeners = [sys.modules[__name__]]  # noqa: RUF012 - Airflow's attribute
