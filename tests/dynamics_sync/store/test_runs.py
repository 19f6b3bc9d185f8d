"""The record of runs."""

from dataclasses import replace

import pytest
import sqlalchemy as sa

from dynamics_sync.errors import CountsDoNotAddUp, DeletionBreaker, NoPlaceFree
from dynamics_sync.store.runs import (
    Counts,
    RunIdentity,
    begin_run,
    fail_run,
    finish_run,
    go_on_with_run,
    hold_run,
    run_state,
)
from dynamics_sync.store.sync_tables import SYNC_RUN, SYNC_SLICE


def the_run(sandbox):
    (row,) = sandbox.query(sa.select(SYNC_RUN))
    return row


def test_a_run_that_was_never_begun_has_no_state(db, words):
    assert run_state(db, RunIdentity("sample", "run", "attempt", words.at(0))) is None


def test_a_run_is_written_with_the_sum_of_its_slices(sandbox, words):
    run = sandbox.begin(minutes=1)
    assert run_state(sandbox.db, run) == "running"
    sandbox.load(run, [words.row(1, 1), words.row(2, 1)], slice_number=0, filtered=3)
    sandbox.load(run, [words.row(1, 2, name="Ada"), words.row(2, 1)], slice_number=1, rejected=[words.rejected(3)])
    sandbox.clock.set(2)
    counts = finish_run(sandbox.db, run, deleted=4)
    assert counts == Counts(read=8, inserted=2, updated=1, unchanged=1, filtered=3, rejected=1)
    assert the_run(sandbox) == {
        "entity": "sample",
        "direction": "from_dynamics",
        "run_id": "run 1",
        "run_key": "attempt 1",
        "mode": "window",
        "state": "success",
        "begun_at": words.at(1),
        "finished_at": words.at(2),
        "read_rows": 8,
        "inserted": 2,
        "updated": 1,
        "unchanged": 1,
        "filtered": 3,
        "rejected": 1,
        "postponed": 0,
        "deleted": 4,
        "error_code": None,
        "error": None,
    }
    assert finish_run(sandbox.db, run, deleted=4) == counts


def test_a_run_without_slices_succeeds_with_zeros(sandbox):
    assert finish_run(sandbox.db, sandbox.begin(), 0) == Counts()


def test_a_failed_run_keeps_code_and_text_and_may_succeed_later(sandbox):
    run = sandbox.begin()
    fail_run(sandbox.db, run, DeletionBreaker("sample: 5 of 6"))
    row = the_run(sandbox)
    assert (row["state"], row["error_code"]) == ("failed", "DS-702")
    assert row["error"].startswith("DS-702 sample: 5 of 6.")
    finish_run(sandbox.db, run, 0)
    assert (the_run(sandbox)["state"], the_run(sandbox)["error"]) == ("success", None)
    fail_run(sandbox.db, run, "a callback that came late")
    assert run_state(sandbox.db, run) == "success"


def test_a_failure_without_a_code(sandbox):
    run = sandbox.begin()
    fail_run(sandbox.db, run, "killed")
    assert (the_run(sandbox)["error_code"], the_run(sandbox)["error"]) == (None, "killed")


def test_a_cleared_run_takes_the_place_of_its_earlier_attempt(sandbox, words):
    first = sandbox.begin(minutes=1)
    sandbox.load(first, [words.row(1, 1)])
    fail_run(sandbox.db, first, "killed")
    second = replace(first, run_key="attempt 2", begun_at=words.at(2))
    begin_run(sandbox.db, second, "window")
    row = the_run(sandbox)
    assert (row["run_key"], row["state"], row["error"], row["begun_at"]) == ("attempt 2", "running", None, words.at(2))
    assert sandbox.query(sa.select(SYNC_SLICE)) == []
    assert run_state(sandbox.db, first) is None
    assert sandbox.load(second, [words.row(1, 1)]) == Counts(read=1, unchanged=1)
    assert finish_run(sandbox.db, second, 0) == Counts(read=1, unchanged=1)
    with pytest.raises(CountsDoNotAddUp, match="begun anew"):
        finish_run(sandbox.db, first, 0)
    assert the_run(sandbox)["read_rows"] == 1


def test_a_repeated_begin_keeps_the_slices_of_its_attempt(sandbox, words):
    run = sandbox.begin()
    sandbox.load(run, [words.row(1, 1)])
    begin_run(sandbox.db, run, "window")
    assert finish_run(sandbox.db, run, 0) == Counts(read=1, inserted=1)


def test_counts_that_do_not_add_up_stop_the_run(sandbox, words):
    run = sandbox.begin()
    sandbox.load(run, [words.row(1, 1)])
    with sandbox.db.writing() as connection:
        connection.execute(SYNC_SLICE.update().values(inserted=0))
    with pytest.raises(CountsDoNotAddUp, match=r"DS-703 read 1 rows, but accounted for 0: inserted 0 \+ updated 0"):
        finish_run(sandbox.db, run, 0)
    assert run_state(sandbox.db, run) == "running"


def test_a_negative_count_does_not_add_up():
    with pytest.raises(CountsDoNotAddUp):
        Counts(read=1, inserted=-1, unchanged=2).check()


def test_counts_are_added_figure_by_figure():
    assert Counts(1, 2, 3, 4, 5, 6) + Counts(10, 20, 30, 40, 50, 60) == Counts(11, 22, 33, 44, 55, 66)


def test_a_wait_of_one_task_does_not_hide_that_another_has_failed(sandbox):
    run = sandbox.begin()
    hold_run(sandbox.db, run, NoPlaceFree("full", retry_after=35))
    assert (the_run(sandbox)["state"], the_run(sandbox)["error_code"]) == ("waiting", "DS-310")
    fail_run(sandbox.db, run, DeletionBreaker("too many"))
    hold_run(sandbox.db, run, NoPlaceFree("full", retry_after=35))
    go_on_with_run(sandbox.db, run)
    assert (the_run(sandbox)["state"], the_run(sandbox)["error_code"]) == ("failed", DeletionBreaker.code)
