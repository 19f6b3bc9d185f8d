"""A run that finds few changes among many leads, and one that finds none."""

import json
import statistics
from dataclasses import dataclass
from pathlib import Path

from bench.airflow_runs import BenchAirflow, MeasuredRun, bench_airflow
from bench.emulator_process import Client, EmulatorProcess
from bench.figures import Figure
from bench.first_copy import warm_up
from bench.leads import chosen_sizes
from bench.local_dynamics import local_dynamics, status
from bench.targets import new_target

CHANGED = 100
CYCLES = 3

_MOST = 1_000_000
_WEB_API = "/api/data/"


@dataclass(frozen=True, slots=True)
class Idle:
    """A run without changes: how many requests reached Dynamics' Web API, sign-in not counted."""

    run: MeasuredRun
    requests: int
    kinds: list[str]


def measure(folder: Path) -> list[Figure]:
    """Copy everything, let the next run compare all keys and take its link, then change leads and run, repeatedly."""
    size = max(size for size in chosen_sizes() if size <= _MOST)
    with bench_airflow(folder) as airflow:
        warm_up(airflow)
        with local_dynamics(size) as emulator:
            airflow.connect(emulator.connection, new_target(airflow, "postgres", "incremental").connection)
            print(f"  first copy: {airflow.run().seconds:.1f} s", flush=True)
            compared = airflow.run()
            print(f"  all keys compared: {compared.seconds:.1f} s\n{compared.table()}", flush=True)
            runs = [_changed_run(airflow, emulator, cycle) for cycle in range(CYCLES)]
            idle = _idle_run(airflow, emulator)
    middle = sorted(runs, key=lambda run: run.seconds)[CYCLES // 2]
    what = f"{CHANGED} changed among {size:,} leads"
    return [
        Figure(
            "incremental_run_s",
            f"{what}: seconds from the start of the run to its success, middle of {CYCLES}",
            middle.seconds,
            at_most=6,
            detail=middle.table(),
        ),
        Figure(
            "incremental_work_s",
            f"{what}: seconds of it in the sync's own functions, middle of {CYCLES}",
            statistics.median(run.work_seconds for run in runs),
            at_most=1.5,
        ),
        Figure(
            "unchanged_requests",
            f"requests to Dynamics of a run without changes: {', '.join(idle.kinds)}",
            idle.requests,
            at_most=1,
        ),
        Figure("unchanged_run_s", f"seconds of a run without changes among {size:,} leads", idle.run.seconds),
        Figure("compare_keys_s", f"seconds of the run that compares the keys of {size:,} leads", compared.seconds),
    ]


def _changed_run(airflow: BenchAirflow, emulator: EmulatorProcess, cycle: int) -> MeasuredRun:
    _change(emulator, f"Bench {cycle}")
    run = airflow.run()
    print(f"  {CHANGED} changes: {run.seconds:.2f} s, own work {run.work_seconds:.2f} s\n{run.table()}", flush=True)
    return run


def _change(emulator: EmulatorProcess, title: str) -> None:
    """Give leads that lie far from each other another job."""
    client = Client(emulator)
    page = client.send("GET", "leads?$select=leadid", Prefer="odata.maxpagesize=5000")
    keys = [row["leadid"] for row in json.loads(page)["value"]]
    for key in keys[:: len(keys) // CHANGED][:CHANGED]:
        body = json.dumps({"jobtitle": title}).encode()
        client.send("PATCH", f"leads({key})", body, If_Match="*", Content_Type="application/json")


def _idle_run(airflow: BenchAirflow, emulator: EmulatorProcess) -> Idle:
    before = status(emulator)["requests"]
    run = airflow.run()
    after = status(emulator)
    count = after["requests"] - before
    lines = [(str(line["method"]), str(line["path"])) for line in after["last_requests"][:count]]
    # The control API shows the last few only; were there more, all count.
    kinds = [f"{method} {path.partition('?')[0]}" for method, path in reversed(lines) if path.startswith(_WEB_API)]
    requests = len(kinds) + count - len(lines)
    print(
        f"  no changes: {run.seconds:.2f} s, {requests} requests and {count - requests} to sign in: {kinds}", flush=True
    )
    return Idle(run, requests, kinds)
