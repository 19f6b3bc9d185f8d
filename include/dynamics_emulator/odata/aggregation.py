"""Reads ``$apply``: ``filter(...)``, ``groupby((...),aggregate(...))`` and ``aggregate(...)``."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from dynamics_emulator.errors import DataverseError, bad_query
from dynamics_emulator.odata.conditions import compile_filter, resolve
from dynamics_emulator.odata.expression import parse_filter
from dynamics_emulator.odata.options import split_outside
from dynamics_emulator.odata.ordering import sort_parts
from dynamics_emulator.odata.scope import Operand, Scope
from dynamics_emulator.odata.values import FRACTIONS, edm_name
from dynamics_emulator.schema.model import TEXT_TYPES, ColumnType

_STEP = re.compile(r"(?P<name>\w+)\((?P<inside>.*)\)", re.DOTALL)
_GROUPS = re.compile(r"\((?P<columns>[^()]*)\)\s*(?:,\s*aggregate\((?P<items>.*)\))?", re.DOTALL)
_ITEM = re.compile(r"(?P<path>[\w/$]+)(?:\s+with\s+(?P<method>\w+))?\s+as\s+(?P<alias>\w+)")


class Method(StrEnum):
    """How values are aggregated."""

    SUM = "sum"
    MIN = "min"
    MAX = "max"
    AVERAGE = "average"
    DISTINCT = "countdistinct"
    COUNT = "count"


@dataclass(frozen=True)
class Aggregate:
    """One aggregated value; ``operand`` is None for the number of rows."""

    alias: str
    method: Method
    operand: Operand | None


@dataclass(frozen=True)
class Group:
    """One column by which rows are grouped, the path that names it, and the name under which it is shown."""

    path: str
    name: str
    operand: Operand


@dataclass(frozen=True)
class Aggregation:
    """A whole ``$apply``: which rows, grouped by what, and what is said of each group."""

    conditions: Sequence[str]
    groups: Sequence[Group]
    aggregates: Sequence[Aggregate]


def parse_apply(text: str, scope: Scope) -> Aggregation:
    """Read ``$apply``. Raises a 400 for the many things that Dataverse does not support."""
    steps = [_STEP.fullmatch(part) for part in split_outside(text, "/")]
    conditions = []
    for position, step in enumerate(steps):
        if step is None:
            raise _unsupported(text)
        if step["name"] == "filter":
            conditions.append(compile_filter(step["inside"], scope))
            continue
        if position != len(steps) - 1:
            raise _unsupported(text)
        return _last_step(step["name"], step["inside"], conditions, scope)
    raise _unsupported(text)


def _last_step(name: str, inside: str, conditions: Sequence[str], scope: Scope) -> Aggregation:
    if name == "aggregate":
        aggregates = _aggregates(inside, scope)
        _require_distinct([item.alias for item in aggregates])
        return Aggregation(conditions, (), aggregates)
    match = _GROUPS.fullmatch(inside.strip())
    if name != "groupby" or match is None:
        step = f"{name}({inside})"
        raise _unsupported(step)
    groups = [_group(path, scope) for path in split_outside(match["columns"], ",")]
    aggregates = _aggregates(match["items"], scope) if match["items"] else []
    _require_distinct([*(group.name for group in groups), *(item.alias for item in aggregates)])
    return Aggregation(conditions, groups, aggregates)


def _require_distinct(names: Sequence[str]) -> None:
    """A row cannot show two values under one name."""
    for name in names:
        if names.count(name) > 1:
            message = f"The name '{name}' stands more than once in $apply."
            raise bad_query(message)


def _unsupported(text: str) -> DataverseError:
    return bad_query(f"The $apply expression '{text}' is not supported.")


def _group(path: str, scope: Scope) -> Group:
    operand = _operand(path, scope)
    column = operand.column
    if column.type is ColumnType.DATE_TIME:
        message = f"groupby with datetime values is not supported: '{path}'."
        raise bad_query(message)
    if column.type is ColumnType.MULTI_SELECT:
        message = f"groupby with choices is not supported: '{path}'."
        raise bad_query(message)
    name = column.property_name if "/" not in path else f"{operand.table}_{column.name}"
    return Group(path, name, operand)


def _operand(path: str, scope: Scope) -> Operand:
    return resolve(parse_filter(path, scope.aliases), scope)


def _aggregates(text: str, scope: Scope) -> list[Aggregate]:
    return [_aggregate(item, scope) for item in split_outside(text, ",")]


def _aggregate(text: str, scope: Scope) -> Aggregate:
    match = _ITEM.fullmatch(text)
    if match is None:
        message = f"Syntax error in the aggregate expression '{text}'."
        raise bad_query(message)
    if match["path"] == "$count" and match["method"] is None:
        return Aggregate(match["alias"], Method.COUNT, None)
    if match["method"] not in tuple(Method)[:-1]:
        message = f"The aggregation method '{match['method']}' is not supported."
        raise bad_query(message)
    operand = _operand(match["path"], scope)
    method = Method(match["method"])
    _require_values(method, operand)
    return Aggregate(match["alias"], method, operand)


def _require_values(method: Method, operand: Operand) -> None:
    kind = operand.column.type
    numeric = kind in FRACTIONS or kind in (ColumnType.INTEGER, ColumnType.BIG_INT)
    if method is Method.DISTINCT or numeric:
        return
    if kind is ColumnType.DATE_TIME and method in (Method.MIN, Method.MAX):
        return
    message = (
        f"The aggregation method '{method}' is not supported on '{operand.column.name}' of type "
        f"'Edm.{edm_name(operand.column)}'."
    )
    raise bad_query(message)


def aggregate_sql(item: Aggregate, scope: Scope) -> str:
    """SQL expression of an aggregate. Exact numbers are added exactly; an average is ``sum:count``."""
    if item.operand is None:
        return "count(*)"
    sql, exact = item.operand.sql, item.operand.column.type in (ColumnType.MONEY, ColumnType.DECIMAL)
    match item.method:
        case Method.SUM:
            return f"{'exact_sum' if exact else 'sum'}({sql})"
        case Method.AVERAGE:
            return f"exact_sum({sql}) || ':' || count({sql})"
        case Method.DISTINCT:
            return f"count(DISTINCT {scope.comparable(item.operand)})"
        case _:
            return f"{item.method}({scope.comparable(item.operand)})"


def group_order(text: str | None, aggregation: Aggregation, scope: Scope) -> str:
    """ORDER BY of the groups: as asked, else by their columns. Raises a 400 for an aggregated value."""
    order = []
    for path, descending in sort_parts(text):
        if any(item.alias == path for item in aggregation.aggregates):
            message = "The query node SingleValueOpenPropertyAccess is not supported"
            raise bad_query(message)
        operand = next((group.operand for group in aggregation.groups if group.path == path), None)
        if operand is None:
            message = f"The order by '{path}' is not a column of groupby."
            raise bad_query(message)
        order.append(f"{scope.sorted_by(operand)}{' DESC' if descending else ''}")
    return ", ".join([*order, *(group_key(group, scope) for group in aggregation.groups)])


def group_key(group: Group, scope: Scope) -> str:
    """SQL expression by which rows fall into groups; as elsewhere, texts are one when they differ in case only."""
    return scope.comparable(group.operand) if group.operand.column.type in TEXT_TYPES else group.operand.sql
