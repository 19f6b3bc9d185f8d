"""From the JSON of a page to a typed Arrow table, all columns at once; a value that does not fit sets its row aside.

The whole page goes through Arrow's JSON reader, which is many times faster than Python objects. Only if it objects,
the page is read once more value by value, to find the rows that are to blame. Both ways give the same table for the
same rows.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from dynamics_sync.errors import INVALID_VALUE, IncompleteAnswer, UnexpectedAnswer
from dynamics_sync.translation.decode_values import INT64, Unfit, fit_value, read_number, read_whole
from dynamics_sync.translation.fields import FieldPlan, ReadPlan, Wire
from dynamics_sync.translation.rejected import Rejected

#: Arrow's JSON reader ends the process on a document that begins with null, so that it sees objects only.
_OBJECT = re.compile(rb"(\xef\xbb\xbf)?[ \t\r\n]*\{")

#: A number with an exponent that no type of ours can hold; Arrow's decimals end the process on some of them.
_HUGE_EXPONENT = r':[ \t\r\n]*"?-?[0-9.]+[eE][-+]?[0-9]{4,}[" \t\r\n,}]'

_NOT_STAGED = "The page was not staged"

#: The first and the last value that Python, PostgreSQL and SQLite can all hold, by the type of the staged column.
_EDGES: Mapping[pa.DataType, tuple[int, int]] = {
    kind: (pa.scalar(first, kind).value, pa.scalar(last, kind).value)
    for kind, first, last in (
        (pa.timestamp("us", "UTC"), datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)),
        (pa.date32(), date.min, date.max),
    )
}


@dataclass(frozen=True, slots=True)
class DecodedPage:
    """The rows of one page that could be read, and those that could not."""

    table: pa.Table
    rejected: tuple[Rejected, ...]

    @property
    def rows(self) -> int:
        """How many rows the page held."""
        return int(self.table.num_rows) + len(self.rejected)


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
    _check_body(body)
    schema = plan.staged_schema
    on_wire = pa.struct([_as_text_date(field) for field in schema])
    options = pj.ParseOptions(
        explicit_schema=pa.schema([("value", pa.list_(on_wire))]), unexpected_field_behavior="ignore"
    )
    # The page is one JSON object; the reader must see it as one block.
    block = pj.ReadOptions(use_threads=False, block_size=len(body) + 1)
    document = pj.read_json(pa.BufferReader(body), read_options=block, parse_options=options)
    if document.num_rows != 1 or document["value"].null_count:
        message = "no page of rows"
        raise pa.ArrowInvalid(message)
    rows = pc.list_flatten(document["value"].combine_chunks())
    if rows.null_count:
        message = "a row that is null"
        raise pa.ArrowInvalid(message)
    table = pa.Table.from_arrays(rows.flatten(), schema=pa.schema(list(on_wire))).cast(schema)
    _check_edges(table)
    return table


def _check_body(body: bytes) -> None:
    """Keep from Arrow's reader what it would not survive, or would let pass."""
    if not _OBJECT.match(body) or pc.match_substring_regex(pa.array([body], pa.binary()), _HUGE_EXPONENT)[0].as_py():
        message = "not for this reader"
        raise pa.ArrowInvalid(message)
    # The reader copies texts as they come, whether they are UTF-8 or not; the cast looks at them.
    if not body.isascii():
        pa.array([body], pa.binary()).cast(pa.string())


def _check_edges(table: pa.Table) -> None:
    """Refuse what JSON or Arrow can hold and a database cannot."""
    for column in table.columns:
        if not _is_within_edges(column):
            message = "a value beyond what can be kept"
            raise pa.ArrowInvalid(message)


def _is_within_edges(column: pa.ChunkedArray) -> bool:
    """Say whether there is no NaN or infinity, no year outside 1 to 9999, and no decimal with too many digits."""
    kind = column.type
    if pa.types.is_floating(kind):
        return bool(pc.all(pc.is_finite(column), min_count=0).as_py())
    if kind not in _EDGES and not pa.types.is_decimal(kind):
        return True
    ends = pc.min_max(column)
    if not ends["min"].is_valid:
        return True
    if kind in _EDGES:
        first, last = _EDGES[kind]
        return bool(first <= ends["min"].value and ends["max"].value <= last)
    # The reader counts the digits before it adds those behind the point.
    most = Decimal(10) ** (kind.precision - kind.scale)
    return bool(-most < ends["min"].as_py() and ends["max"].as_py() < most)


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
        document = json.loads(
            body.decode("utf-8-sig"), parse_float=read_number, parse_int=read_whole, parse_constant=Decimal
        )
    except ValueError:
        # The parser's own error holds the whole body, so it is not passed on.
        message = f"a page of {plan.set_name} is cut or is not JSON"
        raise IncompleteAnswer(message, not_done=_NOT_STAGED) from None
    except RecursionError:
        message = f"an answer for {plan.set_name} is nested too deeply"
        raise UnexpectedAnswer(message, not_done=_NOT_STAGED) from None
    rows = document.get("value") if isinstance(document, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        message = f"an answer for {plan.set_name} is JSON, but no page of rows"
        raise UnexpectedAnswer(message, not_done=_NOT_STAGED)
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
            fitted[name] = None if value is None else fit_value(value, field_plan)
        except Unfit:
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
        version=version if type(version) is int and version in INT64 else None,
    )
