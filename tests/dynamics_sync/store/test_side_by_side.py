"""Loads of one entity at the same time: new rows side by side, held rows one load after another."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pyarrow as pa
import pytest
import sqlalchemy as sa

from dynamics_sync.errors import MarketingDatabaseBusy
from dynamics_sync.store.database import MarketingDatabase
from dynamics_sync.store.merge import load_slice
from dynamics_sync.store.runs import Counts, finish_run
from dynamics_sync.store.sync_tables import SYNC_QUARANTINE

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


@pytest.fixture
def load_interrupted(sandbox, words):
    """Load rows that are looked at first, and come when something else has happened."""

    def load(run, rows, happens, rejected=()):
        pages = [words.rows_of(sandbox.entity, rows)]
        keys = [page.select([sandbox.entity.key.column, "crm_version"]) for page in pages]
        read = len(rows) + len(rejected)
        interrupted = Interrupted(pages, happens)
        return load_slice(sandbox.db, sandbox.entity, run, 1, interrupted, [rejected], read=read, filtered=0, keys=keys)

    return load


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

    assert load_interrupted(run, rows, overtake, [words.rejected(3)]) == Counts(
        read=3, inserted=1, **counts, rejected=1
    )
    assert {key: row["name"] for key, row in sandbox.held().items()} == {words.guid(1): "mine", words.guid(2): held}
    # What the first attempt had put aside went with it.
    assert [row["record_key"] for row in sandbox.query(sa.select(SYNC_QUARANTINE))] == [words.guid(3)]
    assert finish_run(sandbox.db, run, 0) == Counts(read=4, inserted=2, **counts, rejected=1)


def test_a_slice_that_two_tasks_load_at_once_is_counted_once(sandbox, other, words, load_interrupted):
    run = sandbox.begin()
    rows = [words.row(1, 1), words.row(2, 1)]
    expected = Counts(read=2, inserted=2)
    assert load_interrupted(run, rows, lambda: other.load(run, rows, slice_number=1)) == expected
    assert finish_run(sandbox.db, run, 0) == expected


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
