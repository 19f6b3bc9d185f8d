"""``$select``, ``$expand`` and ``$orderby``: which members a row is printed with, and in which order rows come."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dynamics_emulator.errors import bad_query, unknown_property
from dynamics_emulator.odata.annotations import AnnotationFilter
from dynamics_emulator.odata.conditions import compile_filter, resolve
from dynamics_emulator.odata.expression import parse_filter
from dynamics_emulator.odata.options import split_outside
from dynamics_emulator.odata.paging import SortTerm, order_clause
from dynamics_emulator.odata.projection import row_expression
from dynamics_emulator.odata.scope import MEMBERSHIP, Scope, sort_expression
from dynamics_emulator.schema.model import TEXT_TYPES, Column, ColumnType, Table
from dynamics_emulator.storage.layout import quote_text

_EXPAND_LIMIT = 15
_EXPAND = re.compile(r"(?P<name>\w+)(?P<ref>/\$ref)?(?:\((?P<options>.*)\))?", re.DOTALL)


@dataclass(frozen=True)
class Expand:
    """One expanded navigation property with the options in its parentheses."""

    name: str
    options: dict[str, str]
    reference_only: bool


@dataclass(frozen=True)
class Selection:
    """SQL expression of a row's JSON, and the text that the context shows for it, such as ``(lastname)``."""

    sql: str
    context: str


def select(
    scope: Scope, selected: str | None, expanded: str | None, annotations: AnnotationFilter, base: str
) -> Selection:
    """Compile what a row shows. Raises a 400 for unknown names and for expansions that Dataverse refuses."""
    columns = selected_columns(scope.table, selected)
    expands = parse_expand(expanded)
    members = [(prefix, sql) for item in expands for prefix, sql in _members(item, scope, annotations, base)]
    sql = row_expression(scope.schema, scope.table, columns, annotations, scope.alias, members)
    names = [column.property_name for column in columns] if selected else []
    names += [f"{item.name}({item.options.get('$select', '')})" for item in expands]
    return Selection(sql, f"({','.join(names)})" if names else "")


def selected_columns(table: Table, selected: str | None) -> list[Column]:
    """The columns named by ``$select``; all of them without it."""
    if not selected or selected.strip() == "*":
        return list(table.columns.values())
    found = []
    for name in split_outside(selected, ","):
        column = table.properties.get(name)
        if column is None:
            raise unknown_property(name, table.name)
        found.append(column)
    return found


def parse_expand(text: str | None) -> list[Expand]:
    """Read ``$expand``. Raises a 400 above 15 parts, and when an N:N part is combined with others."""
    parts = split_outside(text or "", ",")
    if len(parts) > _EXPAND_LIMIT:
        message = f"The number of $expand properties exceeds the limit of {_EXPAND_LIMIT}."
        raise bad_query(message)
    expands = [_parse_part(part) for part in parts]
    if len(expands) > 1 and any(item.name == MEMBERSHIP for item in expands):
        message = "Expanding a many-to-many relationship cannot be combined with other expands."
        raise bad_query(message)
    return expands


def _parse_part(text: str) -> Expand:
    match = _EXPAND.fullmatch(text)
    if match is None:
        message = f"Syntax error in $expand at '{text}'."
        raise bad_query(message)
    pairs = [part.partition("=") for part in split_outside(match["options"] or "", ";")]
    options = {name.strip(): value for name, _, value in pairs}
    return Expand(match["name"], options, match["ref"] is not None)


def _members(item: Expand, scope: Scope, annotations: AnnotationFilter, base: str) -> list[tuple[str, str]]:
    if item.name in scope.table.navigations:
        return [(f"{json.dumps(item.name)}:", _single(item, scope, annotations, base))]
    if item.reference_only:
        message = "Expand with $ref is only supported on lookup type navigation property."
        raise bad_query(message)
    return _many(item, scope, annotations, base)


