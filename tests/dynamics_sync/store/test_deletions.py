"""Marking rows as deleted, and the breaker before it."""

from contextlib import nullcontext

import pyarrow as pa
import pytest

from dynamics_sync.errors import DeletionBreaker
from dynamics_sync.store.deletions import Breaker, mark_absent, mark_deleted

LAX = Breaker(share=1, at_least=0)
TIGHT = Breaker(share=0.1, at_least=2)


def delete(sandbox, words, run, *numbers, seen, breaker=LAX):
    """Mark those that a feed names which was read to its end at minute `seen`."""
    ids = pa.array([words.guid(number) for number in numbers], pa.string())
    return mark_deleted(sandbox.db, sandbox.entity, run, ids, breaker, seen_at=words.at(seen))


def sweep(sandbox, words, run, *present, seen, breaker=LAX):
    """Mark all but those that a scan names which was read to its end at minute `seen`."""
    keys = words.keys(*present)
    return mark_absent(sandbox.db, sandbox.entity, run, [keys], breaker, seen_at=words.at(seen))


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
    assert delete(ten, words, run, 1, 2, 2, 99, seen=6) == 2
    row = ten.held()[words.guid(1)]
    assert (row["crm_deleted_at"], row["updated_at"]) == (words.at(6), words.at(7))
    assert deleted_numbers(ten) == {1, 2}


def test_a_row_that_is_deleted_already_does_not_count_for_another_run(ten, words):
    assert delete(ten, words, ten.begin(minutes=5), 1, seen=5) == 1
    assert delete(ten, words, ten.begin(minutes=6), 1, 2, seen=6) == 1
    assert ten.held()[words.guid(1)]["crm_deleted_at"] == words.at(5)


def test_a_repeated_task_reports_the_same_number(ten, words):
    run = ten.begin(minutes=5)
    ten.clock.set(7)
    for _ in range(2):
        assert delete(ten, words, run, 1, 2, seen=6, breaker=TIGHT) == 2
    scan = ten.begin(minutes=8)
    ten.clock.set(9)
    for _ in range(2):
        assert sweep(ten, words, scan, *range(4, 11), seen=8, breaker=TIGHT) == 1


def test_the_feed_may_name_no_deletion(ten, words):
    assert delete(ten, words, ten.begin(), seen=5, breaker=TIGHT) == 0


@pytest.mark.parametrize(
    ("numbers", "breaker", "trips"),
    [
        ((1, 2), Breaker(share=0.1, at_least=2), False),
        ((1, 2, 3), Breaker(share=0.1, at_least=2), True),
        ((1, 2, 3), Breaker(share=0.3, at_least=2), False),
        ((1, 2, 3, 4), Breaker(share=0.3, at_least=2), True),
        ((1, 2, 3, 4), Breaker(share=0.3, at_least=4), False),
        (tuple(range(1, 11)), Breaker(share=0.1, at_least=2, open=True), False),
        ((1, 2, 3, 4, 5), Breaker(share=0.1, at_least=1_000), False),
        ((1, 2, 3, 4, 5, 6), Breaker(share=0.1, at_least=1_000), True),
        ((1, 2, 3, 4, 5, 6), Breaker(share=0.6, at_least=1_000), False),
        (tuple(range(1, 8)), Breaker(share=0.6, at_least=1_000), True),
        (tuple(range(1, 11)), Breaker(share=0.1, at_least=1_000, open=True), False),
    ],
)
@pytest.mark.parametrize("way", ["feed", "keys"])
def test_the_breaker_trips_above_both_limits(ten, words, numbers, breaker, trips, way):
    def mark():
        run = ten.begin(minutes=5)
        if way == "feed":
            return delete(ten, words, run, *numbers, seen=5, breaker=breaker)
        present = (number for number in range(1, 11) if number not in numbers)
        return sweep(ten, words, run, *present, seen=5, breaker=breaker)

    if not trips:
        assert mark() == len(numbers)
        assert deleted_numbers(ten) == set(numbers)
        return
    with pytest.raises(DeletionBreaker, match=f"sample: {len(numbers)} of 10 living rows .* None was marked"):
        mark()
    assert deleted_numbers(ten) == set()


@pytest.mark.parametrize(
    ("breaker", "limit"),
    [
        (
            Breaker(share=0.25, at_least=2),
            r"the limit is 2 rows \(deletion_breaker_at_least\) or 25\.0% of them \(deletion_breaker_share\)",
        ),
        (Breaker(share=0.25, at_least=25), r"the limit is 50\.0% of them in a small table, where more than 3 would go"),
        (Breaker(share=0.6, at_least=25), r"the limit is 60\.0% of them in a small table, where more than 3 would go"),
    ],
)
def test_the_message_names_the_limit_that_was_passed(breaker, limit, sample):
    with pytest.raises(DeletionBreaker, match=f"DS-702 sample: 7 of 10 living rows would be marked .*; {limit}"):
        breaker.check(sample, 7, 10)


@pytest.mark.parametrize(("count", "living", "trips"), [(3, 3, False), (3, 4, False), (4, 4, True), (4, 7, True)])
def test_a_few_rows_may_go_from_a_table_of_any_size(count, living, trips, sample):
    with pytest.raises(DeletionBreaker) if trips else nullcontext():
        Breaker(share=0.2, at_least=25).check(sample, count, living)


def test_ids_that_are_not_alive_do_not_trip_the_breaker(ten, words):
    assert delete(ten, words, ten.begin(minutes=5), *range(100, 200), seen=5, breaker=TIGHT) == 0


def test_no_keys_at_all_trip_the_breaker_however_lax_it_is(ten, words):
    with pytest.raises(DeletionBreaker, match="named no record at all, while 10 rows are alive"):
        sweep(ten, words, ten.begin(minutes=5), seen=5, breaker=Breaker(share=1, at_least=1_000))
    assert deleted_numbers(ten) == set()
    opened = Breaker(share=0, at_least=0, open=True)
    assert sweep(ten, words, ten.begin(minutes=5), seen=5, breaker=opened) == 10


def test_no_keys_are_right_for_a_table_without_living_rows(sandbox, words):
    assert sweep(sandbox, words, sandbox.begin(), seen=0, breaker=TIGHT) == 0


def test_keys_in_capitals_are_the_same_keys(ten, words):
    ten.load(ten.begin(), [words.row(0xABC, 1)])
    keys = pa.table({"id": [words.guid(0xABC).upper()], "version": [1]})
    assert ten.to_fetch(keys) == []
    run = ten.begin(minutes=5)
    assert mark_absent(ten.db, ten.entity, run, [keys], LAX, seen_at=words.at(5)) == 10
    assert 0xABC not in deleted_numbers(ten)


def test_a_key_without_a_version_is_fetched(ten, words):
    keys = pa.table({"id": [words.guid(1)] * 2, "version": pa.array([1, None], pa.int64())})
    assert ten.to_fetch(keys) == [{"id": words.guid(1), "version": None}]


def test_a_key_that_is_named_twice_is_fetched_once_in_its_highest_version(ten, words):
    assert ten.to_fetch(words.keys(1, version=8), words.keys(1, version=9)) == [{"id": words.guid(1), "version": 9}]
