"""The report of a scale demo, as Markdown with a chart beside it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from scale.chart import as_svg
from scale.copying import Death, Watched
from scale.environment import HEARTBEAT_TIMEOUT, QUEUED_TIMEOUT, WORKER_TASKS
from scale.judge import Books
from scale.tasks import Try, lost_tries

_MEGA = 2**20


@dataclass(slots=True)
class Findings:
    """What a demo found; the seconds of its stages are in the order in which they came."""

    machine: str
    rows: int
    copy: Watched
    books: Books
    values: int
    requests: int
    tables: Mapping[str, int]
    second: Watched
    second_books: Books
    versions: int
    edits: int
    second_requests: int
    stages: Mapping[str, float]
    date: datetime = field(default_factory=lambda: datetime.now(UTC))


def keep(path: Path, findings: Findings) -> None:
    """Write the report and its chart."""
    chart = path.with_suffix(".svg")
    chart.write_text(as_svg(findings.copy.tries, findings.copy.began, findings.copy.deaths), encoding="utf-8")
    path.write_text(as_markdown(findings, chart.name), encoding="utf-8")


def as_markdown(findings: Findings, chart: str) -> str:
    """The whole report; `chart` is the file of its picture."""
    parts = [_head(findings), f"![Tasks over time by worker]({chart})", _deaths(findings), _comparison(findings)]
    return "\n\n".join([*parts, _tasks(findings), _workers(findings), _figures(findings), _stages(findings)]) + "\n"


def as_summary(findings: Findings) -> str:
    """What is printed at the end, in one line."""
    lost = len(lost_of(findings.copy))
    return (
        f"{findings.rows:,} rows were copied in {findings.copy.seconds:.0f} s; {lost} tasks died with their workers "
        f"and were repeated. Nothing is missing, nothing is there twice, {findings.values:,} values are equal."
    )


def lost_of(watched: Watched) -> list[Try]:
    """The tries that died with the worker."""
    return [one for death in watched.deaths for one in lost_tries(watched.tries, death.blow.worker)]


def _head(findings: Findings) -> str:
    return f"""# The scale demo

`make scale-demo` starts Airflow with the CeleryExecutor, two workers in processes of their own with folders of their
own, PostgreSQL by TCP, Valkey as the broker, and an object store that speaks S3 for staging and logs; lets a run copy
the leads of a local Dynamics, 40 columns each; kills a worker with SIGKILL when a third of the slices is read, and
another when a third is loaded; and compares both sides. `ARGS='--write docs/scale-demo.md'` keeps this report.

Run on {findings.date:%Y-%m-%d}: {findings.machine}.
All servers, the local Dynamics among them, share that machine: the seconds say that it works, and no more.
[The benchmarks](benchmarks.md) say how fast it is."""


def _deaths(findings: Findings) -> str:
    lines = [
        "## The workers that died",
        "",
        f"A task is lost after {HEARTBEAT_TIMEOUT} s without a heartbeat, and is tried again after its retry delay.",
        "A message that a dead worker had taken, and whose task had not begun, is sent again "
        f"{QUEUED_TIMEOUT} s after it was queued.",
        "",
        *(_death(death, findings.copy) for death in findings.copy.deaths),
        "",
        "| task lost | ran for s | noticed after s | repeated by | from s | ended well at s |",
        "| --- | ---: | ---: | --- | ---: | ---: |",
    ]
    for death in findings.copy.deaths:
        lost = lost_tries(findings.copy.tries, death.blow.worker)
        lines += [_lost_line(findings.copy, one, death.at) for one in lost]
    return "\n".join(lines)


def _death(death: Death, watched: Watched) -> str:
    blow = death.blow
    then = f"{blow.successor} was started in its place" if blow.successor else "nobody took its place"
    return (
        f"* {blow.worker}, {death.at - watched.began:.0f} s after the run began, with all its {death.processes} "
        f"processes: *{blow.step}* had ended for {death.slices_done} of {death.slices} slices, and it was at "
        f"{', '.join(death.running)}; {then}."
    )


def _lost_line(watched: Watched, one: Try, at: float) -> str:
    later = [t for t in watched.tries if (t.task, t.map_index) == (one.task, one.map_index) and t.number > one.number]
    done = next((t for t in later if t.state == "success"), None)
    again = (
        f"{done.worker} | {done.began - watched.began:.0f} | {done.ended - watched.began:.0f}" if done else "nobody | |"
    )
    return f"| {one.name} | {max(0.0, at - one.began):.0f} | {one.ended - at:.0f} | {again} |"


def _comparison(findings: Findings) -> str:
    books, second = findings.books, findings.second_books
    return f"""## Nothing missing, nothing twice

