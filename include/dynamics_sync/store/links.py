"""Link a row that was born here with the record that Dynamics has of the same person: there shall be no second one."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from dynamics_sync.entity import Entity, MappedField, Winner
from dynamics_sync.store import conflicts
from dynamics_sync.store.bulk import temporary_table
from dynamics_sync.store.column_types import Instant, guid_type
from dynamics_sync.store.conflicts import ThreeSides, record_text
from dynamics_sync.store.field_sql import differs, is_blank, is_filled
from dynamics_sync.store.runs import RunIdentity
from dynamics_sync.store.schema import DELETED_AT, UPDATED_AT, base_table, entity_table
from dynamics_sync.store.sync_tables import SYNC_HISTORY
from dynamics_sync.store.three_way import lock_rows

_MATCHED = "matched"


def link_rows(
    connection: sa.Connection, entity: Entity, run: RunIdentity, targets: Mapping[str, str], now: datetime
) -> None:
    """Give rows the GUIDs of their records in Dynamics: `targets` maps the GUID here to the one there, each once.

    Where that GUID has a row here already, the new row's values go into it as edits, and the new row is removed. A
    value that would overwrite another is a conflict. A row that was deleted here comes back first: what the new one
    leaves blank must not empty the record. The change of the key is noted in the history.
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
    moved = ours.update().where(key == link.c.born).values({key.name: link.c.target, UPDATED_AT: now})
    connection.execute(moved)
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


def _merge_rows(connection: sa.Connection, entity: Entity, run: RunIdentity, link: sa.Table, now: datetime) -> None:
    """Bring the values of rows that are still under their own GUID into the rows of their records, field by field."""
    held, born, base = entity_table(entity), entity_table(entity).alias("born"), base_table(entity)
    key = entity.key.column
    joined = (
        sa.join(link, born, born.c[key] == link.c.born)
        .join(held, held.c[key] == link.c.target)
        .outerjoin(base, base.c[key] == link.c.target)
    )
    for field in entity.mapped_fields:
        if field.is_owned_by_dynamics:
            continue
        apart = sa.and_(is_filled(field, born), is_filled(field, held), differs(field, born, held))
        wins = _born_wins(field, born, held)
        for outcome, which in (("ours", sa.and_(apart, wins)), ("theirs", sa.and_(apart, ~wins))):
            sides = ThreeSides(joined, which, link.c.target, base, born, held)
            conflicts.note(connection, entity, field, sides, run, now, outcome=outcome)
        takes = sa.and_(
            held.c[key] == link.c.target,
            born.c[key] == link.c.born,
            is_filled(field, born),
            differs(field, born, held),
            sa.or_(is_blank(field, held), wins),
        )
        values: dict[str, Any] = {column.name: born.c[column.name] for column in field.columns}
        connection.execute(held.update().where(takes).values({**values, UPDATED_AT: now}))


def _born_wins(field: MappedField, born: sa.FromClause, held: sa.FromClause) -> sa.ColumnElement[bool]:
    """Whether the new row's value takes the place of another: it is an edit made here, and the rule is for edits."""
    match field.rule:
        case Winner.MARKETING:
            return sa.true()
        case Winner.LATEST:
            return born.c[UPDATED_AT] >= held.c[UPDATED_AT]
        case _:
            return sa.false()
