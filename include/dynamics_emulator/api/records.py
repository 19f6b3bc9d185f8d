"""Requests on one row: read, create, change, delete, and its single properties."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote as percent_encoded

from dynamics_emulator.api.access import readable, require, require_read
from dynamics_emulator.api.changing import change_row, delete_row, require_row
from dynamics_emulator.api.collections import applied_preferences, new_scope
from dynamics_emulator.api.deep_insert import create_from_body
from dynamics_emulator.api.keys import RowKey, locate
from dynamics_emulator.api.messages import ApiRequest, ApiResponse, plain_text, raw_json
from dynamics_emulator.api.payload import cut_body, read_payload
from dynamics_emulator.api.values import Values, written_value
from dynamics_emulator.api.writing import Precondition, require_change, stored_row
from dynamics_emulator.errors import key_missing, lookup_written_directly, payload_error, row_missing, unknown_property
from dynamics_emulator.odata.projection import json_value
from dynamics_emulator.odata.scope import Scope
from dynamics_emulator.odata.selection import Selection, select
from dynamics_emulator.organisation import Organisation
from dynamics_emulator.schema.model import Column, Table
from dynamics_emulator.security.privileges import Right
from dynamics_emulator.security.rights import ALL_ROWS
from dynamics_emulator.storage.layout import quote

_IN_KEYS = "'(),=!*:;@"
"""Characters of a key that an address shows as they are."""


def precondition(request: ApiRequest) -> Precondition:
    """The conditions in the headers; the literal word ``null`` is none."""
    none_match = request.headers.get("if-none-match")
    return Precondition(request.headers.get("if-match"), None if none_match == "null" else none_match)


def read_record(organisation: Organisation, request: ApiRequest, table: Table, row_id: str) -> ApiResponse:
    """One row; 304 when the caller already has this version."""
    require_read(organisation, table, request.caller)
    scope = new_scope(organisation, request, table)
    selection = _selection(organisation, request, scope)
    key = scope.parameters.add(row_id)
    query = f"SELECT {selection.sql}, t.versionnumber FROM {scope.source} WHERE {scope.points_here(key)}"
    found = organisation.database.connection.execute(query, scope.parameters.values).fetchone()
    if found is None:
        raise row_missing(table.name, row_id)
    if readable(organisation, table, request.caller, scope) != ALL_ROWS:
        require(organisation, table, request.caller, Right.READ, stored_row(organisation, table, row_id))
    text, version = found
    etag = f'W/"{version}"'
    if _is_known(request, table, etag):
        return ApiResponse(304, {"ETag": etag})
    context = f"{request.base}/$metadata#{table.set_name}{selection.context}/$entity"
    answer = raw_json(f'{{"@odata.context":"{context}",{text[1:]}')
    return answer.with_headers(ETag=etag, **applied_preferences(request, tracking=False))


def _selection(organisation: Organisation, request: ApiRequest, scope: Scope) -> Selection:
    options, page = request.options, request.page_size(organisation.settings.page_size)
    return select(scope, options.get("$select"), options.get("$expand"), request.annotations, request.base, page)


def _require_selectable(organisation: Organisation, request: ApiRequest, table: Table) -> None:
    """Refuse a write whose row could not be shown as the address asks (400): an address is read before all else."""
    if request.wants_representation:
        _selection(organisation, request, new_scope(organisation, request, table))


def _is_known(request: ApiRequest, table: Table, etag: str) -> bool:
    """Whether the caller has this version already; never with an expand or annotations, whose parts have no version."""
    if not table.optimistic or request.options.get("$expand") is not None or request.annotations.any:
        return False
    return etag in [part.strip() for part in request.headers.get("if-none-match", "").split(",")]


def create_record(organisation: Organisation, request: ApiRequest, table: Table) -> ApiResponse:
    """POST to a set: 204 with the row's address, or 201 with the row and without the address."""
    _require_selectable(organisation, request, table)
    with organisation.database.transaction():
        row_id = create_from_body(organisation, request, table, request.json_body())
    return written(organisation, request, table, RowKey(row_id, row_id), created=True)


