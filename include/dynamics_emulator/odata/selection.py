"""``$select`` and ``$expand``: which members a row is printed with."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote as percent_encoded

from dynamics_emulator.errors import bad_query, unknown_property
from dynamics_emulator.odata.annotations import AnnotationFilter
from dynamics_emulator.odata.conditions import compile_filter
from dynamics_emulator.odata.expands import (
    Expand,
    is_nested,
    nested_many_to_many,
    only_select_and_filter,
    parse_expand,
    require_allowed,
)
from dynamics_emulator.odata.options import KEPT_IN_LINKS, split_outside
from dynamics_emulator.odata.ordering import sort_terms
from dynamics_emulator.odata.paging import Position, SortTerm, order_clause, skip_token
from dynamics_emulator.odata.projection import row_expression
from dynamics_emulator.odata.scope import Scope, named_property
from dynamics_emulator.schema.model import Column, Table
from dynamics_emulator.storage.layout import quote_text

_PLACE_OF_LAST = "00000000-0000-4000-8000-00000000face"
_PLACE_OF_FIRST = "00000000-0000-4000-8000-00000000beef"
"""They stand in a compiled link where the keys of the last and first row of a page are put."""


_MOST_SELECTIONS = 500


@dataclass(frozen=True)
class Selection:
    """SQL expression of a row's JSON, and the text that the context shows for it, such as ``(lastname)``."""

    sql: str
    context: str


@dataclass(frozen=True)
class Printing:
    """How rows are printed: annotations, the API's root, and the size of the pages of nested expands, if they page."""

    annotations: AnnotationFilter
    base: str
    expand_limit: int
    page: int | None = None


def select(
    scope: Scope,
    selected: str | None,
    expanded: str | None,
    annotations: AnnotationFilter,
    base: str,
    page: int | None = None,
) -> Selection:
    """Compile what a row shows. Raises a 400 for unknown names and for expansions that Dataverse refuses.

    ``page`` is the page size that the caller asked for: where expands are nested, it cuts the expanded rows too.
    """
    if not expanded:
        return _plain_selection(scope, selected, Printing(annotations, base, scope.settings.page_size))
    expands = parse_expand(expanded)
    require_allowed(expands, scope.schema, scope.table)
    paged = page if is_nested(expands) else None
    return _selection(scope, selected, expands, Printing(annotations, base, scope.settings.page_size, paged))


def _plain_selection(scope: Scope, selected: str | None, printing: Printing) -> Selection:
    """A selection without expands; the parts of a batch ask for the same one hundreds of times."""
    held = scope.schema.compiled
    key = ("selection", scope.table.name, scope.alias, str(selected), printing.annotations.pattern)
    found = held.get(key)
    if not isinstance(found, Selection):
        found = _selection(scope, selected, (), printing)
        if len(held) < _MOST_SELECTIONS:
            held[key] = found
    return found


def _selection(scope: Scope, selected: str | None, expands: Sequence[Expand], printing: Printing) -> Selection:
    columns = selected_columns(scope.table, selected)
    references = [scope.table.navigations[item.name][0] for item in expands if _is_reference(item, scope.table)]
    shown = columns + [column for column in references if column not in columns]
    members = [(prefix, sql) for item in expands for prefix, sql in _members(item, scope, printing)]
    sql = row_expression(scope.schema, scope.table, shown, printing.annotations, scope.alias, members)
    names = [column.property_name for column in columns] if selected else []
    names += [_context_name(item) for item in expands]
    return Selection(sql, f"({','.join(names)})" if names else "")


def _is_reference(item: Expand, table: Table) -> bool:
    return item.reference_only and item.name in table.navigations


def _context_name(item: Expand) -> str:
    if item.reference_only:
        return f"{item.name},{item.name}/$ref()"
    inner = [name for name in (item.options.get("$select"), *map(_context_name, item.nested)) if name]
    return f"{item.name}({','.join(inner)})"


def selected_columns(table: Table, selected: str | None) -> list[Column]:
    """The columns named by ``$select``; all of them without it, or with a star."""
    if not selected or selected.strip() == "*":
        return list(table.columns.values())
    found = []
    for name in split_outside(selected, ","):
        column = named_property(table, name)
        if column is None:
            raise unknown_property(name, table.name)
        found.append(column)
    return found


def _members(item: Expand, scope: Scope, printing: Printing) -> list[tuple[str, str]]:
    if item.name in scope.table.navigations:
        return [(f"{json.dumps(item.name)}:", _single(item, scope, printing))]
    if item.reference_only:
        message = "Expand with $ref is only supported on lookup type navigation property."
        raise bad_query(message)
    return [(f"{json.dumps(item.name)}:", _many(item, scope, printing))]


