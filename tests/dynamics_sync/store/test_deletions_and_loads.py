"""Deletions that are seen, and rows that are loaded, by runs that overlap. Minutes tell what happened when."""

import pyarrow as pa
import pytest

from dynamics_sync.store.deletions import Breaker, mark_absent, mark_deleted
from dynamics_sync.store.runs import Counts

OPEN = Breaker(0, 0, open=True)


@pytest.fixture(params=["feed", "keys"])
def find_deleted(request, sandbox, words):
    """Return the end of a run whose feed, or whose scan, was read to its end at minute `seen` without record 1."""

    def find(run, seen):
        if request.param == "feed":
            ids = pa.array([words.guid(1)])
            return mark_deleted(sandbox.db, sandbox.entity, run, ids, OPEN, seen_at=words.at(seen))
        return mark_absent(sandbox.db, sandbox.entity, run, [words.keys(2)], OPEN, seen_at=words.at(seen))

    return find


def deleted_at(sandbox, words):
    return sandbox.held()[words.guid(1)]["crm_deleted_at"]


def test_a_row_that_was_extracted_before_its_deletion_stays_deleted_when_it_is_loaded_late(
    sandbox, words, find_deleted
):
    sandbox.load(sandbox.begin(minutes=0), [words.row(1, 1)])
    scheduled = sandbox.begin(minutes=1)
    backfill = sandbox.begin(minutes=2)  # extracts record 1 at minute 3; it is deleted at minute 4
    assert find_deleted(scheduled, seen=5) == 1
    assert sandbox.load(backfill, [words.row(1, 2, name="late")]) == Counts(read=1, unchanged=1)
    assert deleted_at(sandbox, words) == words.at(5)


def test_a_row_that_was_extracted_before_its_deletion_is_deleted_also_when_it_is_loaded_before(
    sandbox, words, find_deleted
):
    sandbox.load(sandbox.begin(minutes=0), [words.row(1, 1)])
    scheduled = sandbox.begin(minutes=1)
    backfill = sandbox.begin(minutes=2)
    sandbox.clock.set(6)
    assert sandbox.load(backfill, [words.row(1, 2, name="in between")]) == Counts(read=1, updated=1)
    for _ in range(2):
        assert find_deleted(scheduled, seen=5) == 1
    assert deleted_at(sandbox, words) == words.at(5)


def test_a_record_that_was_restored_is_not_deleted_by_a_finish_that_was_delayed(sandbox, words, find_deleted):
    sandbox.load(sandbox.begin(minutes=0), [words.row(1, 1)])
    delayed = sandbox.begin(minutes=1)  # sees at minute 2 that record 1 is deleted; it is restored at minute 3
    sandbox.load(sandbox.begin(minutes=4), [words.row(1, 2)])
    for _ in range(2):
        assert find_deleted(delayed, seen=2) == 0
    assert deleted_at(sandbox, words) is None


def test_a_record_that_was_restored_after_it_was_marked_is_not_marked_by_a_repeated_finish(
    sandbox, words, find_deleted
):
    sandbox.load(sandbox.begin(minutes=0), [words.row(1, 1)])
    delayed = sandbox.begin(minutes=1)
    assert find_deleted(delayed, seen=2) == 1
    sandbox.load(sandbox.begin(minutes=4), [words.row(1, 1)])
    assert find_deleted(delayed, seen=2) == 0
    assert deleted_at(sandbox, words) is None


def test_a_row_that_the_run_itself_read_after_its_feed_stays_alive(sandbox, words, find_deleted):
    sandbox.load(sandbox.begin(minutes=0), [words.row(1, 1)])
    run = sandbox.begin(minutes=1)  # its feed ends at minute 2; the record is restored before the run fetches it
    sandbox.load(run, [words.row(1, 2)])
    assert find_deleted(run, seen=2) == 0
    assert deleted_at(sandbox, words) is None


def test_a_row_that_a_run_made_beside_a_scan_comes_back_by_the_next_run(sandbox, words):
    sandbox.load(sandbox.begin(minutes=0), [words.row(2, 1)])
    scan = sandbox.begin(minutes=1)
    beside = sandbox.begin(minutes=2)  # record 1 is made at minute 3, where the scan has already been
    assert sandbox.load(beside, [words.row(1, 7, name="new")]) == Counts(read=1, inserted=1)
    assert mark_absent(sandbox.db, sandbox.entity, scan, [words.keys(2)], OPEN, seen_at=words.at(4)) == 1
    assert deleted_at(sandbox, words) == words.at(4)

    following = sandbox.begin(minutes=5)
    assert sandbox.to_fetch(words.keys(1, version=7)) == [{"id": words.guid(1), "version": 7}]
    assert sandbox.load(following, [words.row(1, 7, name="new")]) == Counts(read=1, updated=1)
    assert deleted_at(sandbox, words) is None


def test_rows_that_are_spared_do_not_trip_the_breaker(sandbox, words):
    sandbox.load(sandbox.begin(minutes=0), [words.row(number, 1) for number in range(1, 11)])
    delayed = sandbox.begin(minutes=1)
    sandbox.load(sandbox.begin(minutes=4), [words.row(number, 2) for number in range(2, 11)])
    keys, breaker = words.keys(99), Breaker(share=0.1, at_least=1)
    assert mark_absent(sandbox.db, sandbox.entity, delayed, [keys], breaker, seen_at=words.at(2)) == 1
