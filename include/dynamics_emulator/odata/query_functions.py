"""The query functions ``Microsoft.Dynamics.CRM.*`` of a ``$filter``."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from dynamics_emulator.clock import wire_time
from dynamics_emulator.errors import DataverseError, bad_query
from dynamics_emulator.odata.date_windows import Almanac, Window, window
from dynamics_emulator.odata.fiscal import fiscal_calendar
from dynamics_emulator.odata.hierarchy import hierarchy_condition, owner_condition
from dynamics_emulator.odata.literals import guid_text
from dynamics_emulator.odata.scope import Operand, Scope
from dynamics_emulator.odata.values import argument_value, edm_name
from dynamics_emulator.schema.model import ColumnType


@dataclass(frozen=True)
class FunctionCall:
    """One call: its function, the column that it tests, and its arguments as texts."""

    name: str
    operand: Operand
    arguments: Sequence[str]


Compiler = Callable[[FunctionCall, Scope], str]
_LISTS = frozenset({"In", "NotIn", "ContainValues", "DoesNotContainValues"})


def compile_call(call: FunctionCall, scope: Scope) -> str:
    """SQL condition for one function.

    Raises a 400 for an unknown function, and for arguments that do not fit the column.
    """
    try:
        _require_values(call)
        compiler = _COMPILERS.get(call.name)
        return compiler(call, scope) if compiler else _in_window(call, scope)
    except (ValueError, KeyError, OverflowError) as problem:
        message = f"Invalid arguments for the function {call.name} on '{call.operand.column.name}'."
        raise bad_query(message) from problem


def _require_values(call: FunctionCall) -> None:
    if call.name in _LISTS and not call.arguments:
        raise ValueError(call.name)


def _one_of(call: FunctionCall, scope: Scope) -> str:
    column = call.operand.column
    values = ", ".join(scope.bound(column, argument_value(column, text)) for text in call.arguments)
    return f"{scope.comparable(call.operand)} {'NOT ' if call.name == 'NotIn' else ''}IN ({values})"


def _between(call: FunctionCall, scope: Scope) -> str:
    column = call.operand.column
    low, high = (scope.bound(column, argument_value(column, text)) for text in call.arguments)
    word = "NOT BETWEEN" if call.name == "NotBetween" else "BETWEEN"
    return f"{scope.comparable(call.operand)} {word} {low} AND {high}"


def _choices(call: FunctionCall, scope: Scope) -> str:
    if call.operand.column.type is not ColumnType.MULTI_SELECT:
        message = f"The function {call.name} is only supported on choices columns."
        raise bad_query(message)
    stored = f"',' || {call.operand.sql} || ','"
    found = [f"instr({stored}, {scope.parameters.add(f',{int(text)},')}) > 0" for text in call.arguments]
    condition = " OR ".join(found)
    if call.name == "ContainValues":
        return f"({condition})"
    return f"(NOT ({condition}) OR {call.operand.sql} IS NULL)"


def _full_text(call: FunctionCall, _: Scope) -> str:
    """Only columns with a full-text index take it, and this organisation has none."""
    message = f"SQL error: the column '{call.operand.column.name}' is not enabled for full-text search."
    raise DataverseError(400, "0x80044150", message)


def _equal_to(call: FunctionCall, place: str, scope: Scope) -> str:
    if call.name.startswith("Equal"):
        return f"{call.operand.sql} = {place}"
    missing = f" OR {call.operand.sql} IS NULL" if scope.settings.not_equal_matches_null else ""
    return f"({call.operand.sql} <> {place}{missing})"


def _user(call: FunctionCall, scope: Scope) -> str:
    return _equal_to(call, scope.parameters.add(scope.user_id), scope)


def _business_unit(call: FunctionCall, scope: Scope) -> str:
    user = scope.parameters.add(scope.user_id)
    return _equal_to(call, f'(SELECT "businessunitid" FROM "systemuser" WHERE "systemuserid" = {user})', scope)


def _language(call: FunctionCall, scope: Scope) -> str:
    return _equal_to(call, scope.parameters.add(scope.settings.user_language), scope)


def _owner(call: FunctionCall, scope: Scope) -> str:
    return owner_condition(call.name, call.operand, scope)


def _hierarchy(call: FunctionCall, scope: Scope) -> str:
    [root] = call.arguments
    return hierarchy_condition(call.name, call.operand, guid_text(root), scope)


def _on(call: FunctionCall, scope: Scope) -> str:
    """Comparison by the user's calendar day; an argument with a zone is first taken to the user's."""
    [text] = call.arguments
    moment = datetime.fromisoformat(text)
    day = (moment.astimezone(ZoneInfo(scope.settings.user_time_zone)) if moment.tzinfo else moment).date()
    almanac = _almanac(scope)
    first = None if call.name == "OnOrBefore" else almanac.midnight(day)
    open_ended = call.name == "OnOrAfter" or day == date.max
    return _within(call, Window(first, None if open_ended else almanac.midnight(day + timedelta(days=1))), scope)


def _in_window(call: FunctionCall, scope: Scope) -> str:
    if call.name not in DATE_FUNCTIONS:
        message = f"An unknown function with name 'Microsoft.Dynamics.CRM.{call.name}' was found."
        raise bad_query(message)
    span = window(call.name, [int(text) for text in call.arguments], _almanac(scope))
    if span is None:
        raise ValueError(call.name)
    return _within(call, span, scope)


def _fiscal_period(call: FunctionCall, scope: Scope) -> str:
    """Days of a period in whatever year: by month and day, for the periods of all years have the same ones."""
    _require_date(call)
    calendar = _almanac(scope).fiscal
    [text] = call.arguments
    # No 29 February in this year, nor in the next: the days are those of every other year.
    first, after = calendar.span(2001, calendar.require_period(int(text)))
    floating = call.operand.column.behavior == "TimeZoneIndependent"
    zone = scope.parameters.add("UTC" if floating else scope.settings.user_time_zone)
    day = f"substr(local_day({call.operand.sql}, {zone}), 6)"
    low, high = scope.parameters.add(first.isoformat()[5:]), scope.parameters.add(after.isoformat()[5:])
    if calendar.count == 1:
        return f"{call.operand.sql} IS NOT NULL"
    return f"({day} >= {low} {'AND' if first.year == after.year else 'OR'} {day} < {high})"


def _almanac(scope: Scope) -> Almanac:
    settings = scope.settings
    return Almanac(
        now=scope.now.astimezone(ZoneInfo(settings.user_time_zone)),
        first_weekday=settings.week_starts_on,
        fiscal=fiscal_calendar(settings.fiscal_year_start, settings.fiscal_periods),
        fiscal_until_now=settings.fiscal_windows_reach_now,
    )


def _require_date(call: FunctionCall) -> None:
    if call.operand.column.type is not ColumnType.DATE_TIME:
        name, kind = call.operand.column.name, edm_name(call.operand.column)
        message = f"The function {call.name} is not supported on '{name}' of type 'Edm.{kind}'."
        raise bad_query(message)


def _within(call: FunctionCall, span: Window, scope: Scope) -> str:
    _require_date(call)
    column, sql = call.operand.column, call.operand.sql
    parts = []
    if span.start:
        if column.is_date_only:
            low = span.start.date() + timedelta(days=1 if _has_time(span.start) else 0)
            parts.append(f"{sql} >= {scope.parameters.add(low.isoformat())}")
        else:
            parts.append(f"{sql} >= {scope.parameters.add(_stored_form(span.start, column.behavior))}")
    if span.end:
        symbol = "<=" if span.closed or (column.is_date_only and _has_time(span.end)) else "<"
        high = span.end.date().isoformat() if column.is_date_only else _stored_form(span.end, column.behavior)
        parts.append(f"{sql} {symbol} {scope.parameters.add(high)}")
    return f"({' AND '.join(parts)})"


def _has_time(moment: datetime) -> bool:
    return bool(moment.hour or moment.minute or moment.second)


def _stored_form(moment: datetime, behavior: str | None) -> str:
    """An instant as stored; a time that belongs to no zone is compared with the user's wall clock."""
    return wire_time(moment.replace(tzinfo=UTC) if behavior == "TimeZoneIndependent" else moment)


