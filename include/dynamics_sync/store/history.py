"""History: one row of `sync_history` for each value that the sync changed, on either side."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from dynamics_sync.entity import Entity, MappedField
from dynamics_sync.store.column_types import Instant
from dynamics_sync.store.conflicts import ThreeSides, record_text
from dynamics_sync.store.field_sql import as_text
from dynamics_sync.store.runs import RunIdentity
from dynamics_sync.store.schema import VERSION
from dynamics_sync.store.sync_tables import SYNC_HISTORY, SYNC_PLAN


def note_ours(
    connection: sa.Connection,
    entity: Entity,
    field: MappedField,
    sides: ThreeSides,
    run: RunIdentity,
    now: datetime,
    *,
    rule: str,
) -> None:
    """Note that ours takes theirs in each of the rows. Call it before the rows are written."""
    dialect = connection.dialect.name
    old, new = as_text(field, sides.ours, dialect), as_text(field, sides.theirs, dialect)
    rows = (
        sa.select(
            record_text(sides.key),
            old,
            new,
            # A value that came from another row here was brought by no version.
            sa.func.coalesce(sides.theirs.c[VERSION], 0),
            *(sa.literal(text, sa.Text) for text in (entity.entity, field.column, "marketing", rule, run.run_id)),
            sa.literal(now, Instant()),
        )
        .select_from(sides.rows)
        .where(sides.which)
    )
    names = ["record_id", "old_value", "new_value", "crm_version", "entity", "column_name", "side", "rule", "run_id"]
    connection.execute(SYNC_HISTORY.insert().from_select([*names, "changed_at"], rows))


def note_theirs(connection: sa.Connection, which: sa.ColumnElement[bool], now: datetime) -> None:
    """Note that the values of those rows of `sync_plan` were written to Dynamics; noting it twice changes nothing."""
    plan = SYNC_PLAN.c
    rows = sa.select(
        plan.entity,
        plan.record_id,
        plan.column_name,
        plan.old_value,
        plan.new_value,
        sa.literal("dynamics", sa.Text),
        plan.rule,
        plan.crm_version,
        plan.run_id,
        sa.literal(now, Instant()),
    ).where(which)
    names = ["entity", "record_id", "column_name", "old_value", "new_value", "side", "rule", "crm_version", "run_id"]
    insert = (postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert)(SYNC_HISTORY)
    connection.execute(insert.from_select([*names, "changed_at"], rows).on_conflict_do_nothing())
