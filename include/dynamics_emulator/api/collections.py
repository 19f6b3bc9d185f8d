"""Reads of an entity set: pages, counts and links."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dynamics_emulator.api.access import readable, require_read
from dynamics_emulator.api.aggregates import read_aggregate
from dynamics_emulator.api.messages import ApiRequest, ApiResponse, plain_text, row_listing
from dynamics_emulator.errors import bad_query
from dynamics_emulator.odata.annotations import TOTAL_COUNT, TOTAL_COUNT_LIMITED
from dynamics_emulator.odata.conditions import compile_filter
from dynamics_emulator.odata.options import refuse_unbuilt
from dynamics_emulator.odata.ordering import sort_terms
from dynamics_emulator.odata.paging import (
    Position,
    SortTerm,
    after_condition,
    order_clause,
    read_skip_token,
    skip_token,
)
from dynamics_emulator.odata.scope import Parameters, Scope
from dynamics_emulator.odata.selection import select
from dynamics_emulator.organisation import Organisation
from dynamics_emulator.schema.model import Table
from dynamics_emulator.storage.database import SqlValue


@dataclass(frozen=True)
class Read:
    """A collection read, ready to run: the condition holds for every row of the whole answer."""

    request: ApiRequest
    scope: Scope
    condition: str
    terms: Sequence[SortTerm]
    path: str


@dataclass(frozen=True)
class Rows:
    """Rows of one page as encoded JSON, alone or joined by commas; ``following`` tells where the next page begins."""

    texts: list[bytes]
    following: Position | None


def new_scope(organisation: Organisation, request: ApiRequest, table: Table) -> Scope:
    """The scope of a request over its table."""

    def visible(scope: Scope) -> str:
        require_read(organisation, scope.table, request.caller)
        return readable(organisation, scope.table, request.caller, scope)

    return Scope(
        schema=organisation.schema,
        table=table,
        alias="t",
        parameters=Parameters(),
        settings=organisation.settings,
        now=organisation.clock.now(),
        user_id=request.caller.user_id,
        aliases=request.options.aliases,
        visible=visible,
    )


def read_collection(
    organisation: Organisation, request: ApiRequest, table: Table, *, path: str, scope: Scope, tie: str = "1"
) -> ApiResponse:
    """A page of an entity set, or of the rows behind a navigation property (``tie`` binds them to their parent)."""
    require_read(organisation, table, request.caller)
    refuse_unbuilt(request.options)
    if request.options.get("$apply") is not None:
        answer = read_aggregate(organisation, request, scope, path, _rows(scope, tie))
        return answer.with_headers(**applied_preferences(request))
    terms = sort_terms(request.options.get("$orderby"), scope)
    read = Read(request, scope, _condition(request, scope, tie), terms, path)
    position = _start(request, terms)
    with organisation.database.snapshot() as connection:
        rows, context = _page(organisation, read, position)
        total = _total(connection, read, organisation.settings.count_limit) if request.options.wants_count else -1
    return _answer(organisation, read, context, rows, total)


def count_collection(
    organisation: Organisation, request: ApiRequest, table: Table, scope: Scope, tie: str = "1"
) -> ApiResponse:
    """``/$count``: plain text, never above the limit."""
    require_read(organisation, table, request.caller)
    read = Read(request, scope, _condition(request, scope, tie), (), "")
    limit = organisation.settings.count_limit
    return plain_text(str(min(_total(organisation.database.connection, read, limit), limit)))


def _condition(request: ApiRequest, scope: Scope, tie: str) -> str:
    text = request.options.get("$filter")
    return _rows(scope, tie) if text is None else f"{_rows(scope, tie)} AND {compile_filter(text, scope)}"


def _rows(scope: Scope, tie: str) -> str:
    """What holds for all rows that the caller may see; those behind a navigation property are such rows already."""
    return scope.seen(tie) if tie == "1" else tie


def _start(request: ApiRequest, terms: Sequence[SortTerm]) -> Position | None:
    token = request.options.get("$skiptoken")
    return read_skip_token(token, terms) if token is not None else None


def _page(organisation: Organisation, read: Read, position: Position | None) -> tuple[Rows, str]:
    request, scope = read.request, read.scope
    options = request.options
    asked = request.page_size(organisation.settings.page_size)
    selection = select(scope, options.get("$select"), options.get("$expand"), request.annotations, request.base, asked)
    size = page_limit(organisation, request)
    rows = fetch_rows(organisation, read, selection.sql, position, size)
    if options.top is not None and request.page_size(1) is None:
        # Without a page size $top is the whole answer; with one it is ignored.
        rows = Rows(rows.texts, None)
    return rows, selection.context


def page_limit(organisation: Organisation, request: ApiRequest) -> int:
    """How many rows this page may hold."""
    limit = organisation.settings.page_size
    asked = request.page_size(limit)
    if asked is not None:
        return asked
    top = request.options.top
    if top == 0:
        message = "The value of $top must be greater than 0."
        raise bad_query(message)
    return limit if top is None else min(top, limit)


def fetch_rows(organisation: Organisation, read: Read, row_sql: str, position: Position | None, size: int) -> Rows:
    """Run the read for one page."""
    scope, terms = read.scope, read.terms
    condition = read.condition
    chosen = _chosen_keys(organisation, read, position, size)
    if chosen is not None:
        return _chosen_rows(organisation, read, row_sql, chosen, position, size)
    if position:
        places = [scope.parameters.add(value) for value in position.after]
        condition += f" AND {after_condition(terms, places, position.after)}"
    if _is_by_key(read):
        return _joined_rows(organisation, read, (row_sql, condition), position, size)
    # One row more than the page holds tells whether another page follows.
    keys = ", ".join(term.sql for term in terms)
    query = (
        f"SELECT {encoded(row_sql)}, {keys} FROM {scope.source} WHERE {condition} "
        f"ORDER BY {order_clause(terms)} LIMIT {size + 1}"
    )
    found = organisation.database.connection.execute(query, scope.parameters.values).fetchall()
    following = _following(found[size - 1][1:], position, found[0][1:]) if len(found) > size else None
    return Rows([row[0] for row in found[:size]], following)


def _is_by_key(read: Read) -> bool:
    return len(read.terms) == 1 and not read.terms[0].descending


def _chosen_keys(organisation: Organisation, read: Read, position: Position | None, size: int) -> Sequence[str] | None:
    """The keys of this page of a filtered read and of one row more; None where they have to be sorted for it."""
    database, scope = organisation.database, read.scope
    if read.request.options.get("$filter") is None or database.state is None or not _is_by_key(read):
        return None
    key, values = read.terms[0].sql, scope.parameters.values
    query = f"SELECT {key} FROM {scope.source} WHERE {read.condition} ORDER BY {key}"
    last = str(position.after[0]) if position else None

    def find(most: int) -> list[str]:
        return [row[0] for row in database.connection.execute(f"{query} LIMIT {most}", values).fetchall()]

    return database.sorted_keys.after((database.state, query, str(values)), last, size, find)


def _chosen_rows(
    organisation: Organisation, read: Read, row_sql: str, keys: Sequence[str], position: Position | None, size: int
) -> Rows:
    """The rows of a page whose keys are known."""
    scope, key = read.scope, read.terms[0].sql
    page = keys[:size]
    if not page:
        return Rows([], None)
    named = scope.parameters.add(json.dumps(page))
    source = f"json_each({named}) AS chosen CROSS JOIN {scope.source}"
    lines = f"SELECT {row_sql} AS line FROM {source} WHERE {key} = chosen.value ORDER BY chosen.key"
    joined = encoded("group_concat(line, ',')")
    query = f"SELECT {joined} FROM ({lines})"
    (text,) = organisation.database.connection.execute(query, scope.parameters.values).fetchone()
    return Rows([text], _following((page[-1],), position, (page[0],)) if len(keys) > size else None)


def _joined_rows(
    organisation: Organisation, read: Read, what: tuple[str, str], position: Position | None, size: int
) -> Rows:
    """A page in the order of the key. SQLite itself joins the rows: one step of it, in which other threads run on."""
    row_sql, condition = what
    scope, key = read.scope, read.terms[0].sql
    source, which = scope.source, condition
    if read.request.options.get("$filter") is not None:
        # The keys are too many to be kept, or are read amid a write. SQLite would print each row that fulfils the
        # filter before it sorts them; so it sorts their keys first.
        keys = f"SELECT {key} AS chosen_key FROM {source} WHERE {condition} ORDER BY {key} LIMIT {size}"
        source, which = f"({keys}) AS chosen CROSS JOIN {source}", f"{key} = chosen.chosen_key"
    inner = f"SELECT {row_sql} AS line, {key} AS place FROM {source} WHERE {which} ORDER BY {key} LIMIT {size}"
    connection, values = organisation.database.connection, scope.parameters.values
    joined = encoded("group_concat(line, ',')")
    page = f"SELECT {joined}, count(*), min(place), max(place) FROM ({inner})"
    text, count, first, last = connection.execute(page, values).fetchone()
    if not count:
        return Rows([], None)
    beyond = f"SELECT 1 FROM {scope.source} WHERE {condition} AND {key} > {scope.parameters.add(last)} LIMIT 1"
    goes_on = count == size and connection.execute(beyond, values).fetchone()
    return Rows([text], _following((last,), position, (first,)) if goes_on else None)


def encoded(row_sql: str) -> str:
    """SQL expression for a row's JSON in UTF-8, so that Python neither decodes nor encodes a page."""
    return f"CAST({row_sql} AS BLOB)"