def _single(item: Expand, scope: Scope, annotations: AnnotationFilter, base: str) -> str:
    column, targets = scope.table.navigations[item.name]
    found = []
    for table in _selectable(item, [scope.schema.tables[name] for name in targets if name in scope.schema.tables]):
        inner = scope.over(table)
        shown = _reference(inner, base) if item.reference_only else _inner_row(item, inner, annotations, base)
        where = inner.points_here(scope.sql_name(column.name))
        if column.is_polymorphic:
            where += f" AND {scope.sql_name(column.type_column)} = {quote_text(table.name)}"
        found.append(f"(SELECT {shown} FROM {inner.source} WHERE {where})")
    return f"coalesce({', '.join([*found, chr(39) + 'null' + chr(39)])})"


def _selectable(item: Expand, tables: list[Table]) -> list[Table]:
    """The targets that have the selected columns; all of them when none has, so that the refusal names the column."""
    names = split_outside(item.options.get("$select", ""), ",")
    fitting = [table for table in tables if all(name in table.properties for name in names)]
    return fitting or tables


def _reference(inner: Scope, base: str) -> str:
    start = quote_text(f'{{"@odata.id":"{base}/{inner.table.set_name}(')
    return f"""({start} || {inner.sql_name(inner.table.primary_id)} || ')"}}')"""


def _inner_row(item: Expand, inner: Scope, annotations: AnnotationFilter, base: str) -> str:
    nested = item.options.get("$expand")
    if nested and MEMBERSHIP in nested:
        message = "A many-to-many relationship cannot be expanded inside another expand."
        raise bad_query(message)
    return select(inner, item.options.get("$select"), nested, annotations, base).sql


def _many(item: Expand, scope: Scope, annotations: AnnotationFilter, base: str) -> list[tuple[str, str]]:
    inner, condition = scope.collection(item.name)
    row = _inner_row(item, inner, annotations, base)
    if "$filter" in item.options:
        # Aliases of the request are not known inside of $expand.
        condition += f" AND {compile_filter(item.options['$filter'], replace(inner, aliases={}))}"
    order = order_clause(sort_terms(item.options.get("$orderby"), inner))
    limit = item.options.get("$top", "-1")
    if not limit.lstrip("-").isdecimal():
        message = f"Invalid value '{limit}' for $top query option found."
        raise bad_query(message)
    rows = f"SELECT {row} AS line FROM {inner.source} WHERE {condition} ORDER BY {order} LIMIT {int(limit)}"
    listing = f"(SELECT '[' || ifnull(group_concat(line, ','), '') || ']' FROM ({rows}))"
    return [
        (f"{json.dumps(item.name)}:", listing),
        (f'"{item.name}@odata.nextLink":', _collection_link(item, scope, base)),
    ]


def _collection_link(item: Expand, scope: Scope, base: str) -> str:
    query = "&".join(f"{name}={text}" for name, text in item.options.items())
    start = f"{base}/{scope.table.set_name}("
    end = f")/{item.name}{'?' + query if query else ''}"
    key = scope.sql_name(scope.table.primary_id)
    return f"json_quote({quote_text(start)} || {key} || {quote_text(end)})"


def sort_terms(text: str | None, scope: Scope) -> Sequence[SortTerm]:
    """The order of ``$orderby``, made total by the primary key at its end."""
    terms = [_sort_term(part, scope) for part in split_outside(text or "", ",")]
    key = scope.table.primary_id
    if all(term.name != key for term in terms):
        terms.append(SortTerm(key, scope.sql_name(key)))
    return terms


def _sort_term(text: str, scope: Scope) -> SortTerm:
    path, _, direction = text.partition(" ")
    if direction.strip() not in ("", "asc", "desc"):
        message = f"Syntax error at '{text}' in $orderby."
        raise bad_query(message)
    operand = resolve(parse_filter(scope.aliases.get(path, path), {}), scope)
    numeric = operand.column.type not in TEXT_TYPES and not (
        operand.column.is_lookup or operand.column.type in (ColumnType.DATE_TIME, ColumnType.UNIQUEIDENTIFIER)
    )
    name = path.replace("/", "_")
    return SortTerm(name, sort_expression(operand), direction.strip() == "desc", numeric)
