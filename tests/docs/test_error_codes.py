"""docs/errors.md and the code name the same errors, in the same words."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dynamics_sync.dataverse.codes import CODES, STATUSES
from dynamics_sync.errors import (
    OUTGOING_PROBLEMS,
    ROW_PROBLEMS,
    AskPerson,
    ReadAgain,
    SetRowAside,
    StopRun,
    SyncError,
    TryAgain,
    WaitAsTold,
    error_classes,
)

# The nearer one first: who asks a person also stops the run.
_KINDS: dict[type[SyncError], str] = {
    AskPerson: "asks a person",
    StopRun: "stops the run",
    WaitAsTold: "waits as told",
    TryAgain: "is tried again",
    ReadAgain: "reads anew",
    SetRowAside: "sets the record aside",
}


def _errors() -> Iterator[tuple[str, str, str, str]]:
    """Code, name, what the sync does, and next step of each error."""
    for error in error_classes():
        kind = next(text for group, text in _KINDS.items() if issubclass(error, group))
        yield error.code, error.__name__, kind, error.next_step
    for problem in ROW_PROBLEMS:
        yield problem.code, problem.title, "sets the row aside", problem.next_step
    for problem in OUTGOING_PROBLEMS:
        yield problem.code, problem.title, "sets the record aside", problem.next_step


@pytest.fixture(scope="module")
def page(papers: Any) -> Any:
    return papers["docs/errors.md"]


@pytest.fixture(scope="module")
def sections(page: Any) -> dict[str, str]:
    """The text of each section by its heading."""
    parts = re.split(r"^## (DS-\d{3} .*)$", page.text.partition("\n## Codes of Dynamics")[0], flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_error_has_a_section_and_every_section_an_error(sections: dict[str, str]) -> None:
    assert list(sections) == sorted(f"{code} {name}" for code, name, _, _ in _errors())


def test_a_section_gives_the_next_step_of_the_message(sections: dict[str, str]) -> None:
    flat = {heading: " ".join(text.split()) for heading, text in sections.items()}
    missing = [
        code
        for code, name, _, step in _errors()
        if f"* *What to do:* {step.rstrip('.')}." not in flat[f"{code} {name}"]
    ]
    assert not missing


def test_a_section_says_what_was_not_done(sections: dict[str, str]) -> None:
    assert [heading for heading, text in sections.items() if "* *Not done:* " not in text] == []


def test_the_overview_says_what_the_sync_does(page: Any) -> None:
    rows = page.table("code", "name", "what the sync does")
    listed = [(re.sub(r"\[(.*?)\]\(.*?\)", r"\1", row[0]), row[1], row[2]) for row in rows]
    assert listed == sorted((code, name, kind) for code, name, kind, _ in _errors())
    explained = {row[0] for row in page.table("what it does", "what that means")}
    assert explained == {kind for _, _, kind in listed}


def test_the_codes_of_dynamics_are_listed(page: Any) -> None:
    listed = {row[0].strip("`"): (row[1], row[2]) for row in page.table("Dynamics", "Microsoft's name", "becomes")}
    assert listed == {
        code: (known.name, known.error.code if known.error else "by text or HTTP status")
        for code, known in CODES.items()
    }


def test_the_http_statuses_are_listed(page: Any) -> None:
    listed = {row[0]: row[1] for row in page.table("HTTP status", "becomes")}
    assert {status: code for status, code in listed.items() if status.isdecimal()} == {
        str(status): error.code for status, error in STATUSES.items()
    }


def test_what_nothing_raises_is_said_to_be_so(sections: dict[str, str], root: Path) -> None:
    sources = "".join(
        path.read_text() for path in (root / "include/dynamics_sync").rglob("*.py") if path.name != "errors.py"
    )
    unused = {error.code for error in error_classes() if not re.search(rf"\b{error.__name__}\b", sources)}
    said = {heading.split()[0] for heading, text in sections.items() if "No task raises it yet." in text}
    assert said == unused


def test_no_other_paper_names_a_code_that_is_none(papers: Any) -> None:
    known = {code for code, *_ in _errors()}
    unknown = {
        f"{paper.name}: {code}"
        for paper in papers.values()
        for code in re.findall(r"DS-\d{3}", paper.text)
        if code not in known
    }
    assert not unknown