def _following(after: tuple[SqlValue, ...], position: Position | None, first: tuple[SqlValue, ...]) -> Position:
    number, bound = (position.number + 1, position.bound) if position else (2, 0)
    return Position(number, after, bound, first)


def _total(connection: Any, read: Read, limit: int) -> int:
    """How many rows the whole answer has. Counting ends one beyond the limit, as nobody is told more."""
    rows = f"SELECT 1 FROM {read.scope.source} WHERE {read.condition} LIMIT {limit + 1}"
    query = f"SELECT count(*) FROM ({rows})"
    return int(connection.execute(query, read.scope.parameters.values).fetchone()[0])


def _answer(organisation: Organisation, read: Read, context: str, rows: Rows, total: int) -> ApiResponse:
    request = read.request
    link = next_link(read, rows, says_tracking=False)
    parts = [f'"@odata.context":{json.dumps(f"{request.base}/$metadata#{read.path}{context}")}']
    parts += _count_members(organisation, request, total)
    before = "{" + ",".join([*parts, '"value":['])
    answer = row_listing(before, rows.texts, f"]{next_link_member(link)}}}")
    page = request.page_size(organisation.settings.page_size)
    return answer.with_headers(**applied_preferences(request, page))


def next_link_member(link: str | None) -> str:
    """The member that follows the rows when there is another page."""
    return f',"@odata.nextLink":{json.dumps(link)}' if link else ""


