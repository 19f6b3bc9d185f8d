"""Rows that could not be applied: set aside with code, reason and payload, closed when the record comes through."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from dynamics_sync.entity import Entity
from dynamics_sync.store.database import MarketingDatabase
from dynamics_sync.store.runs import RunIdentity, Way
from dynamics_sync.store.schema import VERSION, mirror_table
from dynamics_sync.store.sync_tables import SYNC_QUARANTINE, ensure_sync_tables

#: Beginning of the key of a row that has no GUID; the SHA-256 of the payload follows.
_NO_GUID = "sha256:"


@dataclass(frozen=True, slots=True)
class RejectedRow:
    """A row that cannot be applied. `reason` holds no values of fields; `payload` is JSON and holds them all."""

    record_key: str | None
    code: str
    column_name: str | None
    reason: str
    payload: str
    version: int | None


def open_record_keys(db: MarketingDatabase, entity: Entity) -> list[str]:
    """Return the GUIDs of the open rows, in order; rows without a GUID cannot be asked for again."""
    ensure_sync_tables(db)
    key = SYNC_QUARANTINE.c.record_key
    with db.reading() as connection:
        query = sa.select(key).where(_open_rows(entity), ~key.startswith(_NO_GUID)).order_by(key)
        return list(connection.execute(query).scalars())


def counts(db: MarketingDatabase, entity: Entity) -> dict[str, int]:
    """Return the number of open rows by their code, as in {"DS-603": 2}."""
    ensure_sync_tables(db)
    code = SYNC_QUARANTINE.c.code
    with db.reading() as connection:
        query = sa.select(code, sa.func.count()).where(_open_rows(entity)).group_by(code).order_by(code)
        return {row[0]: row[1] for row in connection.execute(query)}


def set_aside(
    connection: sa.Connection,
    entity: Entity,
    run: RunIdentity,
    rejected: Sequence[RejectedRow],
    now: datetime,
) -> None:
    """Write the rejected rows; one that is there already keeps `first_seen_at` and is open again."""
    latest = _latest(rejected)
    if not latest:
        return
    insert = (postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert)(SYNC_QUARANTINE)
    kept = {"entity", "direction", "record_key", "first_seen_at"}
    new = insert.excluded
    upsert = insert.on_conflict_do_update(
        index_elements=[SYNC_QUARANTINE.c.entity, SYNC_QUARANTINE.c.direction, SYNC_QUARANTINE.c.record_key],
        set_={column.name: new[column.name] for column in SYNC_QUARANTINE.columns if column.name not in kept},
        # A row that comes late must not hide what a newer one said.
        where=sa.func.coalesce(new.crm_version >= SYNC_QUARANTINE.c.crm_version, sa.true()),
    )
    seen = {
        "entity": entity.entity,
        "direction": Way.FROM_DYNAMICS,
        "run_id": run.run_id,
        "first_seen_at": now,
        "last_seen_at": now,
        "resolved_at": None,
    }
    connection.execute(upsert, [{**_values(key, row), **seen} for key, row in latest.items()])


def resolve_loaded(connection: sa.Connection, entity: Entity, incoming: sa.Table, now: datetime) -> None:
    """Close the open rows whose record this slice brought in the same or a newer version, or which are overtaken."""
    held, aside = mirror_table(entity), SYNC_QUARANTINE.c
    arrived = sa.exists().where(
        incoming.c[entity.key.column] == _guid_of_record(held.c[entity.key.column]),
        sa.func.coalesce(incoming.c[VERSION] >= aside.crm_version, sa.true()),
    )
    overtaken = sa.exists().where(
        held.c[entity.key.column] == _guid_of_record(held.c[entity.key.column]),
        held.c[VERSION] > aside.crm_version,
    )
    close(connection, entity, sa.or_(arrived, overtaken), now)


def close(connection: sa.Connection, entity: Entity, which: sa.ColumnElement[bool], now: datetime) -> None:
    """Close the open rows of the entity that the condition names."""
    connection.execute(SYNC_QUARANTINE.update().where(_open_rows(entity), which).values(resolved_at=now))


def is_among(entity: Entity, keys: sa.Table) -> sa.ColumnElement[bool]:
    """Return the condition that a quarantined row's GUID is in column `id` of the table."""
    return sa.exists().where(keys.c.id == _guid_of_record(mirror_table(entity).c[entity.key.column]))


def has_guid() -> sa.ColumnElement[bool]:
    """Return the condition that a quarantined row has a GUID."""
    return ~SYNC_QUARANTINE.c.record_key.startswith(_NO_GUID)


def _open_rows(entity: Entity) -> sa.ColumnElement[bool]:
    """The rows that came from Dynamics and were set aside; those on the way there are in `refused`."""
    return sa.and_(
        SYNC_QUARANTINE.c.entity == entity.entity,
        SYNC_QUARANTINE.c.direction == Way.FROM_DYNAMICS,
        SYNC_QUARANTINE.c.resolved_at.is_(None),
    )


def _guid_of_record(like: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """Return the row's GUID in the type of a key, so that the key's index serves; null for a row that has none."""
    return sa.case((has_guid(), sa.cast(SYNC_QUARANTINE.c.record_key, like.type)), else_=None)


def _latest(rejected: Sequence[RejectedRow]) -> dict[str, RejectedRow]:
    """Return one row a record: the highest version, and of equal ones the last."""
    rows = sorted(rejected, key=lambda row: -1 if row.version is None else row.version)
    return {_quarantine_key(row): row for row in rows}


def _quarantine_key(row: RejectedRow) -> str:
    try:
        return str(UUID(row.record_key))
    except (ValueError, TypeError, AttributeError):
        # No GUID, or none that the database could take for one.
        return _NO_GUID + hashlib.sha256(row.payload.encode()).hexdigest()


def _values(key: str, row: RejectedRow) -> dict[str, object]:
    return {
        "record_key": key,
        "code": row.code,
        "column_name": row.column_name,
        "reason": row.reason,
        "payload": row.payload,
        "crm_version": row.version,
    }
