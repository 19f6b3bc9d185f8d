"""Conflicts: fields that both sides changed to different values, and records that one side edited and one deleted.

Each is a row of `sync_conflict`, which keeps the loser's value. One whose outcome is `open` waits for a person, who
writes `ours` or `theirs` into its `decision`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from dynamics_sync.entity import Entity, MappedField, Winner
from dynamics_sync.store.column_types import Instant
from dynamics_sync.store.field_sql import as_text, differs
from dynamics_sync.store.runs import RunIdentity
from dynamics_sync.store.schema import DELETED_AT, base_table, entity_table
from dynamics_sync.store.sync_tables import SYNC_CONFLICT, SYNC_PLAN

#: `column_name` of a conflict about the whole record.
WHOLE_RECORD = ""


@dataclass(frozen=True)
class ThreeSides:
    """Rows to look at: where they come from, which of them, their key, and the three sides of each."""

    rows: sa.FromClause
    which: sa.ColumnElement[bool]
    key: sa.ColumnElement[Any]
    base: sa.FromClause
    ours: sa.FromClause
    theirs: sa.FromClause


def record_text(key: sa.ColumnElement[Any]) -> sa.ColumnElement[str]:
    """Return a key as the sync's own tables hold it."""
    return sa.cast(key, sa.String(36))


def is_open(entity: Entity) -> sa.ColumnElement[bool]:
    """Return the condition that a conflict of the entity is not settled."""
    return sa.and_(SYNC_CONFLICT.c.entity == entity.entity, SYNC_CONFLICT.c.resolved_at.is_(None))


def note(
    connection: sa.Connection,
    entity: Entity,
    field: MappedField,
    sides: ThreeSides,
    run: RunIdentity,
    now: datetime,
    *,
    outcome: str,
) -> None:
    """Write a conflict for each row; one that is open already gets the new values, and needs a new decision."""
    dialect = connection.dialect.name
    by_side = {"base": sides.base, "ours": sides.ours, "theirs": sides.theirs}
    # Three columns of one name could not be told apart in a subquery.
    texts = [as_text(field, side, dialect).label(name) for name, side in by_side.items()]
    held = sa.and_(is_open(entity), SYNC_CONFLICT.c.column_name == field.column)
    rows = sa.select(record_text(sides.key).label("record_id"), *texts).select_from(sides.rows).where(sides.which)
    if outcome == "open":
        news = sa.select(sides.key.label("key"), *texts).select_from(sides.rows).where(sides.which).subquery("news")
        # Keys are compared as what they are, as their index then finds each conflict's row. Nobody knows how many open
        # conflicts there are, least of all the planner, to which few of them are worth a pass over all rows each.
        same = sa.cast(SYNC_CONFLICT.c.record_id, sides.key.type) == news.c.key
        again = SYNC_CONFLICT.update().where(held, same)
        connection.execute(again.values(ours=news.c.ours, theirs=news.c.theirs, decision=None, run_id=run.run_id))
        rows = rows.where(~sa.exists().where(held, SYNC_CONFLICT.c.record_id == record_text(sides.key)))
    values = {
        "entity": entity.entity,
        "column_name": field.column,
        "rule": field.rule.value,
        "outcome": outcome,
        "run_id": run.run_id,
    }
    instants = {"detected_at": now, "resolved_at": None if outcome == "open" else now}
    names = ["record_id", "base", "ours", "theirs", *values, *instants]
    constants = [sa.literal(value, sa.Text) for value in values.values()]
    moments = [sa.literal(instant, Instant()) for instant in instants.values()]
    connection.execute(SYNC_CONFLICT.insert().from_select(names, rows.add_columns(*constants, *moments)))


def open_columns(connection: sa.Connection, entity: Entity) -> set[str]:
    """Return the columns about which the entity has open conflicts."""
    return set(connection.execute(sa.select(SYNC_CONFLICT.c.column_name).distinct().where(is_open(entity))).scalars())


def refresh(connection: sa.Connection, entity: Entity) -> None:
    """Let open conflicts show what stands here now. Who decided about another value has not decided about this one."""
    ours, key, dialect = entity_table(entity), entity.key.column, connection.dialect.name
    columns = open_columns(connection, entity)
    for field in entity.mapped_fields:
        if field.column in columns:
            now_here = (
                sa.select(record_text(ours.c[key]).label("record_id"), as_text(field, ours, dialect).label("value"))
                .where(ours.c[key].in_(_disputed(entity, field, ours.c[key].type)))
                .subquery("now_here")
            )
            which = sa.and_(
                is_open(entity),
                SYNC_CONFLICT.c.column_name == field.column,
                SYNC_CONFLICT.c.record_id == now_here.c.record_id,
                SYNC_CONFLICT.c.ours.is_distinct_from(now_here.c.value),
            )
            connection.execute(SYNC_CONFLICT.update().where(which).values(ours=now_here.c.value, decision=None))


def settle_agreed(connection: sa.Connection, entity: Entity, now: datetime) -> None:
    """Close open conflicts about fields in which both sides have the same value again."""
    ours, base, key = entity_table(entity), base_table(entity), entity.key.column
    columns = open_columns(connection, entity)
    for field in entity.mapped_fields:
        if field.column in columns:
            joined = sa.join(ours, base, ours.c[key] == base.c[key])
            same = sa.and_(ours.c[key].in_(_disputed(entity, field, ours.c[key].type)), ~differs(field, ours, base))
            settle(connection, entity, field, ThreeSides(joined, same, ours.c[key], base, ours, base), now)