def _count_members(organisation: Organisation, request: ApiRequest, total: int) -> list[str]:
    limit = organisation.settings.count_limit
    shown = min(total, limit)
    parts = [f'"@odata.count":{shown}'] if request.options.wants_count else []
    if request.annotations.wants(TOTAL_COUNT):
        parts.append(f'"@{TOTAL_COUNT}":{shown}')
    if request.annotations.wants(TOTAL_COUNT_LIMITED):
        parts.append(f'"@{TOTAL_COUNT_LIMITED}":{json.dumps(total > limit)}')
    return parts


def applied_preferences(request: ApiRequest, page: int | None = None, *, tracking: bool = False) -> dict[str, str]:
    """The header that names the preferences which were honoured; ``page`` is the page size that was kept to."""
    honoured = ["odata.track-changes"] if tracking else []
    if page is not None:
        honoured.append(f"odata.maxpagesize={page}")
    if request.annotations.any:
        honoured.append(f'odata.include-annotations="{request.annotations.pattern}"')
    return {"Preference_Applied": ",".join(honoured)} if honoured else {}


def next_link(read: Read, rows: Rows, *, says_tracking: bool) -> str | None:
    """The link to the next page, or None on the last one."""
    if rows.following is None:
        return None
    token = skip_token(rows.following, read.terms, says_tracking=says_tracking)
    return f"{read.request.base}/{read.path}?{read.request.options.link(skiptoken=token)}"
