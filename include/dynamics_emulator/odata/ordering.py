"""Compiles ``$orderby``."""

from collections.abc import Sequence

from dynamics_emulator.errors import bad_query
from dynamics_emulator.odata.conditions import resolve
from dynamics_emulator.odata.expression import parse_filter
from dynamics_emulator.odata.options import split_outside
from dynamics_emulator.odata.paging import SortTerm
from dynamics_emulator.odata.scope import Operand, Scope
from dynamics_emulator.schema.model import TEXT_TYPES, ColumnType


def sort_terms(text: str | None, scope: Scope) -> Sequence[SortTerm]:
    """The order of ``$orderby``, made total by the primary key at its end."""
    terms = [_sort_term(*part, scope) for part in sort_parts(text)]
    key = scope.table.primary_id
    if all(term.name != key for term in terms):
        terms.append(SortTerm(key, scope.sql_name(key), braced=True))
    return terms


def sort_parts(text: str | None) -> list[tuple[str, bool]]:
    """The paths of an order, each with whether it is descending. Raises a 400 for other words."""
    parts = []
    for part in split_outside(text or "", ","):
        path, _, direction = part.partition(" ")
        if direction.strip() not in ("", "asc", "desc"):
            message = f"Syntax error at '{part}' in $orderby."
            raise bad_query(message)
        parts.append((path, direction.strip() == "desc"))
    return parts


def _sort_term(path: str, descending: bool, scope: Scope) -> SortTerm:  # noqa: FBT001 - a part of the order, spread
    named = scope.aliases.get(path, "null") if path.startswith("@") else path
    operand = resolve(parse_filter(named, {}), scope)
    return SortTerm(named.replace("/", "_"), scope.sorted_by(operand), descending, _is_number(operand))


def _is_number(operand: Operand) -> bool:
    column = operand.column
    return not (
        column.type in TEXT_TYPES
        or column.is_lookup
        or column.type in (ColumnType.DATE_TIME, ColumnType.UNIQUEIDENTIFIER)
    )
