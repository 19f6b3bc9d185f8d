"""The scale demo from beginning to end."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bench.report import machine
from dynamics_demo.console import say
from dynamics_demo.problems import DifferenceError
from scale.control import requests_so_far
from scale.copying import Blow, Copying, Watched
from scale.environment import SUCCESSOR, WORKERS
from scale.judge import (
    EDITS,
    Books,
    check_books,
    compare_values,
    compare_versions,
    edit_leads,
    edited_titles,
    sizes_of_tables,
)
from scale.report import Findings, as_summary, lost_of
from scale.site import Site
from scale.start import Size, Started, start_everything

#: The first dies while it reads, with pages of a slice staged and others not; the second in the middle of a merge.
BLOWS = (Blow(WORKERS[0], "extract", SUCCESSOR), Blow(WORKERS[1], "load"))


class Stages:
    """The stages of the story, each announced with its number, and the seconds that each took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, title: str) -> Iterator[None]:
        """Announce a stage and measure it."""
        say(f"{len(self.seconds) + 1}. {title}")
        began = time.monotonic()
        yield
        self.seconds[title] = time.monotonic() - began
        say()


def run_story(site: Site, size: Size, first_port: int) -> Findings:
    """Start everything, copy while workers die, judge, copy changes; DemoError if a promise is broken."""
    where, stages = machine(), Stages()
    with stages.stage("Start all servers and two workers"):
        started = start_everything(site, size, first_port)
    with stages.stage(f"Copy {size.rows:,} leads, and kill workers in the middle"):
        requests, copy = _copy(started, BLOWS)
        books = check_books(started, copy, {"read_rows": size.rows, "inserted": size.rows, "rows": size.rows})
        _say_copy(copy, books)
    with stages.stage("Compare every value of every row"):
        values = compare_values(started, "Compare").values
    with stages.stage(f"Edit {EDITS} leads in Dynamics, and run again"):
        edits = len(edit_leads(started))
        second_requests, second = _copy(started, ())
        expected = {"read_rows": edits, "updated": edits, "inserted": 0, "rows": size.rows}
        second_books = check_books(started, second, expected)
        say(f"  The books: {second_books.as_text()}")
    with stages.stage("Compare the versions of all rows"):
        versions = compare_versions(started)
        if (arrived := edited_titles(started)) != edits:
            message = f"{arrived} of {edits} edited values arrived."
            raise DifferenceError(message)
    findings = Findings(
        machine=where,
        rows=size.rows,
        copy=copy,
        books=books,
        values=values,
        requests=requests,
        tables=sizes_of_tables(started),
        second=second,
        second_books=second_books,
        versions=versions,
        edits=edits,
        second_requests=second_requests,
        stages=stages.seconds,
    )
    say(as_summary(findings))
    return findings


def _copy(started: Started, blows: Sequence[Blow]) -> tuple[int, Watched]:
    """Run the DAG once; returns how many requests Dynamics answered, too."""
    before = requests_so_far(started.about)
    watched = Copying(started, "Run", blows).run()
    return requests_so_far(started.about) - before, watched


def _say_copy(copy: Watched, books: Books) -> None:
    lost = lost_of(copy)
    if not lost:
        message = "Workers died, and no task with them: nothing was shown. Run it again, with more ROWS."
        raise DifferenceError(message)
    say(f"  Died with them and were repeated: {', '.join(one.name for one in lost)}")
    say(f"  The books: {books.as_text()}; {books.rows:,} rows, {books.keys:,} keys, {books.slices} slices")
