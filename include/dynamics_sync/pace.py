"""How fast Dynamics may be asked: the pause that it asked for, how many tasks at once, the budget of a day. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

#: How many tasks may talk to Dynamics at once before it has said how many it likes: the pool's size by default.
PLACES_UNTOLD = 8

#: One task more may talk to Dynamics after each minute in which nobody was throttled.
QUIET = timedelta(minutes=1)

#: Seconds, for a 429 that does not say how long to wait.
PAUSE_UNTOLD = 5.0

#: Seconds. Dynamics looks at the last five minutes; what names a far longer wait is not Dynamics, or is broken.
LONGEST_PAUSE = 3600.0

#: The DAG for which a part of the budget is kept.
WRITE_BACK = "dynamics_reverse"


@dataclass(frozen=True, slots=True)
class Limit:
    """What Dynamics lets us do just now. The instants are aware, in UTC."""

    allowed: int = PLACES_UNTOLD
    hint: int | None = None
    paused_until: datetime | None = None
    lowered_at: datetime | None = None
    raised_at: datetime | None = None

    @property
    def most(self) -> int:
        """As many tasks at once as Dynamics recommends."""
        return PLACES_UNTOLD if self.hint is None else self.hint

    def pause_left(self, now: datetime) -> float:
        """Seconds for which nobody may ask; 0 if there is no pause."""
        return 0.0 if self.paused_until is None else max(0.0, (self.paused_until - now).total_seconds())

    def throttled(self, now: datetime, seconds: float | None, busy: int) -> "Limit":
        """After a 429 that asked for a wait of so many seconds, while `busy` tasks talked to Dynamics.

        Of those, half may go on afterwards. Answers to what was under way when the pause began lower nothing more.
        """
        told = PAUSE_UNTOLD if seconds is None else min(seconds, LONGEST_PAUSE)
        until = now + timedelta(seconds=told)
        longest = until if self.paused_until is None else max(until, self.paused_until)
        if self.pause_left(now):
            return replace(self, paused_until=longest)
        # What is allowed may be far above what is done: half of it would then slow nothing down.
        half = max(1, min(self.allowed, busy) // 2)
        return replace(self, paused_until=longest, allowed=half, lowered_at=now)

    def hinted(self, hint: int) -> "Limit":
        """After an answer that recommends so many tasks at once. What was lowered comes back step by step only."""
        return replace(self, hint=hint, allowed=hint if self.lowered_at is None else min(self.allowed, hint))

    def recovered(self, now: datetime) -> "Limit":
        """One task more for each minute since somebody was throttled, or one was added."""
        changes = [at for at in (self.paused_until, self.lowered_at, self.raised_at) if at is not None]
        minutes = (now - max(changes)) // QUIET if changes else 0
        if minutes < 1 or self.allowed >= self.most:
            return self
        allowed = min(self.most, self.allowed + minutes)
        lowered_at = None if allowed == self.most else self.lowered_at
        return replace(self, allowed=allowed, raised_at=now, lowered_at=lowered_at)


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of the budget that is spent first, in requests, and what to call it."""

    left: int
    name: str


@dataclass(frozen=True, slots=True)
class Budget:
    """How many requests may be sent on one day (UTC): by all DAGs, and by single ones. None is no limit."""

    per_day: int | None = None
    write_back_share: float = 0.0
    per_day_of: Mapping[str, int] = field(default_factory=dict)

    def allowance(self, dag_id: str, used: Mapping[str, int]) -> Allowance | None:
        """Return what the DAG may send yet, where `used` maps each DAG to its requests of the day; None for no limit.

        What is kept for writing back is there for that only; the rest is there for all.
        """
        found: list[Allowance] = []
        if (own := self.per_day_of.get(dag_id)) is not None:
            found.append(_rest(own, used.get(dag_id, 0), f"{own:,} requests a day of {dag_id}"))
        if self.per_day is not None:
            found.append(_rest(self.per_day, sum(used.values()), f"{self.per_day:,} requests a day of all DAGs"))
            if dag_id != WRITE_BACK:
                shared = self.per_day - round(self.per_day * self.write_back_share)
                copied = sum(count for name, count in used.items() if name != WRITE_BACK)
                name = f"{shared:,} requests a day of all DAGs but {WRITE_BACK}"
                found.append(_rest(shared, copied, name))
        return min(found, key=lambda allowance: allowance.left, default=None)


def _rest(limit: int, used: int, name: str) -> Allowance:
    return Allowance(max(0, limit - used), f"{name} ({used:,} used)")
