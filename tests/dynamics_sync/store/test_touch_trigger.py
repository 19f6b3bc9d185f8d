"""What the database fills in where people write plain SQL, and how an edit is told from what the sync wrote."""

import sqlite3
from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg
import pyarrow as pa
import pytest
import sqlalchemy as sa

from dynamics_sync.store.deletions import Breaker, mark_deleted
from dynamics_sync.store.schema import base_table, ensure_tables, entity_table
from dynamics_sync.store.three_way import edited_at


class Person:
    """Somebody with a client of the database and plain SQL: no SQLAlchemy, nothing of the sync."""

    def __init__(self, url):
        self.is_sqlite = url.startswith("sqlite")
        if self.is_sqlite:
            self.connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        else:
            self.connection = psycopg.connect(url, autocommit=True)

    def __call__(self, statement):
        self.connection.execute(statement)

    def recurse(self, switch):
        """Let triggers of SQLite call themselves, which others may do without a switch."""
        if self.is_sqlite:
            self.connection.execute(f"PRAGMA recursive_triggers = {switch}")

    def ask(self, query):
        return self.connection.execute(query).fetchall()


@pytest.fixture
def person(db, database_url, words):
    ensure_tables(db, words.entity("two_way"))
    person = Person(database_url)
    yield person
    person.connection.close()


@pytest.fixture
def two_way(db, database_url, clock, words):
    return words.sandbox(db, database_url, clock, words.entity("two_way"))


def edits(sandbox):
    """Return for each row when a person last changed it."""
    ours, base = entity_table(sandbox.entity), base_table(sandbox.entity)
    joined = sa.outerjoin(ours, base, ours.c.sample_id == base.c.sample_id)
    # The column's type turns what SQLite gives into an instant.
    edited = sa.type_coerce(edited_at(base, ours), ours.c.updated_at.type).label("edited")
    return {
        row["sample_id"]: row["edited"]
        for row in sandbox.query(sa.select(ours.c.sample_id, edited).select_from(joined))
    }


def is_now(instant):
    return abs(datetime.now(UTC) - instant) < timedelta(minutes=1)


def test_a_row_without_key_and_instants_gets_them(two_way, person):
    person("INSERT INTO sample (name) VALUES ('Ada'), ('Bob')")
    rows = two_way.held()
    assert sorted(row["name"] for row in rows.values()) == ["Ada", "Bob"]
    for key, row in rows.items():
        guid = UUID(key)
        assert (str(guid), guid.version, guid.variant) == (key, 4, "specified in RFC 4122")
        assert is_now(row["updated_at"])
        assert (row["crm_version"], row["crm_deleted_at"], row["crm_read_at"].year) == (None, None, 1970)


def test_guids_are_not_alike(person, two_way):
    values = ", ".join("('x')" for _ in range(500))
    person(f"INSERT INTO sample (name) VALUES {values}")
    keys = two_way.held().keys()
    assert len(keys) == 500
    assert {UUID(key).version for key in keys} == {4}
    # Each digit of the variant comes up, and all of them stand for the same one.
    assert {key[19] for key in keys} == set("89ab")


@pytest.mark.parametrize("recursion", ["OFF", "ON"])
def test_an_update_moves_the_instant_of_each_row(two_way, words, person, recursion):
    person.recurse(recursion)
    for version, change in enumerate(["name = 'Eve'", "name = name", "employees = NULL"], 1):
        two_way.load(two_way.begin(), [words.row(number, version, name="Ada") for number in (1, 2, 3)])
        person("UPDATE sample SET updated_at = '2025-03-01 00:00:00.000000'")
        person(f"UPDATE sample SET {change}")
        rows = two_way.held()
        assert len(rows) == 3
        assert all(is_now(row["updated_at"]) for row in rows.values())
        assert all(is_now(instant) for instant in edits(two_way).values())


def test_rows_that_an_update_leaves_out_stay(two_way, words, person):
    two_way.load(two_way.begin(minutes=5), [words.row(number, 1) for number in (1, 2)])
    person(f"UPDATE sample SET name = 'Eve' WHERE sample_id = '{words.guid(1)}'")
    assert two_way.held()[words.guid(2)]["updated_at"] == words.at(5)
    assert edits(two_way)[words.guid(2)] is None


def test_updates_in_one_moment_are_no_endless_recursion(two_way, person):
    person.recurse("ON")
    if person.is_sqlite:
        # A trigger of somebody's own, for which the clock stands still: time is that of the statement.
        person("CREATE TRIGGER own AFTER INSERT ON sample BEGIN UPDATE sample SET name = upper(name); END")
    person("INSERT INTO sample (name) VALUES ('Ada')")
    person("UPDATE sample SET updated_at = '2020-01-01 00:00:00.000000'")
    for _ in range(50):
        person("UPDATE sample SET name = 'Eve'")
    assert all(is_now(row["updated_at"]) for row in two_way.held().values())


def test_who_says_when_a_row_changed_is_believed(two_way, words, person):
    two_way.load(two_way.begin(minutes=5), [words.row(1, 1)])
    person("UPDATE sample SET name = 'Eve', updated_at = '2025-03-01 00:07:00.000000'")
    assert two_way.held()[words.guid(1)]["updated_at"] == words.at(7)
    assert edits(two_way) == {words.guid(1): words.at(7)}


