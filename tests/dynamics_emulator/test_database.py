"""The database: connections, row versions, and questions that must not read whole tables."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dynamics_emulator.api.messages import ApiRequest, Caller
from dynamics_emulator.api.router import answer
from dynamics_emulator.clock import Clock
from dynamics_emulator.identity import APPLICATION_USER_ID, CLIENT_ID
from dynamics_emulator.odata.tracking import DeltaToken
from dynamics_emulator.organisation import Organisation, open_organisation
from dynamics_emulator.settings import Settings
from dynamics_emulator.storage.database import Database
from dynamics_emulator.storage.engine import sqlite3


@pytest.fixture
def organisation(tmp_path: Path) -> Iterator[Organisation]:
    opened = open_organisation(tmp_path, seed=1, settings=Settings(), clock=Clock())
    yield opened
    opened.close()


@pytest.fixture
def database(organisation: Organisation) -> Database:
    return organisation.database


def in_a_thread(work: Any) -> Any:
    """What the work returns in a thread that has then ended."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(work()))
    thread.start()
    thread.join()
    return found[0]


def test_a_connection_ends_with_its_thread(database: Database) -> None:
    ended = in_a_thread(lambda: database.connection)
    assert ended is not database.connection
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        ended.execute("SELECT 1")
    assert database.connection.execute("SELECT 1").fetchone() == (1,)


def test_close_reaches_connections_of_running_threads(database: Database) -> None:
    opened, closed = threading.Event(), threading.Event()
    found: list[str] = []

    def work() -> None:
        connection = database.connection
        opened.set()
        closed.wait(10)
        try:
            connection.execute("SELECT 1")
        except sqlite3.ProgrammingError as problem:
            found.append(str(problem))

    thread = threading.Thread(target=work)
    thread.start()
    opened.wait(10)
    database.close()
    closed.set()
    thread.join()
    assert found
    assert "closed" in found[0]


class Undo(Exception):
    """Raised inside a transaction to undo it; carries the version that was drawn there."""


def draw_and_undo(database: Database) -> int:
    """The version that an undone transaction drew."""
    try:
        with database.transaction():
            raise Undo(database.next_version())
    except Undo as undone:
        return int(undone.args[0])


def test_versions_rise_past_what_was_undone(database: Database) -> None:
    before = database.current_version()
    with database.transaction():
        first = database.next_version()
        undone = draw_and_undo(database)
        second = database.next_version()
        assert database.current_version() == second
        assert in_a_thread(database.current_version) == before
    assert before < first < undone < second == database.current_version()
    assert in_a_thread(database.current_version) == second


def test_versions_of_an_undone_transaction_are_given_again(database: Database) -> None:
    before = database.current_version()
    draw_and_undo(database)
    assert database.current_version() == before
    with database.transaction():
        assert database.next_version() == before + 1


def test_versions_survive_the_process(organisation: Organisation, tmp_path: Path) -> None:
    with organisation.database.transaction():
        drawn = organisation.database.reserve_versions(10) + 9
    organisation.close()
    again = open_organisation(tmp_path, seed=1, settings=Settings(), clock=Clock())
    assert again.database.current_version() == drawn
    again.close()


# --- plans ---------------------------------------------------------------------------------------------


def plan_of(organisation: Organisation, query: str, **headers: str) -> list[str]:
    """How SQLite goes about the SELECTs of one read of contacts."""
    base = "https://localhost/api/data/v9.2"
    caller = Caller(APPLICATION_USER_ID, CLIENT_ID)
    request = ApiRequest("GET", "contacts", query, headers, b"", base, caller, url=f"{base}/contacts?{query}")
    connection, statements = organisation.database.connection, list[str]()
    connection.set_trace_callback(statements.append)
    assert answer(organisation, request).status == 200
    connection.set_trace_callback(None)
    asked = [statement for statement in statements if "contact" in statement]
    assert asked
    return [
        str(step[-1])
        for statement in asked
        for step in connection.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
    ]


def test_a_delta_reads_only_what_changed(organisation: Organisation) -> None:
    token = DeltaToken(organisation.database.current_version(), organisation.clock.now()).encoded()
    steps = plan_of(organisation, f"$select=fullname&$deltatoken={token}")
    assert [step for step in steps if step.startswith("SCAN")] == []
    assert any("contact:versionnumber" in step for step in steps)
    assert any("_deleted_by_table" in step for step in steps)
    assert any("_deleted_by_id" in step for step in steps)


@pytest.mark.parametrize("query", ["$select=fullname", "$select=fullname&$top=3&$orderby=contactid"])
def test_a_page_is_read_in_the_order_of_the_key(organisation: Organisation, query: str) -> None:
    steps = plan_of(organisation, query)
    assert not any("TEMP B-TREE" in step for step in steps)


def test_a_page_by_time_is_read_along_its_index(organisation: Organisation) -> None:
    steps = plan_of(organisation, "$select=fullname&$orderby=modifiedon desc")
    assert any("contact:modifiedon" in step for step in steps)
