"""Tracked reads: the first full read, and the changes since a delta token."""

import json
from dataclasses import replace

from dynamics_emulator.api.access import require_global_read
from dynamics_emulator.api.collections import (
    Read,
    Rows,
    applied_preferences,
    encoded,
    fetch_rows,
    next_link,
    next_link_member,
    page_limit,
)
from dynamics_emulator.api.messages import ApiRequest, ApiResponse, plain_text, row_listing
from dynamics_emulator.odata.paging import Position, SortTerm, read_skip_token
from dynamics_emulator.odata.scope import Scope
from dynamics_emulator.odata.selection import select
from dynamics_emulator.odata.tracking import DeltaToken, parse_token, require_fresh, require_trackable
from dynamics_emulator.organisation import Organisation
from dynamics_emulator.schema.model import Table
from dynamics_emulator.storage.database import SqlValue
from dynamics_emulator.storage.layout import quote

_DELETED = "deleted"
_CHANGES = """
SELECT version, id FROM "_deleted" d
WHERE table_name = :table AND version > :since AND version <= :upto AND version > :after
  AND NOT EXISTS (SELECT 1 FROM {table} r WHERE r.{key} = d.id AND r.versionnumber > d.version)
  AND NOT EXISTS (SELECT 1 FROM "_deleted" l
                  WHERE l.table_name = d.table_name AND l.id = d.id AND l.version > d.version AND l.version <= :upto)
ORDER BY version LIMIT :size
"""


def read_tracked(organisation: Organisation, request: ApiRequest, table: Table, scope: Scope) -> ApiResponse:
    """A page of a tracked read. Only the last page carries the deltaLink."""
    require_trackable(organisation.schema, table, request.options, organisation.settings)
    require_global_read(organisation, table, request.caller)
    token = _token(organisation, request, table)
    with organisation.database.snapshot():
        if token is None:
            return _full_page(organisation, request, scope)
        return _delta_page(organisation, request, scope, token)


def is_tracked(request: ApiRequest) -> bool:
    """Whether a read is tracked: it asks for it, carries a delta token, or goes on with a tracked page."""
    skipping = request.options.get("$skiptoken") or ""
    return request.tracks_changes or request.options.get("$deltatoken") is not None or "versionbound" in skipping


def count_changes(organisation: Organisation, request: ApiRequest, table: Table, scope: Scope) -> ApiResponse:
    """``/$count?$deltatoken=``: how many entries the delta would have."""
    require_trackable(organisation.schema, table, request.options, organisation.settings)
    require_global_read(organisation, table, request.caller)
    token = _token(organisation, request, table)
    since = token.version if token else 0
    query = f"SELECT count(*) FROM {scope.source} WHERE {scope.sql_name('versionnumber')} > ?"
    database = organisation.database
    changed = int(database.connection.execute(query, (since,)).fetchone()[0])
    bounds = (since, database.current_version())
    return plain_text(str(changed + len(_deleted_rows(organisation, table, bounds, after=0, size=1_000_000))))


def _token(organisation: Organisation, request: ApiRequest, table: Table) -> DeltaToken | None:
    text = request.options.get("$deltatoken")
    if text is None:
        return None
    token = parse_token(text)
    require_fresh(token, table, organisation.database, organisation.clock.now(), organisation.settings)
    return token


def _full_page(organisation: Organisation, request: ApiRequest, scope: Scope) -> ApiResponse:
    key = scope.table.primary_id
    terms = [SortTerm(key, scope.sql_name(key))]
    read = Read(request, scope, "1", terms, scope.table.set_name)
    position = _position(request, terms)
    bound = position.bound if position else organisation.database.current_version()
    selection = select(scope, request.options.get("$select"), None, request.annotations, request.base)
    rows = fetch_rows(organisation, read, selection.sql, position, page_limit(organisation, request))
    return _answer(organisation, read, _bounded(rows, bound), (selection.context, bound))


def _position(request: ApiRequest, terms: list[SortTerm]) -> Position | None:
    text = request.options.get("$skiptoken")
    return read_skip_token(text, terms) if text else None


