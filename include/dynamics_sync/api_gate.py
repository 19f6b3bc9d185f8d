"""The gate through which the requests of all tasks pass: one pause, so many places, one budget. Free of Airflow.

A task asks the marketing database before its first request, and then at most once a second: was somebody told to wait,
and does my place still count? Requests are counted before they are sent, so that a budget is never exceeded: some in
advance while much of it is left, each by itself at its end.
"""

import logging
import random
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta

import sqlalchemy as sa

from dynamics_sync.dataverse.budget import Wait
from dynamics_sync.errors import BudgetSpent, NoPlaceFree, Throttled
from dynamics_sync.pace import Allowance, Budget, Limit
from dynamics_sync.store.api_limits import (
    Shared,
    Use,
    add_use,
    changing,
    day_of,
    leave_place,
    read_shared,
    take_place,
    write_limit,
)
from dynamics_sync.store.database import MarketingDatabase

log = logging.getLogger(__name__)

#: For so long a task trusts what it has read.
FRESH = timedelta(seconds=1)

#: So long after its holder last showed a sign of life a place is free again. It is renewed when half of that is over.
LEASE = timedelta(minutes=5)

#: Seconds between two looks for a free place, and for which a task frees its worker when it has looked in vain.
_LOOK_AGAIN, _STAY_AWAY = 1.0, (30.0, 40.0)

#: Requests that are counted in advance where nothing limits them, and at most where a budget does.
_IN_ADVANCE, _OF_BUDGET = 50, 20

#: Seconds after midnight over which the tasks that waited for it come back.
_AFTER_MIDNIGHT = (5.0, 120.0)