* The books of the copy, from `sync_run`: {books.as_text()}; {books.slices} slices, each loaded once.
* The table has {books.rows:,} rows with {books.keys:,} different keys. Dynamics has {findings.rows:,} leads.
* All {findings.values:,} values of all rows were read from both sides, by a way of the judge's own, and are equal.
* Then {findings.edits} leads were edited in Dynamics, and the worker that was left made a second run. Its books:
  {second.as_text()}. Afterwards all {findings.versions:,} rows had the same version on both sides,
  and {findings.edits} of them the edited value.
* Staging was empty after each run."""


def _tasks(findings: Findings) -> str:
    tries = findings.copy.tries
    workers = sorted({one.worker for one in tries})
    steps = list(dict.fromkeys(one.step for one in tries))
    count = Counter((one.step, one.worker, one.state == "success") for one in tries)
    lines = ["## Who did what", "", f"| task | {' | '.join(workers)} | lost | s on average |"]
    lines.append("| --- |" + " ---: |" * (len(workers) + 2))
    for step in steps:
        done = [one.seconds for one in tries if one.step == step and one.state == "success"]
        lost = sum(count[step, worker, False] for worker in workers)
        figures = [*(str(count[step, worker, True]) for worker in workers), str(lost)]
        lines.append(f"| {step} | {' | '.join(figures)} | {sum(done) / max(1, len(done)):.1f} |")
    return "\n".join(lines)


def _workers(findings: Findings) -> str:
    taken = findings.copy.taken
    lines = [
        "## What the processes took",
        "",
        f"Memory of all processes of a worker or server together; what they share is counted once. A worker runs up to "
        f"{WORKER_TASKS} tasks at once, each in a process of its own. Looked at every second or few.",
        "",
        "| process | most MB | seconds of computing |",
        "| --- | ---: | ---: |",
    ]
    rows = [
        f"| {name} | {taken.megabytes[name]:,.0f} | {taken.cpu_seconds[name]:,.0f} |"
        for name in sorted(taken.megabytes)
    ]
    return "\n".join([*lines, *rows])


def _figures(findings: Findings) -> str:
    taken, millions = findings.copy.taken, findings.rows / 1_000_000
    rows = [
        ("seconds of the copy, with the deaths", f"{findings.copy.seconds:,.0f}", ""),
        ("requests to Dynamics", f"{findings.requests:,}", _per(findings.requests, millions)),
        ("requests of the second run", f"{findings.second_requests:,}", _per(findings.second_requests, millions)),
        ("staged objects seen", f"{len(taken.objects):,}", _per(len(taken.objects), millions)),
        ("MB staged in them", _mega(sum(taken.objects.values())), _per_mega(sum(taken.objects.values()), millions)),
        ("MB staged at once, at most", _mega(taken.most_bytes), _per_mega(taken.most_bytes, millions)),
        *(
            (f"MB of the table `{name}`", _mega(size), _per_mega(size, millions))
            for name, size in _large(findings.tables)
        ),
        ("seconds of the second run", f"{findings.second.seconds:,.0f}", ""),
    ]
    lines = ["## Figures", "", "| figure | this demo | for 1,000,000 rows |", "| --- | ---: | ---: |"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _large(tables: Mapping[str, int]) -> Sequence[tuple[str, int]]:
    return [(name, size) for name, size in tables.items() if size >= _MEGA]


def _per(value: float, millions: float) -> str:
    return f"{value / millions:,.0f}"


def _mega(size: float) -> str:
    return f"{size / _MEGA:,.0f}"


def _per_mega(size: float, millions: float) -> str:
    return _mega(size / millions)


def _stages(findings: Findings) -> str:
    lines = ["## Where the time went", "", "| stage | seconds |", "| --- | ---: |"]
    rows = [f"| {name} | {seconds:,.0f} |" for name, seconds in findings.stages.items()]
    return "\n".join([*lines, *rows])