def change_record(organisation: Organisation, request: ApiRequest, table: Table, key_text: str) -> ApiResponse:
    """PATCH of a row by its primary or an alternate key: an upsert unless the headers say otherwise."""
    body = request.json_body()
    _require_selectable(organisation, request, table)
    with organisation.database.transaction():
        key = locate(organisation, table, key_text)
        stored = None if key.row_id is None else stored_row(organisation, table, key.row_id)
        _require_change(table, key, stored, precondition(request))
        if stored is None:
            row_id = upsert_missing(organisation, request, table, key, body)
        else:
            row_id = str(key.row_id)
            values = read_payload(organisation, table, body, creating=False)
            kept = {name: value for name, value in values.items() if name not in key.values}
            change_row(organisation, request, table, stored, kept)
    named = RowKey(key_text if key.alternate else row_id, row_id, key.alternate)
    return written(organisation, request, table, named, created=stored is None)


def upsert_missing(
    organisation: Organisation, request: ApiRequest, table: Table, key: RowKey, body: Mapping[str, Any]
) -> str:
    """Make the row that an upsert did not find: columns of an alternate key are copied where the body lacks them."""
    if key.alternate is None:
        return create_from_body(organisation, request, table, body, {table.primary_id: key.row_id})
    named = read_payload(organisation, table, cut_body(organisation, table, body).own, creating=True)
    copied = {name: value for name, value in key.values.items() if name not in named}
    return create_from_body(organisation, request, table, body, copied)


def _require_change(table: Table, key: RowKey, stored: Values | None, condition: Precondition) -> None:
    if stored is None and key.alternate and condition.must_exist:
        raise key_missing(table.name)
    require_change(table, str(key.row_id), stored, condition)


def written(
    organisation: Organisation, request: ApiRequest, table: Table, key: RowKey, *, created: bool
) -> ApiResponse:
    """The answer to a create or an update; the address has the key in the form in which the caller named it."""
    address = f"{request.base}/{table.set_name}({percent_encoded(key.text, safe=_IN_KEYS)})"
    if request.wants_representation:
        row = read_record(organisation, request, table, str(key.row_id))
        answer = ApiResponse(201 if created else 200, row.headers, row.body, row_address=address)
        honoured = filter(None, ["return=representation", row.headers.get("Preference-Applied")])
        return answer.with_headers(Preference_Applied=",".join(honoured))
    headers = {"OData-EntityId": address}
    if created:
        headers["Location"] = address
    return ApiResponse(204, headers, row_address=address)


def delete_record(organisation: Organisation, request: ApiRequest, table: Table, row_id: str) -> ApiResponse:
    """DELETE of a row."""
    with organisation.database.transaction():
        stored = require_row(organisation, table, row_id)
        precondition(request).require_version(table, stored["versionnumber"])
        delete_row(organisation, table, request.caller, stored)
    return ApiResponse(204)


def read_property(
    organisation: Organisation, request: ApiRequest, table: Table, row_id: str, column: Column, *, raw: bool
) -> ApiResponse:
    """GET of a single property, or of its ``$value`` as plain text; 204 when it has no value."""
    stored = require_row(organisation, table, row_id)
    require(organisation, table, request.caller, Right.READ, stored)
    if stored[column.name] is None:
        return ApiResponse(204)
    query = f"SELECT {json_value(column, 't')} FROM {quote(table.name)} t WHERE {quote(table.primary_id)} = ?"
    [text] = organisation.database.connection.execute(query, (row_id,)).fetchone()
    if raw:
        return plain_text(json.loads(text) if text.startswith('"') else text)
    context = json.dumps(f"{request.base}/$metadata#{table.set_name}({row_id})/{column.property_name}")
    return raw_json(f'{{"@odata.context":{context},"value":{text}}}')


def write_property(
    organisation: Organisation, request: ApiRequest, table: Table, row_id: str, column: Column
) -> ApiResponse:
    """PUT or DELETE of a single property; not for lookups."""
    if column.is_lookup:
        raise lookup_written_directly()
    if not column.updatable:
        raise unknown_property(column.name, table.name)
    sent = None if request.method == "DELETE" else _sent_value(request, table)
    value = written_value(organisation.settings, table, column, sent)
    with organisation.database.transaction():
        stored = require_row(organisation, table, row_id)
        precondition(request).require_version(table, stored["versionnumber"])
        change_row(organisation, request, table, stored, {column.name: value})
    return ApiResponse(204)


def _sent_value(request: ApiRequest, table: Table) -> object:
    body = request.json_body()
    if "value" not in body:
        raise payload_error(table.set_name, inner="The body of a property must hold its value in 'value'.")
    return body["value"]
