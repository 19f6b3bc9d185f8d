"""Loads of one entity at the same time: new rows side by side, held rows one load after another."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from threading import Barrier, BrokenBarrierError

import pyarrow as pa
import pytest
import sqlalchemy as sa

from dynamics_sync.errors import MarketingDatabaseBusy
from dynamics_sync.store.database import MarketingDatabase
from dynamics_sync.store.merge import load_slice
from dynamics_sync.store.runs import Counts, finish_run
from dynamics_sync.store.schema import entity_table
from dynamics_sync.store.sync_tables import SYNC_CONFLICT, SYNC_QUARANTINE

# SQLite has one writer at a time, so that nothing is side by side there.
pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@dataclass
class Interrupted:
    """Pages whose first reading lets something else happen, in the middle of the load that reads them."""

    pages: list[pa.Table]
    happens: Callable[[], None]

    def __iter__(self) -> Iterator[pa.Table]:
        happens, self.happens = self.happens, lambda: None
        happens()
        return iter(self.pages)


@pytest.fixture
def other(sandbox):
    """The same database, as another task sees it; it waits for no lock."""
    with MarketingDatabase.open(sandbox.url, clock=sandbox.clock, lock_timeout=0.05) as db:
        yield replace(sandbox, db=db)


@dataclass
class Crossing:
    """Two pages, of which the second comes once another load has its first one in, too."""

    pages: list[pa.Table]
    both: Barrier

    def __iter__(self) -> Iterator[pa.Table]:
        yield self.pages[0]
        if not self.both.broken:
            with suppress(BrokenBarrierError):
                self.both.wait(30)
            self.both.abort()  # Whoever begins anew does so alone.
        yield self.pages[1]


@pytest.fixture
def load_interrupted(sandbox, words):
    """Load rows that are looked at first, and come when something else has happened."""

    def load(run, rows, happens, rejected=(), into=sandbox):
        pages = Interrupted([words.rows_of(into.entity, rows)], happens)
        keys, read = keys_of(into, pages.pages), len(rows) + len(rejected)
        return load_slice(into.db, into.entity, run, 1, pages, [rejected], read=read, filtered=0, keys=keys)

    return load


def keys_of(sandbox, pages):
    return [page.select([sandbox.entity.key.column, "crm_version"]) for page in pages]


def test_new_rows_do_not_wait_for_those_of_another_slice(sandbox, other, words, load_interrupted):
    run = sandbox.begin()
    meanwhile = []

    def load_another():
        meanwhile.append(other.load(run, [words.row(2, 1)], slice_number=2))
        assert other.held().keys() == {words.guid(2)}

    assert load_interrupted(run, [words.row(1, 1)], load_another) == Counts(read=1, inserted=1)
    assert meanwhile == [Counts(read=1, inserted=1)]
    assert sandbox.held().keys() == {words.guid(1), words.guid(2)}
    assert finish_run(sandbox.db, run, 0) == Counts(read=2, inserted=2)


@pytest.mark.parametrize(("version", "counts", "held"), [(7, {"updated": 1}, "mine"), (3, {"unchanged": 1}, "theirs")])
def test_a_load_that_is_overtaken_merges_what_the_other_brought(
    sandbox, other, words, load_interrupted, version, counts, held
):
    run = sandbox.begin()
    rows = [words.row(1, version, name="mine"), words.row(2, version, name="mine")]

    def overtake():
        other.load(run, [words.row(2, 5, name="theirs")], slice_number=2)

    assert load_interrupted(run, rows, overtake) == Counts(read=2, inserted=1, **counts)
    assert {key: row["name"] for key, row in sandbox.held().items()} == {words.guid(1): "mine", words.guid(2): held}
    assert finish_run(sandbox.db, run, 0) == Counts(read=3, inserted=2, **counts)


def test_loads_that_wait_for_each_other_are_merged_one_after_another(sandbox, words):
    """Each holds a row that the other one is about to insert."""
    run = sandbox.begin()
    both = Barrier(2)

    def load(number, first, second):
        pages = [words.rows_of(sandbox.entity, [words.row(key, 1)]) for key in (first, second)]
        keys, crossing = keys_of(sandbox, pages), Crossing(pages, both)
        with MarketingDatabase.open(sandbox.url, clock=sandbox.clock) as db:
            return load_slice(db, sandbox.entity, run, number, crossing, [], read=2, filtered=0, keys=keys)

    with ThreadPoolExecutor(2) as pool:
        loads = [pool.submit(load, 1, 1, 2), pool.submit(load, 2, 2, 1)]
        counts = [future.result(60) for future in loads]
    assert sorted(counts, key=lambda count: count.inserted) == [
        Counts(read=2, unchanged=2),
        Counts(read=2, inserted=2),
    ]
    assert finish_run(sandbox.db, run, 0) == Counts(read=4, inserted=2, unchanged=2)


def test_a_slice_with_rows_that_are_put_aside_is_loaded_alone(sandbox, other, words, load_interrupted):
    """Another version of such a record may come through beside it: the two must see each other."""
    run = sandbox.begin()

    def bring_the_next_version():
        with pytest.raises(MarketingDatabaseBusy):
            other.load(run, [words.row(3, 5)], slice_number=2)

    aside = [words.rejected(3, version=4)]
    assert load_interrupted(run, [words.row(1, 1)], bring_the_next_version, aside) == Counts(2, 1, 0, 0, 0, 1)
    assert other.load(run, [words.row(3, 5)], slice_number=2) == Counts(read=1, inserted=1)
    states = [row["resolved_at"] is None for row in sandbox.query(sa.select(SYNC_QUARANTINE))]
    assert states == [False]


def test_a_slice_that_two_tasks_load_at_once_is_counted_once(sandbox, other, words, load_interrupted):
    run = sandbox.begin()
    rows = [words.row(1, 1), words.row(2, 1)]
    expected = Counts(read=2, inserted=2)
    assert load_interrupted(run, rows, lambda: other.load(run, rows, slice_number=1)) == expected
    assert finish_run(sandbox.db, run, 0) == expected


def test_a_slice_without_rows_that_two_tasks_load_at_once_is_counted_once(sandbox, other, load_interrupted):
    run = sandbox.begin()
    assert load_interrupted(run, [], lambda: other.load(run, [], slice_number=1)) == Counts()
    assert finish_run(sandbox.db, run, 0) == Counts()


def test_a_row_that_a_person_adds_meanwhile_is_as_one_that_was_there_before(
    db, database_url, clock, words, load_interrupted
):
    two_way = words.sandbox(db, database_url, clock, words.entity("two_way"))

    def add(number):
        with db.writing() as connection:
            connection.execute(
                entity_table(two_way.entity).insert().values(sample_id=words.guid(number), name="theirs", employees=3)
            )

    def load(number, happens):
        return load_interrupted(two_way.begin(), [words.row(number, 1, name="mine", employees=5)], happens, (), two_way)

    def state(number):
        row = two_way.held()[words.guid(number)]
        conflicts = two_way.query(sa.select(SYNC_CONFLICT).where(SYNC_CONFLICT.c.record_id == words.guid(number)))
        found = sorted((found["column_name"], found["ours"], found["theirs"], found["outcome"]) for found in conflicts)
        return row["name"], row["employees"], row["crm_version"], found

    add(1)
    before = load(1, lambda: None)
    assert load(2, lambda: add(2)) == before
    assert state(2) == state(1)
    assert "theirs" in str(state(2))


def test_held_rows_wait_until_new_ones_are_in(sandbox, other, words, load_interrupted):
    sandbox.load(sandbox.begin(), [words.row(9, 1, name="before")])
    run = sandbox.begin()

    def change():
        with pytest.raises(MarketingDatabaseBusy):
            other.load(run, [words.row(9, 2, name="after")], slice_number=2)

    assert load_interrupted(run, [words.row(1, 1)], change) == Counts(read=1, inserted=1)
    assert sandbox.held()[words.guid(9)]["name"] == "before"
    assert other.load(run, [words.row(9, 2, name="after")], slice_number=2) == Counts(read=1, updated=1)


def test_new_rows_wait_until_held_ones_are_changed(sandbox, other, words, load_interrupted):
    sandbox.load(sandbox.begin(), [words.row(9, 1)])
    run = sandbox.begin()

    def insert():
        with pytest.raises(MarketingDatabaseBusy):
            other.load(run, [words.row(1, 1)], slice_number=2)

    assert load_interrupted(run, [words.row(9, 2, name="after")], insert) == Counts(read=1, updated=1)
    assert other.load(run, [words.row(1, 1)], slice_number=2) == Counts(read=1, inserted=1)
