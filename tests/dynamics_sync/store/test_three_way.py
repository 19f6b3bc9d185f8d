"""Cases of the three-way merge that stories made up by chance seldom reach."""

import pyarrow as pa
import pytest
import sqlalchemy as sa

from dynamics_sync.store.deletions import Breaker, mark_deleted
from dynamics_sync.store.schema import entity_table
from dynamics_sync.store.sync_tables import SYNC_CONFLICT


@pytest.fixture
def two_way(db, database_url, clock, words):
    """One record on both sides, under the rule `review`."""
    sandbox = words.sandbox(db, database_url, clock, words.entity("two_way"))
    sandbox.load(sandbox.begin(), [words.row(1, 1, name="Ada", seen_at=words.at(1), score=1)])
    return sandbox


def write(sandbox, table, **values):
    with sandbox.db.writing() as connection:
        connection.execute(table.update().values(values))


def conflicts(sandbox, *columns):
    return [tuple(row[name] for name in columns) for row in sandbox.query(sa.select(SYNC_CONFLICT))]


@pytest.mark.parametrize("decision", [None, "ours", "theirs"])
def test_a_conflict_needs_a_new_decision_when_dynamics_says_something_else(two_way, words, decision):
    write(two_way, entity_table(two_way.entity), name="Bob", seen_at=words.at(7))
    two_way.load(two_way.begin(), [words.row(1, 2, name="Eve", seen_at=words.at(8), score=1)])
    write(two_way, SYNC_CONFLICT, decision=decision)
    # The first says nothing else of these fields.
    two_way.load(two_way.begin(), [words.row(1, 3, name="Eve", seen_at=words.at(8), score=2)])
    assert conflicts(two_way, "decision", "run_id") == [(decision, "run 2")] * 2
    two_way.load(two_way.begin(), [words.row(1, 4, name="Dan", seen_at=words.at(9), score=2)])
    assert sorted(conflicts(two_way, "column_name", "base", "ours", "theirs", "outcome", "decision", "run_id")) == [
        ("name", "Ada", "Bob", "Dan", "open", None, "run 4"),
        ("seen_at", *(f"2025-03-01 00:0{minute}:00.000000" for minute in (1, 7, 9)), "open", None, "run 4"),
    ]


@pytest.mark.parametrize(("edit", "noted"), [({"name": "Eve"}, [("", "open")]), ({"score": 9}, []), ({}, [])])
def test_a_deletion_is_a_conflict_with_what_would_have_been_written(two_way, words, edit, noted):
    write(two_way, entity_table(two_way.entity), **(edit or {"name": "Ada"}))
    ids, anything = pa.array([words.guid(1)], pa.string()), Breaker(0, 0, open=True)
    for _ in range(2):
        mark_deleted(two_way.db, two_way.entity, two_way.begin(minutes=3), ids, anything, seen_at=words.at(3))
        assert conflicts(two_way, "column_name", "outcome") == noted
    held = two_way.held()[words.guid(1)]
    assert {name: held[name] for name in edit} == edit
    assert held["crm_deleted_at"] == words.at(3)
