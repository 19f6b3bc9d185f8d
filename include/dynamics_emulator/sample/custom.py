"""Custom tables and columns that no generator knows: they are filled by what their metadata say."""

from collections.abc import Mapping, Sequence

from dynamics_emulator.sample.people import Setting
from dynamics_emulator.sample.sheet import Sheet
from dynamics_emulator.schema.model import Column, ColumnType, Table
from dynamics_emulator.storage.database import SqlValue

_SHARE = 0.4
_SPREAD = 1000
_Keys = Mapping[str, Sequence[str]]


def fill_custom_columns(setting: Setting, sheet: Sheet, keys: _Keys) -> None:
    """Give values to custom columns that are empty so far. ``keys`` are the rows to point at, by table."""
    table = setting.draft.schema.table(sheet.table)
    for column in table.columns.values():
        if _is_custom(column.name) and column.name not in sheet.columns:
            _fill(setting, sheet, table, column, keys)


def make_custom_tables(setting: Setting, made: Sequence[Sheet], keys: _Keys, count: int) -> list[Sheet]:
    """So many rows of each custom table that none of the sheets is of."""
    known = {sheet.table for sheet in (*made, *setting.structure.sheets, *setting.marketing.sheets)}
    sheets: list[Sheet] = []
    for table in setting.draft.schema.tables.values():
        if _is_custom(table.name) and not table.intersect and table.name not in known:
            sheet = setting.draft.sheet(table.name, count)
            _finish(setting, sheet, table)
            fill_custom_columns(setting, sheet, {**keys, **{other.table: other.ids for other in sheets}})
            sheets.append(sheet)
    return sheets


def _is_custom(name: str) -> bool:
    """Names that a publisher made start with its prefix."""
    return "_" in name and not name.endswith("_base") and not name.startswith("address")


def _finish(setting: Setting, sheet: Sheet, table: Table) -> None:
    setting.draft.stamp(sheet, setting.structure.users)
    if "ownerid" in table.columns:
        setting.draft.own(sheet, setting.structure.owners)
    state, status = table.find("statecode"), table.find("statuscode")
    if state and status and status.options:
        drawn = setting.draft.chance.choices(status.options, len(sheet))
        sheet.put(statecode=[option.state for option in drawn], statuscode=[option.value for option in drawn])


def _fill(setting: Setting, sheet: Sheet, table: Table, column: Column, keys: _Keys) -> None:
    chance = setting.draft.chance
    if column.type is ColumnType.MONEY:
        if not sheet.columns.get("transactioncurrencyid"):
            setting.treasury.fill(chance, sheet, table, _SHARE, column.name)
    elif any(column.name in key.columns for key in table.keys):
        sheet.put(**{column.name: _unique(setting, sheet, column)})
    elif column.is_lookup:
        _point(setting, sheet, column, keys)
    else:
        sheet.put(**{column.name: chance.sometimes(_SHARE, _values(setting, column, len(sheet)))})


def _unique(setting: Setting, sheet: Sheet, column: Column) -> list[SqlValue]:
    numbers = range(setting.first, setting.first + len(sheet))
    return list(numbers) if column.type is ColumnType.INTEGER else [f"{column.name}-{number}" for number in numbers]


def _point(setting: Setting, sheet: Sheet, column: Column, keys: _Keys) -> None:
    found = [(key, target) for target in column.targets for key in keys.get(target, ())]
    if not found:
        return
    share = 1 if column.required in ("ApplicationRequired", "SystemRequired") else _SHARE
    drawn = setting.draft.chance.some(share, found, len(sheet))
    sheet.put(**{column.name: [None if one is None else one[0] for one in drawn]})
    if column.is_polymorphic:
        sheet.put(**{column.type_column: [None if one is None else one[1] for one in drawn]})


def _values(setting: Setting, column: Column, count: int) -> Sequence[SqlValue]:
    chance = setting.draft.chance
    match column.type:
        case ColumnType.STRING | ColumnType.MEMO:
            return setting.draft.texts(count)
        case ColumnType.PICKLIST | ColumnType.BOOLEAN | ColumnType.MULTI_SELECT if column.options:
            drawn = [option.value for option in chance.choices(column.options, count)]
            return [str(value) for value in drawn] if column.type is ColumnType.MULTI_SELECT else drawn
        case ColumnType.DATE_TIME:
            return chance.days(count) if column.is_date_only else chance.instants(count)
        case ColumnType.INTEGER | ColumnType.DECIMAL | ColumnType.DOUBLE:
            return _numbers(setting, column, count)
        case _:
            return [None] * count


def _numbers(setting: Setting, column: Column, count: int) -> Sequence[SqlValue]:
    low, high = _bounds(column)
    drawn = setting.draft.chance.numbers(low, high, count)
    match column.type:
        case ColumnType.DECIMAL:
            return [f"{number:.{column.precision or 0}f}" for number in drawn]
        case ColumnType.DOUBLE:
            return [float(number) for number in drawn]
        case _:
            return drawn


def _bounds(column: Column) -> tuple[int, int]:
    """A range of a thousand numbers that a column takes, around zero if it can be."""
    low = max(int(column.minimum or 0) if column.minimum is not None else -_SPREAD, -_SPREAD)
    high = int(column.maximum) if column.maximum is not None else low + _SPREAD
    return low, max(low, min(high, low + 2 * _SPREAD))
