"""Makes drawn values fit the schema in force: lengths, options, ranges, required columns, and columns that are gone."""

from collections.abc import Sequence
from itertools import cycle

from dynamics_emulator.sample.sheet import Sheet
from dynamics_emulator.schema.model import Column, ColumnType, Table
from dynamics_emulator.storage.database import SqlValue

_REQUIRED = frozenset({"ApplicationRequired", "SystemRequired"})
_EPOCH = "1900-01-01"


def fit(sheet: Sheet, table: Table) -> None:
    """Change the values of a sheet that the table would refuse, and fill what it requires."""
    kept = set()
    for column in table.columns.values():
        values = sheet.columns.get(column.name)
        if values is not None or _never_blank(column):
            blank: list[SqlValue] = [None] * len(sheet)
            sheet.columns[column.name] = _without_blanks(column, _fitted(column, values) if values else blank)
            kept |= {column.name, column.type_column}
    sheet.columns = {name: values for name, values in sheet.columns.items() if name in kept}
    _match_status(sheet, table)


def _fitted(column: Column, values: list[SqlValue]) -> list[SqlValue]:
    match column.type:
        case ColumnType.STRING | ColumnType.MEMO:
            return [None if value is None else cut(str(value), column.max_length) for value in values]
        case ColumnType.PICKLIST:
            return _with_options(values, [option.value for option in column.options])
        case ColumnType.MULTI_SELECT:
            return [_among(value, column) for value in values]
        case ColumnType.INTEGER:
            return [None if value is None else _within(int(value), column) for value in values]
        case _:
            return values


def cut(text: str, length: int | None) -> str | None:
    """The beginning of a text that fits into so many UTF-16 code units; None for an empty text, as it is stored."""
    # A character takes at most two units.
    if length is None or len(text) * 2 <= length:
        return text or None
    units = text.encode("utf-16-le")
    return text if len(units) <= length * 2 else units[: length * 2].decode("utf-16-le", "ignore")


def _with_options(values: Sequence[SqlValue], options: Sequence[int]) -> list[SqlValue]:
    """Values that are no option become one, the same one wherever they stand."""
    known = {value: value for value in set(values)}
    for value in known:
        if value is not None and value not in options:
            known[value] = options[int(value) % len(options)] if options else None
    return [known[value] for value in values]


def _among(value: SqlValue, column: Column) -> str | None:
    parts = [part for part in str(value or "").split(",") if part.isdigit() and int(part) in column.labels]
    return ",".join(parts) or None


def _within(value: int, column: Column) -> int:
    low = value if column.minimum is None else max(value, int(column.minimum))
    return low if column.maximum is None else min(low, int(column.maximum))


def _never_blank(column: Column) -> bool:
    """Whether each row needs a value. A two-option column is never blank."""
    return column.type is ColumnType.BOOLEAN or column.required in _REQUIRED


def _without_blanks(column: Column, values: list[SqlValue]) -> list[SqlValue]:
    """Fill blanks with what other rows have, so that they look like those."""
    if not _never_blank(column) or None not in values or column.is_polymorphic:
        return values
    others = cycle([value for value in values if value is not None] or [_default(column)])
    return [next(others) if value is None else value for value in values]


def _default(column: Column) -> SqlValue:
    match column.type:
        case ColumnType.STRING | ColumnType.MEMO:
            return cut(column.display, column.max_length)
        case ColumnType.PICKLIST | ColumnType.MULTI_SELECT if column.options:
            first = column.options[0].value
            return first if column.type is ColumnType.PICKLIST else str(first)
        case ColumnType.BOOLEAN | ColumnType.INTEGER | ColumnType.DECIMAL | ColumnType.DOUBLE:
            return _within(0, column)
        case ColumnType.DATE_TIME:
            return _EPOCH if column.is_date_only else f"{_EPOCH}T00:00:00Z"
        case _:
            return None


def _match_status(sheet: Sheet, table: Table) -> None:
    """A status reason that the table does not have gives way to the first one of its state."""
    states, statuses = sheet.columns.get("statecode"), sheet.columns.get("statuscode")
    if not states or not statuses:
        return
    known = {option.value: option.state for option in table.columns["statuscode"].options}
    defaults: dict[SqlValue, int] = {}
    for value, state in known.items():
        defaults.setdefault(state, value)
    sheet.columns["statuscode"] = [
        status if known.get(int(status or 0), -1) == state else defaults.get(state)
        for state, status in zip(states, statuses, strict=True)
    ]
