"""Compiles the syntax tree of a ``$filter`` to an SQL condition."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from odata_query import ast

from dynamics_emulator.errors import DataverseError, bad_query, too_many_conditions, unknown_property
from dynamics_emulator.odata import query_functions
from dynamics_emulator.odata.expression import parse_filter
from dynamics_emulator.odata.literals import guid_text, moment_text
from dynamics_emulator.odata.scope import Operand, Scope, sort_expression
from dynamics_emulator.schema.model import TEXT_TYPES, Column, ColumnType
from dynamics_emulator.storage.database import SqlValue

_CONDITION_LIMIT = 500
_OPERATORS = {
    ast.Eq: "=",
    ast.NotEq: "<>",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}
_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "=", "<>": "<>"}
_EDM = {ast.String: "String", ast.Integer: "Int32", ast.Float: "Decimal", ast.Boolean: "Boolean", ast.GUID: "Guid"}


def compile_filter(text: str, scope: Scope) -> str:
    """SQL condition for a filter text. Raises a 400 for what Dataverse would refuse."""
    return compile_node(parse_filter(text, scope.aliases), scope)


def compile_node(node: Any, scope: Scope) -> str:
    """SQL condition for one node of the tree."""
    match node:
        case ast.BoolOp():
            word = "AND" if isinstance(node.op, ast.And) else "OR"
            return "(" + f" {word} ".join(compile_node(part, scope) for part in _chain(node)) + ")"
        case ast.UnaryOp(op=ast.Not()):
            return f"(NOT {compile_node(node.operand, scope)})"
        case ast.Compare():
            return _compare(node, scope)
        case ast.Call():
            return _call(node, scope)
        case ast.CollectionLambda():
            return _lambda(node, scope)
        case _:
            message = f"The query node {type(node).__name__} is not supported."
            raise bad_query(message)


def _chain(node: Any) -> list[Any]:
    """The parts of ``a or b or c``: side by side, for SQLite cannot parse hundreds of nested parentheses."""
    parts: list[Any] = []
    left = node
    while isinstance(left, ast.BoolOp) and left.op == node.op:
        parts.append(left.right)
        left = left.left
    parts.append(left)
    if len(parts) > _CONDITION_LIMIT:
        raise too_many_conditions()
    return parts[::-1]


def _compare(node: Any, scope: Scope) -> str:
    if isinstance(node.comparator, ast.In):
        return _in_operator(node, scope)
    symbol = _OPERATORS[type(node.comparator)]
    left, right = node.left, node.right
    if not _is_path(left):
        left, right, symbol = right, left, _MIRRORED[symbol]
    operand = resolve(left, scope)
    if isinstance(right, ast.Null):
        return _compare_null(operand, symbol)
    if _is_path(right):
        return _compare_columns(operand, symbol, resolve(right, scope))
    value = scope.parameters.add(stored_value(operand.column, right))
    return compare_sql(operand, symbol, value, null_differs=scope.settings.not_equal_matches_null)


def compare_sql(operand: Operand, symbol: str, value: str, *, null_differs: bool) -> str:
    """Compare a column with a bound value; ``null_differs`` lets ``<>`` find rows without a value."""
    condition = f"{sort_or_plain(operand)} {symbol} {value}"
    if symbol == "<>" and null_differs:
        return f"({condition} OR {operand.sql} IS NULL)"
    return condition


def sort_or_plain(operand: Operand) -> str:
    """The comparable form of a column."""
    return operand.sql if operand.column.type is ColumnType.MULTI_SELECT else sort_expression(operand)


def _compare_null(operand: Operand, symbol: str) -> str:
    if symbol not in ("=", "<>"):
        message = "Only eq and ne can be used with null."
        raise bad_query(message)
    return f"{operand.sql} IS {'NOT ' if symbol == '<>' else ''}NULL"


def _compare_columns(left: Operand, symbol: str, right: Operand) -> str:
    return f"{sort_or_plain(left)} {symbol} {sort_or_plain(right)}"


def _in_operator(node: Any, scope: Scope) -> str:
    if scope.settings.in_operator_refused:
        message = "The 'in' operator is not supported. Use Microsoft.Dynamics.CRM.In instead."
        raise bad_query(message)
    operand = resolve(node.left, scope)
    values = [scope.parameters.add(stored_value(operand.column, item)) for item in node.right.val]
    return f"{sort_or_plain(operand)} IN ({', '.join(values)})"


def _is_path(node: Any) -> bool:
    return isinstance(node, ast.Identifier | ast.Attribute)


def resolve(node: Any, scope: Scope) -> Operand:
    """The column that a path names: ``column``, ``navigation/column`` or ``variable/column``."""
    match path_names(node):
        case [name]:
            return scope.column(name)
        case [first, name] if first in scope.variables:
            return scope.variables[first].column(name)
        case [first, name]:
            return scope.through(first, name)
        case [first, navigation, name] if first in scope.variables:
            return scope.variables[first].through(navigation, name)
        case _:
            message = "Only a column, or a column of a directly related row, can be compared."
            raise bad_query(message)


def path_names(node: Any) -> list[str]:
    """The names of a path such as ``navigation/column``; empty for anything else."""
    if isinstance(node, ast.Identifier):
        return [node.name]
    return [*path_names(node.owner), node.attr] if isinstance(node, ast.Attribute) else []


def stored_value(column: Column, node: Any) -> SqlValue:
    """A literal in the form in which the column is stored. Raises a 400 when the types do not fit."""
    if isinstance(node, ast.String):
        try:
            return text_value(column, node.val)
        except (ValueError, OverflowError) as problem:
            raise _incompatible(column, node) from problem
    try:
        return _typed_value(column, node)
    except OverflowError as problem:
        raise _incompatible(column, node) from problem


def _typed_value(column: Column, node: Any) -> SqlValue:
    value = node.py_val
    match column.type:
        case ColumnType.BOOLEAN if isinstance(value, bool):
            return int(value)
        case ColumnType.DATE_TIME if isinstance(node, ast.DateTime | ast.Date):
            return moment_text(column, node.val)
        case ColumnType.UNIQUEIDENTIFIER | ColumnType.LOOKUP | ColumnType.OWNER | ColumnType.CUSTOMER if isinstance(
            node, ast.GUID
        ):
            return guid_text(node.val)
        case kind if kind in _NUMBERS and isinstance(node, ast.Integer | ast.Float):
            return float(value) if kind in _FRACTIONS else _storable(value)
        case _:
            raise _incompatible(column, node)


def _storable(value: float) -> float:
    if abs(value) >= 2**63:
        message = "the number does not fit into 64 bits"
        raise OverflowError(message)
    return value


_FRACTIONS = frozenset({ColumnType.DOUBLE, ColumnType.DECIMAL, ColumnType.MONEY})
_NUMBERS = _FRACTIONS | {
    ColumnType.INTEGER,
    ColumnType.BIG_INT,
    ColumnType.PICKLIST,
    ColumnType.STATE,
    ColumnType.STATUS,
}


def text_value(column: Column, text: str) -> SqlValue:
    """The stored form of a quoted value, as functions take it. Raises ValueError when it does not fit."""
    if column.type in TEXT_TYPES:
        return text.casefold()
    if column.type is ColumnType.MULTI_SELECT:
        return text
    if column.type is ColumnType.DATE_TIME:
        return moment_text(column, text)
    if column.is_lookup or column.type is ColumnType.UNIQUEIDENTIFIER:
        return guid_text(text)
    if column.type is ColumnType.BOOLEAN:
        return {"true": 1, "false": 0, "1": 1, "0": 0}[text.lower()]
    return float(text) if column.type in _FRACTIONS else int(text)


def _incompatible(column: Column, node: Any) -> DataverseError:
    found = _EDM.get(type(node), type(node).__name__)
    message = (
        "A binary operator with incompatible types was detected. "
        f"Found operand types 'Edm.{column.type}' and 'Edm.{found}' for operator kind 'Equal'."
    )
    return bad_query(message)


def _call(node: Any, scope: Scope) -> str:
    name = node.func.name
    if node.func.namespace:
        return _dataverse_function(node, scope)
    if name not in ("contains", "startswith", "endswith") or len(node.args) != 2:
        message = f"An unknown function with name '{name}' was found."
        raise bad_query(message)
    operand = resolve(node.args[0], scope)
    needle = node.args[1]
    if operand.column.type not in TEXT_TYPES or not isinstance(needle, ast.String):
        raise _incompatible(operand.column, needle)
    before = "" if name == "startswith" else "%"
    after = "" if name == "endswith" else "%"
    return f"matches({operand.sql}, {scope.parameters.add(before + needle.val + after)})"


def _dataverse_function(node: Any, scope: Scope) -> str:
    if node.func.namespace != ("Microsoft", "Dynamics", "CRM"):
        message = f"An unknown function with name '{node.func.full_name()}' was found."
        raise bad_query(message)
    given: dict[str, Any] = {
        argument.name.name: argument.param for argument in node.args if isinstance(argument, ast.NamedParam)
    }
    if "PropertyName" not in given:
        message = "The function needs the parameter PropertyName."
        raise bad_query(message)
    operand = _named_property(str(given["PropertyName"].py_val), scope)
    return query_functions.compile_call(node.func.name, operand, _arguments(given), scope, text_value)


def _named_property(name: str, scope: Scope) -> Operand:
    """Functions take the logical name of a lookup as well as its property name."""
    column = scope.table.columns.get(name)
    if column is None:
        return scope.column(name)
    return Operand(scope.sql_name(column.name), column)


def _arguments(given: dict[str, Any]) -> Sequence[str]:
    if "PropertyValues" in given:
        return [str(item.py_val) for item in given["PropertyValues"].val]
    return [str(given["PropertyValue"].py_val)] if "PropertyValue" in given else []


def _lambda(node: Any, scope: Scope) -> str:
    if not isinstance(node.owner, ast.Identifier):
        raise unknown_property(str(node.owner), scope.table.name)
    inner, tie = scope.collection(node.owner.name)
    if node.lambda_ is None:
        return f"EXISTS (SELECT 1 FROM {inner.source} WHERE {tie})"
    variables = {**scope.variables, node.lambda_.identifier.name: inner}
    condition = compile_node(node.lambda_.expression, replace(inner, variables=variables))
    if isinstance(node.operator, ast.Any):
        return f"EXISTS (SELECT 1 FROM {inner.source} WHERE {tie} AND {condition})"
    return f"NOT EXISTS (SELECT 1 FROM {inner.source} WHERE {tie} AND NOT ifnull({condition}, 0))"
