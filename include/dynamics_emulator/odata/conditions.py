"""Compiles the syntax tree of a ``$filter`` to an SQL condition."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from odata_query import ast

from dynamics_emulator.errors import bad_query, too_many_conditions
from dynamics_emulator.odata.expression import parse_filter
from dynamics_emulator.odata.query_functions import FunctionCall, compile_call
from dynamics_emulator.odata.scope import Operand, Scope
from dynamics_emulator.odata.values import edm_name, incompatible, literal_value
from dynamics_emulator.schema.model import TEXT_TYPES

_CONDITION_LIMIT = 500
_OPERATORS = {
    ast.Eq: "eq",
    ast.NotEq: "ne",
    ast.Lt: "lt",
    ast.LtE: "le",
    ast.Gt: "gt",
    ast.GtE: "ge",
}
_SYMBOLS = {"eq": "=", "ne": "<>", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_MIRRORED = {"lt": "gt", "le": "ge", "gt": "lt", "ge": "le", "eq": "eq", "ne": "ne"}
_WILDCARDS = frozenset("%_[")


def compile_filter(text: str, scope: Scope) -> str:
    """SQL condition for a filter text. Raises a 400 for what Dataverse would refuse."""
    tree = parse_filter(text, scope.aliases)
    if sum(1 for _ in _leaves(tree)) > _CONDITION_LIMIT:
        raise too_many_conditions()
    return compile_node(tree, scope)


def _leaves(tree: Any) -> Iterator[Any]:
    waiting = [tree]
    while waiting:
        match waiting.pop():
            case ast.BoolOp(left=left, right=right):
                waiting += [left, right]
            case ast.UnaryOp(operand=operand):
                waiting.append(operand)
            case ast.CollectionLambda(lambda_=ast.Lambda(expression=expression)):
                waiting.append(expression)
            case leaf:
                yield leaf


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
    return parts[::-1]


def _compare(node: Any, scope: Scope) -> str:
    if isinstance(node.comparator, ast.In):
        return _in_operator(node, scope)
    operator = _OPERATORS[type(node.comparator)]
    left, right = node.left, node.right
    if not path_names(left):
        left, right, operator = right, left, _MIRRORED[operator]
    operand = resolve(left, scope)
    if isinstance(right, ast.Null):
        return _compare_null(operand, operator)
    if path_names(right):
        return _compare_columns(operand, operator, resolve(right, scope), scope)
    return _compare_value(operand, operator, right, scope)


def _compare_value(operand: Operand, operator: str, literal: Any, scope: Scope) -> str:
    value = literal_value(operand.column, literal, operator)
    condition = f"{scope.comparable(operand)} {_SYMBOLS[operator]} {scope.bound(operand.column, value)}"
    if _is_pattern(operand, operator, value, scope):
        condition = f"{'NOT ' if operator == 'ne' else ''}{scope.fits(operand, str(value))}"
    if operator == "ne" and scope.settings.not_equal_matches_null:
        return f"({condition} OR {operand.sql} IS NULL)"
    return condition


def _is_pattern(operand: Operand, operator: str, value: object, scope: Scope) -> bool:
    return (
        scope.settings.wildcards_in_equality
        and operator in ("eq", "ne")
        and operand.column.type in TEXT_TYPES
        and not _WILDCARDS.isdisjoint(str(value))
    )


def _compare_null(operand: Operand, operator: str) -> str:
    if operator not in ("eq", "ne"):
        message = "Only eq and ne can be used with null."
        raise bad_query(message)
    return f"{operand.sql} IS {'NOT ' if operator == 'ne' else ''}NULL"


def _compare_columns(left: Operand, operator: str, right: Operand, scope: Scope) -> str:
    """Two columns of one row, of one type: rows are not compared with each other."""
    if left.alias != right.alias:
        message = "Only columns of the same row can be compared with each other."
        raise bad_query(message)
    if edm_name(left.column) != edm_name(right.column):
        raise incompatible(left.column, edm_name(right.column), operator)
    return f"{scope.comparable(left)} {_SYMBOLS[operator]} {scope.comparable(right)}"


def _in_operator(node: Any, scope: Scope) -> str:
    if scope.settings.in_operator_refused:
        message = "The 'in' operator is not supported. Use Microsoft.Dynamics.CRM.In instead."
        raise bad_query(message)
    operand = resolve(node.left, scope)
    column = operand.column
    values = ", ".join(scope.bound(column, literal_value(column, item, "eq")) for item in node.right.val)
    return f"{scope.comparable(operand)} IN ({values})"


def resolve(node: Any, scope: Scope) -> Operand:
    """The column that a path names: ``column``, ``navigation/.../column``, either perhaps behind a variable."""
    names = path_names(node)
    if not names:
        message = "Only a column, or a column of a related row, can be compared."
        raise bad_query(message)
    return resolve_path(names, scope)


def resolve_path(names: Sequence[str], scope: Scope) -> Operand:
    """As :func:`resolve`, for the names of a path."""
    if names[0] in scope.variables and len(names) > 1:
        return scope.variables[names[0]].path(names[1:])
    return scope.path(names)


def path_names(node: Any) -> list[str]:
    """The names of a path such as ``navigation/column``; empty for anything else."""
    if isinstance(node, ast.Identifier):
        return [node.name]
    return [*path_names(node.owner), node.attr] if isinstance(node, ast.Attribute) else []


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
        message = f"No function signature for the function with name '{name}' matches the specified arguments."
        raise bad_query(message)
    before = "" if name == "startswith" else "%"
    after = "" if name == "endswith" else "%"
    return scope.fits(operand, f"{before}{needle.val}{after}")


def _dataverse_function(node: Any, scope: Scope) -> str:
    """A function ``Microsoft.Dynamics.CRM.*``, perhaps of a row behind the path that stands before it."""
    namespace: tuple[str, ...] = node.func.namespace
    if namespace[-3:] != ("Microsoft", "Dynamics", "CRM"):
        message = f"An unknown function with name '{node.func.full_name()}' was found."
        raise bad_query(message)
    given: dict[str, Any] = {
        argument.name.name: argument.param for argument in node.args if isinstance(argument, ast.NamedParam)
    }
    if not isinstance(given.get("PropertyName"), ast.String):
        message = "The function needs the parameter PropertyName."
        raise bad_query(message)
    names = [*namespace[:-3], *str(given["PropertyName"].val).split("/")]
    return compile_call(FunctionCall(node.func.name, _named_property(names, scope), _arguments(given)), scope)


def _named_property(names: Sequence[str], scope: Scope) -> Operand:
    """Functions take the logical name of a lookup as well as its property name."""
    column = scope.table.columns.get(names[0])
    if len(names) == 1 and column is not None:
        return scope.operand(column)
    return resolve_path(names, scope)


def _arguments(given: dict[str, Any]) -> list[str]:
    if "PropertyValues" in given:
        return [_argument_text(item) for item in _items(given["PropertyValues"])]
    return [_argument_text(given["PropertyValue"])] if "PropertyValue" in given else []


def _items(values: Any) -> list[Any]:
    if not isinstance(values, ast.List):
        message = "The parameter PropertyValues takes an array."
        raise bad_query(message)
    return list(values.val)


def _argument_text(literal: Any) -> str:
    if isinstance(literal, ast.Null) or not hasattr(literal, "val") or isinstance(literal, ast.List):
        message = "A parameter of the function has no value."
        raise bad_query(message)
    return str(literal.val)


def _lambda(node: Any, scope: Scope) -> str:
    inner, tie = _collection(path_names(node.owner), scope)
    if node.lambda_ is None:
        return f"EXISTS (SELECT 1 FROM {inner.source} WHERE {tie})"
    variables = {**scope.variables, node.lambda_.identifier.name: inner}
    condition = compile_node(node.lambda_.expression, replace(inner, variables=variables))
    if isinstance(node.operator, ast.Any):
        return f"EXISTS (SELECT 1 FROM {inner.source} WHERE {tie} AND {condition})"
    return f"NOT EXISTS (SELECT 1 FROM {inner.source} WHERE {tie} AND NOT ifnull({condition}, 0))"


def _collection(names: Sequence[str], scope: Scope) -> tuple[Scope, str]:
    """The rows of ``collection`` or ``variable/collection``; a collection behind a lookup is not supported."""
    match names:
        case [name]:
            return scope.collection(name)
        case [variable, name] if variable in scope.variables:
            return scope.variables[variable].collection(name)
        case _:
            message = f"A condition on the collection '{'/'.join(names)}' behind a lookup is not supported."
            raise bad_query(message)