def _single(item: Expand, scope: Scope, printing: Printing) -> str:
    if item.ordered_or_cut:
        raise only_select_and_filter()
    found = []
    for inner in _selectable(item, scope.targets(item.name)):
        shown = _reference(inner, printing.base) if item.reference_only else _inner_row(item, inner, printing)
        where = _filtered(item, inner, inner.pointed_at(scope, item.name))
        found.append(f"(SELECT {shown} FROM {inner.source} WHERE {where})")
    return f"coalesce({', '.join([*found, chr(39) + 'null' + chr(39)])})"


def _selectable(item: Expand, scopes: list[Scope]) -> list[Scope]:
    """The targets that have the selected columns; all of them when none has, so that the refusal names the column."""
    names = split_outside(item.options.get("$select", ""), ",")
    fitting = [scope for scope in scopes if all(name in scope.table.properties for name in names)]
    return fitting or scopes


def _reference(inner: Scope, base: str) -> str:
    start = quote_text(f'{{"@odata.id":"{base}/{inner.table.set_name}(')
    return f"""({start} || {inner.sql_name(inner.table.primary_id)} || ')"}}')"""


def _inner_row(item: Expand, inner: Scope, printing: Printing, link: str | None = None) -> str:
    """An expanded row. ``link`` is the lookup by which it belongs to the outer row; it is shown beside the selected."""
    if any(inner.schema.association(inner.table.name, nested.name) for nested in item.nested):
        raise nested_many_to_many()
    selected = item.options.get("$select")
    if selected and selected.strip() != "*" and link and printing.page is None and not item.nested:
        names = split_outside(selected, ",")
        shown = inner.table.columns[link].property_name
        selected = ",".join([*names, *([shown] if shown not in names else [])])
    return _selection(inner, selected, item.nested, printing).sql


def _filtered(item: Expand, inner: Scope, condition: str) -> str:
    if "$filter" not in item.options:
        return condition
    return f"{condition} AND {compile_filter(item.options['$filter'], inner)}"


def _many(item: Expand, scope: Scope, printing: Printing) -> str:
    """The rows behind a collection, and the member with the link that reads them as a collection of their own."""
    inner, tie = scope.collection(item.name)
    collection = scope.schema.collections[scope.table.name].get(item.name)
    row = _inner_row(item, inner, printing, collection.column if collection else None)
    condition = _filtered(item, inner, tie)
    order = order_clause(sort_terms(item.options.get("$orderby"), inner))
    limit = printing.page or min(_top(item), printing.expand_limit)
    ending = f"FROM {inner.source} WHERE {condition} ORDER BY {order} LIMIT"
    listing = f"(SELECT '[' || ifnull(group_concat(line, ','), '') || ']' FROM (SELECT {row} AS line {ending} {limit}))"
    key, start = scope.sql_name(scope.table.primary_id), quote_text(_address(scope, printing.base))
    if printing.page is None:
        link = f"{start} || {key} || {quote_text(_rest(item))}"
    else:
        # The link is there only when the page is full, for only then it has a last row at its end.
        row_key = f"SELECT {inner.sql_name(inner.table.primary_id)} {ending} 1"
        rest = quote_text(_rest(item, _skip_token(inner.table)))
        rest = rest.replace(_PLACE_OF_LAST, f"' || ({row_key} OFFSET {limit - 1}) || '")
        rest = rest.replace(_PLACE_OF_FIRST, f"' || ({row_key}) || '")
        link = f"{start} || {key} || {rest}"
    member = f',"{item.name}@odata.nextLink":'
    return f"({listing} || ifnull({quote_text(member)} || nullif(json_quote({link}), 'null'), ''))"


def _top(item: Expand) -> int:
    text = item.options.get("$top", str(2**31))
    if not text.isdecimal():
        message = f"Invalid value '{text}' for $top query option found."
        raise bad_query(message)
    return int(text)


def _address(scope: Scope, base: str) -> str:
    return f"{base}/{scope.table.set_name}("


def _rest(item: Expand, token: str | None = None) -> str:
    parts = [f"{name}={percent_encoded(text, safe=KEPT_IN_LINKS)}" for name, text in item.options.items()]
    parts += [f"$skiptoken={token}"] if token else []
    return f")/{item.name}{'?' + '&'.join(parts) if parts else ''}"


def _skip_token(table: Table) -> str:
    """The token of the second page of expanded rows, with places for the keys of the first page's ends."""
    terms = [SortTerm(table.primary_id, "", braced=True)]
    position = Position(2, (_PLACE_OF_LAST,), first=(_PLACE_OF_FIRST,))
    return skip_token(position, terms, says_tracking=False)
