"""Airflow in a process of its own: its settings are environment variables, and its home is a folder of the test."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PROBE = Path(__file__).with_name("parse_probe.py")


@pytest.fixture(scope="session")
def dags_folder() -> Path:
    return ROOT / "dags"


@pytest.fixture(scope="session")
def probe(tmp_path_factory: pytest.TempPathFactory, dags_folder: Path) -> Callable[..., Any]:
    """Return a function that parses the DAG files in a new process and returns what `parse_probe.py` found."""

    def run(**environment: str) -> Any:
        home = tmp_path_factory.mktemp("airflow")
        own = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "DYNAMICS_SYNC"))}
        result = home / "result.json"
        done = subprocess.run(
            [sys.executable, PROBE, dags_folder, result],
            env={
                **own,
                "AIRFLOW_HOME": str(home),
                "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
                "AIRFLOW__CORE__DAGS_FOLDER": str(dags_folder),
                "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(result.read_text())

    return run


@pytest.fixture(scope="session")
def parsed(probe: Callable[..., Any]) -> Any:
    """What parsing the DAG files of the shipped catalogue brings."""
    return probe()
