"""From planned records to the calls that write them, and from the answers to rows."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pyarrow as pa

from dynamics_sync.dataverse.client import Request
from dynamics_sync.dataverse.query import select_path
from dynamics_sync.entity import Entity
from dynamics_sync.reverse.manifest import PlannedEntity
from dynamics_sync.store import plan
from dynamics_sync.store.plan import PlannedChange, PlannedRecord
from dynamics_sync.store.schema import rows_schema
from dynamics_sync.store.written import SentRecord
from dynamics_sync.translation.decode import DecodedPage, decode_page
from dynamics_sync.translation.fields import ReadPlan
from dynamics_sync.translation.payload import Change, column_values, payload_of
from dynamics_sync.translation.rejected import Rejected
from dynamics_sync.translation.rows import transform_rows

#: Numbers with a point go as numbers, with all their digits.
_ENCODER = msgspec.json.Encoder(decimal_format="number")
_SENT = frozenset({plan.CREATE, plan.UPDATE, plan.DEACTIVATE})


def request_for(entity: Entity, planned: PlannedEntity, record: PlannedRecord) -> Request:
    """Return the call that writes a record; it has no effect a second time. Raises UnfitChange."""
    reading = planned.reading
    row = f"{reading.set_name}({record.record_id})"
    version = {"If-Match": f'W/"{record.version}"'}
    if record.operation == plan.DELETE:
        return Request(row, method="DELETE", headers=version)
    condition = {"If-None-Match": "*"} if record.operation == plan.CREATE else version
    if record.operation == plan.CREATE and entity.detect_duplicates:
        # Duplicate rules of the organisation apply to the Web API only if they are asked for.
        condition["MSCRM.SuppressDuplicateDetection"] = "false"
    changes = [Change(change.field, change.new_value) for change in _sent_changes(record)]
    return Request(
        select_path(row, reading.select),
        method="PATCH",
        prefer=("return=representation", *reading.prefer),
        headers=condition,
        body=_ENCODER.encode(payload_of(entity, changes, planned.bindings)),
    )


def sent_record(entity: Entity, record: PlannedRecord) -> SentRecord:
    """Return a record as it was sent, typed by column."""
    fields = {field.name: field for field in entity.mapped_fields}
    values: dict[str, Any] = {}
    for change in _sent_changes(record):
        values |= column_values(fields[change.field], change.new_value)
    return SentRecord(record.record_id, record.version, values)


def what_was_sent(record: PlannedRecord) -> str:
    """Return a record's changes as JSON, for the quarantine."""
    rows = {change.field: change.new_value for change in _sent_changes(record)}
    return msgspec.json.encode({"operation": record.operation, "changes": rows}).decode()


def _sent_changes(record: PlannedRecord) -> list[PlannedChange]:
    return [change for change in record.changes if change.operation in _SENT and change.field]


def as_rows(
    entity: Entity, reading: ReadPlan, answers: Sequence[bytes] | DecodedPage, exact_digits: int | None
) -> tuple[pa.Table, tuple[Rejected, ...]]:
    """Bring rows of Dynamics into our format; answers to single records are read as one page."""
    page = answers
    if not isinstance(page, DecodedPage):
        page = decode_page(b'{"value":[' + b",".join(page) + b"]}", reading)
    done = transform_rows(page.table, entity, reading, rows_schema(entity), exact_digits=exact_digits)
    return done.rows, (*page.rejected, *done.rejected)
