"""Edits that come while a load merges the same rows, and loads that are killed in the middle."""

import json
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event
from time import monotonic, sleep

import psycopg
import pytest
import sqlalchemy as sa

from dynamics_sync.errors import MarketingDatabaseBusy
from dynamics_sync.store.database import MarketingDatabase
from dynamics_sync.store.runs import Counts
from dynamics_sync.store.schema import base_table
from dynamics_sync.store.sync_tables import SYNC_CONFLICT, SYNC_HISTORY

SCRIPT = Path(__file__).parent / "two_way_process.py"

#: Seconds after which a test gives up. None of them takes so long.
PATIENCE = 30


@pytest.fixture
def two_way(db, database_url, clock, words):
    return prepared(db, database_url, clock, words)


def prepared(db, url, clock, words):
    """Return a sandbox with two records on both sides, under the rule `review`."""
    sandbox = words.sandbox(db, url, clock, words.entity("two_way"))
    sandbox.load(sandbox.begin(), [words.row(number, 1, name="Ada", employees=1) for number in (1, 2)])
    return sandbox


@contextmanager
def person(url):
    """Give somebody's own connection, in a transaction that the test ends. SQLite does not wait for locks in it."""
    if url.startswith("sqlite"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None, timeout=0)
        connection.execute("BEGIN IMMEDIATE")
    else:
        connection = psycopg.connect(url)
    try:
        yield connection
    finally:
        connection.close()


