"""Mark rows as deleted: those that Dynamics names, or those that it no longer has. A breaker stands before both."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from dynamics_sync.entity import Entity
from dynamics_sync.errors import DeletionBreaker
from dynamics_sync.store import quarantine
from dynamics_sync.store.database import MarketingDatabase, take_lock
from dynamics_sync.store.difference import ingest_keys
from dynamics_sync.store.merge import entity_lock
from dynamics_sync.store.runs import RunIdentity
from dynamics_sync.store.schema import DELETED_AT, UPDATED_AT, entity_table
from dynamics_sync.store.sync_tables import SYNC_QUARANTINE


@dataclass(frozen=True, slots=True)
class Breaker:
    """The limit of deletions in one run: more than `at_least` rows and more than `share` (0 to 1) of the living ones.

    `open` says that a person allowed this run to delete whatever it finds.
    """

    share: float
    at_least: int
    open: bool = False

    def check(self, entity: Entity, count: int, living: int) -> None:
        """Raise DeletionBreaker if `count` of `living` rows is more than the limit."""
        if self.open or count <= self.at_least or count <= self.share * living:
            return
        message = (
            f"{entity.entity}: {count} of {living} living rows would be marked as deleted;"
            f" the limit is {self.at_least} rows or {self.share:.1%} of them, whichever is more"
        )
        raise DeletionBreaker(message, not_done="None was marked")


def mark_deleted(
    db: MarketingDatabase,
    entity: Entity,
    run: RunIdentity,
    ids: "pa.Array[Any] | pa.ChunkedArray[Any]",
    breaker: Breaker,
) -> int:
    """Mark the rows of the ids that the feed names as deleted; ids that are not held are normal.

    Returns how many rows this run marked, also when it is repeated. Open quarantine rows of the ids are closed.
    Raises DeletionBreaker before anything is marked.
    """
    keys = pa.Table.from_arrays([ids, pa.nulls(len(ids), pa.int64())], names=["id", "version"])
    held = entity_table(entity)
    with db.writing() as connection:
        take_lock(connection, entity_lock(entity))
        named = ingest_keys(connection, keys)
        is_named = sa.exists().where(named.c.id == held.c[entity.key.column])
        marked = _mark(db, connection, entity, run, is_named, breaker)
        quarantine.close(connection, entity, quarantine.is_among(entity, named), db.now())
    return marked


def mark_absent(db: MarketingDatabase, entity: Entity, run: RunIdentity, keys: pa.Table, breaker: Breaker) -> int:
    """Mark the living rows that are not among `keys` (id string, version int64), which name all that Dynamics has.

    A row that changed here after the run began stays: the keys may have been read before the row was made.
    Returns how many rows this run marked, also when it is repeated. Open quarantine rows of absent records are closed.
    Raises DeletionBreaker before anything is marked; always if there are no keys while rows are alive.
    """
    held = entity_table(entity)
    with db.writing() as connection:
        take_lock(connection, entity_lock(entity))
        named = ingest_keys(connection, keys)
        _check_not_empty(connection, entity, keys, breaker)
        is_absent = ~sa.exists().where(named.c.id == held.c[entity.key.column])
        was_there = sa.or_(held.c[UPDATED_AT] < run.begun_at, held.c[DELETED_AT] == run.begun_at)
        marked = _mark(db, connection, entity, run, sa.and_(is_absent, was_there), breaker)
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
) -> int:
    held = entity_table(entity)
    is_alive = held.c[DELETED_AT].is_(None)
    breaker.check(entity, _count(connection, held, sa.and_(is_alive, which)), _count(connection, held, is_alive))
    values = {DELETED_AT: run.begun_at, UPDATED_AT: db.now()}
    connection.execute(held.update().where(is_alive, which).values(values))
    # Counted afterwards, by the run's own mark, so that a repeated task reports the same number.
    return _count(connection, held, sa.and_(held.c[DELETED_AT] == run.begun_at, which))


def _check_not_empty(connection: sa.Connection, entity: Entity, keys: pa.Table, breaker: Breaker) -> None:
    held = entity_table(entity)
    living = _count(connection, held, held.c[DELETED_AT].is_(None))
    if keys.num_rows or not living or breaker.open:
        return
    message = f"{entity.entity}: Dynamics named no record at all, while {living} rows are alive here"
    raise DeletionBreaker(message, not_done="None was marked")


def _count(connection: sa.Connection, table: sa.Table, which: sa.ColumnElement[bool]) -> int:
    return int(connection.execute(sa.select(sa.func.count()).select_from(table).where(which)).scalar_one())