_COMPILERS: Mapping[str, Compiler] = {
    **dict.fromkeys(("In", "NotIn"), _one_of),
    **dict.fromkeys(("Between", "NotBetween"), _between),
    **dict.fromkeys(("ContainValues", "DoesNotContainValues"), _choices),
    "Contains": _full_text,
    **dict.fromkeys(("EqualUserId", "NotEqualUserId"), _user),
    **dict.fromkeys(("EqualBusinessId", "NotEqualBusinessId"), _business_unit),
    "EqualUserLanguage": _language,
    **dict.fromkeys(
        (
            "EqualUserTeams",
            "EqualUserOrUserTeams",
            "EqualUserOrUserHierarchy",
            "EqualUserOrUserHierarchyAndTeams",
        ),
        _owner,
    ),
    **dict.fromkeys(("Above", "AboveOrEqual", "Under", "UnderOrEqual", "NotUnder"), _hierarchy),
    **dict.fromkeys(("On", "OnOrAfter", "OnOrBefore"), _on),
    "InFiscalPeriod": _fiscal_period,
}
DATE_FUNCTIONS = frozenset(
    {
        *("Yesterday", "Today", "Tomorrow", "Last7Days", "Next7Days"),
        *(f"{when}{unit}" for when in ("Last", "This", "Next") for unit in ("Week", "Month", "Year")),
        *(f"{when}Fiscal{unit}" for when in ("Last", "This", "Next") for unit in ("Period", "Year")),
        *(f"{when}X{unit}" for when in ("Last", "Next") for unit in ("Hours", "Days", "Weeks", "Months", "Years")),
        *(f"{when}XFiscal{unit}" for when in ("Last", "Next") for unit in ("Periods", "Years")),
        *(f"OlderThanX{unit}" for unit in ("Minutes", "Hours", "Days", "Weeks", "Months", "Years")),
        *("InFiscalYear", "InFiscalPeriodAndYear", "InOrAfterFiscalPeriodAndYear", "InOrBeforeFiscalPeriodAndYear"),
    }
)
FUNCTIONS = frozenset(_COMPILERS) | DATE_FUNCTIONS
"""The names of all query functions."""