def test_who_writes_the_instant_that_was_there_has_edited_the_row_all_the_same(two_way, words, person):
    two_way.load(two_way.begin(minutes=5), [words.row(1, 1)])
    person("UPDATE sample SET name = 'Eve', updated_at = '2025-03-01 00:05:00.000000'")
    assert is_now(edits(two_way)[words.guid(1)])


def test_what_the_sync_writes_is_no_edit(two_way, words):
    two_way.load(two_way.begin(minutes=1), [words.row(1, 1, name="Ada"), words.row(2, 1, name="Ada")])
    assert set(edits(two_way).values()) == {None}
    two_way.load(two_way.begin(minutes=2), [words.row(1, 2, name="Eve"), words.row(2, 2, name="Ada")])
    assert {row["updated_at"] for row in two_way.held().values()} == {words.at(1), words.at(2)}
    assert set(edits(two_way).values()) == {None}


def test_what_the_sync_writes_at_the_instant_of_its_last_write_is_no_edit_either(two_way, words):
    # Nothing that the trigger looks at moves: the same version brings another label at the same instant.
    run = two_way.begin(minutes=1)
    two_way.load(run, [words.row(1, 1, rating_code=1, rating_label="One")])
    two_way.load(run, [words.row(1, 1, rating_code=1, rating_label="First")], slice_number=1)
    assert two_way.held()[words.guid(1)]["rating_label"] == "First"
    assert edits(two_way) == {words.guid(1): None}


def test_the_instant_of_an_edit_outlives_what_the_sync_writes_into_the_row(two_way, words, person):
    key = words.guid(1)
    two_way.load(two_way.begin(minutes=1), [words.row(1, 1, name="Ada", employees=1)])
    person("UPDATE sample SET name = 'Eve'")
    edited = edits(two_way)[key]
    for version in (2, 3):
        two_way.load(two_way.begin(minutes=version), [words.row(1, version, name="Ada", employees=version)])
        held = two_way.held()[key]
        assert (held["name"], held["employees"], held["updated_at"]) == ("Eve", version, words.at(version))
        assert edits(two_way) == {key: edited}
    person("UPDATE sample SET updated_at = '2025-03-01 00:09:00.000000'")
    assert edits(two_way) == {key: words.at(9)}


def test_the_instant_of_an_edit_outlives_a_deletion_in_dynamics(two_way, words):
    key = words.guid(1)
    two_way.load(two_way.begin(minutes=1), [words.row(1, 1, name="Ada")])
    with two_way.db.writing() as connection:
        connection.execute(entity_table(two_way.entity).update().values(name="Eve", updated_at=words.at(2)))
    ids, anything = pa.array([key], pa.string()), Breaker(0, 0, open=True)
    mark_deleted(two_way.db, two_way.entity, two_way.begin(minutes=3), ids, anything, seen_at=words.at(3))
    held = two_way.held()[key]
    assert (held["name"], held["crm_deleted_at"], held["updated_at"]) == ("Eve", words.at(3), words.at(3))
    assert edits(two_way) == {key: words.at(2)}
    two_way.load(two_way.begin(minutes=4), [words.row(1, 2, name="Ada")])
    held = two_way.held()[key]
    assert (held["name"], held["crm_deleted_at"], held["updated_at"]) == ("Eve", None, words.at(4))
    assert edits(two_way) == {key: words.at(2)}


def test_a_row_that_was_born_here_is_an_edit(two_way, person):
    person("INSERT INTO sample (name) VALUES ('Ada')")
    assert [is_now(instant) for instant in edits(two_way).values()] == [True]


def test_the_trigger_is_made_once(db, words, person):
    assert ensure_tables(db, words.entity("two_way")) == ()
    query = (
        "SELECT count(*) FROM sqlite_master WHERE type = 'trigger'"
        if person.is_sqlite
        else "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal"
    )
    assert person.ask(query) == [(1,)]


def test_what_an_entity_holds_becomes_its_base_when_it_goes_both_ways(db, database_url, clock, words):
    both = words.entity("two_way")
    fields = {name: {**spec, "direction": None} for name, spec in both.model_dump()["fields"].items()}
    one_way = words.entity("two_way", direction="from_dynamics", wins=None, fields=fields)
    sandbox = words.sandbox(db, database_url, clock, one_way)
    rows = [words.row(number, number, name="Ada", owner_id=words.guid(7), owner_type="team") for number in (1, 2)]
    sandbox.load(sandbox.begin(minutes=3), rows)

    assert ensure_tables(db, both) == ("created table sample_base", "filled table sample_base from sample")
    assert ensure_tables(db, both) == ()
    sandbox.entity = both
    ours = sandbox.held()
    base = {row["sample_id"]: row for row in sandbox.query(sa.select(base_table(both)))}
    assert {key: {name: base[key][name] for name in row} for key, row in ours.items()} == ours
    assert edits(sandbox) == dict.fromkeys(map(words.guid, (1, 2)))
