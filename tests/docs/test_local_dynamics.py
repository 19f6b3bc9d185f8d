"""docs/local-dynamics.md names tests, settings and faults that exist, and leaves none out."""

import json
import re
from pathlib import Path
from typing import Any

from dynamics_emulator.control.faults import Fault
from dynamics_emulator.settings import Settings, undocumented_settings

_PAPER = "docs/local-dynamics.md"
_TEST = re.compile(r"`([\w/]+\.py)(?:::(test_\w+))?`")


def _file(root: Path, name: str) -> Path:
    """A test file that the paper names: below the emulator's tests, or with its folder."""
    place = name.removeprefix("tests/")
    return root / "tests" / (place if "/" in place else f"dynamics_emulator/{place}")


def test_the_tests_exist(papers: Any, root: Path) -> None:
    named = _TEST.findall(papers[_PAPER].text)
    assert len(named) > 90
    missing = [
        f"{file}::{test}"
        for file, test in named
        if not _file(root, file).exists()
        or (test and not re.search(rf"^def {test}\(", _file(root, file).read_text(), re.MULTILINE))
    ]
    assert not missing


def test_each_line_has_its_tests(papers: Any) -> None:
    lines = re.findall(r"^\| (\d+) \|(.*)\|$", papers[_PAPER].text, re.MULTILINE)
    assert [int(number) for number, _ in lines] == list(range(1, 41))
    assert [number for number, line in lines if "::test_" not in line] == []


def test_settings_are_all_there_with_their_values(papers: Any) -> None:
    rows = papers[_PAPER].table("setting", "values", "what")
    shown = {name.strip("`"): [json.loads(f) for f in re.findall(r"`([^`]*)`", values)] for name, values, _ in rows}
    assert shown == dict(undocumented_settings())
    for name, _, what in rows:
        described = Settings.model_fields[name.strip("`")].description or ""
        assert what.replace("`", "") == " ".join(described.replace("`", "").split())


def test_faults_are_all_there(papers: Any) -> None:
    assert papers[_PAPER].words("fault", "what happens") == {fault.value: fault.description for fault in Fault}
