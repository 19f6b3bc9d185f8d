"""Records that Dynamics refused: in `sync_quarantine` as `to_dynamics`, tried again when they change, or later."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from dynamics_sync.entity import DeletedHere, Entity
from dynamics_sync.store.conflicts import record_text
from dynamics_sync.store.field_sql import differs
from dynamics_sync.store.runs import RunIdentity, Way
from dynamics_sync.store.schema import DELETED_AT, UPDATED_AT, base_table, entity_table
from dynamics_sync.store.sync_tables import SYNC_QUARANTINE

#: However often it was refused, a record is tried once a day.
_LONGEST_DELAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class RefusedRecord:
    """A record that could not be written. `reason` holds no values; `payload` is what was sent, as JSON."""

    record_id: str
    code: str
    reason: str
    payload: str
    version: int
    dataverse_code: str = ""
    column_name: str | None = None


def _is_open(entity: Entity) -> sa.ColumnElement[bool]:
    return sa.and_(
        SYNC_QUARANTINE.c.entity == entity.entity,
        SYNC_QUARANTINE.c.direction == Way.TO_DYNAMICS,
        SYNC_QUARANTINE.c.resolved_at.is_(None),
    )


def is_waiting(entity: Entity, table: sa.FromClause, key: str, now: datetime) -> sa.ColumnElement[bool]:
    """Return the condition that a row was refused as it is, and that its time has not come. `table` has the key."""
    aside = SYNC_QUARANTINE.c
    same = sa.and_(_is_open(entity), aside.record_key == record_text(table.c[key]), aside.retry_at > now)
    if table is entity_table(entity):
        same = sa.and_(same, aside.row_updated_at == table.c[UPDATED_AT])
    return sa.exists().where(same)


def due_keys(entity: Entity, key_type: sa.types.TypeEngine[Any], now: datetime, *, everything: bool) -> sa.Select[Any]:
    """Select the keys of refused records whose time has come, or of all of them."""
    due = sa.true() if everything else SYNC_QUARANTINE.c.retry_at <= now
    return sa.select(sa.cast(SYNC_QUARANTINE.c.record_key, key_type)).where(_is_open(entity), due)


def set_refused(
    connection: sa.Connection,
    entity: Entity,
    run: RunIdentity,
    records: Sequence[RefusedRecord],
    now: datetime,
    first_delay: timedelta,
) -> None:
    """Write refused records; one that was refused before waits twice as long, up to a day."""
    if not records:
        return
    ours, aside = entity_table(entity), SYNC_QUARANTINE
    ids = [record.record_id for record in records]
    mine = sa.and_(aside.c.entity == entity.entity, aside.c.direction == Way.TO_DYNAMICS, aside.c.record_key.in_(ids))
    held = {
        row.record_key: row
        for row in connection.execute(
            sa.select(aside.c.record_key, aside.c.attempts, aside.c.first_seen_at, aside.c.resolved_at).where(mine)
        )
    }
    key = ours.c[entity.key.column]
    stamps = sa.select(record_text(key), ours.c[UPDATED_AT]).where(key.in_(ids))
    updated: dict[str, datetime] = {row[0]: row[1] for row in connection.execute(stamps)}
    connection.execute(aside.delete().where(mine))
    rows = []
    for record in records:
        earlier = held.get(record.record_id)
        attempts = 1 + (earlier.attempts if earlier is not None and earlier.resolved_at is None else 0)
        rows.append(
            {
                "entity": entity.entity,
                "direction": Way.TO_DYNAMICS,
                "record_key": record.record_id,
                "code": record.code,
                "column_name": record.column_name,
                "reason": record.reason,
                "payload": record.payload,
                "dataverse_code": record.dataverse_code or None,
                "crm_version": record.version,
                "attempts": attempts,
                "retry_at": now + delay_after(attempts, first_delay),
                "row_updated_at": updated.get(record.record_id),
                "run_id": run.run_id,
                "first_seen_at": earlier.first_seen_at if earlier is not None else now,
                "last_seen_at": now,
            }
        )
    connection.execute(aside.insert(), rows)


def delay_after(attempts: int, first_delay: timedelta) -> timedelta:
    """How long a record waits that was refused so many times in a row: twice as long each time, up to a day."""
    doublings: int = 2 ** min(attempts - 1, 20)
    return min(first_delay * doublings, _LONGEST_DELAY)


def close_refused(connection: sa.Connection, entity: Entity, ids: Sequence[str], now: datetime) -> None:
    """Close the open rows of records that came through, or that have nothing left to be written."""
    which = sa.and_(_is_open(entity), SYNC_QUARANTINE.c.record_key.in_(list(ids)))
    connection.execute(SYNC_QUARANTINE.update().where(which).values(resolved_at=now))


def close_settled(connection: sa.Connection, entity: Entity, now: datetime) -> None:
    """Close the open rows of records in which nothing is left to be written."""
    ours, base, key = entity_table(entity), base_table(entity), entity.key.column
    record = sa.cast(SYNC_QUARANTINE.c.record_key, ours.c[key].type)
    joined = sa.outerjoin(ours, base, ours.c[key] == base.c[key])
    apart = sa.or_(base.c[key].is_(None), *(differs(field, ours, base) for field in entity.mapped_fields))
    left: sa.ColumnElement[bool] = sa.exists().where(ours.c[key] == record, apart).select_from(joined)
    if entity.deleted_here is not DeletedHere.NOTHING:
        here = sa.exists().where(ours.c[key] == record).select_from(ours)
        left = sa.or_(left, sa.and_(~here, sa.exists().where(base.c[key] == record, base.c[DELETED_AT].is_(None))))
    connection.execute(SYNC_QUARANTINE.update().where(_is_open(entity), ~left).values(resolved_at=now))
