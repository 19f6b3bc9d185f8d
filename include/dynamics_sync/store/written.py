"""Record what Dynamics did with a batch: the base becomes what it really stored, in one transaction with all else.

What was sent is written into the base first. The answers are then merged like any other rows of Dynamics: a value that
it trimmed or rounded is one that changed there and not here, and one that somebody edited here meanwhile stays.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from dynamics_sync.entity import Entity, MappedField
from dynamics_sync.store import history, plan, refused
from dynamics_sync.store.bulk import ingest, temporary_table
from dynamics_sync.store.column_types import Instant, arrow_type, guid_type, sql_type
from dynamics_sync.store.deletions import mark_deleted_records
from dynamics_sync.store.merge import merge_rows
from dynamics_sync.store.refused import RefusedRecord
from dynamics_sync.store.runs import RunIdentity
from dynamics_sync.store.schema import READ_AT, UPDATED_AT, VERSION, base_table
from dynamics_sync.store.sync_tables import SYNC_PLAN


@dataclass(frozen=True, slots=True)
class SentRecord:
    """A record that Dynamics took: the version it was sent against, and the typed values by column."""

    record_id: str
    version: int
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What became of the records of one `$batch`.

    `rows` are the answers in `rows_schema`. `sent_at` is when the call was made: what the answers say was so after it.
    """

    sent: Sequence[SentRecord]
    rows: pa.Table
    deleted: Sequence[str]
    refused: Sequence[RefusedRecord]
    sent_at: datetime


def record_outcomes(
    connection: sa.Connection,
    entity: Entity,
    run: RunIdentity,
    outcomes: Outcomes,
    absent: frozenset[str],
    now: datetime,
    first_delay: timedelta,
) -> None:
    """Write everything that follows from the answers; the caller holds the entity's lock."""
    as_read = replace(run, begun_at=outcomes.sent_at)
    written = [record.record_id for record in outcomes.sent]
    done = [*written, *outcomes.deleted]
    # Before the merge, which would look for writes whose outcome is not known.
    plan.set_state(connection, run, done, plan.WRITTEN)
    _write_base(connection, entity, outcomes.sent, as_read, now)
    merge_rows(connection, entity, as_read, [outcomes.rows], now, absent=absent)
    history.note_theirs(connection, sa.and_(plan.of_records(run, done), SYNC_PLAN.c.operation != plan.RESTORE), now)
    mark_deleted_records(connection, entity, as_read, outcomes.deleted, now, absent)
    refused.set_refused(connection, entity, run, outcomes.refused, now, first_delay)
    refused.close_refused(connection, entity, done, now)
    plan.set_state(connection, run, [record.record_id for record in outcomes.refused], plan.REFUSED)


def _write_base(
    connection: sa.Connection, entity: Entity, sent: Sequence[SentRecord], run: RunIdentity, now: datetime
) -> None:
    """Bring what was sent into the base, where it is still the one that it was planned against."""
    if not sent:
        return
    key, base = entity.key.column, base_table(entity)
    fields = [field for field in entity.mapped_fields if any(field.column in record.values for record in sent)]
    table = _ingest_sent(connection, key, fields, sent)
    _insert_born(connection, entity, table, run, now)
    for field in fields:
        values = {column.name: table.c[column.name] for column in field.compared}
        same = sa.and_(base.c[key] == table.c[key], base.c[VERSION] == table.c[VERSION], table.c[_flag(field)])
        connection.execute(base.update().where(same).values(values))
    table.drop(connection)


def _insert_born(connection: sa.Connection, entity: Entity, sent: sa.Table, run: RunIdentity, now: datetime) -> None:
    """Give a base of nulls to records that were created: what was sent follows, then what Dynamics made of it."""
    key, base = entity.key.column, base_table(entity)
    instants = [sa.literal(instant, Instant()) for instant in (run.begun_at, now)]
    born = sa.select(sent.c[key], sent.c[VERSION], *instants).where(
        sent.c[VERSION] == 0, ~sa.exists().where(base.c[key] == sent.c[key]).select_from(base)
    )
    connection.execute(base.insert().from_select([key, VERSION, READ_AT, UPDATED_AT], born))


def _ingest_sent(
    connection: sa.Connection, key: str, fields: Sequence[MappedField], sent: Sequence[SentRecord]
) -> sa.Table:
    columns = [column for field in fields for column in field.compared]
    table = temporary_table(
        "sync_sent",
        sa.Column(key, guid_type(), primary_key=True),
        sa.Column(VERSION, sa.BigInteger),
        *(sa.Column(_flag(field), sa.Boolean) for field in fields),
        *(sa.Column(column.name, sql_type(column)) for column in columns),
    )
    schema = pa.schema(
        [
            (key, pa.string()),
            (VERSION, pa.int64()),
            *((_flag(field), pa.bool_()) for field in fields),
            *((column.name, arrow_type(column)) for column in columns),
        ]
    )
    rows = [
        {
            key: record.record_id,
            VERSION: record.version,
            **{_flag(field): field.column in record.values for field in fields},
            **record.values,
        }
        for record in sent
    ]
    ingest(connection, table, [pa.Table.from_pylist(rows, schema=schema)])
    return table


def _flag(field: MappedField) -> str:
    return f"sent_{field.column}"