_NOT_DONE = "Nothing was sent"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the DAG, whose budget it is, and the task, whose place it is; another try of it is the same task."""

    dag_id: str
    task: str


class SharedGate:
    """Lets the requests of one task through, see dataverse/budget.py. Call `leave` when the task is done."""

    def __init__(
        self, database: MarketingDatabase, caller: Caller, budget: Budget, *, source: random.Random | None = None
    ) -> None:
        self._database = database
        self._caller = caller
        self._budget = budget
        self._random = source or random.Random()  # noqa: S311 (spreads waiting times; no secret is made of it)
        self._trusted_until: datetime | None = None
        self._held_until: datetime | None = None
        #: Requests that are counted and not yet sent, and the day on which they were counted.
        self._in_advance, self._counted_on = 0, date.min
        #: What is not yet counted.
        self._use = Use()
        self._hint: int | None = None
        self._has_asked = self._is_waiting = False

    def enter(self, calls: int) -> Wait | None:
        """Let one request pass, or say how long to wait: with Throttled, NoPlaceFree or BudgetSpent."""
        now = self._database.now()
        if not self._left_over(now) or self._trusted_until is None or now >= self._trusted_until:
            if (wait := self._ask(now)) is not None:
                self._say(wait)
                return wait
            self._trusted_until, self._is_waiting = now + FRESH, False
        self._in_advance -= 1
        self._use = replace(self._use, calls=self._use.calls + calls)
        return None

    def hinted(self, tasks: int) -> None:
        """Note how many tasks at once Dynamics recommends; the others hear of it when this one asks next."""
        self._hint = tasks

    def throttled(self, seconds: float | None) -> None:
        """Let all tasks pause, at once."""
        self._trusted_until = None
        self._use = replace(self._use, throttled=self._use.throttled + 1)
        with changing(self._database) as connection:
            # Now that the others wait: until then a merge may have held SQLite's one lock.
            now = self._database.now()
            shared = read_shared(connection, now)
            limit = self._limit(shared, now).throttled(now, seconds, len(shared.holders))
            write_limit(connection, limit)
        self._hint = None
        end = _said(limit.paused_until)
        log.warning("Dynamics is not asked before %s, by any task; then by %s at once.", end, limit.allowed)

    def waited(self, seconds: float) -> None:
        """Note that the task stands still for so many seconds."""
        self._use = replace(self._use, seconds_waited=self._use.seconds_waited + seconds)

    def leave(self) -> None:
        """Give back the place and what was counted in advance, and count the rest."""
        now = self._database.now()
        if not self._has_asked and not self._was_left_behind(now):
            return
        with changing(self._database) as connection:
            leave_place(connection, self._caller.task)
            write_limit(connection, self._limit(read_shared(connection, now), now))
            self._give_back(connection)
            add_use(connection, self._caller.dag_id, day_of(now), self._use)
        self._held_until, self._in_advance, self._use, self._hint = None, 0, Use(), None

    # --- asking --------------------------------------------------------------------------------------

    def _ask(self, now: datetime) -> Wait | None:
        self._has_asked = True
        with self._database.reading() as connection:
            shared = read_shared(connection, now)
        wait = self._obstacle(shared, now)
        if wait is None and self._has_to_write(shared, now):
            wait = self._register()
        if wait is not None and isinstance(wait.error, NoPlaceFree) and self._caller.task in shared.holders:
            # There are too many places; this one may be that of an earlier try, which was killed.
            self.leave()
        return wait

    def _obstacle(self, shared: Shared, now: datetime) -> Wait | None:
        if pause := shared.limit.pause_left(now):
            what = f"Dynamics asked for a pause until {_said(shared.limit.paused_until)}, which holds for all tasks"
            return Wait(pause, Throttled(what, not_done=_NOT_DONE, retry_after=pause))
        allowance = self._budget.allowance(self._caller.dag_id, shared.used)
        if allowance is not None and allowance.left < 1 and not self._left_over(now):
            return self._until_tomorrow(allowance, now)
        allowed, holders = self._limit(shared, now).allowed, shared.holders
        # Who came first stays if fewer are allowed than hold a place.
        ahead = holders.index(self._caller.task) if self._caller.task in holders else len(holders)
        if ahead >= allowed:
            what = f"{ahead} other tasks talk to Dynamics, and {allowed} may at once just now"
            away = self._random.uniform(*_STAY_AWAY)
            return Wait(_LOOK_AGAIN, NoPlaceFree(what, not_done=_NOT_DONE, retry_after=away))
        return None

    def _until_tomorrow(self, allowance: Allowance, now: datetime) -> Wait:
        midnight = datetime.combine(day_of(now) + timedelta(days=1), time.min, UTC)
        seconds = (midnight - now).total_seconds() + self._random.uniform(*_AFTER_MIDNIGHT)
        goes_on = _said(now + timedelta(seconds=seconds))
        what = f"the budget of {allowance.name} has nothing left; the task goes on at {goes_on}"
        return Wait(seconds, BudgetSpent(what, not_done=_NOT_DONE, retry_after=seconds))

    def _limit(self, shared: Shared, now: datetime) -> Limit:
        limit = shared.limit.recovered(now)
        return limit if self._hint in (None, limit.hint) else limit.hinted(self._hint)

    def _left_over(self, now: datetime) -> bool:
        """Whether a request is counted that was not sent. One of yesterday's is not sent today."""
        return self._in_advance > 0 and self._counted_on == day_of(now)

    # --- writing -------------------------------------------------------------------------------------

    def _was_left_behind(self, now: datetime) -> bool:
        """Whether an earlier try that was killed holds a place, and this one had nothing to ask any more."""
        with self._database.reading() as connection:
            return self._caller.task in read_shared(connection, now).holders

    def _has_to_write(self, shared: Shared, now: datetime) -> bool:
        return (
            not self._left_over(now)
            or self._held_until is None
            or now > self._held_until - LEASE / 2
            or self._caller.task not in shared.holders
            or self._limit(shared, now) != shared.limit
        )

    def _register(self) -> Wait | None:
        with changing(self._database) as connection:
            now = self._database.now()
            shared = read_shared(connection, now)
            if (wait := self._obstacle(shared, now)) is not None:
                return wait
            write_limit(connection, self._limit(shared, now))
            take_place(connection, self._caller.task, now, now + LEASE)
            portion = 0 if self._left_over(now) else self._portion(shared)
            if portion:
                self._give_back(connection)
            more = replace(self._use, requests=portion)
            add_use(connection, self._caller.dag_id, day_of(now), more)
        # Told once: what another task hears later is newer.
        self._held_until, self._use, self._hint = now + LEASE, Use(), None
        if portion:
            self._in_advance, self._counted_on = portion, day_of(now)
        return None

    def _portion(self, shared: Shared) -> int:
        allowance = self._budget.allowance(self._caller.dag_id, shared.used)
        return _IN_ADVANCE if allowance is None else min(_OF_BUDGET, max(1, allowance.left // 100))

    def _give_back(self, connection: sa.Connection) -> None:
        add_use(connection, self._caller.dag_id, self._counted_on, Use(requests=-self._in_advance))

    def _say(self, wait: Wait) -> None:
        """Once for each time that the task comes to stand still."""
        if not self._is_waiting:
            log.info("%s", wait.error)
        self._is_waiting = True


def _said(instant: datetime | None) -> str:
    return "" if instant is None else f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
