"""Requests on one row: read, create, change, delete, and its single properties."""

from dynamics_emulator.api.access import require_read
from dynamics_emulator.api.cascades import after_create, before_delete
from dynamics_emulator.api.collections import applied_preferences, new_scope
from dynamics_emulator.api.messages import ApiRequest, ApiResponse, json_response, raw_json
from dynamics_emulator.api.payload import read_payload, stored_value
from dynamics_emulator.api.writing import (
    Precondition,
    create_row,
    remove,
    require_change,
    stored_row,
    update_row,
)
from dynamics_emulator.errors import DataverseError, lookup_written_directly, row_missing, unknown_property
from dynamics_emulator.odata.selection import select
from dynamics_emulator.organisation import Organisation
from dynamics_emulator.schema.model import Column, Table

_NEVER_DELETED = frozenset({"systemuser", "businessunit", "organization", "teammembership"})


def precondition(request: ApiRequest) -> Precondition:
    """The conditions in the headers; the literal word ``null`` is none."""
    none_match = request.headers.get("if-none-match")
    return Precondition(request.headers.get("if-match"), None if none_match == "null" else none_match)


def read_record(organisation: Organisation, request: ApiRequest, table: Table, row_id: str) -> ApiResponse:
    """One row; 304 when the caller already has this version."""
    require_read(organisation, table, request.caller)
    scope = new_scope(organisation, request, table)
    options = request.options
    selection = select(scope, options.get("$select"), options.get("$expand"), request.annotations, request.base)
    key = scope.parameters.add(row_id)
    query = f"SELECT {selection.sql}, t.versionnumber FROM {scope.source} WHERE {scope.points_here(key)}"
    found = organisation.database.connection.execute(query, scope.parameters.values).fetchone()
    if found is None:
        raise row_missing(table.name, row_id)
    text, version = found
    etag = f'W/"{version}"'
    plain = options.get("$expand") is None and not request.annotations.any
    if plain and request.headers.get("if-none-match") == etag:
        return ApiResponse(304, {"ETag": etag})
    context = f"{request.base}/$metadata#{table.set_name}{selection.context}/$entity"
    answer = raw_json(f'{{"@odata.context":"{context}",{text[1:]}')
    return answer.with_headers(ETag=etag, **applied_preferences(request, tracking=False))


def create_record(organisation: Organisation, request: ApiRequest, table: Table) -> ApiResponse:
    """POST to a set: 204 with the row's address, or 201 with the row and without the address."""
    with organisation.database.transaction():
        values = read_payload(organisation, table, request.json_body(), creating=True)
        row_id = create_row(organisation, table, request.caller, values)
        after_create(organisation, table, request.caller, row_id)
    return written(organisation, request, table, row_id, created=True)


def change_record(organisation: Organisation, request: ApiRequest, table: Table, row_id: str) -> ApiResponse:
    """PATCH of a row: an upsert unless the headers say otherwise."""
    body = request.json_body()
    with organisation.database.transaction():
        stored = stored_row(organisation, table, row_id)
        require_change(table, row_id, stored, precondition(request))
        values = read_payload(organisation, table, body, creating=stored is None)
        if stored is None:
            create_row(organisation, table, request.caller, {**values, table.primary_id: row_id})
            after_create(organisation, table, request.caller, row_id)
        else:
            update_row(organisation, table, request.caller, stored, values)
    return written(organisation, request, table, row_id, created=stored is None)


def written(
    organisation: Organisation, request: ApiRequest, table: Table, row_id: str, *, created: bool
) -> ApiResponse:
    """The answer to a create or an update."""
    if request.wants_representation:
        row = read_record(organisation, request, table, row_id)
        answer = ApiResponse(201 if created else 200, row.headers, row.body)
        return answer.with_headers(Preference_Applied="return=representation")
    address = f"{request.base}/{table.set_name}({row_id})"
    headers = {"OData-EntityId": address}
    if created:
        headers["Location"] = address
    return ApiResponse(204, headers)


def delete_record(organisation: Organisation, request: ApiRequest, table: Table, row_id: str) -> ApiResponse:
    """DELETE of a row."""
    with organisation.database.transaction():
        stored = stored_row(organisation, table, row_id)
        if stored is None:
            raise row_missing(table.name, row_id)
        precondition(request).require_version(stored["versionnumber"])
        if table.name in _NEVER_DELETED:
            message = f"The 'Delete' method does not support entities of type '{table.name}'."
            raise DataverseError(405, "0x80040800", message)
        before_delete(organisation, table, row_id)
        remove(organisation, table, row_id)
    return ApiResponse(204)


def read_property(
    organisation: Organisation, request: ApiRequest, table: Table, row_id: str, column: Column
) -> ApiResponse:
    """GET of a single property; 204 when it has no value."""
    require_read(organisation, table, request.caller)
    stored = stored_row(organisation, table, row_id)
    if stored is None:
        raise row_missing(table.name, row_id)
    value = stored[column.name]
    if value is None:
        return ApiResponse(204)
    context = f"{request.base}/$metadata#{table.set_name}({row_id})/{column.property_name}"
    return json_response({"@odata.context": context, "value": value})


def write_property(
    organisation: Organisation, request: ApiRequest, table: Table, row_id: str, column: Column
) -> ApiResponse:
    """PUT or DELETE of a single property; not for lookups."""
    if column.is_lookup:
        raise lookup_written_directly()
    if not column.updatable:
        raise unknown_property(column.name, table.name)
    content = None if request.method == "DELETE" else request.json_body().get("value")
    value = stored_value(table, column, content)
    with organisation.database.transaction():
        stored = stored_row(organisation, table, row_id)
        if stored is None:
            raise row_missing(table.name, row_id)
        precondition(request).require_version(stored["versionnumber"])
        update_row(organisation, table, request.caller, stored, {column.name: value})
    return ApiResponse(204)
