"""Load one slice: rows in, counts out, in one transaction that can be repeated.

A row applies only if it is not older than what is held, and if its run began after the row was found deleted. Rows may
therefore come late, twice or out of order. An equal version applies too: it fills columns that are new in the
catalogue, and options whose label changed, neither of which moves the version.
"""

from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from dynamics_sync.entity import ColumnKind, Entity
from dynamics_sync.store.bulk import ingest, temporary_table, unique_rows
from dynamics_sync.store.database import MarketingDatabase, take_lock
from dynamics_sync.store.quarantine import RejectedRow, resolve_loaded, set_aside
from dynamics_sync.store.runs import Counts, RunIdentity, record_slice, recorded_slice
from dynamics_sync.store.schema import DELETED_AT, UPDATED_AT, VERSION, entity_table, rows_schema

__all__ = ["RejectedRow", "load_slice"]


def load_slice(
    db: MarketingDatabase,
    entity: Entity,
    run: RunIdentity,
    slice_number: int,
    rows: pa.Table,
    rejected: Sequence[RejectedRow],
    *,
    read: int,
    filtered: int,
) -> Counts:
    """Merge `rows` (see `rows_schema`) into the entity's table and put the rejected ones into quarantine.

    `read` and `filtered` are numbers of rows. A slice that was loaded before is not loaded again: its counts are
    returned. The run must have been begun, and the entity's table ensured.
    Raises CountsDoNotAddUp before anything is committed if a row is not accounted for.
    """
    rows = _conform(entity, rows)
    with db.writing() as connection:
        take_lock(connection, entity_lock(entity))
        earlier = recorded_slice(connection, run.run_key, slice_number)
        if earlier is not None:
            return earlier
        now = db.now()
        incoming = _ingest_rows(connection, entity, rows)
        updated, inserted = _merge(connection, entity, incoming, run, now)
        set_aside(connection, entity, run, rejected, now)
        resolve_loaded(connection, entity, incoming, now)
        unchanged = rows.num_rows - inserted - updated
        counts = Counts(read, inserted, updated, unchanged, filtered, len(rejected))
        counts.check()
        record_slice(connection, run, slice_number, counts, now)
    return counts


def entity_lock(entity: Entity) -> str:
    """Return the name of the lock under which the rows of the entity's table change."""
    return f"dynamics_sync:{entity.table}"


def _conform(entity: Entity, rows: pa.Table) -> pa.Table:
    """Bring the rows into the schema; GUIDs into lower case, in which both databases keep them."""
    schema = rows_schema(entity)
    guids = {entity.key.column, *(column.name for column in entity.columns if column.kind is ColumnKind.GUID)}
    ordered = rows.select(schema.names).cast(schema)
    for position, name in enumerate(schema.names):
        if name in guids:
            ordered = ordered.set_column(position, schema.field(position), pc.ascii_lower(ordered[name]))
    return ordered


def _ingest_rows(connection: sa.Connection, entity: Entity, rows: pa.Table) -> sa.Table:
    held = entity_table(entity)
    columns = (sa.Column(name, held.c[name].type, primary_key=name == entity.key.column) for name in rows.column_names)
    incoming = temporary_table("sync_incoming", *columns)
    ingest(connection, incoming, unique_rows(rows, entity.key.column, VERSION))
    return incoming


def _merge(
    connection: sa.Connection, entity: Entity, incoming: sa.Table, run: RunIdentity, now: datetime
) -> tuple[int, int]:
    """Apply what applies; return how many rows were updated and how many inserted."""
    held = entity_table(entity)
    names = [column.name for column in entity.columns]
    key = held.c[entity.key.column] == incoming.c[entity.key.column]
    applies = sa.and_(
        key,
        incoming.c[VERSION] >= held.c[VERSION],
        sa.or_(held.c[DELETED_AT].is_(None), held.c[DELETED_AT] < run.begun_at),
    )
    differs = sa.or_(
        held.c[DELETED_AT].is_not(None), *(held.c[name].is_distinct_from(incoming.c[name]) for name in names)
    )
    changes = {name: incoming.c[name] for name in (*names, VERSION)}
    updated = connection.execute(
        held.update().where(applies, differs).values({**changes, DELETED_AT: None, UPDATED_AT: now})
    ).rowcount
    # What is left has the same values under a higher version: it must be known, or an older row would apply later.
    connection.execute(
        held.update().where(applies, incoming.c[VERSION] > held.c[VERSION]).values({VERSION: incoming.c[VERSION]})
    )
    is_held = sa.exists().where(key).select_from(held)
    new_rows = sa.select(*incoming.columns, sa.bindparam("now", now, held.c[UPDATED_AT].type)).where(~is_held)
    insert = held.insert().from_select([*incoming.columns.keys(), UPDATED_AT], new_rows)
    # Without the option SQLAlchemy forgets the number of an INSERT's rows.
    inserted = connection.execute(insert.execution_options(preserve_rowcount=True)).rowcount
    return updated, inserted
