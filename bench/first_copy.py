"""The first copy of leads into an empty database: this project's whole DAG run, dlt, and the floor, side by side.

All of them read the same pages of one warm local Dynamics, and write to the same PostgreSQL or to a SQLite file beside
it. Ours is a run under a real scheduler, from its start to its success, so with all that Airflow itself takes; the
clocks of the others start when their pipeline or loop does, and know nothing of the start of their Python.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.airflow_runs import BenchAirflow, MeasuredRun, bench_airflow
from bench.emulator_process import EmulatorProcess
from bench.figures import Figure
from bench.leads import chosen_sizes
from bench.local_dynamics import local_dynamics
from bench.rivals import Outcome, run_dlt, run_floor
from bench.targets import new_target

WARM_UP = 10_000

_KINDS = ("postgres", "sqlite")
_TITLES = {"postgres": "PostgreSQL", "sqlite": "SQLite"}

#: Above this many rows dlt would take hours.
_MOST_FOR_DLT = 1_000_000


@dataclass
class Measured:
    """Seconds by way, database and size; the runs of ours by database and size."""

    seconds: dict[tuple[str, str, int], float] = field(default_factory=dict)
    runs: dict[tuple[str, int], MeasuredRun] = field(default_factory=dict)


def measure(folder: Path) -> list[Figure]:
    """Copy each size each way."""
    measured = Measured()
    with bench_airflow(folder) as airflow:
        warm_up(airflow)
        for size in chosen_sizes():
            with local_dynamics(size) as emulator:
                for kind in _KINDS:
                    _measure_ours(airflow, emulator, kind, size, measured)
                    if kind == "postgres":
                        # At once, as a machine may be a quarter faster or slower when dlt has ended.
                        _measure_floor(airflow, emulator, size, measured)
                    _measure_dlt(airflow, emulator, kind, size, measured)
    return list(_figures(measured))


def warm_up(airflow: BenchAirflow) -> None:
    """Let Airflow import what its first tasks import, which each installation does once."""
    with local_dynamics(WARM_UP) as emulator:
        target = new_target(airflow, "postgres", "warm_up")
        airflow.connect(emulator.connection, target.connection)
        airflow.run()
        target.remove()


def copy_once(airflow: BenchAirflow, emulator: EmulatorProcess, kind: str, size: int) -> MeasuredRun:
    """Let a run of ours copy everything into a new database, look whether all is there, and remove it again."""
    target = new_target(airflow, kind, f"ours_{size}")
    airflow.connect(emulator.connection, target.connection)
    run = airflow.run()
    _check(size, target.count())
    target.remove()
    return run


def _measure_ours(airflow: BenchAirflow, emulator: EmulatorProcess, kind: str, size: int, measured: Measured) -> None:
    run = copy_once(airflow, emulator, kind, size)
    _say(f"{size:,} leads into {_TITLES[kind]}, this project", run.seconds)
    print(run.table(), flush=True)
    measured.runs[kind, size] = run
    measured.seconds["ours", kind, size] = run.seconds


def _measure_dlt(airflow: BenchAirflow, emulator: EmulatorProcess, kind: str, size: int, measured: Measured) -> None:
    if size > _MOST_FOR_DLT:
        return
    name = f"dlt_{size}"
    target = new_target(airflow, kind, name)
    outcome = run_dlt(emulator, target.url, airflow.figures.parent / f"{name}_{kind}")
    _keep("dlt", kind, size, outcome, measured)
    target.remove()


def _measure_floor(airflow: BenchAirflow, emulator: EmulatorProcess, size: int, measured: Measured) -> None:
    target = new_target(airflow, "postgres", f"floor_{size}")
    _keep("floor", "postgres", size, run_floor(emulator, target.url), measured)
    target.remove()


def _keep(way: str, kind: str, size: int, outcome: Outcome, measured: Measured) -> None:
    _check(size, outcome.rows)
    _say(f"{size:,} leads into {_TITLES[kind]}, {way}", outcome.seconds)
    measured.seconds[way, kind, size] = outcome.seconds


def _check(size: int, found: int) -> None:
    if found != size:
        message = f"{found:,} of {size:,} leads were copied"
        raise RuntimeError(message)


def _say(what: str, seconds: float) -> None:
    print(f"  {what}: {seconds:.1f} s", flush=True)


def _figures(measured: Measured) -> Iterator[Figure]:
    yield from _ratios(measured)
    yield from _growth(measured)
    for size in (100_000, 1_000_000):
        peaks = [run.peak_megabytes for (_, rows), run in measured.runs.items() if rows == size]
        if peaks:
            what = f"MB that the process of any task held at most, {size:,} leads"
            yield Figure(f"peak_mb_{short(size)}", what, max(peaks), at_most=400)
    for (way, kind, size), seconds in measured.seconds.items():
        what = f"seconds, {size:,} leads into {_TITLES[kind]}, {'whole DAG run' if way == 'ours' else way}"
        detail = measured.runs[kind, size].table() if way == "ours" else ""
        yield Figure(f"copy_{kind}_{way}_{short(size)}_s", what, seconds, detail=detail)


def _ratios(measured: Measured) -> Iterator[Figure]:
    """Of the largest size that was measured both ways."""
    seconds = measured.seconds
    for kind, least in (("postgres", 8), ("sqlite", 6)):
        size = max((size for way, k, size in seconds if way == "dlt" and k == kind), default=0)
        if size:
            ratio = seconds["dlt", kind, size] / seconds["ours", kind, size]
            what = f"first copy of {size:,} leads into {_TITLES[kind]}: times as fast as dlt"
            yield Figure(f"first_copy_{kind}_vs_dlt", what, ratio, at_least=least)
    size = max(size for way, _, size in seconds if way == "floor")
    ratio = seconds["ours", "postgres", size] / seconds["floor", "postgres", size]
    what = f"first copy of {size:,} leads into PostgreSQL: times the floor's seconds"
    yield Figure("first_copy_postgres_vs_floor", what, ratio, at_most=1.5)


def _growth(measured: Measured) -> Iterator[Figure]:
    small, large = 100_000, 1_000_000
    if ("postgres", small) in measured.runs and ("postgres", large) in measured.runs:
        grown = measured.runs["postgres", large].seconds / measured.runs["postgres", small].seconds
        exponent = math.log(grown) / math.log(large / small)
        what = "seconds grow as rows to the power of this, from 100,000 to 1,000,000 leads, PostgreSQL"
        yield Figure("growth_exponent", what, exponent, at_most=1.05)


def short(size: int) -> str:
    """10k, 100k, 1m: a size within a name."""
    for unit, name in ((1_000_000, "m"), (1_000, "k")):
        if size % unit == 0:
            return f"{size // unit}{name}"
    return str(size)
