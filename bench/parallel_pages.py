"""The first copy from a Dynamics that is slow to answer, beside one page after another."""

from pathlib import Path

from bench.airflow_runs import MeasuredRun, bench_airflow
from bench.figures import Figure
from bench.first_copy import copy_once, warm_up
from bench.leads import chosen_sizes
from bench.local_dynamics import change_settings, local_dynamics
from bench.rivals import run_floor
from bench.targets import new_target

LATENCY_MILLISECONDS = 1_000
AT_ONCE = 8

_MOST = 1_000_000


def measure(folder: Path) -> list[Figure]:
    """Copy with this project's DAG, then with the loop, which waits for each page before it asks for the next."""
    size = max(size for size in chosen_sizes() if size <= _MOST)
    # Tasks that wait for a slow Dynamics leave the cores to others.
    with bench_airflow(folder, parallelism=AT_ONCE) as airflow:
        warm_up(airflow)
        with local_dynamics(size) as emulator:
            change_settings(
                emulator,
                latency_milliseconds=LATENCY_MILLISECONDS,
                concurrency_limit=AT_ONCE,
                parallelism_hint=AT_ONCE,
            )
            ours = copy_once(airflow, emulator, "postgres", size)
            print(f"  {size:,} leads, whole DAG run: {ours.seconds:.1f} s\n{ours.table()}", flush=True)
            loop = run_floor(emulator, new_target(airflow, "postgres", "one_after_another").url)
            print(f"  one page after another: {loop.seconds:.1f} s", flush=True)
    what = f"{size:,} leads, 1 s a page, {AT_ONCE} at once: times as fast as a loop of one page after another"
    return [
        Figure("parallel_speedup_1s_latency", what, loop.seconds / ours.seconds, at_least=6, detail=ours.table()),
        Figure("parallel_ours_s", f"seconds, {size:,} leads, 1 s a page, whole DAG run", ours.seconds),
        Figure("parallel_reading_s", "seconds of them from the first page to the last", _reading(ours)),
        Figure("parallel_loop_s", f"seconds, {size:,} leads, 1 s a page, the loop", loop.seconds),
    ]


def _reading(run: MeasuredRun) -> float:
    windows = [task for task in run.tasks if task.task_id == "slice.extract"]
    return max(task.returned for task in windows) - min(task.called for task in windows)
