"""The report of the benchmarks: what is kept of earlier measurements, and how runs are summed up."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from bench.airflow_runs import CATALOGUE, MeasuredRun, TaskTimes
from bench.chart import as_svg, points
from bench.figures import Figure
from bench.leads import chosen_sizes
from bench.report import keep, section
from dynamics_sync.catalogue import load_catalogue

ORDER = ("copy", "parse")


def write(path: Path, part: str, *figures: Figure) -> str:
    keep(path, figures, {part: section(part, figures, "a machine", "What it does.")}, ORDER)
    return path.read_text()


def test_a_part_that_is_measured_alone_takes_the_place_of_its_section_only(tmp_path: Path) -> None:
    report = tmp_path / "report.md"
    write(report, "parse", Figure("parse_s", "seconds", 0.5, at_most=1))
    write(report, "copy", Figure("ratio", "times", 9, at_least=8, detail="| a |\n| --- |\n| b |"))
    text = write(report, "parse", Figure("parse_s", "seconds", 1.25, at_most=1))
    assert [line for line in text.splitlines() if line.startswith("## ")] == ["## copy", "## parse"]
    assert "| `parse_s` | seconds | 1.25 | ≤ 1 (missed) |" in text
    assert "0.50" not in text
    assert "Where `ratio` comes from:\n\n| a |\n| --- |\n| b |\n" in text
    assert json.loads(report.with_suffix(".json").read_text()) == {"parse_s": 1.25, "ratio": 9}
    assert write(report, "parse", Figure("parse_s", "seconds", 1.25, at_most=1)) == text


def test_a_target_is_shown_as_it_is() -> None:
    assert Figure("a", "", 1.4, at_most=1.5).target_text == "≤ 1.5"
    assert Figure("a", "", 1.6, at_least=10_000).target_text == "≥ 10,000"


def test_the_chart_shows_what_was_measured(tmp_path: Path) -> None:
    numbers = {"copy_postgres_ours_10k_s": 9.0, "copy_postgres_ours_1m_s": 61.5, "copy_sqlite_dlt_500_s": 3.0, "x": 1.0}
    drawn = points(numbers)
    assert drawn == {("postgres", "ours"): [(10_000, 9.0), (1_000_000, 61.5)], ("sqlite", "dlt"): [(500, 3.0)]}
    texts = [element.text for element in ET.fromstring(as_svg(drawn)).iter() if element.text]  # noqa: S314 - our own
    assert {"61.5", "1,000,000", "PostgreSQL: seconds by leads"} <= set(texts)
    text = write(tmp_path / "report.md", "copy", Figure("copy_postgres_ours_10k_s", "seconds", 9.0))
    assert "](report.svg)" in text


def task(name: str, called: float, returned: float) -> TaskTimes:
    return TaskTimes(name, -1, called - 2, called - 1, called, returned, returned, 0.5, 200.0)


def test_seconds_in_which_two_tasks_work_count_once() -> None:
    run = MeasuredRun(12.0, 0.1, [task("begin", 1, 2), task("load", 4, 8), task("load", 5, 6), task("load", 7, 10)])
    assert run.busy_seconds == 7
    assert run.work_seconds == 9
    assert "| load | 3 | 3.00 | 3.00 | 8.00 | 1.50 | 200 |" in run.table()


def test_forty_columns_of_a_lead_are_copied() -> None:
    catalogue = load_catalogue(CATALOGUE)
    assert not catalogue.errors
    # Its key and its version come with the fields.
    assert len(catalogue.entity("lead").fields) + 2 == 40


@pytest.mark.parametrize(
    ("environment", "sizes"),
    [
        ({}, (10_000, 100_000, 1_000_000)),
        ({"BENCH_SIZES": "100_000,10000"}, (10_000, 100_000)),
        ({"BENCH_SIZES": "10000", "BENCH_ROWS": "10_000_000"}, (10_000, 10_000_000)),
    ],
)
def test_sizes_are_chosen_by_the_environment(
    environment: dict[str, str], sizes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BENCH_SIZES", "BENCH_ROWS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert chosen_sizes() == sizes
