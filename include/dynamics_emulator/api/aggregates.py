"""Answers ``$apply``."""

import json
from collections.abc import Iterator, Sequence
from decimal import Decimal

from dynamics_emulator.api.messages import ApiRequest, ApiResponse, raw_json
from dynamics_emulator.errors import DataverseError, bad_query
from dynamics_emulator.identity import BASE_CURRENCY_ID
from dynamics_emulator.odata.aggregation import (
    Aggregate,
    Aggregation,
    Group,
    Method,
    aggregate_sql,
    group_key,
    group_order,
    parse_apply,
)
from dynamics_emulator.odata.annotations import FORMATTED_VALUE, LOOKUP_NAVIGATION, LOOKUP_TABLE
from dynamics_emulator.odata.conditions import compile_filter
from dynamics_emulator.odata.scope import Scope
from dynamics_emulator.organisation import Organisation
from dynamics_emulator.schema.model import EXACT_NUMBER_TYPES, OPTION_TYPES, Column, ColumnType
from dynamics_emulator.storage.database import SqlValue
from dynamics_emulator.storage.functions import show_number, show_time

_DECIMALS = Decimal("0.000000000")
"""Sums and averages of exact numbers are printed with nine decimals."""
Member = tuple[str, str, str | None]
"""A name, the JSON of its value, and how people read the value."""


def read_aggregate(
    organisation: Organisation, request: ApiRequest, scope: Scope, path: str, base_condition: str
) -> ApiResponse:
    """The groups of ``$apply`` over the rows of a scope; members without a value are left out."""
    aggregation = parse_apply(request.options.get("$apply") or "", scope)
    condition = " AND ".join([base_condition, *_beside(request, scope), *aggregation.conditions])
    query = _query(aggregation, scope, request, condition)
    with organisation.database.snapshot() as connection:
        _require_few(organisation, scope, condition)
        found = connection.execute(query, scope.parameters.values).fetchall()
        symbol = _currency_symbol(organisation)
    rows = [_printed_row(aggregation, values, request, symbol) for values in found]
    parts = [f'"@odata.context":{json.dumps(f"{request.base}/$metadata#{path}")}']
    parts += [f'"@odata.count":{min(len(rows), organisation.settings.count_limit)}'] * request.options.wants_count
    return raw_json("{" + ",".join([*parts, f'"value":[{",".join(rows)}]']) + "}")


def _beside(request: ApiRequest, scope: Scope) -> list[str]:
    """The condition of a ``$filter`` beside ``$apply``. Raises a 400 for options that say what rows show."""
    for name in ("$select", "$expand"):
        if request.options.get(name) is not None:
            message = f"The query option {name} cannot be combined with $apply."
            raise bad_query(message)
    text = request.options.get("$filter")
    if text is None:
        return []
    if scope.settings.filter_with_apply == "refuse":
        message = "The query option $filter cannot be combined with $apply."
        raise bad_query(message)
    return [compile_filter(text, scope)]


def _query(aggregation: Aggregation, scope: Scope, request: ApiRequest, condition: str) -> str:
    groups = aggregation.groups
    shown = [sql for group in groups for sql in _group_values(group, scope)]
    shown += [aggregate_sql(item, scope) for item in aggregation.aggregates]
    query = f"SELECT {', '.join(shown)} FROM {scope.source} WHERE {condition}"
    if groups:
        query += f" GROUP BY {', '.join(group_key(group, scope) for group in groups)}"
        query += f" ORDER BY {group_order(request.options.get('$orderby'), aggregation, scope)}"
    elif request.options.get("$orderby"):
        group_order(request.options.get("$orderby"), aggregation, scope)
    limit = scope.settings.page_size
    top = request.options.top
    return f"{query} LIMIT {limit if top is None else min(top, limit)}"


def _group_values(group: Group, scope: Scope) -> list[str]:
    """The value, and of a lookup also the name and the table of its row."""
    operand = group.operand
    if not operand.column.is_lookup:
        return [f"min({operand.sql})", "NULL", "NULL"]
    kind = f'min({operand.alias}."{operand.column.type_column}")' if operand.column.is_polymorphic else "NULL"
    return [operand.sql, f"min({scope.lookup_name(operand)})", kind if "(" not in operand.sql else "NULL"]


