"""Parse the DAG files as Airflow does and write down what was found; run in a process of its own by the tests.

First each file alone, to see what parsing costs beyond `airflow.sdk`; then all of them in a DagBag.
"""

import contextlib
import json
import runpy
import sys
import time
from pathlib import Path
from typing import Any

# What Airflow imports for any DAG with a schedule is not what ours cost.
import airflow.sdk  # noqa: F401
import croniter  # noqa: F401 - it also starts `file` once, to learn about its Python


def parse_alone(folder: Path) -> dict[str, Any]:
    """Run each DAG file; return modules, seconds of CPU, and what was opened on the way."""
    events: list[str] = []
    watching = True

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if not watching:
            return
        if event.startswith(("socket.", "sqlite3.", "subprocess.", "os.system")):
            events.append(event)
        elif event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
            events.append(f"written: {arguments[0]}")

    before = set(sys.modules)
    sys.dont_write_bytecode = True
    sys.addaudithook(watch)
    began = time.process_time()
    for path in sorted(folder.glob("*.py")):
        # What is wrong with the catalogue is raised; the DagBag below reports it.
        with contextlib.suppress(Exception):
            runpy.run_path(str(path), run_name=path.stem)
    seconds = time.process_time() - began
    watching = False
    return {"modules": sorted(set(sys.modules) - before), "seconds": seconds, "events": events}


def parse_all(folder: Path) -> dict[str, Any]:
    """Return what a DagBag holds."""
    from airflow.dag_processing.dagbag import DagBag  # noqa: PLC0415 - it imports the metadata database

    bag = DagBag(str(folder))
    return {
        "errors": {Path(path).name: text for path, text in bag.import_errors.items()},
        "dags": {dag_id: describe(dag) for dag_id, dag in bag.dags.items()},
    }


def describe(dag: Any) -> dict[str, Any]:
    return {
        "file": Path(dag.fileloc).name,
        "doc_md": dag.doc_md,
        "description": dag.description,
        "tags": sorted(dag.tags),
        "params": {name: dag.params.get_param(name).schema for name in dag.params},
        "catchup": dag.catchup,
        "max_active_runs": dag.max_active_runs,
        "timetable": type(dag.timetable).__name__,
        "pools": {task.task_id: task.pool for task in dag.tasks},
        "rules": {task.task_id: task.trigger_rule.value for task in dag.tasks},
        "owners": sorted({task.owner for task in dag.tasks}),
        "retries": min(task.retries for task in dag.tasks),
        "outlets": sorted(outlet.name for task in dag.tasks for outlet in task.outlets),
    }


if __name__ == "__main__":
    dags = Path(sys.argv[1])
    Path(sys.argv[2]).write_text(json.dumps({**parse_alone(dags), **parse_all(dags)}))
