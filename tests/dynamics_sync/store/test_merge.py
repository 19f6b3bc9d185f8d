"""What a load does to the rows that are held, and how it counts."""

import pyarrow as pa
import pytest

from dynamics_sync.errors import CountsDoNotAddUp
from dynamics_sync.store.deletions import Breaker, mark_deleted
from dynamics_sync.store.merge import load_slice
from dynamics_sync.store.runs import Counts
from dynamics_sync.store.schema import rows_schema

OPEN = Breaker(0, 0, open=True)


def test_new_rows_are_inserted(sandbox, words):
    run = sandbox.begin(minutes=5)
    assert sandbox.load(run, [words.row(1, 10, name="Ada"), words.row(2, 11)]) == Counts(read=2, inserted=2)
    row = sandbox.held()[words.guid(1)]
    assert (row["name"], row["crm_version"], row["crm_deleted_at"]) == ("Ada", 10, None)
    assert row["updated_at"] == words.at(5)


def test_a_newer_version_with_other_values_updates(sandbox, words):
    sandbox.load(sandbox.begin(), [words.row(1, 10, name="Ada", notes="old")])
    counts = sandbox.load(sandbox.begin(minutes=5), [words.row(1, 11, name="Ada", notes=None)])
    assert counts == Counts(read=1, updated=1)
    row = sandbox.held()[words.guid(1)]
    assert (row["notes"], row["crm_version"], row["updated_at"]) == (None, 11, words.at(5))


def test_a_newer_version_with_the_same_values_is_remembered_but_is_no_change(sandbox, words):
    sandbox.load(sandbox.begin(), [words.row(1, 10, name="Ada")])
    assert sandbox.load(sandbox.begin(minutes=5), [words.row(1, 12, name="Ada")]) == Counts(read=1, unchanged=1)
    row = sandbox.held()[words.guid(1)]
    assert (row["crm_version"], row["updated_at"]) == (12, words.at(0))
    sandbox.load(sandbox.begin(minutes=6), [words.row(1, 11, name="older")])
    assert sandbox.held()[words.guid(1)]["name"] == "Ada"


def test_an_older_version_changes_nothing(sandbox, words):
    sandbox.load(sandbox.begin(), [words.row(1, 10, name="Ada")])
    assert sandbox.load(sandbox.begin(minutes=5), [words.row(1, 9, name="old")]) == Counts(read=1, unchanged=1)
    assert sandbox.held()[words.guid(1)]["name"] == "Ada"


def test_an_equal_version_repairs_what_the_table_lacked(sandbox, words):
    sandbox.load(sandbox.begin(), [words.row(1, 10, rating_code=1, rating_label="Hot")])
    counts = sandbox.load(sandbox.begin(), [words.row(1, 10, rating_code=1, rating_label="Very hot")])
    assert counts == Counts(read=1, updated=1)
    assert sandbox.held()[words.guid(1)]["rating_label"] == "Very hot"


def test_the_instant_of_reading_is_that_of_the_run_that_last_applied(sandbox, words):
    def read_at(minutes, version, name="Ada"):
        sandbox.load(sandbox.begin(minutes=minutes), [words.row(1, version, name=name)])
        return sandbox.held()[words.guid(1)]["crm_read_at"]

    assert read_at(1, 10) == words.at(1)
    assert read_at(2, 10) == words.at(1)  # seen unchanged
    assert read_at(3, 11) == words.at(3)  # a higher version of the same values
    assert read_at(4, 12, "Grace") == words.at(4)
    assert read_at(5, 11) == words.at(4)  # an older version
    assert read_at(2, 13, "Edith") == words.at(4)  # a run that began earlier and loads later
    assert read_at(2, 14, "Edith") == words.at(4)
    assert sandbox.held()[words.guid(1)]["crm_version"] == 14


def test_of_duplicates_in_a_slice_the_highest_version_stands(sandbox, words):
    rows = [words.row(1, 10, name="b"), words.row(1, 11, name="c"), words.row(1, 9, name="a"), words.row(2, 5)]
    assert sandbox.load(sandbox.begin(), rows) == Counts(read=4, inserted=2, unchanged=2)
    assert sandbox.held()[words.guid(1)]["name"] == "c"


