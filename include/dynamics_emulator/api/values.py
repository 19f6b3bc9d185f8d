"""Turns one value of a body or of a key into its stored form, and refuses what does not fit its column."""

from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal, localcontext
from typing import Any

from dynamics_emulator.api.messages import ExactNumber
from dynamics_emulator.errors import (
    date_out_of_range,
    number_out_of_range,
    option_out_of_range,
    payload_error,
    text_too_long,
)
from dynamics_emulator.odata.literals import exact_number_text, guid_text, moment_text
from dynamics_emulator.schema.model import EXACT_NUMBER_TYPES, TEXT_TYPES, Column, ColumnType, Table
from dynamics_emulator.settings import Settings
from dynamics_emulator.storage.database import SqlValue

Values = dict[str, SqlValue]
"""Stored values of a row by stored column name."""

_WHOLE_NUMBERS = {ColumnType.INTEGER: (-(2**31), 2**31 - 1), ColumnType.BIG_INT: (-(2**63), 2**63 - 1)}
"""What the type itself can hold, for columns without bounds of their own."""
_FIRST_YEAR = 1753
_MONEY_DIGITS = 4
_ROUNDINGS = {"half_even": ROUND_HALF_EVEN, "half_up": ROUND_HALF_UP, "cut": ROUND_DOWN}


def written_value(settings: Settings, table: Table, column: Column, value: Any) -> SqlValue:
    """The stored form of one JSON value that is written, as the settings say what nobody documents.

    They are asked only where they make a difference. Raises a 400 when it does not fit the column.
    """
    stored = stored_value(table, column, value)
    if column.type in TEXT_TYPES and isinstance(value, str):
        return _kept_text(settings, value)
    if column.type in EXACT_NUMBER_TYPES and stored is not None and Decimal(str(stored)) != Decimal(str(value)):
        with localcontext(rounding=_ROUNDINGS[settings.extra_digits]):
            return stored_value(table, column, value)
    if column.type is ColumnType.DOUBLE and isinstance(stored, float) and column.precision is not None:
        rounded = round(stored, column.precision)
        return rounded if rounded != stored and settings.rounds_doubles else stored
    return stored


def _kept_text(settings: Settings, text: str) -> str | None:
    if text != text.strip():
        text = {"nothing": text, "end": text.rstrip(), "both": text.strip()}[settings.trims_text]
    return text or (None if settings.empty_text == "null" else "")


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
            return exact_number_text(_number(value), _MONEY_DIGITS if column.precision is None else column.precision)
        case ColumnType.DATE_TIME:
            return _moment(table, column, _require(value, str))
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
    lowest, highest = _WHOLE_NUMBERS.get(column.type, (None, None))
    low = lowest if column.minimum is None else column.minimum
    high = highest if column.maximum is None else column.maximum
    if (low is not None and value < low) or (high is not None and value > high):
        raise number_out_of_range(column.name, table.name, value)
    return value


def _moment(table: Table, column: Column, text: str) -> str:
    moment = moment_text(column, text)
    if int(moment.partition("-")[0]) < _FIRST_YEAR:
        raise date_out_of_range(column.name, table.name)
    return moment


def _option(table: Table, column: Column, value: int) -> int:
    if value not in column.labels:
        raise option_out_of_range(column.name, table.name, value)
    return value


def _options(table: Table, column: Column, text: str) -> str | None:
    chosen = sorted({_option(table, column, int(part)) for part in text.split(",") if part})
    return ",".join(str(value) for value in chosen) or None
