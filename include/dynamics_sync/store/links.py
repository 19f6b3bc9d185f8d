"""Link a row that was born here with the record that Dynamics has of the same person: there shall be no second one."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from dynamics_sync.entity import ColumnKind, Entity, MappedField, Winner
from dynamics_sync.store import conflicts, history
from dynamics_sync.store.bulk import temporary_table
from dynamics_sync.store.column_types import Instant, guid_type
from dynamics_sync.store.conflicts import ThreeSides, record_text
from dynamics_sync.store.field_sql import differs, is_blank, is_filled, is_same
from dynamics_sync.store.runs import RunIdentity
from dynamics_sync.store.schema import (
    DELETED_AT,
    EDITED_AT,
    READ_AT,
    UPDATED_AT,
    WRITTEN_AT,
    base_table,
    entity_table,
)
from dynamics_sync.store.sync_tables import SYNC_HISTORY
from dynamics_sync.store.three_way import MODIFIED, edited_at, lock_rows

_MATCHED = "matched"


def link_rows(
    connection: sa.Connection, entity: Entity, run: RunIdentity, targets: Mapping[str, str], now: datetime
) -> None:
    """Give rows the GUIDs of their records in Dynamics: `targets` maps the GUID here to the one there, each once.

    Where that GUID has a row here already, the new row's values go into it as edits of the moment at which they were
    written, and the new row is removed. A value that would overwrite another is a conflict. A row that was deleted here
    comes back first: what the new one leaves blank must not empty the record. The history notes the change of the key
    and of each value.
    """
    ours = entity_table(entity)
    key = ours.c[entity.key.column]
    link = temporary_table(
        "sync_link", sa.Column("born", guid_type(), primary_key=True), sa.Column("target", guid_type(), unique=True)
    )
    link.create(connection, checkfirst=False)
    connection.execute(link.insert(), [{"born": born, "target": target} for born, target in targets.items()])
    lock_rows(connection, entity, sa.union(sa.select(link.c.born), sa.select(link.c.target)).subquery().c.born)
    _note(connection, entity, run, link, now)
    _bring_back(connection, entity, link, now)
    _merge_rows(connection, entity, run, link, now)
    other = ours.alias("other")
    is_held = sa.exists().where(other.c[key.name] == link.c.target)
    connection.execute(ours.delete().where(key.in_(sa.select(link.c.born).where(is_held))))
    # When somebody last wrote its values stays as it is. That we read the record now keeps the trigger away from it.
    moved = ours.update().where(key == link.c.born)
    # An empty text of a form says nothing, and must not empty the record.
    texts = [ours.c[c.name] for field in entity.mapped_fields for c in field.columns if c.kind is ColumnKind.TEXT]
    values = {text.name: sa.func.nullif(text, "") for text in texts}
    connection.execute(moved.values({**values, key.name: link.c.target, READ_AT: run.begun_at}))
    link.drop(connection)


def _note(connection: sa.Connection, entity: Entity, run: RunIdentity, link: sa.Table, now: datetime) -> None:
    texts = [entity.entity, entity.key.column, "marketing", _MATCHED, run.run_id]
    rows = sa.select(
        record_text(link.c.target),
        record_text(link.c.born),
        record_text(link.c.target),
        sa.literal(0, sa.BigInteger),
        *(sa.literal(text, sa.Text) for text in texts),
        sa.literal(now, Instant()),
    )
    names = ["record_id", "old_value", "new_value", "crm_version", "entity", "column_name", "side", "rule", "run_id"]
    connection.execute(SYNC_HISTORY.insert().from_select([*names, "changed_at"], rows))


def _bring_back(connection: sa.Connection, entity: Entity, link: sa.Table, now: datetime) -> None:
    """Bring back rows that were deleted here and that Dynamics still has."""
    ours, base, key = entity_table(entity), base_table(entity), entity.key.column
    names = [column.name for column in ours.columns if column.name in base.columns and column.name != UPDATED_AT]
    rows = sa.select(*(base.c[name] for name in names), sa.literal(now, Instant())).where(
        base.c[key].in_(sa.select(link.c.target)),
        base.c[DELETED_AT].is_(None),
        ~sa.exists().where(ours.c[key] == base.c[key]).select_from(ours),
    )
    connection.execute(ours.insert().from_select([*names, UPDATED_AT], rows))
    brought = sa.and_(base.c[key].in_(sa.select(link.c.target)), base.c[key] == ours.c[key], ours.c[UPDATED_AT] == now)
    # That is no edit.
    connection.execute(base.update().where(brought).values({WRITTEN_AT: now}))


def _merge_rows(connection: sa.Connection, entity: Entity, run: RunIdentity, link: sa.Table, now: datetime) -> None:
    """Bring the values of rows that are still under their own GUID into the rows of their records, field by field."""
    held, born, key = entity_table(entity), entity_table(entity).alias("born"), entity.key.column
    # A record that has no base yet is one of nulls: also where rows are written, which knows no outer join.
    base = (
        sa.select(link.c.target, *(column for column in base_table(entity).columns))
        .select_from(sa.outerjoin(link, base_table(entity), base_table(entity).c[key] == link.c.target))
        .subquery("base")
    )
    which = sa.and_(held.c[key] == link.c.target, born.c[key] == link.c.born, base.c.target == link.c.target)
    joined = sa.join(link, born, born.c[key] == link.c.born).join(held, held.c[key] == link.c.target)
    joined = joined.join(base, base.c.target == link.c.target)
    taken: dict[str, sa.ColumnElement[bool]] = {}
    for field in entity.mapped_fields:
        if field.is_owned_by_dynamics:
            continue
        apart = sa.and_(is_filled(field, born), is_filled(field, held), differs(field, born, held))
        wins = _born_wins(entity, field, born, held, base)
        word = "open" if field.rule is Winner.REVIEW else "ours"
        for outcome, whose in ((word, wins), ("theirs", ~wins)):
            sides = ThreeSides(joined, sa.and_(apart, whose), link.c.target, base, born, held)
            conflicts.note(connection, entity, field, sides, run, now, outcome=outcome)
        takes = sa.and_(is_filled(field, born), differs(field, born, held), sa.or_(is_blank(field, held), wins))
        moved = ThreeSides(joined, takes, link.c.target, base, held, born)
        history.note_ours(connection, entity, field, moved, run, now, rule=_MATCHED)
        taken |= {column.name: takes for column in field.columns}
    rows = sa.and_(which, sa.or_(*taken.values()))
    _note_edits(connection, entity, rows, (held, born, base), now)
    values: dict[str, Any] = {name: sa.case((takes, born.c[name]), else_=held.c[name]) for name, takes in taken.items()}
    connection.execute(held.update().where(rows).values({**values, UPDATED_AT: now}))


def _note_edits(
    connection: sa.Connection,
    entity: Entity,
    rows: sa.ColumnElement[bool],
    sides: tuple[sa.FromClause, sa.FromClause, sa.FromClause],
    now: datetime,
) -> None:
    """Let the rows that take values count as last edited when those were written, or their own: whichever is later."""
    held, born, base = sides
    table, key = base_table(entity), entity.key.column
    own = edited_at(base, held)
    later = sa.case((own > born.c[UPDATED_AT], own), else_=born.c[UPDATED_AT])
    which = sa.and_(rows, table.c[key] == held.c[key])
    connection.execute(table.update().where(which).values({EDITED_AT: later, WRITTEN_AT: now}))


def _born_wins(
    entity: Entity, field: MappedField, born: sa.FromClause, held: sa.FromClause, base: sa.FromClause
) -> sa.ColumnElement[bool]:
    """Whether the new row's value takes the place of another: it is an edit made here, and the rule is for edits."""
    match field.rule:
        case Winner.MARKETING:
            return sa.true()
        case Winner.LATEST:
            theirs = held.c[entity.fields[MODIFIED].column]
            return born.c[UPDATED_AT] >= sa.func.coalesce(edited_at(base, held), theirs, born.c[UPDATED_AT])
        case Winner.REVIEW:
            # As any edit it stays here until a person decides; but an edit that waits already was here before.
            return is_same(field, held, base)
        case _:
            return sa.false()
