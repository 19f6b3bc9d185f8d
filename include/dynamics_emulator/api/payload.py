"""Reads the body of a write: every member is checked against the metadata and turned into its stored form."""

from collections.abc import Mapping
from typing import Any

from dynamics_emulator.api.messages import ExactNumber
from dynamics_emulator.errors import (
    bad_query,
    lookup_written_directly,
    number_out_of_range,
    option_out_of_range,
    payload_error,
    row_missing,
    text_too_long,
    undeclared_bind,
    unrecognized_path,
)
from dynamics_emulator.odata.literals import exact_number_text, guid_text, moment_text
from dynamics_emulator.odata.paths import guid_key, named_keys, parse_reference
from dynamics_emulator.organisation import Organisation
from dynamics_emulator.schema.model import Column, ColumnType, Table
from dynamics_emulator.storage.database import SqlValue
from dynamics_emulator.storage.layout import quote

_BIND = "@odata.bind"
Values = dict[str, SqlValue]


def read_payload(organisation: Organisation, table: Table, body: Mapping[str, Any], *, creating: bool) -> Values:
    """Stored columns and values of a body.

    Raises a 400 with Dataverse's code for anything that does not fit; nothing is written then.
    """
    values: Values = {}
    for name, value in body.items():
        if name.endswith(_BIND):
            values.update(_bound(organisation, table, name.removesuffix(_BIND), value))
        elif "@" not in name:
            column = _writable_column(organisation, table, name, creating=creating)
            if column:
                values[column.name] = stored_value(table, column, value)
    return values


def _writable_column(organisation: Organisation, table: Table, name: str, *, creating: bool) -> Column | None:
    column = table.properties.get(name)
    if column is None:
        if name in table.columns or name in table.navigations:
            raise lookup_written_directly()
        inner = (
            f"The property '{name}' does not exist on type 'Microsoft.Dynamics.CRM.{table.name}'. "
            "Make sure to only use property names that are defined by the type."
        )
        raise payload_error(table.set_name, inner)
    if column.is_lookup:
        raise lookup_written_directly()
    if column.name == table.primary_id:
        return column if creating else None
    if column.creatable if creating else column.updatable:
        return column
    if organisation.settings.read_only_columns == "refuse":
        message = f"The property '{name}' of '{table.name}' cannot be set."
        raise bad_query(message)
    return None


def _bound(organisation: Organisation, table: Table, navigation: str, value: Any) -> Values:
    link = table.navigations.get(navigation)
    if link is None:
        raise undeclared_bind(table.set_name, navigation)
    column, targets = link
    if value is None:
        return {column.name: None, column.type_column: None} if column.is_polymorphic else {column.name: None}
    if not isinstance(value, str):
        raise unrecognized_path()
    target, row_id = find_reference(organisation, value)
    if target.name not in targets:
        raise unrecognized_path()
    bound: Values = {column.name: row_id}
    if column.is_polymorphic:
        bound[column.type_column] = target.name
    return bound


def find_reference(organisation: Organisation, reference: str) -> tuple[Table, str]:
    """The table and key of an existing row that a bind or ``@odata.id`` names."""
    segment = parse_reference(reference)
    table = organisation.table_of_set(segment.name)
    if table is None:
        raise unrecognized_path()
    key = segment.key or ""
    named = named_keys(key)
    row_id = guid_key(named.get(table.primary_id, key))
    query = f"SELECT 1 FROM {quote(table.name)} WHERE {quote(table.primary_id)} = ?"
    if organisation.database.connection.execute(query, (row_id,)).fetchone() is None:
        raise row_missing(table.name, row_id)
    return table, row_id


def stored_value(table: Table, column: Column, value: Any) -> SqlValue:
    """The stored form of one JSON value. Raises a 400 when it does not fit the column."""
    if value is None:
        return None
    try:
        return _convert(table, column, value)
    except (ValueError, TypeError, OverflowError) as problem:
        inner = f"Cannot convert the literal '{value}' to the expected type of '{column.name}' ({column.type})."
        raise payload_error(table.set_name, inner) from problem


def _convert(table: Table, column: Column, value: Any) -> SqlValue:  # noqa: PLR0911 - a return for each type
    match column.type:
        case ColumnType.STRING | ColumnType.MEMO:
            return _text(table, column, value)
        case ColumnType.BOOLEAN:
            return int(_require(value, bool))
        case ColumnType.PICKLIST | ColumnType.STATE | ColumnType.STATUS:
            return _option(table, column, _integer(value))
        case ColumnType.MULTI_SELECT:
            return _options(table, column, _require(value, str))
        case ColumnType.INTEGER | ColumnType.BIG_INT:
            return int(_in_range(table, column, _integer(value)))
        case ColumnType.DOUBLE:
            return float(_in_range(table, column, float(_number(value))))
        case ColumnType.DECIMAL | ColumnType.MONEY:
            _in_range(table, column, float(_number(value)))
            return exact_number_text(_number(value), column.precision or 4)
        case ColumnType.DATE_TIME:
            return moment_text(column, _require(value, str))
        case _:
            return guid_text(_require(value, str))


def _require(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        message = f"{value!r} has the wrong type"
        raise TypeError(message)
    return value


def _text(table: Table, column: Column, value: Any) -> str | None:
    text = str(_require(value, str))
    # Dataverse counts UTF-16 code units, so a character outside of the basic plane counts twice.
    if column.max_length is not None and len(text.encode("utf-16-le")) // 2 > column.max_length:
        raise text_too_long(column.name, table.name, column.max_length)
    # An empty text is stored as no value.
    return text or None


def _integer(value: Any) -> int:
    return int(_require(value, int))


def _number(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | ExactNumber):
        message = f"{value!r} is not a number"
        raise TypeError(message)
    return str(value)


def _in_range(table: Table, column: Column, value: float) -> Any:
    low, high = column.minimum, column.maximum
    if (low is not None and value < low) or (high is not None and value > high):
        raise number_out_of_range(column.name, table.name, value)
    return value


def _option(table: Table, column: Column, value: int) -> int:
    if column.options and value not in column.labels:
        raise option_out_of_range(column.name, table.name, value)
    return value


def _options(table: Table, column: Column, text: str) -> str | None:
    chosen = sorted({_option(table, column, int(part)) for part in text.split(",") if part})
    return ",".join(str(value) for value in chosen) or None
