"""Reads of an entity set: pages, counts and links."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dynamics_emulator.api.access import require_read
from dynamics_emulator.api.messages import ApiRequest, ApiResponse, raw_json
from dynamics_emulator.control.faults import Fault
from dynamics_emulator.errors import bad_query
from dynamics_emulator.odata.annotations import TOTAL_COUNT, TOTAL_COUNT_LIMITED
from dynamics_emulator.odata.conditions import compile_filter
from dynamics_emulator.odata.options import refuse_unbuilt
from dynamics_emulator.odata.paging import (
    Position,
    SortTerm,
    after_condition,
    order_clause,
    read_skip_token,
    skip_token,
)
from dynamics_emulator.odata.scope import Parameters, Scope
from dynamics_emulator.odata.selection import select, sort_terms
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
    """Rows of one page as JSON texts; ``following`` is the position of the next page, if there is one."""

    texts: list[str]
    following: Position | None


def new_scope(organisation: Organisation, request: ApiRequest, table: Table) -> Scope:
    """The scope of a request over its table."""
    return Scope(
        schema=organisation.schema,
        table=table,
        alias="t",
        parameters=Parameters(),
        settings=organisation.settings,
        now=organisation.clock.now(),
        user_id=request.caller.user_id,
        aliases=request.options.aliases,
    )


def read_collection(
    organisation: Organisation, request: ApiRequest, table: Table, *, path: str, scope: Scope, tie: str = "1"
) -> ApiResponse:
    """A page of an entity set, or of the rows behind a navigation property (``tie`` binds them to their parent)."""
    require_read(organisation, table, request.caller)
    refuse_unbuilt(request.options)
    terms = sort_terms(request.options.get("$orderby"), scope)
    read = Read(request, scope, _condition(request, scope, tie), terms, path)
    position = _start(request, terms)
    with organisation.database.snapshot() as connection:
        head, rows, context = _page(organisation, read, position)
        total = _total(connection, read) if request.options.wants_count else -1
    return _answer(organisation, read, context, (head, rows), total)


def count_collection(
    organisation: Organisation, request: ApiRequest, table: Table, scope: Scope, tie: str = "1"
) -> ApiResponse:
    """``/$count``: plain text, never above the limit."""
    require_read(organisation, table, request.caller)
    read = Read(request, scope, _condition(request, scope, tie), (), "")
    total = min(_total(organisation.database.connection, read), organisation.settings.count_limit)
    return plain_count(total)


def plain_count(total: int) -> ApiResponse:
    """A count as Dataverse sends it, with its byte order mark left out."""
    return ApiResponse(200, {"Content-Type": "text/plain"}, str(total).encode())


def _condition(request: ApiRequest, scope: Scope, tie: str) -> str:
    text = request.options.get("$filter")
    if text is None:
        return tie
    return f"{tie} AND {compile_filter(text, scope)}"


def _start(request: ApiRequest, terms: Sequence[SortTerm]) -> Position | None:
    token = request.options.get("$skiptoken")
    return read_skip_token(token, terms) if token is not None else None


def _page(organisation: Organisation, read: Read, position: Position | None) -> tuple[Position | None, Rows, str]:
    request, scope = read.request, read.scope
    options = request.options
    selection = select(scope, options.get("$select"), options.get("$expand"), request.annotations, request.base)
    size = page_limit(organisation, request)
    rows = fetch_rows(organisation, read, selection.sql, position, size)
    if options.top is not None and request.page_size(1) is None:
        # Without a page size $top is the whole answer; with one it is ignored.
        rows = Rows(rows.texts, None)
    return position, rows, selection.context


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
    """Run the read for one page; one row more than the page holds is fetched, to know whether another page follows."""
    scope, terms = read.scope, read.terms
    condition = read.condition
    if position:
        places = [scope.parameters.add(value) for value in position.after]
        condition += f" AND {after_condition(terms, places, position.after)}"
    keys = ", ".join(term.sql for term in terms)
    query = (
        f"SELECT {row_sql}, {keys} FROM {scope.source} WHERE {condition} "
        f"ORDER BY {order_clause(terms)} LIMIT {size + 1}"
    )
    found = organisation.database.connection.execute(query, scope.parameters.values).fetchall()
    following = _following(found[size - 1][1:], position) if len(found) > size else None
    again = _row_before(organisation, read, row_sql, position)
    return Rows([*again, *(row[0] for row in found[:size])], following)


def _row_before(organisation: Organisation, read: Read, row_sql: str, position: Position | None) -> list[str]:
    """The last row of the page before, when a fault repeats it on this one."""
    if position is None or not organisation.faults.strikes(Fault.DUPLICATE_ROW, read.request.url):
        return []
    parameters = read.scope.parameters
    same = [f"{term.sql} IS {parameters.add(value)}" for term, value in zip(read.terms, position.after, strict=True)]
    query = f"SELECT {row_sql} FROM {read.scope.source} WHERE {' AND '.join(same)}"
    return [row[0] for row in organisation.database.connection.execute(query, parameters.values)]


def _following(after: tuple[SqlValue, ...], position: Position | None) -> Position:
    return Position(position.number + 1 if position else 2, after, position.bound if position else 0)


def _total(connection: Any, read: Read) -> int:
    query = f"SELECT count(*) FROM {read.scope.source} WHERE {read.condition}"
    return int(connection.execute(query, read.scope.parameters.values).fetchone()[0])


def _answer(
    organisation: Organisation, read: Read, context: str, page: tuple[Position | None, Rows], total: int
) -> ApiResponse:
    position, rows = page
    request = read.request
    texts, link = bend(organisation, read, position, rows, says_tracking=False)
    parts = [f'"@odata.context":{json.dumps(f"{request.base}/$metadata#{read.path}{context}")}']
    parts += _count_members(organisation, request, total)
    parts.append(f'"value":[{",".join(texts)}]')
    if link:
        parts.append(f'"@odata.nextLink":{json.dumps(link)}')
    answer = raw_json("{" + ",".join(parts) + "}")
    return answer.with_headers(**applied_preferences(request, tracking=False))


def _count_members(organisation: Organisation, request: ApiRequest, total: int) -> list[str]:
    limit = organisation.settings.count_limit
    shown = min(total, limit)
    parts = [f'"@odata.count":{shown}'] if request.options.wants_count else []
    if request.annotations.wants(TOTAL_COUNT):
        parts.append(f'"@{TOTAL_COUNT}":{shown}')
    if request.annotations.wants(TOTAL_COUNT_LIMITED):
        parts.append(f'"@{TOTAL_COUNT_LIMITED}":{json.dumps(total > limit)}')
    return parts


def applied_preferences(request: ApiRequest, *, tracking: bool) -> dict[str, str]:
    """The header that names the preferences which were honoured."""
    honoured = ["odata.track-changes"] if tracking else []
    for name in ("odata.maxpagesize", "odata.include-annotations"):
        if name in request.preferences:
            value = request.preferences[name]
            honoured.append(f'{name}="{value}"' if name.endswith("annotations") else f"{name}={value}")
    return {"Preference_Applied": ",".join(honoured)} if honoured else {}


def bend(
    organisation: Organisation, read: Read, position: Position | None, rows: Rows, *, says_tracking: bool
) -> tuple[list[str], str | None]:
    """The rows and the link to the next page, bent by the faults that strike this request."""
    request, faults = read.request, organisation.faults
    if faults.strikes(Fault.EMPTY_ANSWER, request.url):
        return [], None
    texts, following = rows.texts, rows.following
    if following is None:
        return texts, None
    if faults.strikes(Fault.REPEAT_PAGE, request.url):
        following = _repeated(position, following)
    if faults.strikes(Fault.LOOP_LINK, request.url):
        return texts, request.url
    base = request.base
    if faults.strikes(Fault.FOREIGN_LINK, request.url):
        base = "https://elsewhere.example/api/data/v9.2"
    if following.after == ():
        return texts, f"{base}/{read.path}?{request.options.link()}"
    token = skip_token(following, read.terms, says_tracking=says_tracking)
    return texts, f"{base}/{read.path}?{request.options.link(skiptoken=token)}"


def _repeated(position: Position | None, following: Position) -> Position:
    """A link whose page number moves on while its cookie stays where it was."""
    return Position(following.number, position.after if position else (), following.bound)
