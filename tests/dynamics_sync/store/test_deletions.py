"""Marking rows as deleted, and the breaker before it."""

import pyarrow as pa
import pytest

from dynamics_sync.errors import DeletionBreaker
from dynamics_sync.store.deletions import Breaker, mark_absent, mark_deleted
from dynamics_sync.store.difference import keys_to_fetch

LAX = Breaker(share=1, at_least=0)
TIGHT = Breaker(share=0.1, at_least=2)


def ids(words, *numbers):
    return pa.array([words.guid(number) for number in numbers], pa.string())


def deleted_numbers(sandbox):
    return {int(key[-12:], 16) for key, row in sandbox.held().items() if row["crm_deleted_at"]}


@pytest.fixture
def ten(sandbox, words):
    """A table with the rows 1 to 10."""
    sandbox.load(sandbox.begin(), [words.row(number, 1) for number in range(1, 11)])
    return sandbox


def test_ids_of_the_feed_are_marked_and_unknown_ones_are_normal(ten, words):
    run = ten.begin(minutes=5)
    ten.clock.set(7)
    assert mark_deleted(ten.db, ten.entity, run, ids(words, 1, 2, 2, 99), LAX) == 2
    row = ten.held()[words.guid(1)]
    assert (row["crm_deleted_at"], row["updated_at"]) == (words.at(5), words.at(7))
    assert deleted_numbers(ten) == {1, 2}


def test_a_row_that_is_deleted_already_does_not_count_for_another_run(ten, words):
    run = ten.begin(minutes=5)
    assert mark_deleted(ten.db, ten.entity, run, ids(words, 1), LAX) == 1
    assert mark_deleted(ten.db, ten.entity, ten.begin(minutes=6), ids(words, 1, 2), LAX) == 1
    assert ten.held()[words.guid(1)]["crm_deleted_at"] == words.at(5)


def test_a_repeated_task_reports_the_same_number(ten, words):
    run = ten.begin(minutes=5)
    ten.clock.set(7)
    for _ in range(2):
        assert mark_deleted(ten.db, ten.entity, run, ids(words, 1, 2), TIGHT) == 2
    sweep = ten.begin(minutes=8)
    ten.clock.set(9)
    for _ in range(2):
        assert mark_absent(ten.db, ten.entity, sweep, words.keys(*range(4, 11)), TIGHT) == 1


def test_the_feed_may_name_no_deletion(ten):
    assert mark_deleted(ten.db, ten.entity, ten.begin(), pa.array([], pa.string()), TIGHT) == 0


@pytest.mark.parametrize(
    ("numbers", "breaker", "trips"),
    [
        ((1, 2), Breaker(share=0.1, at_least=2), False),
        ((1, 2, 3), Breaker(share=0.1, at_least=2), True),
        ((1, 2, 3), Breaker(share=0.3, at_least=2), False),
        ((1, 2, 3, 4), Breaker(share=0.3, at_least=2), True),
        ((1, 2, 3, 4), Breaker(share=0.3, at_least=4), False),
        (tuple(range(1, 11)), Breaker(share=0.1, at_least=2, open=True), False),
    ],
)
@pytest.mark.parametrize("way", ["feed", "keys"])
def test_the_breaker_trips_above_both_limits(ten, words, numbers, breaker, trips, way):
    def mark():
        run = ten.begin(minutes=5)
        if way == "feed":
            return mark_deleted(ten.db, ten.entity, run, ids(words, *numbers), breaker)
        present = words.keys(*(number for number in range(1, 11) if number not in numbers))
        return mark_absent(ten.db, ten.entity, run, present, breaker)

    if not trips:
        assert mark() == len(numbers)
        assert deleted_numbers(ten) == set(numbers)
        return
    with pytest.raises(DeletionBreaker, match=f"sample: {len(numbers)} of 10 living rows .* None was marked"):
        mark()
    assert deleted_numbers(ten) == set()


def test_ids_that_are_not_alive_do_not_trip_the_breaker(ten, words):
    many = ids(words, *range(100, 200))
    assert mark_deleted(ten.db, ten.entity, ten.begin(minutes=5), many, TIGHT) == 0


def test_no_keys_at_all_trip_the_breaker_however_lax_it_is(ten, words):
    with pytest.raises(DeletionBreaker, match="named no record at all, while 10 rows are alive"):
        mark_absent(ten.db, ten.entity, ten.begin(minutes=5), words.keys(), Breaker(share=1, at_least=1_000))
    assert deleted_numbers(ten) == set()
    opened = Breaker(share=0, at_least=0, open=True)
    assert mark_absent(ten.db, ten.entity, ten.begin(minutes=5), words.keys(), opened) == 10


def test_no_keys_are_right_for_a_table_without_living_rows(sandbox, words):
    assert mark_absent(sandbox.db, sandbox.entity, sandbox.begin(), words.keys(), TIGHT) == 0


def test_a_row_that_another_run_brought_meanwhile_is_not_swept(ten, words):
    sweep = ten.begin(minutes=5)
    window = ten.begin(minutes=6)
    ten.load(window, [words.row(11, 2), words.row(1, 2, name="changed")])
    assert mark_absent(ten.db, ten.entity, sweep, words.keys(*range(3, 11)), LAX) == 1
    assert deleted_numbers(ten) == {2}


def test_keys_in_capitals_are_the_same_keys(ten, words):
    ten.load(ten.begin(), [words.row(0xABC, 1)])
    keys = pa.table({"id": [words.guid(0xABC).upper()], "version": [1]})
    assert keys_to_fetch(ten.db, ten.entity, keys).to_pylist() == []
    assert mark_absent(ten.db, ten.entity, ten.begin(minutes=5), keys, LAX) == 10
    assert 0xABC not in deleted_numbers(ten)


def test_a_key_without_a_version_is_fetched(ten, words):
    keys = pa.table({"id": [words.guid(1)] * 2, "version": pa.array([1, None], pa.int64())})
    assert keys_to_fetch(ten.db, ten.entity, keys).to_pylist() == [words.guid(1)]