def _require_few(organisation: Organisation, scope: Scope, condition: str) -> None:
    limit = organisation.settings.aggregate_limit
    query = f"SELECT count(*) FROM (SELECT 1 FROM {scope.source} WHERE {condition} LIMIT {limit + 1})"
    if organisation.database.connection.execute(query, scope.parameters.values).fetchone()[0] > limit:
        message = "The maximum record limit is exceeded. Reduce the number of records."
        raise DataverseError(400, "0x8004e023", message)


def _currency_symbol(organisation: Organisation) -> str:
    query = "SELECT currencysymbol FROM transactioncurrency WHERE transactioncurrencyid = ?"
    found = organisation.database.connection.execute(query, (BASE_CURRENCY_ID,)).fetchone()
    return str(found[0]) if found else ""


def _printed_row(aggregation: Aggregation, values: Sequence[SqlValue], request: ApiRequest, symbol: str) -> str:
    annotated = request.annotations.wants(FORMATTED_VALUE)
    cells = iter(values)
    own: list[str] = []
    behind: list[str] = []
    for group in aggregation.groups:
        value, name, kind = next(cells), next(cells), next(cells)
        member = _group_member(group, value, name)
        printed = [*_lookup_members(group, value, kind, request), *_printed(member, annotated=annotated)]
        (behind if "/" in group.path else own).extend(printed if value is not None else [])
    for item in aggregation.aggregates:
        value = next(cells)
        if value is not None:
            own += _printed(_aggregate_member(item, value, symbol), annotated=annotated)
    return "{" + ",".join([*own, *behind]) + "}"


def _printed(member: Member, *, annotated: bool) -> Iterator[str]:
    name, text, shown = member
    if annotated and shown is not None:
        yield f'"{name}@{FORMATTED_VALUE}":{json.dumps(shown, ensure_ascii=False)}'
    yield f'"{name}":{text}'


def _lookup_members(group: Group, value: SqlValue, kind: SqlValue, request: ApiRequest) -> list[str]:
    column = group.operand.column
    if not column.is_lookup or value is None:
        return []
    table = str(kind) if kind else column.targets[0]
    found = {LOOKUP_NAVIGATION: column.navigation_for(table), LOOKUP_TABLE: table}
    wanted = [name for name in found if request.annotations.wants(name)]
    return [f'"{group.name}@{name}":{json.dumps(found[name])}' for name in wanted]


def _group_member(group: Group, value: SqlValue, name: SqlValue) -> Member:
    column = group.operand.column
    if column.is_lookup:
        return group.name, json.dumps(value), None if name is None else str(name)
    if column.type in OPTION_TYPES and isinstance(value, int):
        text = json.dumps(bool(value)) if column.type is ColumnType.BOOLEAN else str(value)
        return group.name, text, column.labels.get(value)
    return group.name, _json_text(column, value), _shown(column, value, "")


def _aggregate_member(item: Aggregate, value: SqlValue, symbol: str) -> Member:
    if item.operand is None or item.method is Method.DISTINCT:
        return item.alias, str(value), show_number(value, 0)
    column = item.operand.column
    if item.method is Method.AVERAGE:
        total, _, count = str(value).partition(":")
        value = str(Decimal(total) / Decimal(count))
    if item.method in (Method.AVERAGE, Method.SUM) and column.type in EXACT_NUMBER_TYPES:
        value = str(Decimal(str(value)).quantize(_DECIMALS))
    return item.alias, _json_text(column, value), _shown(column, value, symbol)


def _json_text(column: Column, value: SqlValue) -> str:
    if column.type in EXACT_NUMBER_TYPES or isinstance(value, int | float):
        return str(value)
    is_number = column.type in (ColumnType.INTEGER, ColumnType.BIG_INT, ColumnType.DOUBLE)
    return str(float(str(value))) if is_number else json.dumps(value, ensure_ascii=False)


def _shown(column: Column, value: SqlValue, symbol: str) -> str | None:
    match column.type:
        case ColumnType.MONEY:
            return f"{symbol}{show_number(value, 2)}"
        case ColumnType.DOUBLE | ColumnType.DECIMAL:
            return show_number(value, 2)
        case ColumnType.INTEGER | ColumnType.BIG_INT:
            return show_number(value, 0)
        case ColumnType.DATE_TIME:
            return show_time(str(value))
        case _:
            return None
