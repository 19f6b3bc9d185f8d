"""Literals of a query in the form in which a column's values are stored, and the refusals of those that do not fit."""

from typing import Any

from odata_query import ast

from dynamics_emulator.errors import DataverseError, bad_query
from dynamics_emulator.odata.literals import guid_text, moment_text
from dynamics_emulator.schema.model import TEXT_TYPES, Column, ColumnType
from dynamics_emulator.storage.database import SqlValue

_LITERAL_TYPES = {
    ast.String: "String",
    ast.Integer: "Int32",
    ast.Float: "Decimal",
    ast.Boolean: "Boolean",
    ast.GUID: "Guid",
    ast.Date: "Date",
    ast.DateTime: "DateTimeOffset",
}
_COLUMN_TYPES = {
    ColumnType.STRING: "String",
    ColumnType.MEMO: "String",
    ColumnType.MULTI_SELECT: "String",
    ColumnType.BIG_INT: "Int64",
    ColumnType.DOUBLE: "Double",
    ColumnType.DECIMAL: "Decimal",
    ColumnType.MONEY: "Decimal",
    ColumnType.BOOLEAN: "Boolean",
    ColumnType.UNIQUEIDENTIFIER: "Guid",
    ColumnType.LOOKUP: "Guid",
    ColumnType.OWNER: "Guid",
    ColumnType.CUSTOMER: "Guid",
}
_KINDS = {
    "eq": "Equal",
    "ne": "NotEqual",
    "gt": "GreaterThan",
    "ge": "GreaterThanOrEqual",
    "lt": "LessThan",
    "le": "LessThanOrEqual",
}
FRACTIONS = frozenset({ColumnType.DOUBLE, ColumnType.DECIMAL, ColumnType.MONEY})
NUMBERS = FRACTIONS | {
    ColumnType.INTEGER,
    ColumnType.BIG_INT,
    ColumnType.PICKLIST,
    ColumnType.STATE,
    ColumnType.STATUS,
}


def edm_name(column: Column) -> str:
    """The OData type of a column, without ``Edm.``."""
    if column.type is ColumnType.DATE_TIME:
        return "Date" if column.is_date_only else "DateTimeOffset"
    return _COLUMN_TYPES.get(column.type, "Int32")


def literal_value(column: Column, node: Any, operator: str) -> SqlValue:
    """A literal of a comparison, not yet folded. Raises a 400 when the types do not fit.

    Quoted GUIDs are tolerated, as the samples of the documentation have them.
    """
    try:
        return _typed_value(column, node)
    except (ValueError, OverflowError) as problem:
        raise incompatible(column, _LITERAL_TYPES.get(type(node), type(node).__name__), operator) from problem


def _typed_value(column: Column, node: Any) -> SqlValue:
    match column.type, node:
        case ((ColumnType.STRING | ColumnType.MEMO | ColumnType.MULTI_SELECT), ast.String()):
            return str(node.val)
        case ColumnType.BOOLEAN, ast.Boolean():
            return int(node.py_val)
        case ColumnType.DATE_TIME, ast.DateTime() | ast.Date():
            return moment_text(column, node.val)
        case _, ast.GUID() | ast.String() if edm_name(column) == "Guid":
            return guid_text(node.val)
        case kind, ast.Integer() | ast.Float() if kind in NUMBERS:
            return float(node.py_val) if kind in FRACTIONS else _storable(node.py_val)
        case _:
            message = "the literal is of another type"
            raise ValueError(message)


def _storable(value: float) -> float:
    if abs(value) >= 2**63:
        message = "the number does not fit into 64 bits"
        raise OverflowError(message)
    return value


def argument_value(column: Column, text: str) -> SqlValue:
    """An argument of a query function, which is quoted whatever its type; not yet folded.

    Raises ValueError when it does not fit.
    """
    if column.type in TEXT_TYPES or column.type is ColumnType.MULTI_SELECT:
        return text
    if column.type is ColumnType.DATE_TIME:
        return moment_text(column, text)
    if edm_name(column) == "Guid":
        return guid_text(text)
    if column.type is ColumnType.BOOLEAN:
        return {"true": 1, "false": 0, "1": 1, "0": 0}[text.lower()]
    return float(text) if column.type in FRACTIONS else _storable(int(text))


def incompatible(column: Column, found: str, operator: str) -> DataverseError:
    """A comparison of a column with something of another type (400)."""
    message = (
        "A binary operator with incompatible types was detected. "
        f"Found operand types 'Edm.{edm_name(column)}' and 'Edm.{found}' for operator kind '{_KINDS[operator]}'."
    )
    return bad_query(message)
