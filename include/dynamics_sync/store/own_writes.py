"""Know our own writes when they come back: their answer was lost, or a run that copies was faster than their record.

Before a batch is sent, its rows of `sync_plan` become `sent`. If Dynamics then shows such a value, or what it makes of
it, and the base is still the one that it was planned against, the base takes it before anything is merged: an edit that
was made here since is an edit after it, and no conflict with ourselves. The write is noted in the history in the same
transaction.
"""

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from dynamics_sync.entity import ColumnKind, Entity, MappedField
from dynamics_sync.store import history
from dynamics_sync.store.column_types import Instant
from dynamics_sync.store.field_sql import as_text
from dynamics_sync.store.runs import RunIdentity
from dynamics_sync.store.schema import READ_AT, UPDATED_AT, VERSION, base_table
from dynamics_sync.store.sync_tables import SYNC_PLAN

#: State of a row of the plan that was sent, and of which it is not known what became of it.
SENT = "sent"
_CREATE = "create"
#: Characters of an instant as text, and how many digits behind the point Dynamics rounds to at most.
_TO_THE_SECOND, _MOST_DIGITS = 19, 11


def take_own_writes(
    connection: sa.Connection,
    entity: Entity,
    fields: Sequence[MappedField],
    incoming: sa.Table,
    run: RunIdentity,
    now: datetime,
) -> None:
    """Let the base take the values of `incoming` that we had sent. Call it before the merge; it needs the same lock."""
    open_rows = sa.and_(SYNC_PLAN.c.entity == entity.entity, SYNC_PLAN.c.state == SENT)
    sent = set(connection.execute(sa.select(SYNC_PLAN.c.field).distinct().where(open_rows)).scalars())
    if not sent:
        return
    base, key = base_table(entity), entity.key.column
    # As a key and not as text, so that the index of `incoming` serves.
    same_record = incoming.c[key] == sa.cast(SYNC_PLAN.c.record_id, incoming.c[key].type)
    _begin_bases(connection, entity, incoming, sa.and_(open_rows, same_record), run, now)
    is_current = sa.and_(base.c[key] == incoming.c[key], base.c[VERSION] == SYNC_PLAN.c[VERSION])
    is_newer = incoming.c[VERSION] > base.c[VERSION]
    for field in fields:
        if field.name not in sent:
            continue
        text = as_text(field, incoming, connection.dialect.name)
        is_ours = sa.or_(
            SYNC_PLAN.c.new_value.is_not_distinct_from(text), _was_made_of_it(field, text, SYNC_PLAN.c.field)
        )
        came_back = sa.and_(
            open_rows,
            SYNC_PLAN.c.field == field.name,
            same_record,
            is_ours,
            is_current,
            is_newer,
        )
        noted = sa.exists().where(came_back).select_from(sa.join(incoming, base, base.c[key] == incoming.c[key]))
        history.note_theirs(connection, sa.and_(open_rows, SYNC_PLAN.c.field == field.name, noted), now)
        values = {column.name: incoming.c[column.name] for column in field.columns}
        was_sent = sa.exists().where(came_back).select_from(SYNC_PLAN)
        which = sa.and_(base.c[key] == incoming.c[key], was_sent)
        connection.execute(base.update().where(which).values(values))


def _begin_bases(
    connection: sa.Connection,
    entity: Entity,
    incoming: sa.Table,
    which: sa.ColumnElement[bool],
    run: RunIdentity,
    now: datetime,
) -> None:
    """Give a base of nulls to records that were created and have none yet."""
    base, key = base_table(entity), entity.key.column
    moments = [sa.literal(run.begun_at, Instant()), sa.literal(now, Instant())]
    created = sa.exists().where(which, SYNC_PLAN.c.operation == _CREATE, SYNC_PLAN.c[VERSION] == 0)
    born = sa.select(incoming.c[key], sa.literal(0, sa.BigInteger), *moments).where(
        created.select_from(SYNC_PLAN), ~sa.exists().where(base.c[key] == incoming.c[key]).select_from(base)
    )
    connection.execute(base.insert().from_select([key, VERSION, READ_AT, UPDATED_AT], born))


def _was_made_of_it(
    field: MappedField, text: sa.ColumnElement[str], name: sa.ColumnElement[str]
) -> sa.ColumnElement[bool]:
    """Whether Dynamics may have made this value of the one that was sent: it trims texts, and cuts or rounds others."""
    sent = SYNC_PLAN.c.new_value
    match field.columns[0].kind:
        case ColumnKind.TEXT:
            return sa.and_(text.is_not(None), sa.func.trim(sent) == sa.func.trim(text))
        case ColumnKind.INSTANT:
            return sa.func.substr(sent, 1, _TO_THE_SECOND) == sa.func.substr(text, 1, _TO_THE_SECOND)
        case ColumnKind.NUMBER | ColumnKind.FLOAT:
            # Other rows hold what is no number, and the order of conditions is the database's.
            number = sa.cast(sa.case((name == field.name, sent)), sa.Numeric)
            stored = sa.cast(text, sa.Numeric)
            return sa.or_(*(sa.func.round(number, digits) == stored for digits in range(_MOST_DIGITS)))
        case _:
            return sa.false()
