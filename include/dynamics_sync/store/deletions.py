"""Mark rows as deleted: those that Dynamics names, or those that it no longer has. A breaker stands before both.

What a feed says holds for the instant at which it was read to its end, and for no later one. That instant is the mark.
A row that was read after it is spared; a row that was read before it does not come back by being loaded late.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from dynamics_sync.entity import Entity
from dynamics_sync.errors import DeletionBreaker
from dynamics_sync.store import conflicts, quarantine
from dynamics_sync.store.database import MarketingDatabase, take_lock
from dynamics_sync.store.difference import ingest_keys
from dynamics_sync.store.merge import entity_lock
from dynamics_sync.store.runs import RunIdentity
from dynamics_sync.store.schema import (
    DELETED_AT,
    EDITED_AT,
    READ_AT,
    UPDATED_AT,
    WRITTEN_AT,
    entity_table,
    mirror_table,
)
from dynamics_sync.store.sync_tables import SYNC_QUARANTINE
from dynamics_sync.store.three_way import edited_at, lock_rows

#: So many rows may go from a table of any size.
_FEW_ROWS = 3

#: More than this share of a table may go only where `share` is set even higher.
_LARGEST_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Breaker:
    """The limit of deletions in one run: more than `at_least` rows and more than `share` (0 to 1) of the living ones.

    So that `at_least` does not give a small table away, more than 3 rows and more than half of the living ones are too
    many as well, whatever `at_least` says; instead of the half counts a `share` that is larger.
    `open` says that a person allowed this run to delete whatever it finds.
    """

    share: float
    at_least: int
    open: bool = False

    def check(self, entity: Entity, count: int, living: int, *, done: str = "marked as deleted") -> None:
        """Raise DeletionBreaker if `count` of `living` rows is more than the limit; `done` says what was to happen."""
        limit = None if self.open else self._passed_limit(count, living)
        if limit is None:
            return
        message = f"{entity.entity}: {count} of {living} living rows would be {done}; the limit is {limit}"
        raise DeletionBreaker(message, not_done=f"None was {done.split(maxsplit=1)[0]}")

    def _passed_limit(self, count: int, living: int) -> str | None:
        """Return the limit that so many rows pass, in words; None if they pass none."""
        if count > self.at_least and count > self.share * living:
            return (
                f"{self.at_least} rows (deletion_breaker_at_least) or {self.share:.1%} of them"
                " (deletion_breaker_share), whichever is more"
            )
        most = max(self.share, _LARGEST_SHARE)
        if count > _FEW_ROWS and count > most * living:
            return f"{most:.1%} of them in a small table, where more than {_FEW_ROWS} would go"
        return None


def mark_deleted(
    db: MarketingDatabase,
    entity: Entity,
    run: RunIdentity,
    ids: "pa.Array[Any] | pa.ChunkedArray[Any]",
    breaker: Breaker,
    *,
    seen_at: datetime,
    absent: frozenset[str] = frozenset(),
) -> int:
    """Mark the rows of the ids that the feed names as deleted; ids that are not held are normal.

    `seen_at` is when the feed was read to its end. A row that this run or one that began later brought stays alive.
    `absent` are the fields that the organisation does not have.
    Returns how many rows this run marked, also when it is repeated. Open quarantine rows of the ids are closed.
    Raises DeletionBreaker before anything is marked.
    """
    if not len(ids):
        return 0
    keys = pa.Table.from_arrays([ids, pa.nulls(len(ids), pa.int64())], names=["id", "version"])
    held = mirror_table(entity)
    with db.writing() as connection:
        take_lock(connection, entity_lock(entity))
        named = ingest_keys(connection, [keys])
        is_named = sa.exists().where(named.c.id == held.c[entity.key.column])
        marked = _mark(db, connection, entity, run, is_named, breaker, seen_at, absent)
        gone = sa.and_(quarantine.is_among(entity, named), SYNC_QUARANTINE.c.last_seen_at <= seen_at)
        quarantine.close(connection, entity, gone, db.now())
    return marked


def mark_absent(
    db: MarketingDatabase,
    entity: Entity,
    run: RunIdentity,
    pages: Iterable[pa.Table],
    breaker: Breaker,
    *,
    seen_at: datetime,
    absent: frozenset[str] = frozenset(),
) -> int:
    """Mark the living rows that are on none of `pages` (id string, version int64), which name all that Dynamics has.

    `seen_at` is when the keys were read to their end. A row that this run or one that began later brought stays alive.
    `absent` are the fields that the organisation does not have.
    A row that another run brought meanwhile may be marked; the next run finds it among the keys, and brings it back.
    Returns how many rows this run marked, also when it is repeated. Open quarantine rows of absent records are closed.
    Raises DeletionBreaker before anything is marked; always if there are no keys while rows are alive.
    """
    held = mirror_table(entity)
    with db.writing() as connection:
        take_lock(connection, entity_lock(entity))
        named = ingest_keys(connection, pages)
        _check_not_empty(connection, entity, named, breaker)
        is_absent = ~sa.exists().where(named.c.id == held.c[entity.key.column])
        marked = _mark(db, connection, entity, run, is_absent, breaker, seen_at, absent)
        gone = sa.and_(
            quarantine.has_guid(),
            ~quarantine.is_among(entity, named),
            SYNC_QUARANTINE.c.last_seen_at < run.begun_at,
        )
        quarantine.close(connection, entity, gone, db.now())
    return marked


def _mark(
    db: MarketingDatabase,
    connection: sa.Connection,
    entity: Entity,
    run: RunIdentity,
    which: sa.ColumnElement[bool],
    breaker: Breaker,
    seen_at: datetime,
    absent: frozenset[str],
) -> int:
    held = mirror_table(entity)
    is_alive = held.c[DELETED_AT].is_(None)
    # A run reads its rows after its feed, so that what this run itself brought was alive after `seen_at`.
    was_read_before = sa.and_(held.c[READ_AT] <= seen_at, held.c[READ_AT] != run.begun_at)
    goes = sa.and_(is_alive, was_read_before, which)
    if going := _count(connection, held, goes):
        breaker.check(entity, going, _count(connection, held, is_alive))
    connection.execute(held.update().where(goes).values({DELETED_AT: seen_at, UPDATED_AT: db.now()}))
    if entity.is_two_way:
        mark_ours(connection, entity, run, db.now(), absent)
    # Counted afterwards, by the mark, so that a repeated task reports the same number.
    return _count(connection, held, sa.and_(held.c[DELETED_AT] == seen_at, which))


def mark_deleted_records(
    connection: sa.Connection,
    entity: Entity,
    run: RunIdentity,
    ids: Sequence[str],
    now: datetime,
    absent: frozenset[str],
) -> None:
    """Note that Dynamics has these records no more. It said so of each of them by itself: there is no breaker."""
    if not ids:
        return
    base = mirror_table(entity)
    which = sa.and_(base.c[entity.key.column].in_(list(ids)), base.c[DELETED_AT].is_(None))
    connection.execute(base.update().where(which).values({DELETED_AT: now, UPDATED_AT: now}))
    mark_ours(connection, entity, run, now, absent)


def count_living(connection: sa.Connection, entity: Entity) -> int:
    """Count the records of the entity that Dynamics has."""
    held = mirror_table(entity)
    return _count(connection, held, held.c[DELETED_AT].is_(None))


def mark_ours(
    connection: sa.Connection, entity: Entity, run: RunIdentity, now: datetime, absent: frozenset[str]
) -> None:
    """Let the marketing table show what its base knows to be deleted; an edit that is not written yet is a conflict."""
    ours, base, key = entity_table(entity), mirror_table(entity), entity.key.column
    same = ours.c[key] == base.c[key]
    fresh = sa.and_(same, base.c[DELETED_AT].is_not(None), ours.c[DELETED_AT].is_(None))
    edited = conflicts.is_edited(entity, absent)
    # Only those that go now: what went long ago is no longer ours to hold.
    lock_rows(connection, entity, sa.select(base.c[key]).select_from(sa.join(base, ours, fresh)).subquery().c[key])
    keys = sa.select(conflicts.record_text(ours.c[key])).select_from(sa.join(ours, base, same)).where(fresh, edited)
    conflicts.note_deletions(connection, entity, keys, run, now)
    connection.execute(base.update().where(fresh).values({EDITED_AT: edited_at(base, ours)}))
    connection.execute(ours.update().where(fresh).values({DELETED_AT: base.c[DELETED_AT], UPDATED_AT: now}))
    written = sa.and_(same, base.c[DELETED_AT].is_not(None), ours.c[UPDATED_AT] == now)
    connection.execute(base.update().where(written).values({WRITTEN_AT: ours.c[UPDATED_AT]}))


def _check_not_empty(connection: sa.Connection, entity: Entity, named: sa.Table, breaker: Breaker) -> None:
    if breaker.open or connection.execute(sa.select(sa.exists(sa.select(named.c.id)))).scalar_one():
        return
    living = count_living(connection, entity)
    if not living:
        return
    message = f"{entity.entity}: Dynamics named no record at all, while {living} rows are alive here"
    raise DeletionBreaker(message, not_done="None was marked")


def _count(connection: sa.Connection, table: sa.Table, which: sa.ColumnElement[bool]) -> int:
    return int(connection.execute(sa.select(sa.func.count()).select_from(table).where(which)).scalar_one())