def wait_until_blocked(url, by):
    """Wait until a connection to the database waits for a lock that the connection `by` holds."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE %s = ANY (pg_blocking_pids(pid))"
    end = monotonic() + PATIENCE
    with psycopg.connect(url, autocommit=True) as watcher:
        while watcher.execute(query, [by]).fetchone() == (0,):
            assert monotonic() < end, "nobody waits"
            sleep(0.01)


def row(sandbox, words, number=1):
    held = sandbox.held()[words.guid(number)]
    return held["name"], held["employees"]


def conflicts(sandbox):
    columns = ("record_id", "column_name", "base", "ours", "theirs", "outcome")
    return [tuple(row[name] for name in columns) for row in sandbox.query(sa.select(SYNC_CONFLICT))]


def news(words, version=2):
    return [words.row(number, version, name="Eve", employees=version) for number in (1, 2)]


def test_a_load_waits_for_an_edit_that_is_under_way_and_then_sees_it(two_way, words):
    run = two_way.begin(minutes=1)
    with person(two_way.url) as edit, ThreadPoolExecutor(1) as pool:
        edit.execute(f"UPDATE sample SET name = 'Bob' WHERE sample_id = '{words.guid(1)}'")
        if two_way.db.dialect_name == "sqlite":
            # It does not even begin to read.
            impatient = MarketingDatabase.open(two_way.url, clock=two_way.clock, lock_timeout=0.05)
            with impatient, pytest.raises(MarketingDatabaseBusy):
                replace(two_way, db=impatient).load(run, news(words))
            load = pool.submit(two_way.load, run, news(words))
        else:
            load = pool.submit(two_way.load, run, news(words))
            wait_until_blocked(two_way.url, by=edit.info.backend_pid)
        assert not load.done()
        edit.execute("COMMIT")
        assert load.result(PATIENCE) == Counts(read=2, updated=2)
    assert (row(two_way, words, 1), row(two_way, words, 2)) == (("Bob", 2), ("Eve", 2))
    assert conflicts(two_way) == [(words.guid(1), "name", "Ada", "Bob", "Eve", "open")]


def test_a_load_waits_for_a_deletion_that_is_under_way_and_does_not_bring_the_row_back(two_way, words):
    run = two_way.begin(minutes=1)
    with person(two_way.url) as edit, ThreadPoolExecutor(1) as pool:
        edit.execute(f"DELETE FROM sample WHERE sample_id = '{words.guid(1)}'")
        load = pool.submit(two_way.load, run, news(words))
        if two_way.db.dialect_name == "postgresql":
            wait_until_blocked(two_way.url, by=edit.info.backend_pid)
        edit.execute("COMMIT")
        assert load.result(PATIENCE) == Counts(read=2, updated=2)
    assert two_way.held().keys() == {words.guid(2)}
    assert conflicts(two_way) == []


@contextmanager
def paused(db, statement):
    """Let a transaction of `db` stop before a statement; gives (it arrived there, let it go on, its connections)."""
    arrived, go_on, stopped = Event(), Event(), []

    def stop(connection, _cursor, text, *_):
        if text.startswith(statement) and not arrived.is_set():
            stopped.append(connection.connection.driver_connection)
            arrived.set()
            assert go_on.wait(PATIENCE)

    sa.event.listen(db.engine, "before_cursor_execute", stop)
    try:
        yield arrived, go_on, stopped
    finally:
        go_on.set()
        sa.event.remove(db.engine, "before_cursor_execute", stop)


#: Where a load can be when somebody else wants to write: it has decided, it has written here, it is about to end.
MOMENTS = ["UPDATE sample SET", "UPDATE sample_base SET", "INSERT INTO sync_slice"]


@pytest.mark.parametrize("moment", MOMENTS)
def test_an_edit_waits_for_a_load_that_has_read_the_row_and_then_stays(two_way, words, moment):
    run = two_way.begin(minutes=1)
    edit = f"UPDATE sample SET name = 'Bob' WHERE sample_id = '{words.guid(1)}'"
    with paused(two_way.db, moment) as (arrived, go_on, stopped), ThreadPoolExecutor(2) as pool:
        load = pool.submit(two_way.load, run, news(words))
        assert arrived.wait(PATIENCE)
        if two_way.db.dialect_name == "sqlite":
            with pytest.raises(sqlite3.OperationalError, match="locked"), person(two_way.url) as refused:
                refused.execute(edit)
            go_on.set()
            assert load.result(PATIENCE) == Counts(read=2, updated=2)
            execute(two_way.url, edit)
        else:
            waiting = pool.submit(execute, two_way.url, edit)
            wait_until_blocked(two_way.url, by=stopped[0].info.backend_pid)
            assert not waiting.done()
            go_on.set()
            assert load.result(PATIENCE) == Counts(read=2, updated=2)
            waiting.result(PATIENCE)
    assert row(two_way, words) == ("Bob", 2)
    # What was edited then is known as an edit of what the load brought: the next news of that field is a conflict.
    assert conflicts(two_way) == []
    two_way.load(two_way.begin(minutes=2), [words.row(1, 3, name="Dan", employees=3)])
    assert row(two_way, words) == ("Bob", 3)
    assert conflicts(two_way) == [(words.guid(1), "name", "Eve", "Bob", "Dan", "open")]


def execute(url, statement):
    with person(url) as connection:
        connection.execute(statement)
        connection.execute("COMMIT")


def test_edits_of_other_rows_do_not_wait_for_a_load(postgresql_url, clock, words):
    # On PostgreSQL, that is: SQLite has one writer at a time.
    with MarketingDatabase.open(postgresql_url, clock=clock) as db, ThreadPoolExecutor(1) as pool:
        two_way = prepared(db, postgresql_url, clock, words)
        run = two_way.begin(minutes=1)
        with paused(db, "INSERT INTO sync_slice") as (arrived, go_on, _):
            load = pool.submit(two_way.load, run, news(words)[:1])
            assert arrived.wait(PATIENCE)
            execute(postgresql_url, f"UPDATE sample SET name = 'Bob' WHERE sample_id = '{words.guid(2)}'")
            assert not load.done()
            go_on.set()
            load.result(PATIENCE)
        assert row(two_way, words, 2) == ("Bob", 1)


def everything(sandbox):
    tables = (base_table(sandbox.entity), SYNC_CONFLICT, SYNC_HISTORY)
    return sandbox.held(), *(sandbox.query(sa.select(table).order_by(*table.primary_key)) for table in tables)


def test_a_load_that_is_killed_before_its_commit_leaves_nothing_and_repeated_is_exact(two_way, words):
    execute(two_way.url, f"UPDATE sample SET name = 'Bob' WHERE sample_id = '{words.guid(1)}'")
    before = everything(two_way)
    run = two_way.begin(minutes=1)
    rows = [*news(words), words.row(3, 2, name="Eve")]
    order = {"url": two_way.url, "entity": two_way.entity.model_dump(mode="json"), "rows": rows}
    order |= {"run_id": run.run_id, "run_key": run.run_key, "begun_at": run.begun_at.isoformat()}
    ended = subprocess.run(
        [sys.executable, str(SCRIPT), json.dumps(order)], capture_output=True, timeout=60, check=False
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert everything(two_way) == before

    assert two_way.load(run, rows) == Counts(read=3, inserted=1, updated=2)
    assert [row(two_way, words, number) for number in (1, 2, 3)] == [("Bob", 2), ("Eve", 2), ("Eve", None)]
    assert conflicts(two_way) == [(words.guid(1), "name", "Ada", "Bob", "Eve", "open")]
    after = everything(two_way)
    assert sorted((r["record_id"], r["column_name"]) for r in after[3]) == [
        (words.guid(1), "employees"),
        (words.guid(2), "employees"),
        (words.guid(2), "name"),
    ]
    two_way.load(run, rows)
    assert everything(two_way) == after


def test_a_merge_has_as_many_statements_for_many_rows_as_for_one(two_way, words):
    statements = []
    sa.event.listen(two_way.db.engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    figures = []
    for size in (2, 1_500):
        numbers = range(1, size + 1)
        two_way.load(two_way.begin(), [words.row(number, size, name="Ada", employees=1) for number in numbers])
        execute(two_way.url, f"UPDATE sample SET name = 'Bob {size}', employees = 5")
        statements.clear()
        news = [words.row(number, size + 1, name=f"Eve {size}", revenue=size, employees=5) for number in numbers]
        two_way.load(two_way.begin(), news, page_size=5_000)
        figures.append(len(statements))
    assert len(conflicts(two_way)) == 1_500
    assert figures[0] == figures[1]