def test_of_duplicates_of_one_version_the_last_stands(sandbox, words):
    rows = [words.row(1, 10, name=name) for name in ("b", "c", "a")]
    assert sandbox.load(sandbox.begin(), rows) == Counts(read=3, inserted=1, unchanged=2)
    assert sandbox.held()[words.guid(1)]["name"] == "a"


def test_a_key_in_capitals_is_the_same_key(sandbox, words):
    sandbox.load(sandbox.begin(), [{"sample_id": words.guid(0xAB), "crm_version": 1}])
    capitals = {"sample_id": words.guid(0xAB).upper(), "crm_version": 2, "name": "same"}
    assert sandbox.load(sandbox.begin(), [capitals]) == Counts(read=1, updated=1)
    assert sandbox.held()[words.guid(0xAB)]["name"] == "same"


def test_a_deleted_row_comes_back_only_by_a_run_that_began_after_the_deletion(sandbox, words):
    late = sandbox.begin(minutes=1)
    sandbox.load(sandbox.begin(), [words.row(1, 10, name="Ada")])
    feed = sandbox.begin(minutes=2)
    mark_deleted(sandbox.db, sandbox.entity, feed, pa.array([words.guid(1)]), OPEN, seen_at=words.at(2))
    assert sandbox.load(late, [words.row(1, 11, name="late")]) == Counts(read=1, unchanged=1)
    assert sandbox.held()[words.guid(1)]["crm_deleted_at"] == words.at(2)

    assert sandbox.load(sandbox.begin(minutes=3), [words.row(1, 10, name="Ada")]) == Counts(read=1, updated=1)
    row = sandbox.held()[words.guid(1)]
    assert (row["crm_deleted_at"], row["updated_at"]) == (None, words.at(3))


def test_a_row_does_not_come_back_by_the_run_that_found_it_deleted(sandbox, words):
    sandbox.load(sandbox.begin(), [words.row(1, 10)])
    run = sandbox.begin(minutes=1)
    mark_deleted(sandbox.db, sandbox.entity, run, pa.array([words.guid(1)]), OPEN, seen_at=words.at(1))
    assert sandbox.load(run, [words.row(1, 10)], slice_number=1) == Counts(read=1, unchanged=1)
    assert sandbox.held()[words.guid(1)]["crm_deleted_at"] == words.at(1)


def test_a_slice_is_loaded_once_and_counts_the_same_when_it_is_repeated(sandbox, words):
    run = sandbox.begin()
    first = sandbox.load(run, [words.row(1, 10, name="Ada")], filtered=2, rejected=[words.rejected(2)])
    assert first == Counts(read=4, inserted=1, filtered=2, rejected=1)
    sandbox.load(sandbox.begin(minutes=1), [words.row(1, 11, name="Grace")])
    assert sandbox.load(run, [words.row(1, 10, name="Ada")], filtered=2, rejected=[words.rejected(2)]) == first
    assert sandbox.held()[words.guid(1)]["name"] == "Grace"


def test_a_slice_without_rows_is_recorded(sandbox):
    run = sandbox.begin()
    assert sandbox.load(run, [], filtered=3) == Counts(read=3, filtered=3)
    assert sandbox.load(run, [], filtered=3) == Counts(read=3, filtered=3)


def test_nothing_is_committed_when_a_row_is_not_accounted_for(sandbox, words):
    run = sandbox.begin()
    pages = [rows_schema(sandbox.entity).empty_table()]
    with pytest.raises(CountsDoNotAddUp, match=r"read 3 rows, but accounted for 2"):
        load_slice(sandbox.db, sandbox.entity, run, 0, pages, [[words.rejected(1)]], read=3, filtered=1)
    assert sandbox.load(run, [words.row(1, 1)]) == Counts(read=1, inserted=1)
    assert sandbox.held().keys() == {words.guid(1)}
