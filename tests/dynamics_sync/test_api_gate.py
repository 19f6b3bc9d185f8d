"""Several tasks at one gate, on both databases. The clock stands still until a test moves it."""

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from dynamics_sync.api_gate import FRESH, LEASE, Caller, SharedGate
from dynamics_sync.errors import BudgetSpent, NoPlaceFree, Throttled
from dynamics_sync.pace import WRITE_BACK, Budget
from dynamics_sync.store.api_limits import changing
from dynamics_sync.store.database import MarketingDatabase
from dynamics_sync.store.sync_tables import ensure_sync_tables

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Clock:
    """Seconds past noon."""

    seconds = 0.0

    def __call__(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def open_database(database_url: str, clock: Clock) -> Iterator[Callable[[], MarketingDatabase]]:
    """Open the one marketing database once more, as each task does."""
    opened: list[MarketingDatabase] = []

    def open_it() -> MarketingDatabase:
        opened.append(MarketingDatabase.open(database_url, clock=clock))
        return opened[-1]

    ensure_sync_tables(open_it())
    yield open_it
    for database in opened:
        database.close()


@pytest.fixture
def gate(open_database: Callable[[], MarketingDatabase]) -> Callable[..., SharedGate]:
    """Make the gate of a task; its name says of which DAG it is."""

    def make(task: str, **budget: Any) -> SharedGate:
        source = random.Random(task)  # noqa: S311 (a seed makes the test repeatable)
        return SharedGate(open_database(), Caller(task.split(maxsplit=1)[0], task), Budget(**budget), source=source)

    return make


@pytest.fixture
def rows(open_database: Callable[[], MarketingDatabase]) -> Callable[[str], list[dict[str, Any]]]:
    """Read a table as a user does."""

    def read(table: str) -> list[dict[str, Any]]:
        with open_database().reading() as connection:
            return [dict(row) for row in connection.execute(sa.text(f"SELECT * FROM {table}")).mappings()]

    return read


def passes(*gates: SharedGate) -> list[bool]:
    return [gate.enter(1) is None for gate in gates]


# --- the pause ---------------------------------------------------------------------------------------


def test_a_429_to_one_task_holds_up_all_others(gate: Any, clock: Clock) -> None:
    first, second, new = gate("dynamics_lead 1"), gate("dynamics_contact 1"), gate("dynamics_account 1")
    assert passes(first, second) == [True, True]
    first.throttled(30)
    clock.seconds = FRESH.total_seconds()
    for each in (first, second, new):
        wait = each.enter(1)
        assert (wait.seconds, type(wait.error), wait.error.retry_after) == (29, Throttled, 29)
        assert str(wait.error).startswith(
            "DS-302 Dynamics asked for a pause until 2026-03-01 12:00:30 UTC, which holds"
        )
    clock.seconds = 30
    assert passes(second, first) == [True, False]


def test_the_task_that_was_told_to_wait_hears_it_at_once(gate: Any) -> None:
    first = gate("dynamics_lead 1")
    assert passes(first) == [True]
    first.throttled(30)
    assert passes(first) == [False]


def test_the_pause_begins_when_the_others_can_hear_of_it(gate: Any, clock: Clock, open_database: Any) -> None:
    """A merge holds SQLite's one lock for as long as it takes; the wait must not be over before it was written."""
    first = gate("dynamics_lead 1")
    assert passes(first) == [True]
    with ThreadPoolExecutor() as pool:
        with changing(open_database()):
            told = pool.submit(first.throttled, 30)
            clock.seconds = 100
        told.result(timeout=30)
    wait = gate("dynamics_contact 1").enter(1)
    assert wait is not None
    assert wait.seconds == 30


# --- the places --------------------------------------------------------------------------------------


def test_fewer_may_talk_after_a_429_and_one_more_with_each_quiet_minute(gate: Any, clock: Clock, rows: Any) -> None:
    gates = [gate(f"dynamics_lead {number}") for number in range(4)]
    for number, each in enumerate(gates):
        clock.seconds = number
        assert passes(each) == [True]
    gates[3].throttled(30)
    assert rows("sync_api_limit")[0]["allowed"] == 2
    clock.seconds = 40
    # Who came first goes on; the others give their places back.
    assert passes(*gates) == [True, True, False, False]
    wait = gates[2].enter(1)
    assert (wait.seconds, type(wait.error)) == (1, NoPlaceFree)
    assert str(wait.error).startswith("DS-310 2 other tasks talk to Dynamics, and 2 may at once just now. Nothing was")
    assert len(rows("sync_api_place")) == 2
    clock.seconds = 92
    assert passes(*gates) == [True, True, False, False]
    clock.seconds = 93
    assert passes(*gates) == [True, True, True, False]
    clock.seconds = 153
    assert passes(*gates) == [True, True, True, True]
    assert rows("sync_api_limit")[0]["allowed"] == 4


def test_the_number_of_tasks_follows_the_hint(gate: Any, clock: Clock, rows: Any) -> None:
    gates = [gate(f"dynamics_lead {number}") for number in range(9)]
    assert passes(*gates) == [True] * 8 + [False]
    gates[0].hinted(2)
    clock.seconds = 1
    assert passes(*gates) == [True] * 2 + [False] * 7
    gates[0].hinted(20)
    clock.seconds = 2
    assert passes(*gates) == [True] * 9
    assert (rows("sync_api_limit")[0]["allowed"], rows("sync_api_limit")[0]["hint"]) == (20, 20)


def test_an_older_hint_does_not_replace_a_newer_one(gate: Any, clock: Clock, rows: Any) -> None:
    first, second = gate("dynamics_lead 1"), gate("dynamics_lead 2")
    assert passes(first, second) == [True, True]
    for seconds, each, hint in ((1, first, 4), (2, second, 20)):
        each.hinted(hint)
        clock.seconds = seconds
        assert passes(each) == [True]
    clock.seconds = 3
    assert passes(first) == [True]
    assert rows("sync_api_limit")[0]["hint"] == 20


def test_a_hint_that_came_with_the_last_answer_is_not_lost(gate: Any, rows: Any) -> None:
    first = gate("dynamics_lead 1")
    assert passes(first) == [True]
    first.hinted(3)
    first.leave()
    assert rows("sync_api_limit")[0]["hint"] == 3


def test_a_place_that_is_given_back_is_free(gate: Any) -> None:
    first, second = gate("dynamics_lead 1"), gate("dynamics_lead 2")
    assert passes(first) == [True]
    first.hinted(1)
    first.leave()
    assert passes(second, first) == [True, False]


def test_a_killed_task_gives_its_place_back_by_itself_and_a_living_one_keeps_it(gate: Any, clock: Clock) -> None:
    killed, living, waiting = (gate(f"dynamics_lead {number}") for number in range(3))
    living.hinted(2)
    assert passes(living, killed, waiting) == [True, True, False]
    for seconds in (100, 200, 299):
        clock.seconds = seconds
        assert passes(living, waiting) == [True, False]
    clock.seconds = LEASE.total_seconds()
    assert passes(living, waiting) == [True, True]


def test_another_try_of_a_killed_task_has_its_place(gate: Any) -> None:
    killed = gate("dynamics_lead 1")
    killed.hinted(1)
    assert passes(killed, gate("dynamics_lead 2"), gate("dynamics_lead 1")) == [True, False, True]


def test_another_try_of_a_killed_task_that_has_to_wait_gives_the_place_back(gate: Any, clock: Clock, rows: Any) -> None:
    first, killed = gate("dynamics_lead 1"), gate("dynamics_lead 2")
    assert passes(first) == [True]
    clock.seconds = 0.5
    assert passes(killed) == [True]
    first.throttled(10)
    clock.seconds = 11
    again = gate("dynamics_lead 2")
    assert passes(again) == [False]
    assert [row["holder"] for row in rows("sync_api_place")] == ["dynamics_lead 1"]


# --- the budget --------------------------------------------------------------------------------------


def sent(gate: SharedGate, most: int = 10_000) -> int:
    """Send requests until the gate says that it is enough; return how many they were."""
    for count in range(most):
        if gate.enter(1) is not None:
            return count
    return most


def test_copying_stops_before_writing_back(gate: Any) -> None:
    budget = {"per_day": 50, "write_back_share": 0.2}
    lead, contact, reverse = (gate(f"{dag} 1", **budget) for dag in ("dynamics_lead", "dynamics_contact", WRITE_BACK))
    assert sent(lead, 30) == 30
    lead.leave()
    assert sent(contact) == 10
    assert [sent(lead), sent(reverse), sent(reverse)] == [0, 10, 0]


def test_a_spent_budget_says_what_was_used_and_when_it_goes_on(gate: Any, clock: Clock) -> None:
    lead = gate("dynamics_lead 1", per_day_of={"dynamics_lead": 50})
    assert sent(lead) == 50
    clock.seconds = 3600
    wait = lead.enter(1)
    assert isinstance(wait.error, BudgetSpent)
    assert wait.seconds == wait.error.retry_after
    assert 11 * 3600 + 5 <= wait.seconds <= 11 * 3600 + 120
    said = "DS-311 the budget of 50 requests a day of dynamics_lead (50 used) has nothing left; the task goes on at "
    assert str(wait.error).startswith(f"{said}2026-03-02 00:0")
    clock.seconds += wait.seconds
    assert sent(lead) == 50


def test_what_was_counted_yesterday_is_not_sent_today(gate: Any, clock: Clock, rows: Any) -> None:
    lead = gate("dynamics_lead 1")
    clock.seconds = 12 * 3600 - 0.5
    assert passes(lead) == [True]
    clock.seconds = 12 * 3600
    assert passes(lead, lead) == [True, True]
    lead.leave()
    assert [(str(row["day"]), row["requests"]) for row in rows("sync_api_use ORDER BY day")] == [
        ("2026-03-01", 1),
        ("2026-03-02", 2),
    ]


def test_what_was_asked_is_counted_by_day_and_dag(gate: Any, clock: Clock, rows: Any) -> None:
    lead, contact = gate("dynamics_lead 1"), gate("dynamics_contact 1")
    assert passes(lead, lead, contact) == [True] * 3
    assert lead.enter(500) is None
    lead.waited(2.5)
    lead.throttled(30)
    lead.leave()
    contact.leave()
    counts = {row.pop("dag_id"): row for row in rows("sync_api_use")}
    assert {row.pop("day") and 1 for row in counts.values()} == {1}
    assert counts == {
        "dynamics_lead": {"requests": 3, "calls": 502, "throttled": 1, "seconds_waited": 2.5},
        "dynamics_contact": {"requests": 1, "calls": 1, "throttled": 0, "seconds_waited": 0},
    }
    assert rows("sync_api_place") == []


def test_a_task_that_asked_nothing_leaves_no_trace(gate: Any, rows: Any) -> None:
    gate("dynamics_lead 1").leave()
    assert [rows(table) for table in ("sync_api_use", "sync_api_limit", "sync_api_place")] == [[], [], []]


def test_a_killed_task_may_count_too_much_and_never_too_little(gate: Any, rows: Any) -> None:
    assert passes(gate("dynamics_lead 1", per_day=1_000)) == [True]
    assert rows("sync_api_use")[0]["requests"] == 10
    assert passes(gate("dynamics_contact 1", per_day=100_000)) == [True]
    assert [row["requests"] for row in rows("sync_api_use ORDER BY requests")] == [10, 20]


# --- at the same time --------------------------------------------------------------------------------


def test_many_at_once_never_exceed_the_budget_and_use_it_up(gate: Any) -> None:
    gates = [gate(f"dynamics_lead {number}", per_day=60) for number in range(6)]
    with ThreadPoolExecutor(6) as threads:
        counts = list(threads.map(sent, gates))
    assert sum(counts) == 60


def test_many_at_once_get_no_more_places_than_there_are(gate: Any) -> None:
    gates = [gate(f"dynamics_lead {number}") for number in range(12)]
    with ThreadPoolExecutor(12) as threads:
        assert sum(each is None for each in threads.map(lambda gate: gate.enter(1), gates)) == 8


def test_many_429s_at_once_lower_the_number_once(gate: Any, rows: Any) -> None:
    gates = [gate(f"dynamics_lead {number}") for number in range(8)]
    assert passes(*gates) == [True] * 8
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda numbered: numbered[1].throttled(10 + numbered[0]), enumerate(gates)))
    (limit,) = rows("sync_api_limit")
    assert (limit["allowed"], str(limit["paused_until"])[17:19]) == (4, "17")


# --- what it costs -----------------------------------------------------------------------------------


def test_the_database_is_asked_once_a_second_and_written_once_in_fifty_requests(
    open_database: Callable[[], MarketingDatabase], clock: Clock
) -> None:
    database = open_database()
    asked: list[str] = []
    sa.event.listen(
        database.engine, "before_cursor_execute", lambda _c, _cursor, statement, *_: asked.append(statement[:6])
    )
    lead = SharedGate(database, Caller("dynamics_lead", "dynamics_lead 1"), Budget())
    lead.enter(1)
    del asked[:]
    for _ in range(49):
        lead.enter(1)
    assert asked == []
    clock.seconds = 1
    lead.enter(1)
    assert "UPDATE" in asked
    del asked[:]
    clock.seconds = 2
    lead.enter(1)
    assert [statement for statement in asked if statement != "BEGIN"] == ["SELECT"] * 3