def _bounded(rows: Rows, bound: int) -> Rows:
    """Carry the version at which the read began on to the next page: what changes meanwhile is for the next delta."""
    return replace(rows, following=replace(rows.following, bound=bound)) if rows.following else rows


def _delta_page(organisation: Organisation, request: ApiRequest, scope: Scope, token: DeltaToken) -> ApiResponse:
    """Changes in the order of their version, then deletes; the cookie says in which of the two the page ended."""
    terms = [
        SortTerm("part", "0", numeric=True),
        SortTerm("versionnumber", scope.sql_name("versionnumber"), numeric=True),
    ]
    position = _position(request, terms)
    bound = position.bound if position else organisation.database.current_version()
    part, after = position.after if position else (0, token.version)
    size = page_limit(organisation, request)
    selection = select(scope, request.options.get("$select"), None, request.annotations, request.base)
    texts: list[tuple[bytes, tuple[SqlValue, ...]]] = []
    if not part:
        texts += _changed_rows(organisation, scope, selection.sql, (int(after or 0), bound), size + 1)
        after = 0
    if len(texts) <= size:
        room = size + 1 - len(texts)
        gone = _deleted_rows(organisation, scope.table, (token.version, bound), after=int(after or 0), size=room)
        texts += [(_deleted_entry(request, scope.table, row_id), (1, version)) for version, row_id in gone]
    rows = _cut(texts, size, position, bound)
    read = Read(request, scope, "1", terms, scope.table.set_name)
    return _answer(organisation, read, rows, (f"{selection.context}/$delta", bound))


def _cut(texts: list[tuple[bytes, tuple[SqlValue, ...]]], size: int, position: Position | None, bound: int) -> Rows:
    following = None
    if len(texts) > size:
        following = Position(position.number + 1 if position else 2, texts[size - 1][1], bound)
    return Rows([text for text, _ in texts[:size]], following)


def _changed_rows(
    organisation: Organisation, scope: Scope, row_sql: str, bounds: tuple[int, int], size: int
) -> list[tuple[bytes, tuple[SqlValue, ...]]]:
    version = scope.sql_name("versionnumber")
    low, high = (scope.parameters.add(bound) for bound in bounds)
    query = (
        f"SELECT {encoded(row_sql)}, {version} FROM {scope.source} "
        f"WHERE {version} > {low} AND {version} <= {high} ORDER BY {version} LIMIT {size}"
    )
    found = organisation.database.connection.execute(query, scope.parameters.values)
    return [(text, (0, number)) for text, number in found]


def _deleted_rows(
    organisation: Organisation, table: Table, bounds: tuple[int, int], *, after: int, size: int
) -> list[tuple[int, str]]:
    query = _CHANGES.format(table=quote(table.name), key=quote(table.primary_id))
    values = {"table": table.name, "since": bounds[0], "upto": bounds[1], "after": after, "size": size}
    return organisation.database.connection.execute(query, values).fetchall()


def _deleted_entry(request: ApiRequest, table: Table, row_id: str) -> bytes:
    context = f"{request.base}/$metadata#{table.set_name}/$deletedEntity"
    return json.dumps({"@odata.context": context, "id": row_id, "reason": _DELETED}).encode()


def _answer(organisation: Organisation, read: Read, rows: Rows, about: tuple[str, int]) -> ApiResponse:
    context, bound = about
    request = read.request
    says = organisation.settings.tracked_next_link_says_tracking
    link = next_link(read, rows, says_tracking=says)
    if link and request.options.get("$deltatoken"):
        link += f"&$deltatoken={parse_token(request.options.values['$deltatoken']).encoded()}"
    parts = [f'"@odata.context":{json.dumps(f"{request.base}/$metadata#{read.path}{context}")}']
    if rows.following is None:
        token = DeltaToken(bound, organisation.clock.now()).encoded()
        query = request.options.link(deltatoken=token)
        parts.append(f'"@odata.deltaLink":{json.dumps(f"{request.base}/{read.path}?{query}")}')
    before = "{" + ",".join([*parts, '"value":['])
    answer = row_listing(before, rows.texts, f"]{next_link_member(link)}}}")
    page = request.page_size(organisation.settings.page_size)
    return answer.with_headers(**applied_preferences(request, page, tracking=True))
