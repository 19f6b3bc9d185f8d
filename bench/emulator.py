"""Measures the local Dynamics: ``python -m bench.emulator``. Prints a table with the targets beside the figures."""

import argparse
import os
import platform
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from bench import emulator_cases as cases
from bench.emulator_process import Client, Cost, emulator_process
from dynamics_emulator.storage.engine import sqlite3

_REMARK = """\
SQLite itself prints the rows of a page as JSON and joins them, so that Python handles a page as one piece of bytes.
With `pysqlite3`, which brings a newer SQLite, this takes about half the time that the module of the standard library
needs, and readers do not hold each other up; it is used where it is installed.
"""


@dataclass(frozen=True)
class Line:
    """One line of the table."""

    what: str
    figure: str
    target: str = ""


def main() -> None:
    """Measure and print; with ``--write`` also keep the table as Markdown."""
    parser = argparse.ArgumentParser(prog="bench.emulator", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the sample organisation (1000000)")
    parser.add_argument("--pages", type=int, default=1000, help="pages over which memory is watched (1000)")
    parser.add_argument("--folder", type=Path, help="keep the organisation here and use it again")
    parser.add_argument("--write", type=Path, help="also write the table to this Markdown file")
    chosen = parser.parse_args()
    with _folder(chosen.folder) as folder:
        lines = measure(folder, chosen.rows, chosen.pages)
    if chosen.write:
        chosen.write.write_text(markdown(lines, chosen.rows), encoding="utf-8")


@contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    if kept:
        yield kept
        return
    with tempfile.TemporaryDirectory(prefix="dynamics-bench-") as name:
        yield Path(name)


def measure(folder: Path, rows: int, pages: int) -> list[Line]:
    """Run every case once, print each figure as it is found, and return all of them."""
    lines = []
    with emulator_process(folder, rows) as emulator:
        bench = cases.Bench(emulator, Client(emulator))
        for line in _figures(bench, pages):
            print(f"{line.what:<58} {line.figure:>28}   {line.target}", flush=True)
            lines.append(line)
    return lines


def _figures(bench: cases.Bench, pages: int) -> Iterator[Line]:
    ready = f"{bench.emulator.cpu_milliseconds() / 1000:.0f} s CPU, {bench.emulator.seconds:.0f} s wall"
    yield Line("Ready after (an empty folder is filled first)", ready, "1,000,000 rows: 120 s")
    yield _line("Page of 5,000 x 40, over 60 pages", cases.pages(bench, 60), "40 ms CPU")
    met, cost = cases.walk(bench, 200)
    yield _line(f"Page of 5,000 x 40 most filled columns, {met} different", cost, "40 ms CPU")
    yield _line("With all annotations, over 20 pages", cases.pages(bench, 20, "*"))
    yield _line("Filter by text, order by time, 5,000 rows", cases.filtered_page(bench))
    yield _line("One of 8 pages at once", cases.parallel_pages(bench), "no more than alone")
    yield _line("$batch of 1,000 GET", cases.batch_reads(bench), "300 ms")
    yield _line("$batch of 1,000 PATCH", cases.batch_updates(bench), "300 ms")
    created, deleted = cases.batch_creates_and_deletes(bench)
    yield _line("$batch of 1,000 creates", created, "300 ms")
    yield _line("$batch of 1,000 DELETE", deleted, "300 ms")
    yield _line("CreateMultiple of 1,000", cases.create_multiple(bench))
    yield Line("Slowest read of a row beside it", f"{cases.reads_beside_a_writer(bench).wall:.0f} ms wall")
    idle, changed, deleted = cases.deltas(bench)
    yield _line("Delta: nothing changed", idle, "10 ms")
    yield _line("Delta: 100 changes", changed)
    yield _line("Delta: 100 changes and 1,000 deletions", deleted)
    yield _line("$count", cases.count(bench))
    before = bench.emulator.megabytes()
    cases.pages(bench, pages)
    after = bench.emulator.megabytes()
    yield Line(f"Memory before and after {pages:,} pages", f"{before:.0f} MB, {after:.0f} MB", "flat")


def _line(what: str, cost: Cost, target: str = "") -> Line:
    return Line(what, f"{cost.cpu:.1f} ms CPU, {cost.wall:.1f} ms wall", target)


def markdown(lines: list[Line], rows: int) -> str:
    """The table as a page of the documentation."""
    machine = (
        f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, "
        f"SQLite {sqlite3.sqlite_version}"
    )
    head = (
        "# How fast the local Dynamics is\n\n"
        f"Written by `make bench-emulator` on {date.today().isoformat()}: {rows:,} sample rows, {machine}, "  # noqa: DTZ011 - the day of whoever runs it
        "TLS on, gzip off. CPU is that of the server's process; wall is what the client waits, and suffers from "
        "whatever else the machine does. Nothing is answered from a cache: every page is printed anew.\n\n"
        "| what | measured | target |\n| --- | --- | --- |\n"
    )
    table = "".join(f"| {line.what} | {line.figure} | {line.target} |\n" for line in lines)
    return f"{head}{table}\n{_REMARK}"


if __name__ == "__main__":
    main()
