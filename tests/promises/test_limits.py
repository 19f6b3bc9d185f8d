"""The limits of Dynamics are kept by all tasks together: pauses, places and budgets, in whole runs."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dynamics_sync.api_gate import Caller, SharedGate
from dynamics_sync.errors import BudgetSpent, NoPlaceFree, Throttled, WaitAsTold
from dynamics_sync.forward import tasks
from dynamics_sync.pace import WRITE_BACK
from dynamics_sync.services import Services
from dynamics_sync.settings import Settings
from dynamics_sync.store.database import MarketingDatabase

SECOND_PAGE = "leadid%2520last"


class Clock:
    """The time, which sleep moves as it does everywhere; a test may let more of it pass."""

    def __init__(self) -> None:
        self.passed = timedelta(0)
        now = datetime.now(UTC)
        if now.hour == 23:
            # A test that is about one day must not see its end.
            self.passed = timedelta(hours=2)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.passed

    def sleep(self, seconds: float) -> None:
        self.passed += timedelta(seconds=seconds)

    def next_day(self) -> None:
        now = self()
        self.sleep((now.replace(hour=0, minute=3, second=0) + timedelta(days=1) - now).total_seconds())


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def polite(make_sync: Callable[..., Any], empty_dynamics: Any, database_url: str, tmp_path: Path, clock: Clock) -> Any:
    """As `sync`, with a gate: each task says which it is, as Airflow does."""
    kind = type(make_sync(empty_dynamics, database_url, tmp_path / "unused"))

    @dataclass
    class Polite(kind):
        task: str = "dynamics_lead"

        @property
        def services(self) -> Services:
            return replace(
                super().services,
                dynamics=lambda **options: self.client(sleep=clock.sleep, **options),
                gate=lambda database: SharedGate(
                    database, Caller(self.task, self.task), Settings(**self.settings).budget
                ),
            )

        @property
        def database(self) -> MarketingDatabase:
            if self.database_url not in self._databases:
                self._databases[self.database_url] = MarketingDatabase.open(self.database_url, clock=clock)
            return self._databases[self.database_url]

        def leads(self, count: int) -> None:
            for number in range(count):
                self.create("leads", lastname=f"Lee {number}")

        def use(self, dag_id: str = "dynamics_lead") -> dict[str, Any]:
            rows = self.sql("SELECT * FROM sync_api_use WHERE dag_id = :dag_id ORDER BY day DESC", dag_id=dag_id)
            return rows[0] if rows else {"requests": 0}

        def limit(self) -> dict[str, Any]:
            return self.sql("SELECT * FROM sync_api_limit")[0]

        def goes_on(
            self, step: Callable[[], Any], wait: Callable[[WaitAsTold], object]
        ) -> tuple[Any, list[WaitAsTold]]:
            """Call a task as Airflow does: after each wait anew."""
            waits: list[WaitAsTold] = []
            while len(waits) < 50:
                try:
                    return step(), waits
                except WaitAsTold as error:
                    waits.append(error)
                    wait(error)
            raise waits[-1]

    return make_sync(empty_dynamics, database_url, tmp_path / "staging", settings={"page_size": 2}, kind=Polite)


def test_a_429_to_one_task_holds_up_another_and_both_go_on(polite: Any, clock: Clock) -> None:
    polite.leads(5)
    lead, contact = polite.entity("lead"), polite.entity("contact")
    trigger = polite.trigger()
    run_key, (reference,) = polite.begin(lead, trigger)
    polite.dynamics.control.change_settings(retry_after_seconds=300)
    polite.dynamics.control.add_fault("status-429", times=1, match=SECOND_PAGE)
    with pytest.raises(Throttled) as told:
        polite.copy(lead, reference)
    assert told.value.retry_after == 300
    waiting = polite.last_run("lead")
    assert (waiting["state"], waiting["error_code"], waiting["finished_at"]) == ("waiting", "DS-302", None)

    sent = len(polite.wire.sent)
    polite.task = "dynamics_contact"
    with pytest.raises(Throttled, match=r"pause until .* UTC, which holds for all tasks"):
        polite.begin(contact, polite.trigger())
    assert len(polite.wire.sent) == sent
    assert (polite.last_run("contact")["state"], polite.last_run("contact")["error_code"]) == ("waiting", "DS-302")

    clock.sleep(301)
    assert polite.run("contact")["state"] == "success"
    polite.task = "dynamics_lead"
    polite.wire.sent.clear()
    polite.copy(lead, reference)
    # The page that was staged is not read again.
    assert [SECOND_PAGE in path or "last" in path for path in polite.wire.sent if "/leads" in path] == [True, True]
    assert (polite.last_run("lead")["state"], polite.last_run("lead")["error"]) == ("running", None)
    polite.finish(lead, trigger, run_key)
    done = polite.last_run("lead")
    assert (done["state"], done["inserted"], done["error_code"], done["error"]) == ("success", 5, None, None)


def test_a_short_pause_is_waited_for_in_place(polite: Any, clock: Clock) -> None:
    polite.leads(3)
    polite.dynamics.control.add_fault("status-429", times=1, match="/leads")
    assert polite.run("lead")["inserted"] == 3
    assert (polite.use()["throttled"], polite.use()["seconds_waited"]) == (1, 5)
    assert polite.limit()["lowered_at"] is not None
    assert polite.sql("SELECT * FROM sync_api_place") == []


def test_the_hint_of_dynamics_decides_how_many_tasks_may_talk(polite: Any, clock: Clock) -> None:
    polite.dynamics.control.change_settings(parallelism_hint=1)
    polite.run("lead")
    assert (polite.limit()["hint"], polite.limit()["allowed"]) == (1, 1)
    other = SharedGate(polite.database, Caller("dynamics_contact", "dynamics_contact"), polite.services.settings.budget)
    assert other.enter(1) is None
    with pytest.raises(NoPlaceFree):
        polite.run("lead")
    assert polite.last_run("lead")["error_code"] == "DS-310"
    other.leave()
    assert polite.run("lead")["state"] == "success"


def test_a_spent_budget_stops_cleanly_and_goes_on_tomorrow(polite: Any, clock: Clock) -> None:
    polite.leads(40)
    polite.settings["requests_per_day_of"] = {"dynamics_lead": 20}
    lead, trigger = polite.entity("lead"), polite.trigger()
    run_key, (reference,) = polite.begin(lead, trigger)
    with pytest.raises(BudgetSpent):
        polite.copy(lead, reference)
    assert (polite.use()["requests"], len(polite.wire.sent)) == (20, 20)
    waiting = polite.last_run("lead")
    assert (waiting["state"], waiting["error_code"]) == ("waiting", "DS-311")
    assert "20 requests a day of dynamics_lead (20 used)" in waiting["error"]
    assert "goes on at " in waiting["error"]
    assert polite.watermark("lead") is None
    # Others are not concerned.
    polite.task = "dynamics_contact"
    assert polite.run("contact")["state"] == "success"

    polite.task = "dynamics_lead"
    _, waits = polite.goes_on(lambda: polite.copy(lead, reference), lambda error: clock.sleep(error.retry_after))
    assert {type(error) for error in waits} == {BudgetSpent}
    polite.finish(lead, trigger, run_key)
    assert (polite.last_run("lead")["state"], polite.last_run("lead")["inserted"]) == ("success", 40)
    days = polite.sql("SELECT requests FROM sync_api_use WHERE dag_id = 'dynamics_lead' ORDER BY day")
    assert (days[0]["requests"], len(days)) == (20, 2)


def test_begin_goes_on_with_its_feed_where_the_budget_ended(polite: Any, clock: Clock) -> None:
    polite.leads(40)
    polite.run("lead")
    polite.settings["requests_per_day_of"] = {"dynamics_lead": 20}
    clock.next_day()
    trigger = polite.trigger()
    polite.wire.sent.clear()
    (_, references), waits = polite.goes_on(
        lambda: tasks.begin(polite.entity("lead"), polite.services, trigger), lambda _: clock.next_day()
    )
    assert len(waits) == 1
    assert references == []
    # Twenty pages of keys, each read once, with what each begin asks first.
    pages = [path for path in polite.wire.sent if "/leads?" in path]
    assert len(set(pages)) == len(pages) == 20


def test_writing_back_goes_on_when_copying_has_used_up_its_part(polite: Any, clock: Clock) -> None:
    polite.leads(50)
    for entity in ("lead", "contact"):
        polite.task = f"dynamics_{entity}"
        polite.run(entity)
    polite.write("UPDATE lead SET job_title = 'New' WHERE last_name = 'Lee 7'")
    clock.next_day()
    polite.settings |= {"requests_per_day": 50, "write_back_share": 0.6}
    polite.task = "dynamics_lead"
    with pytest.raises(BudgetSpent, match="20 requests a day of all DAGs but dynamics_reverse"):
        polite.run("lead", mode="full")
    polite.task = WRITE_BACK
    assert polite.reverse()["lead"]["updated"] == 1
    assert polite.use()["requests"] == 20
    assert 0 < polite.use(WRITE_BACK)["requests"] <= 30


def test_a_write_that_meets_the_end_of_the_budget_is_done_once_and_completely(polite: Any, clock: Clock) -> None:
    polite.leads(12)
    for entity in ("lead", "contact"):
        polite.task = f"dynamics_{entity}"
        polite.run(entity)
    polite.write("UPDATE lead SET job_title = 'New'")
    polite.settings["records_per_batch"] = 1
    polite.task = WRITE_BACK
    run_key = polite.collect()
    references = polite.plan(run_key)
    assert len(references) == 12
    # Each batch asks who Dynamics is, and writes: the budget ends between batches, or within one.
    polite.settings["requests_per_day_of"] = {WRITE_BACK: 20}
    waits = []
    for reference in references:
        waits += polite.goes_on(lambda reference=reference: polite.apply(reference), lambda _: clock.next_day())[1]
    assert waits
    assert polite.record(run_key)["lead"]["updated"] == 12
    titles = [row["jobtitle"] for row in polite.their_rows("leads", "leadid").values()]
    assert titles == ["New"] * 12
    written = polite.sql("SELECT record_id FROM sync_history WHERE side = 'dynamics'")
    assert len({row["record_id"] for row in written}) == len(written) == 12


def test_what_only_cuts_the_work_is_waited_for_too(polite: Any, clock: Clock) -> None:
    polite.leads(3)
    polite.dynamics.control.change_settings(retry_after_seconds=300)
    polite.dynamics.control.add_fault("status-429", times=1, match="RetrieveTotalRecordCount")
    # The call's own error, and not that of the next one, which would meet the pause.
    with pytest.raises(Throttled, match="RetrieveTotalRecordCount"):
        polite.run("lead")
    clock.sleep(301)
    assert polite.run("lead")["inserted"] == 3


def test_no_task_holds_a_transaction_while_it_asks_dynamics(polite: Any, clock: Clock) -> None:
    """On SQLite its own gate would wait for it."""
    held: list[int] = []
    polite.wire.before.append(lambda _request: held.append(polite.database.engine.pool.checkedout()))
    polite.leads(3)
    for entity in ("lead", "contact", "lead"):
        polite.run(entity)
    polite.write("UPDATE lead SET job_title = 'New'")
    for key in polite.rows("lead"):
        polite.api("PATCH", f"leads({key})", {"description": "Changed there"})
    polite.write("INSERT INTO lead (last_name, email) VALUES ('Born here', 'born@example.org')")
    assert polite.reverse()["lead"]["updated"] == 3
    assert len(held) > 20
    assert set(held) == {0}


def test_a_task_that_is_killed_at_any_moment_takes_nothing_away_from_its_next_try(
    polite: Any, dies_at: Callable[..., bool]
) -> None:
    polite.leads(2)
    polite.dynamics.control.change_settings(parallelism_hint=1)
    lead, trigger = polite.entity("lead"), polite.trigger()
    run_key, (reference,) = polite.begin(lead, trigger)
    kills = 0
    while dies_at(polite, kills + 1, lambda: tasks.extract(lead, polite.services, reference)):
        kills += 1
    assert kills > 6
    polite.copy(lead, reference)
    polite.finish(lead, trigger, run_key)
    assert (polite.last_run("lead")["state"], polite.last_run("lead")["inserted"]) == ("success", 2)
    assert polite.sql("SELECT * FROM sync_api_place") == []
    assert polite.use()["requests"] >= len(polite.wire.sent)
