"""The query functions ``Microsoft.Dynamics.CRM.*`` of a ``$filter``."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from dynamics_emulator.clock import wire_time
from dynamics_emulator.errors import bad_query
from dynamics_emulator.odata.literals import date_text
from dynamics_emulator.odata.scope import Operand, Scope, sort_expression
from dynamics_emulator.schema.model import Column, ColumnType
from dynamics_emulator.storage.database import SqlValue

Reader = Callable[[Column, str], SqlValue]
_UNITS = {
    "Hours": timedelta(hours=1),
    "Days": timedelta(days=1),
    "Weeks": timedelta(weeks=1),
    "Months": timedelta(days=30),
    "Years": timedelta(days=365),
}


def compile_call(name: str, operand: Operand, arguments: Sequence[str], scope: Scope, read: Reader) -> str:
    """SQL condition for one function; ``read`` turns an argument into the column's stored form.

    Raises a 400 for an unknown function, and for arguments that do not fit the column.
    """
    try:
        condition = _plain(name, operand, arguments, scope, read) or _relative(name, operand, arguments, scope)
    except (ValueError, KeyError, OverflowError, IndexError) as problem:
        message = f"Invalid arguments for the function {name} on '{operand.column.name}'."
        raise bad_query(message) from problem
    if condition is None:
        message = f"An unknown function with name 'Microsoft.Dynamics.CRM.{name}' was found."
        raise bad_query(message)
    return condition


def _plain(  # noqa: PLR0911 - a return for each function
    name: str, operand: Operand, arguments: Sequence[str], scope: Scope, read: Reader
) -> str | None:
    match name:
        case "In" | "NotIn":
            values = [scope.parameters.add(read(operand.column, text)) for text in arguments]
            return f"{_sortable(operand)} {'NOT ' if name == 'NotIn' else ''}IN ({', '.join(values)})"
        case "Between" | "NotBetween":
            low, high = (scope.parameters.add(read(operand.column, text)) for text in arguments)
            return f"{_sortable(operand)} {'NOT ' if name == 'NotBetween' else ''}BETWEEN {low} AND {high}"
        case "Null" | "NotNull":
            return f"{operand.sql} IS {'NOT ' if name == 'NotNull' else ''}NULL"
        case "ContainValues" | "DoesNotContainValues":
            return _contains(operand, arguments, scope, negated=name == "DoesNotContainValues")
        case "On" | "NotOn" | "OnOrAfter" | "OnOrBefore":
            return _on(name, operand, arguments[0], scope)
        case "EqualUserId" | "NotEqualUserId":
            symbol = "=" if name == "EqualUserId" else "<>"
            return f"{operand.sql} {symbol} {scope.parameters.add(scope.user_id)}"
        case _:
            return None


def _sortable(operand: Operand) -> str:
    return operand.sql if operand.column.type is ColumnType.MULTI_SELECT else sort_expression(operand)


def _contains(operand: Operand, arguments: Sequence[str], scope: Scope, *, negated: bool) -> str:
    stored = f"',' || {operand.sql} || ','"
    found = [f"instr({stored}, {scope.parameters.add(f',{int(text)},')}) > 0" for text in arguments]
    condition = " OR ".join(found)
    return f"(NOT ({condition}) OR {operand.sql} IS NULL)" if negated else f"({condition})"


def _on(name: str, operand: Operand, text: str, scope: Scope) -> str:
    """Comparison by calendar day in UTC, whatever time the argument carries."""
    day = scope.parameters.add(date_text(text))
    stored = f"substr({operand.sql}, 1, 10)"
    symbol = {"On": "=", "NotOn": "<>", "OnOrAfter": ">=", "OnOrBefore": "<="}[name]
    return f"{stored} {symbol} {day}"


def _relative(name: str, operand: Operand, arguments: Sequence[str], scope: Scope) -> str | None:
    if name in ("Today", "Yesterday", "Tomorrow"):
        shift = {"Today": 0, "Yesterday": -1, "Tomorrow": 1}[name]
        day = (scope.now + timedelta(days=shift)).date().isoformat()
        return f"substr({operand.sql}, 1, 10) = {scope.parameters.add(day)}"
    for unit, length in _UNITS.items():
        if name.endswith(f"X{unit}"):
            return _window(name.removesuffix(f"X{unit}"), operand, int(arguments[0]) * length, scope)
    return None


def _window(kind: str, operand: Operand, length: timedelta, scope: Scope) -> str | None:
    match kind:
        case "Last":
            return _between(operand, _midnight(scope.now - length), scope.now, scope)
        case "Next":
            end = _midnight(scope.now + length + timedelta(days=1)) - timedelta(seconds=1)
            return _between(operand, scope.now, end, scope)
        case "OlderThan":
            return f"{operand.sql} < {scope.parameters.add(wire_time(scope.now - length))}"
        case _:
            return None


def _between(operand: Operand, start: datetime, end: datetime, scope: Scope) -> str:
    low, high = scope.parameters.add(wire_time(start)), scope.parameters.add(wire_time(end))
    return f"{operand.sql} BETWEEN {low} AND {high}"


def _midnight(instant: datetime) -> datetime:
    return instant.astimezone(UTC).replace(hour=0, minute=0, second=0)
