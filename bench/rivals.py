"""Runs the other ways to copy leads: dlt, and the floor, each in a process and an environment of its own."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.airflow_runs import CATALOGUE
from bench.emulator_process import EmulatorProcess
from dynamics_sync.catalogue import load_catalogue
from dynamics_sync.dataverse.auth import Credentials, MsalTokenProvider
from dynamics_sync.dataverse.client import DataverseClient
from dynamics_sync.dataverse.metadata import read_table
from dynamics_sync.dataverse.query import select_path
from dynamics_sync.dataverse.session import open_session
from dynamics_sync.translation.fields import plan_reading

PAGE_SIZE = 5_000

_PYTHON = Path(__file__).resolve().parents[1] / "build" / "bench-venv" / "bin" / "python"
_OTHERS = Path(__file__).with_name("others")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a rival needed: seconds, rows, and seconds of each of its steps if it tells."""

    seconds: float
    rows: int
    steps: Mapping[str, float]


def run_floor(emulator: EmulatorProcess, database_url: str) -> Outcome:
    """Copy all leads into a new table of a PostgreSQL with the floor loop."""
    return _run("floor_loop.py", {**_task(emulator), "database": database_url})


def run_dlt(emulator: EmulatorProcess, database_url: str, folder: Path) -> Outcome:
    """Copy all leads with dlt; `folder` is for its working files."""
    # dlt insists on a host; the folder of the socket, which stands behind the question mark, takes its place.
    database_url = database_url.replace("@/", "@localhost:5432/")
    # In SQLite, dlt keeps its data set in the file itself under this name.
    dataset = "main" if database_url.startswith("sqlite") else "rival"
    return _run("dlt_copy.py", {**_task(emulator), "database": database_url, "folder": str(folder), "dataset": dataset})


def _run(program: str, task: Mapping[str, Any]) -> Outcome:
    if not _PYTHON.exists():
        message = f"{_PYTHON} is missing. Next: make bench, which makes it"
        raise RuntimeError(message)
    # By stdin, as a command line can be read by everybody.
    done = subprocess.run(  # noqa: S603 - our own programs
        [_PYTHON, _OTHERS / program], input=json.dumps(task), capture_output=True, text=True, check=False
    )
    if done.returncode:
        message = f"{program} failed: {done.stderr[-2000:]}"
        raise RuntimeError(message)
    answer = json.loads(done.stdout.splitlines()[-1])
    return Outcome(answer["seconds"], answer["rows"], answer.get("steps", {}))


def _task(emulator: EmulatorProcess) -> dict[str, Any]:
    """The very pages that the project asks for, and a token of the same sign-in."""
    about = emulator.connection
    credentials = Credentials(
        tenant_id=about["tenant_id"],
        client_id=about["client_id"],
        client_secret=about["client_secret"],
        authority=about["authority"],
        ca_file=about["ca_file"],
    )
    tokens = MsalTokenProvider(credentials, about["url"])
    client = DataverseClient(about["url"], open_session(about["ca_file"]), tokens)
    plan = plan_reading(load_catalogue(CATALOGUE).entity("lead"), read_table(client, "lead"))
    root, path = f"{about['url']}/api/data/v9.2/", select_path(plan.set_name, plan.select)
    return {
        "root": root,
        "path": path,
        "url": root + path,
        "prefer": ",".join((f"odata.maxpagesize={PAGE_SIZE}", *plan.prefer)),
        "token": tokens.token(),
        "ca_file": about["ca_file"],
        "key": plan.key,
        "columns": list(plan.select),
    }
