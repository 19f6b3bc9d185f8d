"""A slice comes in pages: one at a time in memory, duplicates across pages, rows that get lost on the way."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest
import sqlalchemy as sa

from dynamics_sync.errors import CountsDoNotAddUp
from dynamics_sync.store.merge import load_slice
from dynamics_sync.store.runs import Counts, run_state
from dynamics_sync.store.schema import entity_table, rows_schema
from dynamics_sync.store.sync_tables import SYNC_QUARANTINE, SYNC_SLICE


def page_of(sandbox, rows):
    schema = rows_schema(sandbox.entity)
    return pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema=schema)


def load(sandbox, run, pages, *, read, number=0, rejected=()):
    return load_slice(sandbox.db, sandbox.entity, run, number, pages, [rejected], read=read, filtered=0)


@pytest.mark.parametrize("version", [1, 2])
def test_each_page_is_written_before_the_next_is_asked_for(sandbox, words, version):
    """First the keys of all pages, then their rows: new ones straight into the table, others to be merged.

    SQLite gets the new ones through a file.
    """
    connections, found = [], []
    sa.event.listen(sandbox.db.engine, "begin", connections.append)
    path = Path(f"{sandbox.db.engine.url.database}-dynamics-sync")
    straight = "rows" if sandbox.db.dialect_name == "sqlite" else "sample"
    table = straight if version == 1 else "sync_incoming"

    def count(filled):
        query = f"SELECT count(*) FROM {filled}"
        if filled != "rows":
            return connections[-1].execute(sa.text(query)).scalar_one()
        # Between two pages nobody holds a lock on the file.
        with closing(sqlite3.connect(path)) as file:
            is_filled = file.execute("SELECT 1 FROM sqlite_master WHERE name = 'rows'").fetchone()
            return file.execute(query).fetchone()[0] if is_filled else 0

    class Pages:
        def __init__(self, version):
            self.version = version

        def __iter__(self):
            filled = table if len(found) >= 3 else "sync_new"
            for number in range(3):
                found.append((filled, count(filled)))
                rows = [words.row(2 * number + offset, self.version, name=f"v{self.version}") for offset in range(2)]
                yield page_of(sandbox, rows)

    if version == 2:
        sandbox.load(sandbox.begin(), [words.row(number, 1, name="v1") for number in range(6)])
    counts = load(sandbox, sandbox.begin(), Pages(version), read=6)
    assert counts == (Counts(read=6, inserted=6) if version == 1 else Counts(read=6, updated=6))
    assert found == [(name, rows) for name in ("sync_new", table) for rows in (0, 2, 4)]


def test_a_slice_that_was_loaded_before_asks_for_no_page(sandbox, words):
    run = sandbox.begin()
    first = load(sandbox, run, [page_of(sandbox, [words.row(1, 1)])], read=1)
    pages = iter([page_of(sandbox, [words.row(2, 1)])])
    assert load(sandbox, run, pages, read=1) == first
    assert next(pages).num_rows == 1


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_of_duplicates_over_pages_the_highest_version_stands(sandbox, words, order):
    pages = [page_of(sandbox, [words.row(1, version, name=f"v{version}")]) for version in (10, 11, 12)]
    run = sandbox.begin()
    assert load(sandbox, run, [pages[place] for place in order], read=3) == Counts(read=3, inserted=1, unchanged=2)
    assert sandbox.held()[words.guid(1)]["name"] == "v12"


def test_of_duplicates_of_one_version_the_last_page_stands(sandbox, words):
    pages = [
        page_of(sandbox, [words.row(1, 10, name="a"), words.row(2, 10, name="z")]),
        page_of(sandbox, [words.row(1, 10, name="c"), words.row(1, 10, name="b")]),
    ]
    assert load(sandbox, sandbox.begin(), pages, read=4) == Counts(read=4, inserted=2, unchanged=2)
    assert [row["name"] for _, row in sorted(sandbox.held().items())] == ["b", "z"]


def test_a_key_in_capitals_on_another_page_is_the_same_key(sandbox, words):
    small, capital = words.guid(0xAB), words.guid(0xAB).upper()
    pages = [page_of(sandbox, [{"sample_id": key, "crm_version": 1}]) for key in (small, capital)]
    assert load(sandbox, sandbox.begin(), pages, read=2) == Counts(read=2, inserted=1, unchanged=1)
    assert sandbox.held().keys() == {small}


def test_each_kind_of_outcome_is_counted_for_itself(sandbox, words):
    sandbox.load(sandbox.begin(), [words.row(number, 10, name="held") for number in range(1, 6)])
    rows = [
        words.row(1, 11, name="updated"),
        words.row(2, 12, name="held"),  # the version only
        words.row(3, 10, name="held"),  # the same
        words.row(4, 9, name="older"),
        words.row(6, 1, name="new"),
        words.row(6, 1, name="new"),  # a duplicate
        words.row(1, 10, name="held"),  # an older duplicate
    ]
    counts = sandbox.load(sandbox.begin(minutes=1), rows, rejected=[words.rejected(7)])
    assert counts == Counts(read=8, updated=1, inserted=1, unchanged=5, rejected=1)


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_rows_that_got_lost_before_the_load_stop_it_and_nothing_is_committed(sandbox, words, lost):
    sandbox.load(sandbox.begin(), [words.row(1, 1, name="Ada")])
    before = sandbox.held()
    run = sandbox.begin(minutes=1)
    pages = [page_of(sandbox, [words.row(1, 2, name="Grace"), words.row(2, 1)]), page_of(sandbox, [words.row(3, 1)])]
    del pages[lost:]
    arrived = sum(page.num_rows for page in pages)
    with pytest.raises(CountsDoNotAddUp, match=f"DS-703 read 5 rows, but accounted for {arrived + 1}"):
        load(sandbox, run, pages, read=5, rejected=[words.rejected(4)])
    assert sandbox.held() == before
    assert sandbox.query(sa.select(SYNC_QUARANTINE)) == []
    assert sandbox.query(sa.select(SYNC_SLICE).where(SYNC_SLICE.c.run_key == run.run_key)) == []
    assert run_state(sandbox.db, run) == "running"


def test_a_row_that_the_database_swallows_is_noticed(sandbox, words):
    """A trigger of somebody else's eats an insert: no figure is derived from the others, so the sum is wrong."""
    sandbox.load(sandbox.begin(), [words.row(1, 1)])
    with sandbox.db.writing() as connection:
        for statement in swallow(sandbox.db.dialect_name):
            connection.execute(sa.text(statement))
    with pytest.raises(CountsDoNotAddUp):
        sandbox.load(sandbox.begin(minutes=1), [words.row(1, 2, name="x"), words.row(2, 1), words.row(3, 1)])
    assert sandbox.held().keys() == {words.guid(1)}


