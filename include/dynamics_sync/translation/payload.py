"""From values as text, as the plan holds them, to what Dynamics is sent, and to typed values of our columns."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Protocol

from dynamics_sync.entity import ColumnKind, Entity, FieldType, MappedField
from dynamics_sync.errors import INVALID_VALUE, LOOKUP_WITHOUT_TABLE, ColumnMissing, RowProblem

#: Between the table that a lookup points at and its id; see `store.field_sql`.
_SEPARATOR = "/"


class Bindings(Protocol):
    """How lookups are written: see `dataverse.bindings`."""

    def bind(self, column: str, target_table: str, record_id: str) -> tuple[str, str]: ...

    def clear(self, column: str) -> tuple[str, None]: ...


class UnfitChange(Exception):
    """A value cannot be sent. Its record is set aside, the others go on."""

    def __init__(self, problem: RowProblem, field: str) -> None:
        self.problem, self.field = problem, field
        super().__init__(f"{problem.title}: {field}")


@dataclass(frozen=True, slots=True)
class Change:
    """A field and its new value as text; None clears it."""

    field: str
    value: str | None


def payload_of(entity: Entity, changes: Iterable[Change], bindings: Bindings) -> dict[str, Any]:
    """Return the JSON object of a PATCH that sets the fields; raises UnfitChange.

    Lookups are written with their navigation property, options as codes, dates without and instants with a time, in
    UTC.
    """
    payload: dict[str, Any] = {}
    for change in changes:
        spec = entity.fields[change.field]
        if spec.type is FieldType.LOOKUP:
            name, value = _binding(entity, change, bindings)
            payload[name] = value
        else:
            payload[change.field] = None if change.value is None else _json_value(spec.type, change)
    return payload


def _binding(entity: Entity, change: Change, bindings: Bindings) -> tuple[str, str | None]:
    if change.value is None:
        return bindings.clear(change.field)
    targets = entity.fields[change.field].targets
    table, _, record_id = change.value.rpartition(_SEPARATOR)
    if len(targets) == 1:
        table = targets[0]
    if not table:
        raise UnfitChange(LOOKUP_WITHOUT_TABLE, change.field)
    try:
        return bindings.bind(change.field, table, record_id)
    except ColumnMissing:
        raise UnfitChange(LOOKUP_WITHOUT_TABLE, change.field) from None


def _json_value(field_type: FieldType, change: Change) -> Any:
    try:
        text = change.value or ""
        return _JSON[field_type](text) if field_type in _JSON else text
    except (ValueError, ArithmeticError):
        # SQLite keeps any text in a column of any type.
        raise UnfitChange(INVALID_VALUE, change.field) from None


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)


def _date(text: str) -> str:
    return date.fromisoformat(text).isoformat()


def _number(scale: int) -> Callable[[str], Decimal]:
    """Read a number with so many digits behind the point; ValueError for more, which our own column cannot hold."""

    def read(text: str) -> Decimal:
        number = Decimal(text)
        if number != round(number, scale):
            message = "more digits than the column has"
            raise ValueError(message)
        return number

    return read


def _json_instant(text: str) -> str:
    return _instant(text).isoformat().replace("+00:00", "Z")


_JSON: Mapping[FieldType, Callable[[str], Any]] = {
    FieldType.INTEGER: int,
    FieldType.OPTION: int,
    FieldType.DECIMAL: _number(10),
    FieldType.MONEY: _number(4),
    FieldType.FLOAT: float,
    FieldType.BOOLEAN: lambda text: text == "true",
    FieldType.INSTANT: _json_instant,
    FieldType.DATE: _date,
}


def column_values(field: MappedField, text: str | None) -> Mapping[str, Any]:
    """Return the values of the field's own columns, typed as `arrow_type` of the column wants them."""
    if text is None:
        return dict.fromkeys((column.name for column in field.compared), None)
    if len(field.compared) == 1:
        column = field.compared[0]
        return {column.name: _typed(column.kind, text)}
    table, _, record_id = text.rpartition(_SEPARATOR)
    return {column.name: record_id if column.part == "id" else table for column in field.compared}


_READERS: Mapping[ColumnKind, Callable[[str], Any]] = {
    ColumnKind.INTEGER: int,
    ColumnKind.NUMBER: Decimal,
    ColumnKind.FLOAT: float,
    ColumnKind.BOOLEAN: lambda text: text == "true",
    ColumnKind.INSTANT: _instant,
    ColumnKind.DATE: date.fromisoformat,
}


def _typed(kind: ColumnKind, text: str) -> Any:
    return _READERS[kind](text) if kind in _READERS else text
