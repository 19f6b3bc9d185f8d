"""The report of the scale demo: who died, what was lost and repeated, and figures that add up."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from dynamics_demo.airflow_api import Run
from scale.chart import as_svg
from scale.copying import Blow, Death, Taken, Watched
from scale.judge import Books
from scale.report import Findings, as_markdown, as_summary, keep
from scale.tasks import Try

BEGAN = 1_000_000.0


def tried(task: str, index: int, number: int, state: str, worker: str, begin: float, end: float) -> Try:
    return Try(f"slice.{task}" if index >= 0 else task, index, number, state, worker, BEGAN + begin, BEGAN + end)


TRIES = (
    tried("begin", -1, 1, "success", "worker-2", 1, 3),
    tried("extract", 0, 1, "failed", "worker-1", 4, 40),
    tried("extract", 1, 1, "success", "worker-2", 4, 9),
    tried("extract", 0, 2, "success", "worker-3", 61, 66),
    tried("load", 1, 1, "success", "worker-2", 67, 70),
)
DEATH = Death(Blow("worker-1", "extract", "worker-3"), BEGAN + 8, 5, ("extract 1",), 1, 2)
TAKEN = Taken({"worker-1": 512.4, "worker-2": 700.0}, {"worker-1": 3.2, "worker-2": 41.0}, {"a": 2**21, "b": 2**20})
COUNTS = {"read_rows": 500_000, "inserted": 500_000, "updated": 0, "unchanged": 0, "filtered": 0, "rejected": 0}


@pytest.fixture
def findings() -> Findings:
    run = Run("dynamics_lead", "manual", "success", 70.0)
    copy = Watched(run, BEGAN, BEGAN + 70, TRIES, TAKEN, (DEATH,))
    second = Watched(run, BEGAN, BEGAN + 12, TRIES[:1], Taken(), ())
    edits = COUNTS | {"read_rows": 100, "inserted": 0, "updated": 100}
    return Findings(
        machine="a machine",
        rows=500_000,
        copy=copy,
        books=Books(COUNTS, 500_000, 500_000, 2),
        values=20_000_000,
        requests=150,
        tables={"lead": 300 * 2**20, "sync_run": 8_192},
        second=second,
        second_books=Books(edits, 500_000, 500_000, 1),
        versions=500_000,
        edits=100,
        second_requests=110,
        stages={"Start": 50.0, "Copy": 71.0},
    )


def test_the_lost_task_is_followed_to_its_good_end(findings: Findings) -> None:
    text = as_markdown(findings, "chart.svg")
    # It had run for 4 s when the worker died; 32 s later it was noticed; worker-3 began anew at 61 s.
    assert "| extract 1 | 4 | 32 | worker-3 | 61 | 66 |" in text
    assert "worker-1, 8 s after the run began, with all its 5 processes" in text
    assert "*extract* had ended for 1 of 2 slices" in text
    assert "worker-3 was started in its place" in text


def test_a_lost_task_that_nobody_repeated_is_not_passed_over(findings: Findings) -> None:
    findings.copy = Watched(findings.copy.run, BEGAN, BEGAN + 70, TRIES[:3], TAKEN, (DEATH,))
    assert "| extract 1 | 4 | 32 | nobody | | |" in as_markdown(findings, "chart.svg")


def test_tasks_are_counted_by_worker_and_lost_ones_apart(findings: Findings) -> None:
    text = as_markdown(findings, "chart.svg")
    assert "| task | worker-1 | worker-2 | worker-3 | lost | s on average |" in text
    assert "| extract | 0 | 1 | 1 | 1 | 5.0 |" in text
    assert "| worker-1 | 512 | 3 |" in text


def test_figures_are_also_given_for_a_million_rows(findings: Findings) -> None:
    text = as_markdown(findings, "chart.svg")
    assert "| requests to Dynamics | 150 | 300 |" in text
    assert "| MB staged in them | 3 | 6 |" in text
    assert "| MB of the table `lead` | 300 | 600 |" in text
    assert "sync_run` |" not in text, "tables of a few kilobytes say nothing"


def test_the_books_are_written_as_a_sum(findings: Findings) -> None:
    assert "read 500,000 = 500,000 inserted; 2 slices" in as_markdown(findings, "chart.svg")
    assert "read 100 = 0 inserted + 100 updated." in as_markdown(findings, "chart.svg")
    assert as_summary(findings).startswith("500,000 rows were copied in 70 s; 1 tasks died with their workers")


def test_report_and_chart_are_kept_side_by_side(findings: Findings, tmp_path: Path) -> None:
    keep(tmp_path / "demo.md", findings)
    assert "![Tasks over time by worker](demo.svg)" in (tmp_path / "demo.md").read_text()
    assert (tmp_path / "demo.svg").read_text() == as_svg(TRIES, BEGAN, (DEATH,))


def test_the_chart_shows_each_try_and_the_death() -> None:
    root = ET.fromstring(as_svg(TRIES, BEGAN, (DEATH,)))  # noqa: S314 - our own
    named = "{http://www.w3.org/2000/svg}"
    titles = {title.text for title in root.iter(f"{named}title")}
    assert titles >= {"extract 1, try 1: 36.0 s, failed", "extract 1, try 2: 5.0 s, success"}
    assert len(titles) == len(TRIES)
    assert {"worker-1", "worker-2", "worker-3", "worker-1 killed"} <= {text.text for text in root.iter(f"{named}text")}
