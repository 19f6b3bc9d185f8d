"""From the JSON of a page to a typed Arrow table, all columns at once; a value that does not fit sets its row aside.

The whole page goes through Arrow's JSON reader, which is many times faster than Python objects. Only if it objects,
the page is read once more value by value, to find the rows that are to blame. Both ways give the same table for the
same rows.
"""

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from dynamics_sync.errors import INVALID_VALUE, IncompleteAnswer, UnexpectedAnswer
from dynamics_sync.forward.fields import FieldPlan, ReadPlan, Wire
from dynamics_sync.forward.rejected import Rejected

_INT64 = range(-(2**63), 2**63)


@dataclass(frozen=True, slots=True)
class DecodedPage:
    """The rows of one page that could be read, and those that could not."""

    table: pa.Table
    rejected: tuple[Rejected, ...]

    @property
    def rows(self) -> int:
        """How many rows the page held."""
        return int(self.table.num_rows) + len(self.rejected)


class _Unfit(Exception):
    """A value is not of its column's type."""


def decode_page(body: bytes, plan: ReadPlan) -> DecodedPage:
    """Read a page of `plan`'s table.

    Raises IncompleteAnswer if the body is cut or is no JSON, UnexpectedAnswer if it is JSON but no page of rows.
    """
    try:
        return DecodedPage(_decode_columns(body, plan), ())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
        return _decode_values(body, plan)


def _decode_columns(body: bytes, plan: ReadPlan) -> pa.Table:
    """The fast way. Dates come as text: the reader does not know them, but the cast does."""
    schema = plan.staged_schema
    on_wire = pa.struct([_as_text_date(field) for field in schema])
    options = pj.ParseOptions(
        explicit_schema=pa.schema([("value", pa.list_(on_wire))]), unexpected_field_behavior="ignore"
    )
    # The page is one JSON object; the reader must see it as one block.
    block = pj.ReadOptions(use_threads=False, block_size=len(body) + 1)
    document = pj.read_json(io.BytesIO(body), read_options=block, parse_options=options)
    if document.num_rows != 1 or document["value"].null_count:
        message = "no page of rows"
        raise pa.ArrowInvalid(message)
    rows = pc.list_flatten(document["value"].combine_chunks())
    if rows.null_count:
        message = "a row that is null"
        raise pa.ArrowInvalid(message)
    return pa.Table.from_arrays(rows.flatten(), schema=pa.schema(list(on_wire))).cast(schema)


def _as_text_date(field: pa.Field) -> pa.Field:
    return field.with_type(pa.string()) if pa.types.is_date32(field.type) else field


def _decode_values(body: bytes, plan: ReadPlan) -> DecodedPage:
    """The patient way: value by value, so that one bad value costs one row."""
    rows = _rows_of(body, plan)
    columns = _wire_columns(plan)
    good: list[dict[str, Any]] = []
    rejected: list[Rejected] = []
    for row in rows:
        fitted = _fit_row(row, columns, plan)
        if isinstance(fitted, Rejected):
            rejected.append(fitted)
        else:
            good.append(fitted)
    return DecodedPage(pa.Table.from_pylist(good, schema=plan.staged_schema), tuple(rejected))


def _rows_of(body: bytes, plan: ReadPlan) -> list[Mapping[str, Any]]:
    try:
        document = json.loads(body, parse_float=Decimal)
    except ValueError as error:
        message = f"a page of {plan.set_name} is cut or is not JSON"
        raise IncompleteAnswer(message, not_done="The page was not staged") from error
    rows = document.get("value") if isinstance(document, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        message = f"an answer for {plan.set_name} is JSON, but no page of rows"
        raise UnexpectedAnswer(message, not_done="The page was not staged")
    return rows


def _wire_columns(plan: ReadPlan) -> dict[str, tuple[str, FieldPlan]]:
    """Each staged column with the catalogue's name for it and the plan that says how to read it."""
    columns = {
        plan.key: (plan.key, FieldPlan(plan.key, plan.key, Wire.TEXT)),
        "versionnumber": ("versionnumber", FieldPlan("versionnumber", "versionnumber", Wire.INTEGER)),
    }
    for field in plan.fields:
        columns[field.wire_name] = (field.field, field)
        for annotation in field.annotations:
            name = f"{field.wire_name}@{annotation}"
            columns[name] = (field.field, FieldPlan(field.field, name, Wire.TEXT))
    return columns


def _fit_row(
    row: Mapping[str, Any], columns: Mapping[str, tuple[str, FieldPlan]], plan: ReadPlan
) -> dict[str, Any] | Rejected:
    fitted: dict[str, Any] = {}
    for name, (field, field_plan) in columns.items():
        value = row.get(name)
        try:
            fitted[name] = None if value is None else _FITTERS[field_plan.wire](value, field_plan)
        except _Unfit:
            return _reject(row, plan, field, field_plan.wire)
    return fitted


def _reject(row: Mapping[str, Any], plan: ReadPlan, field: str, wire: Wire) -> Rejected:
    key, version = row.get(plan.key), row.get("versionnumber")
    return Rejected(
        record_key=key if isinstance(key, str) else None,
        code=INVALID_VALUE.code,
        field=field,
        reason=f"{INVALID_VALUE.title}: {field} is no {wire}",
        # ASCII only, so that half a surrogate pair is written as its escape.
        payload=json.dumps(row, default=str),
        version=version if isinstance(version, int) and version in _INT64 else None,
    )


def _fit_text(value: Any, _: FieldPlan) -> str:
    if not isinstance(value, str):
        raise _Unfit
    try:
        value.encode()
    except UnicodeEncodeError as error:  # Half of a surrogate pair is valid JSON, but no text.
        raise _Unfit from error
    return value


def _fit_integer(value: Any, _: FieldPlan) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value not in _INT64:
        raise _Unfit
    return value


def _fit_decimal(value: Any, plan: FieldPlan) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        raise _Unfit
    number = Decimal(value)
    try:
        pa.scalar(number, plan.arrow_type)
    except pa.ArrowInvalid as error:
        raise _Unfit from error
    return number


def _fit_float(value: Any, _: FieldPlan) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        raise _Unfit
    return float(value)


def _fit_boolean(value: Any, _: FieldPlan) -> bool:
    if not isinstance(value, bool):
        raise _Unfit
    return value


def _fit_instant(value: Any, _: FieldPlan) -> datetime:
    try:
        instant = datetime.fromisoformat(value)
        return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
    except (TypeError, ValueError, OverflowError) as error:
        raise _Unfit from error


def _fit_date(value: Any, _: FieldPlan) -> date:
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise _Unfit from error


_FITTERS: Mapping[Wire, Callable[[Any, FieldPlan], Any]] = {
    Wire.TEXT: _fit_text,
    Wire.INTEGER: _fit_integer,
    Wire.DECIMAL: _fit_decimal,
    Wire.FLOAT: _fit_float,
    Wire.BOOLEAN: _fit_boolean,
    Wire.INSTANT: _fit_instant,
    Wire.DATE: _fit_date,
}
