"""QueryExpression, the query of the organisation service that a few actions take: compiled to SQL conditions."""

from collections.abc import Mapping
from typing import Any

from dynamics_emulator.api.arguments import invalid_argument
from dynamics_emulator.api.messages import ExactNumber
from dynamics_emulator.api.values import stored_value
from dynamics_emulator.errors import DataverseError
from dynamics_emulator.odata.scope import Parameters
from dynamics_emulator.organisation import Organisation
from dynamics_emulator.schema.model import TEXT_TYPES, Column, Table
from dynamics_emulator.storage.layout import quote

_COMPARISONS = {
    "Equal": "=",
    "NotEqual": "<>",
    "GreaterThan": ">",
    "GreaterEqual": ">=",
    "LessThan": "<",
    "LessEqual": "<=",
}
_PATTERNS = {"Like": "{}", "BeginsWith": "{}%", "EndsWith": "%{}", "Contains": "%{}%"}


def queried_table(organisation: Organisation, query: Mapping[str, Any]) -> Table:
    """The table of a query. Raises a 400 (0x80041102) when there is none."""
    table = organisation.schema.tables.get(str(query.get("EntityName", "")))
    if table is None:
        raise DataverseError(400, "0x80041102", "The specified entity was not found.")
    return table


def compile_criteria(table: Table, criteria: Mapping[str, Any] | None, parameters: Parameters) -> str:
    """SQL condition of a FilterExpression; ``1`` for one without conditions.

    Raises a 400 for an unknown column (0x80041103), an operator that is not known here, or a bad value.
    """
    if criteria is None:
        return "1"
    parts = [_condition(table, condition, parameters) for condition in criteria.get("Conditions") or ()]
    parts += [compile_criteria(table, inner, parameters) for inner in criteria.get("Filters") or ()]
    joined = {"And": " AND ", "Or": " OR "}.get(str(criteria.get("FilterOperator", "And")))
    if joined is None:
        raise invalid_argument()
    return f"({joined.join(parts)})" if parts else "1"


def _condition(table: Table, condition: Mapping[str, Any], parameters: Parameters) -> str:
    column = table.find(str(condition.get("AttributeName", "")))
    if column is None:
        raise DataverseError(400, "0x80041103", "The specified attribute does not exist on this entity.")
    operator, name = str(condition.get("Operator", "")), quote(column.name)
    if operator in ("Null", "NotNull"):
        return f"{name} IS {'NOT ' if operator == 'NotNull' else ''}NULL"
    sent = [_plain(value) for value in condition.get("Values") or ()]
    if not sent:
        raise invalid_argument()
    if operator in _PATTERNS:
        return f"matches({name}, {parameters.add(_PATTERNS[operator].format(sent[0]))})"
    values = [parameters.add(stored_value(table, column, value)) for value in sent]
    if operator in ("In", "NotIn"):
        places = ", ".join(_folded(column, value) for value in values)
        return f"{_folded(column, name)} {'NOT IN' if operator == 'NotIn' else 'IN'} ({places})"
    if operator not in _COMPARISONS:
        raise invalid_argument()
    return f"{_folded(column, name)} {_COMPARISONS[operator]} {_folded(column, values[0])}"


def _folded(column: Column, expression: str) -> str:
    return f"fold({expression})" if column.type in TEXT_TYPES else expression


def _plain(value: object) -> object:
    """A value of a condition: bare, or an object that names its type."""
    if not isinstance(value, Mapping):
        return value
    found, kind = value.get("Value"), str(value.get("Type", ""))
    if isinstance(found, str) and kind in ("System.Int32", "System.Int64"):
        return int(found)
    if isinstance(found, str) and kind in ("System.Decimal", "System.Double"):
        return ExactNumber(found)
    return found == "true" if isinstance(found, str) and kind == "System.Boolean" else found