def _disputed(entity: Entity, field: MappedField, key_type: sa.types.TypeEngine[Any]) -> sa.Select[Any]:
    """Select the keys of the records about which field there is an open conflict."""
    which = sa.and_(is_open(entity), SYNC_CONFLICT.c.column_name == field.column)
    return sa.select(sa.cast(SYNC_CONFLICT.c.record_id, key_type)).where(which)


def settle(connection: sa.Connection, entity: Entity, field: MappedField, sides: ThreeSides, now: datetime) -> None:
    """Close the open conflicts of the rows about that field: something else was decided, or both sides agree."""
    keys = sa.select(record_text(sides.key)).select_from(sides.rows).where(sides.which)
    which = sa.and_(is_open(entity), SYNC_CONFLICT.c.column_name == field.column, SYNC_CONFLICT.c.record_id.in_(keys))
    connection.execute(SYNC_CONFLICT.update().where(which).values(outcome="agreed", resolved_at=now))


def settle_deletions(connection: sa.Connection, entity: Entity, keys: sa.ColumnElement[Any], now: datetime) -> None:
    """Close the open conflicts about deleted records: Dynamics has them again, as was decided or without that."""
    alive = SYNC_CONFLICT.c.record_id.in_(sa.select(record_text(keys)))
    which = sa.and_(is_open(entity), SYNC_CONFLICT.c.column_name == WHOLE_RECORD, alive)
    outcome = sa.case((SYNC_CONFLICT.c.decision == "ours", "ours"), else_="agreed")
    connection.execute(SYNC_CONFLICT.update().where(which).values(outcome=outcome, resolved_at=now))


def note_deletions(
    connection: sa.Connection, entity: Entity, keys: sa.Select[Any], run: RunIdentity, now: datetime
) -> None:
    """Write a conflict for each record that was deleted in Dynamics while it was edited here. `keys` selects text."""
    values = {
        "entity": entity.entity,
        "column_name": WHOLE_RECORD,
        "ours": "edited",
        "theirs": "deleted",
        "rule": Winner.REVIEW.value,
        "outcome": "open",
        "run_id": run.run_id,
    }
    named = keys.subquery("named")
    key = next(iter(named.c))
    held = sa.exists().where(
        is_open(entity), SYNC_CONFLICT.c.column_name == WHOLE_RECORD, SYNC_CONFLICT.c.record_id == key
    )
    constants = [sa.literal(value, sa.Text) for value in values.values()]
    rows = sa.select(key, *constants, sa.literal(now, Instant())).where(~held)
    connection.execute(SYNC_CONFLICT.insert().from_select(["record_id", *values, "detected_at"], rows))


def note_edits_there(
    connection: sa.Connection, entity: Entity, ids: Sequence[str], run: RunIdentity, now: datetime
) -> None:
    """Write that records were changed in Dynamics while they were deleted here; the catalogue says that we win.

    What was changed there is read into the base before the record is deleted, and stays in it.
    """
    if not ids:
        return
    row = {
        "entity": entity.entity,
        "column_name": WHOLE_RECORD,
        "ours": "deleted",
        "theirs": "edited",
        "rule": Winner.MARKETING.value,
        "outcome": "ours",
        "run_id": run.run_id,
        "detected_at": now,
        "resolved_at": now,
    }
    connection.execute(SYNC_CONFLICT.insert(), [{**row, "record_id": record_id} for record_id in ids])


def is_edited(entity: Entity, absent: frozenset[str]) -> sa.ColumnElement[bool]:
    """Return the condition that a row holds an edit for Dynamics, which does not have the fields `absent`."""
    ours, base = entity_table(entity), base_table(entity)
    fields = [f for f in entity.mapped_fields if not f.is_owned_by_dynamics and f.name not in absent]
    return sa.or_(sa.false(), *(differs(field, ours, base) for field in fields))


def note_edits_of_deleted(
    connection: sa.Connection, entity: Entity, run: RunIdentity, now: datetime, *, absent: frozenset[str]
) -> None:
    """Write a conflict for each row that was edited here, before or after Dynamics deleted its record."""
    ours, base, key = entity_table(entity), base_table(entity), entity.key.column
    edited = is_edited(entity, absent)
    joined = sa.join(ours, base, ours.c[key] == base.c[key])
    keys = sa.select(record_text(ours.c[key])).select_from(joined).where(base.c[DELETED_AT].is_not(None), edited)
    note_deletions(connection, entity, keys, run, now)


def carry_out(connection: sa.Connection, entity: Entity, run: RunIdentity, batch: int, now: datetime) -> None:
    """Close the open conflicts whose decision a batch of the plan carries out.

    A decision that came after the plan was made waits for the next run. A record that is to be made again stays open
    until Dynamics has it.
    """
    planned = sa.and_(
        SYNC_PLAN.c.run_key == run.run_key,
        SYNC_PLAN.c.batch == batch,
        # One that was put off, as somebody edited the record since, is carried out by the next run.
        SYNC_PLAN.c.state == "planned",
        SYNC_PLAN.c.record_id == SYNC_CONFLICT.c.record_id,
        sa.or_(
            sa.and_(SYNC_CONFLICT.c.decision == "ours", SYNC_PLAN.c.operation == "update"),
            sa.and_(SYNC_CONFLICT.c.decision == "theirs", SYNC_PLAN.c.operation == "restore"),
        ),
        sa.or_(SYNC_PLAN.c.column_name == SYNC_CONFLICT.c.column_name, SYNC_CONFLICT.c.column_name == WHOLE_RECORD),
    )
    which = sa.and_(is_open(entity), sa.exists().where(planned).select_from(SYNC_PLAN))
    connection.execute(SYNC_CONFLICT.update().where(which).values(outcome=SYNC_CONFLICT.c.decision, resolved_at=now))
