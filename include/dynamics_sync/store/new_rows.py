"""Rows of which none is held go straight into the tables. A first copy brings nothing else.

To merge them would be to write each row once more, into a temporary table, and to compare it with nothing. Only their
keys are looked at first.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from functools import lru_cache

import pyarrow as pa
import sqlalchemy as sa

from dynamics_sync.entity import Column, Entity
from dynamics_sync.store.bulk import append, ingest, temporary_table
from dynamics_sync.store.column_types import guid_type
from dynamics_sync.store.own_writes import SENT
from dynamics_sync.store.quarantine import resolve_loaded
from dynamics_sync.store.runs import RunIdentity
from dynamics_sync.store.schema import READ_AT, UPDATED_AT, VERSION, WRITTEN_AT, entity_table, mirror_table
from dynamics_sync.store.sqlite_file import remove_leftover
from dynamics_sync.store.sync_tables import SYNC_PLAN

_INSTANT = pa.timestamp("us", "UTC")


def new_keys(connection: sa.Connection, entity: Entity, pages: Iterable[pa.Table]) -> sa.Table | None:
    """Return a temporary table of the keys and versions if each key is named once and none is held; None otherwise.

    `pages` have no other columns.
    A record that was sent to Dynamics, and of which it is not known what became of it, is not new.
    """
    remove_leftover(connection)
    key = entity.key.column
    named = _named_table(key)
    ingest(connection, named, pages)
    conditions = [sa.exists().where(table.c[key] == named.c[key]) for table in _tables(entity)]
    sent = sa.exists().where(SYNC_PLAN.c.entity == entity.entity, SYNC_PLAN.c.state == SENT)
    is_repeated = sa.select(sa.func.count() != sa.func.count(named.c[key].distinct())).select_from(named)
    questions = [sa.select(found) for found in (sent, *conditions)]
    if any(connection.execute(question).scalar_one() for question in (is_repeated, *questions)):
        named.drop(connection)
        return None
    return named


def insert_rows(
    connection: sa.Connection,
    entity: Entity,
    run: RunIdentity,
    columns: Sequence[Column],
    named: sa.Table,
    pages: Iterable[pa.Table],
    now: datetime,
) -> int:
    """Add the rows of `pages`, whose keys are `named`; return how many. `columns` are those that they bring."""
    mirror, key = mirror_table(entity), entity.key.column
    moments = {READ_AT: run.begun_at, UPDATED_AT: now, **({WRITTEN_AT: now} if entity.is_two_way else {})}
    names = [key, VERSION, *(column.name for column in columns)]
    inserted = append(connection, mirror, _with_moments(pages, names, moments))
    if entity.is_two_way:
        ours = entity_table(entity)
        shared = [*names, READ_AT, UPDATED_AT]
        rows = sa.select(*(mirror.c[name] for name in shared)).join(named, named.c[key] == mirror.c[key])
        connection.execute(ours.insert().from_select(shared, rows))
    resolve_loaded(connection, entity, named, now)
    named.drop(connection)
    return inserted


@lru_cache(maxsize=64)
def _named_table(key: str) -> sa.Table:
    """Return the temporary table; the same one again, so that statements about it are compiled once."""
    return temporary_table("sync_new", sa.Column(key, guid_type()), sa.Column(VERSION, sa.BigInteger))


def _tables(entity: Entity) -> set[sa.Table]:
    return {mirror_table(entity), entity_table(entity)}


def _with_moments(pages: Iterable[pa.Table], names: Sequence[str], moments: dict[str, datetime]) -> Iterator[pa.Table]:
    for page in pages:
        rows = page.select(names)
        for name, moment in moments.items():
            rows = rows.append_column(name, pa.repeat(pa.scalar(moment, _INSTANT), rows.num_rows))
        yield rows
