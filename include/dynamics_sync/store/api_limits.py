"""Where all tasks meet to keep the limits of Dynamics together: the pause, the places, and what was asked today.

Whoever changes something holds one lock, so that what was read still stands when it is written.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import Any

import sqlalchemy as sa

from dynamics_sync.pace import Limit
from dynamics_sync.store.database import MarketingDatabase, take_lock
from dynamics_sync.store.sync_tables import SYNC_API_LIMIT, SYNC_API_PLACE, SYNC_API_USE

_LOCK = "dynamics_sync:api"
_THE_ROW = {"limit_id": 1}


@dataclass(frozen=True, slots=True)
class Use:
    """What a task asked of Dynamics: requests, the calls in them, answers with 429, seconds that it stood still."""

    requests: int = 0
    calls: int = 0
    throttled: int = 0
    seconds_waited: float = 0.0


@dataclass(frozen=True, slots=True)
class Shared:
    """What all tasks know: the limit, who holds a place (the first that came first), requests of the day by DAG."""

    limit: Limit
    holders: tuple[str, ...]
    used: Mapping[str, int]


@contextmanager
def changing(db: MarketingDatabase) -> Iterator[sa.Connection]:
    """Give a transaction in which nobody else changes what this module keeps."""
    with db.writing() as connection:
        take_lock(connection, _LOCK)
        yield connection


def read_shared(connection: sa.Connection, now: datetime) -> Shared:
    """Return what all tasks know at that instant. A place whose holder was killed is free after a while."""
    place = SYNC_API_PLACE.c
    living = sa.select(place.holder).where(place.held_until > now).order_by(place.taken_at, place.holder)
    use = SYNC_API_USE.c
    today = sa.select(use.dag_id, use.requests).where(use.day == day_of(now))
    return Shared(
        read_limit(connection),
        tuple(connection.execute(living).scalars()),
        {row.dag_id: row.requests for row in connection.execute(today)},
    )


def read_limit(connection: sa.Connection) -> Limit:
    """Return what Dynamics lets us do; what holds before it has said anything, if nothing was written yet."""
    columns = [column for column in SYNC_API_LIMIT.c if column.name not in _THE_ROW]
    row = connection.execute(sa.select(*columns)).one_or_none()
    return Limit(**row._mapping) if row else Limit()


def write_limit(connection: sa.Connection, limit: Limit) -> None:
    """Write it where it differs; inside `changing`."""
    if read_limit(connection) != limit:
        _put(connection, SYNC_API_LIMIT, _THE_ROW, asdict(limit))


def take_place(connection: sa.Connection, holder: str, now: datetime, held_until: datetime) -> None:
    """Take a place or renew it, and clear away those whose holders were killed; inside `changing`."""
    connection.execute(SYNC_API_PLACE.delete().where(SYNC_API_PLACE.c.held_until <= now))
    renewed = SYNC_API_PLACE.update().where(SYNC_API_PLACE.c.holder == holder).values(held_until=held_until)
    if not connection.execute(renewed).rowcount:
        connection.execute(SYNC_API_PLACE.insert().values(holder=holder, taken_at=now, held_until=held_until))


def leave_place(connection: sa.Connection, holder: str) -> None:
    """Give a place back."""
    connection.execute(SYNC_API_PLACE.delete().where(SYNC_API_PLACE.c.holder == holder))


def add_use(connection: sa.Connection, dag_id: str, day: date, use: Use) -> None:
    """Add to what the DAG asked on that day; inside `changing`. Less than nothing gives back what was not used."""
    if use == Use():
        return
    held = {"day": day, "dag_id": dag_id}
    more = {name: SYNC_API_USE.c[name] + value for name, value in asdict(use).items()}
    _put(connection, SYNC_API_USE, held, more, asdict(use))


def day_of(now: datetime) -> date:
    """Return the day in UTC, by which Dynamics' own budgets are counted too."""
    return now.astimezone(UTC).date()


def _put(
    connection: sa.Connection,
    table: sa.Table,
    key: Mapping[str, Any],
    values: Mapping[str, Any],
    first: Mapping[str, Any] | None = None,
) -> None:
    same = sa.and_(*(table.c[name] == value for name, value in key.items()))
    if not connection.execute(table.update().where(same).values(values)).rowcount:
        connection.execute(table.insert().values({**key, **(values if first is None else first)}))
