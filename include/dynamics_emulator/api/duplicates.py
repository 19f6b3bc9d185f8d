"""Duplicate detection: the published rules of the organisation, applied where a request asks for them."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from dynamics_emulator.api.messages import ApiRequest
from dynamics_emulator.api.values import Values
from dynamics_emulator.errors import duplicate_found
from dynamics_emulator.organisation import Organisation
from dynamics_emulator.schema.model import TEXT_TYPES, Table
from dynamics_emulator.storage.database import SqlValue
from dynamics_emulator.storage.layout import quote

_PUBLISHED = 2
_DATE_LENGTH = len("2026-03-01")


class Operator(IntEnum):
    """``operatorcode`` of a condition."""

    EXACT = 0
    FIRST_CHARACTERS = 1
    LAST_CHARACTERS = 2
    SAME_DATE = 3
    SAME_DATE_AND_TIME = 4
    SAME_LABEL = 5
    SAME_OPTION = 6


@dataclass(frozen=True)
class Condition:
    """One comparison of a rule: a column of the written row with a column of the rows that may match."""

    base: str
    matching: str
    operator: Operator
    length: int | None
    ignores_blank: bool


@dataclass(frozen=True)
class Rule:
    """A published rule: a row of its base table that meets every condition with another row is a duplicate."""

    matching: Table
    conditions: tuple[Condition, ...]
    case_sensitive: bool
    only_active: bool


def require_no_duplicate(
    organisation: Organisation, request: ApiRequest, table: Table, values: Values, stored: Values | None
) -> None:
    """Refuse a row that duplicates another (0x80040333).

    Only when the request turns detection on; the default of the Web API is off. ``stored`` is the row as it is before
    an update: a write that changes none of a rule's columns is not checked against the rule.
    """
    if request.headers.get("mscrm.suppressduplicatedetection", "").lower() != "false":
        return
    row = {**(stored or {}), **values}
    for rule in published_rules(organisation, table.name):
        if stored is not None and not any(condition.base in values for condition in rule.conditions):
            continue
        if any(True for _ in matching_rows(organisation, rule, row, _own_key(table, rule, stored))):
            raise duplicate_found(organisation.settings.duplicate_detection_status)


def _own_key(table: Table, rule: Rule, stored: Values | None) -> SqlValue:
    return stored[table.primary_id] if stored and rule.matching.name == table.name else None


def published_rules(organisation: Organisation, base: str) -> list[Rule]:
    """The rules in force for rows of a table."""
    query = "SELECT * FROM duplicaterule WHERE baseentityname = ? AND statuscode = ? ORDER BY duplicateruleid"
    cursor = organisation.database.connection.execute(query, (base, _PUBLISHED))
    names = [entry[0] for entry in cursor.description]
    found = [_read_rule(organisation, dict(zip(names, row, strict=True))) for row in cursor.fetchall()]
    return [rule for rule in found if rule is not None and rule.conditions]


def _read_rule(organisation: Organisation, row: Values) -> Rule | None:
    matching = organisation.schema.tables.get(str(row["matchingentityname"]))
    if matching is None:
        return None
    query = (
        "SELECT baseattributename, matchingattributename, operatorcode, operatorparam, ignoreblankvalues "
        "FROM duplicaterulecondition WHERE regardingobjectid = ?"
    )
    found = organisation.database.connection.execute(query, (row["duplicateruleid"],)).fetchall()
    conditions = tuple(
        Condition(base, other, Operator(code or 0), length, bool(blank)) for base, other, code, length, blank in found
    )
    return Rule(matching, conditions, bool(row["iscasesensitive"]), bool(row["excludeinactiverecords"]))


def matching_rows(organisation: Organisation, rule: Rule, row: Values, own_key: SqlValue) -> Iterator[str]:
    """The keys of the rows that a rule takes for the same as ``row``, but for ``own_key``."""
    parts = [_comparison(rule, condition, row.get(condition.base)) for condition in rule.conditions]
    if None in parts:
        return
    table = rule.matching
    conditions = [part[0] for part in parts if part] + [f"{quote(table.primary_id)} IS NOT ?"]
    values = [value for part in parts if part for value in part[1]] + [own_key]
    if rule.only_active and "statecode" in table.columns:
        conditions.append("statecode = 0")
    query = f"SELECT {quote(table.primary_id)} FROM {quote(table.name)} WHERE {' AND '.join(conditions)}"
    for (row_id,) in organisation.database.connection.execute(query, values):
        yield str(row_id)


def _comparison(rule: Rule, condition: Condition, value: SqlValue) -> tuple[str, list[SqlValue]] | None:
    """SQL for one condition; None when an empty value cannot match at all."""
    column = rule.matching.columns.get(condition.matching)
    if column is None or (value is None and condition.ignores_blank):
        return None
    name = quote(column.name)
    if value is None:
        return f"{name} IS NULL", []
    match condition.operator:
        case Operator.FIRST_CHARACTERS:
            left, right = f"substr({name}, 1, ?)", str(value)[: condition.length]
            return _folded(rule, left, text=True), [condition.length, right]
        case Operator.LAST_CHARACTERS:
            left, right = f"substr({name}, -CAST(? AS INTEGER))", str(value)[-(condition.length or 0) :]
            return _folded(rule, left, text=True), [condition.length, right]
        case Operator.SAME_DATE:
            return f"substr({name}, 1, {_DATE_LENGTH}) = ?", [str(value)[:_DATE_LENGTH]]
        case _:
            return _folded(rule, name, text=column.type in TEXT_TYPES), [value]


def _folded(rule: Rule, left: str, *, text: bool) -> str:
    return f"{left} = ?" if rule.case_sensitive or not text else f"fold({left}) = fold(?)"