def swallow(dialect_name):
    if dialect_name == "sqlite":
        return ["CREATE TRIGGER swallow BEFORE INSERT ON sample BEGIN SELECT RAISE(IGNORE); END"]
    return [
        "CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "CREATE TRIGGER swallow BEFORE INSERT ON sample FOR EACH ROW EXECUTE FUNCTION swallow()",
    ]


def test_a_page_that_cannot_be_read_leaves_nothing_behind(sandbox, words):
    def pages():
        yield page_of(sandbox, [words.row(1, 1)])
        message = "on purpose"
        raise OSError(message)

    run = sandbox.begin()
    with pytest.raises(OSError, match="on purpose"):
        load(sandbox, run, pages(), read=2)
    assert sandbox.held() == {}
    assert sandbox.load(run, [words.row(1, 1), words.row(2, 1)]) == Counts(read=2, inserted=2)


NOTES_ABSENT = frozenset({"notes", "rating"})


def test_columns_of_absent_fields_are_left_alone(sandbox, words):
    held = {"name": "Ada", "notes": "kept", "rating_code": 1, "rating_label": "Hot"}
    sandbox.load(sandbox.begin(), [words.row(1, 1, **held)])
    same = words.row(1, 1, name="Ada")
    assert sandbox.load(sandbox.begin(minutes=1), [same], absent=NOTES_ABSENT) == Counts(read=1, unchanged=1)
    rows = [words.row(1, 2, name="Grace"), words.row(2, 1, name="new", notes="not to be believed")]
    counts = sandbox.load(sandbox.begin(minutes=2), rows, absent=NOTES_ABSENT)
    assert counts == Counts(read=2, updated=1, inserted=1)
    one, two = (row for _, row in sorted(sandbox.held().items()))
    assert {name: one[name] for name in held} == {**held, "name": "Grace"}
    assert (two["name"], two["notes"], two["rating_code"]) == ("new", None, None)


def test_pages_may_lack_the_columns_of_absent_fields(sandbox, words):
    page = page_of(sandbox, [words.row(1, 1, name="Ada")]).drop_columns(["notes"])
    absent = frozenset({"notes"})
    counts = load_slice(sandbox.db, sandbox.entity, sandbox.begin(), 0, [page], [], read=1, filtered=0, absent=absent)
    assert counts == Counts(read=1, inserted=1)


def test_all_fields_may_be_absent(sandbox, words):
    absent = frozenset(sandbox.entity.fields)
    assert sandbox.load(sandbox.begin(), [words.row(1, 1)], absent=absent) == Counts(read=1, inserted=1)
    assert sandbox.load(sandbox.begin(), [words.row(1, 2)], absent=absent) == Counts(read=1, unchanged=1)
    assert sandbox.query(sa.select(entity_table(sandbox.entity).c.crm_version)) == [{"crm_version": 2}]
