"""Put fields here back to what Dynamics has: they belong to it, or a person decided a conflict so."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from dynamics_sync.entity import Entity, MappedField
from dynamics_sync.store import conflicts, history, plan
from dynamics_sync.store.conflicts import ThreeSides
from dynamics_sync.store.field_sql import as_text
from dynamics_sync.store.runs import RunIdentity
from dynamics_sync.store.schema import EDITED_AT, UPDATED_AT, WRITTEN_AT, base_table, entity_table
from dynamics_sync.store.sync_tables import SYNC_PLAN
from dynamics_sync.store.three_way import edited_at, lock_rows


def put_back(connection: sa.Connection, entity: Entity, run: RunIdentity, batch: int, now: datetime) -> None:
    """Carry out what a batch of the plan puts back. A value that somebody changed since it was planned stays.

    The value that goes is kept in `sync_conflict` where no person decided, and in `sync_history` always.
    """
    ours, base, key = entity_table(entity), base_table(entity), entity.key.column
    mine = sa.and_(
        SYNC_PLAN.c.run_key == run.run_key,
        SYNC_PLAN.c.batch == batch,
        SYNC_PLAN.c.state == plan.PLANNED,
        SYNC_PLAN.c.operation == plan.RESTORE,
    )
    planned = set(connection.execute(sa.select(SYNC_PLAN.c.field).distinct().where(mine)).scalars())
    if not planned:
        return
    records = sa.select(sa.cast(SYNC_PLAN.c.record_id, ours.c[key].type).label("key")).where(mine).subquery()
    lock_rows(connection, entity, records.c.key)
    # Before the first value is written, as that moves updated_at.
    same = ours.c[key] == base.c[key]
    restored = base.c[key].in_(sa.select(records.c.key))
    connection.execute(base.update().where(same, restored).values({EDITED_AT: edited_at(base, ours)}))
    for field in entity.mapped_fields:
        if field.name in planned:
            _put_back(connection, entity, field, run, mine, now)
    connection.execute(base.update().where(same, restored).values({WRITTEN_AT: ours.c[UPDATED_AT]}))
    rows = sa.and_(mine, SYNC_PLAN.c.operation == plan.RESTORE)
    connection.execute(SYNC_PLAN.update().where(rows).values(state=plan.EQUAL))


def _put_back(
    connection: sa.Connection,
    entity: Entity,
    field: MappedField,
    run: RunIdentity,
    mine: sa.ColumnElement[bool],
    now: datetime,
) -> None:
    ours, base, key = entity_table(entity), base_table(entity), entity.key.column
    unchanged = as_text(field, ours, connection.dialect.name).is_not_distinct_from(SYNC_PLAN.c.old_value)
    is_meant = sa.and_(mine, SYNC_PLAN.c.field == field.name, unchanged)
    record = sa.cast(SYNC_PLAN.c.record_id, ours.c[key].type)
    joined = sa.join(SYNC_PLAN, ours, ours.c[key] == record).join(base, base.c[key] == record)
    undecided = SYNC_PLAN.c.rule != "review"
    for which, note in ((undecided, True), (~undecided, False)):
        sides = ThreeSides(joined, sa.and_(is_meant, which), ours.c[key], base, ours, base)
        if note:
            conflicts.note(connection, entity, field, sides, run, now, outcome="theirs")
        history.note_ours(connection, entity, field, sides, run, now, rule="dynamics" if note else "review")
    values: dict[str, Any] = {column.name: base.c[column.name] for column in field.columns}
    which = sa.and_(ours.c[key] == base.c[key], ours.c[key] == record, is_meant)
    connection.execute(ours.update().where(which).values({**values, UPDATED_AT: now}))
