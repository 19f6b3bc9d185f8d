"""The tree of errors: each has a code of its own, a docstring, a next step, and a place in the tree."""

import inspect
import re

import pytest

from dynamics_sync import errors
from dynamics_sync.errors import (
    OUTGOING_PROBLEMS,
    ROW_PROBLEMS,
    AskPerson,
    CatalogueError,
    ReadAgain,
    RowProblem,
    SetRowAside,
    StopRun,
    SyncError,
    Throttled,
    TryAgain,
    WaitAsTold,
    error_classes,
    told_wait,
)

PROBLEMS = (*ROW_PROBLEMS, *OUTGOING_PROBLEMS)
CLASSES = tuple(error_classes())
#: What a caller does about an error; these are not raised themselves.
GROUPS = (StopRun, AskPerson, TryAgain, WaitAsTold, ReadAgain, SetRowAside)


def test_no_two_errors_share_a_code() -> None:
    codes = [*(error.code for error in CLASSES), *(problem.code for problem in PROBLEMS)]
    assert len(codes) > 30
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"DS-\d{3}", code) for code in codes)


def test_every_class_of_the_module_is_in_the_tree_once() -> None:
    defined = {
        value
        for value in vars(errors).values()
        if inspect.isclass(value) and issubclass(value, Exception) and value.__module__ == errors.__name__
    }
    assert defined == {SyncError, *GROUPS, *CLASSES}
    assert len(set(CLASSES)) == len(CLASSES)


def test_the_base_and_the_groups_have_no_code_and_all_others_their_own() -> None:
    assert all(not group.code for group in (SyncError, *GROUPS))
    assert all("code" in vars(error) for error in CLASSES)


@pytest.mark.parametrize("error", CLASSES, ids=lambda error: error.code)
def test_an_error_belongs_to_exactly_one_group(error: type[SyncError]) -> None:
    assert sum(issubclass(error, group) for group in (StopRun, TryAgain, ReadAgain, SetRowAside)) == 1


@pytest.mark.parametrize("error", [*GROUPS, *CLASSES], ids=lambda error: error.__name__)
def test_each_class_is_documented(error: type[SyncError]) -> None:
    assert error.__doc__
    assert error.__doc__ != SyncError.__doc__


@pytest.mark.parametrize("error", CLASSES, ids=lambda error: error.code)
def test_a_message_holds_code_event_what_was_not_done_and_the_next_step(error: type[SyncError]) -> None:
    assert error.next_step
    assert not error.next_step.endswith(".")
    said = str(error("lead 3f0c: it rains", not_done="Nothing was written"))
    assert said == f"{error.code} lead 3f0c: it rains. Nothing was written. {error.next_step}."
    assert "Wait. " in str(error("it rains", next_step="Wait.")) + " "
    assert error.next_step not in str(error("it rains", next_step="Wait"))


def test_points_are_not_doubled_and_empty_parts_leave_no_gap() -> None:
    assert str(CatalogueError("a.", not_done="b.", next_step="c.")) == "DS-101 a. b. c."
    assert str(CatalogueError("a", next_step="c")) == "DS-101 a. c."


def test_only_what_may_pass_carries_a_waiting_time() -> None:
    assert Throttled("busy", retry_after=7.5).retry_after == 7.5
    assert Throttled("busy").retry_after is None
    found = [told_wait(error) for error in (Throttled("busy", retry_after=7.5), CatalogueError("wrong"), ValueError())]
    assert found == [7.5, None, None]


def test_the_order_of_the_classes_is_that_of_the_tree_and_of_the_file() -> None:
    assert tuple(error_classes()) == CLASSES
    lines = {error: inspect.getsourcelines(error)[1] for error in CLASSES}
    for group in (AskPerson, WaitAsTold, ReadAgain, SetRowAside):
        members = [lines[error] for error in error_classes(group)]
        assert members == sorted(members)
        assert members


def test_each_row_problem_is_listed_and_explained() -> None:
    defined = [value for value in vars(errors).values() if isinstance(value, RowProblem)]
    assert sorted(problem.code for problem in defined) == sorted(problem.code for problem in PROBLEMS)
    assert all(problem.title and problem.next_step for problem in PROBLEMS)
    assert all(problem.code.startswith("DS-6") for problem in PROBLEMS)
