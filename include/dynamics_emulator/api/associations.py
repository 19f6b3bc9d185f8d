"""Links between rows: reading and changing them by ``/<navigation>`` and ``/<navigation>/$ref``."""

import uuid

from dynamics_emulator.api.collections import count_collection, new_scope, read_collection
from dynamics_emulator.api.messages import ApiRequest, ApiResponse, json_response
from dynamics_emulator.api.payload import Values, find_reference
from dynamics_emulator.api.records import precondition, read_record
from dynamics_emulator.api.writing import remove, stored_row, update_row
from dynamics_emulator.errors import bad_query, row_missing, unknown_property, unrecognized_path
from dynamics_emulator.odata.scope import MEMBERSHIP
from dynamics_emulator.organisation import Organisation
from dynamics_emulator.schema.model import Column, Table


def _required(organisation: Organisation, table: Table, row_id: str) -> Values:
    stored = stored_row(organisation, table, row_id)
    if stored is None:
        raise row_missing(table.name, row_id)
    return stored


def read_navigation(
    organisation: Organisation, request: ApiRequest, table: Table, row_id: str, name: str, *, counting: bool = False
) -> ApiResponse:
    """The row or rows behind a navigation property; 204 when a single-valued one is empty."""
    stored = _required(organisation, table, row_id)
    if name in table.navigations:
        return _read_single(organisation, request, table, stored, name)
    outer = new_scope(organisation, request, table)
    inner, tie = outer.collection(name)
    # The parent is known by its key, so the rows are tied to that value instead of to a column.
    key = outer.parameters.add(row_id)
    tie = tie.replace(outer.sql_name(table.primary_id), key)
    if counting:
        return count_collection(organisation, request, inner.table, inner, tie)
    path = f"{table.set_name}({row_id})/{name}"
    return read_collection(organisation, request, inner.table, path=path, scope=inner, tie=tie)


def _target(organisation: Organisation, column: Column, stored: Values) -> Table | None:
    name = str(stored[column.type_column]) if column.is_polymorphic else column.targets[0]
    return organisation.schema.tables.get(name)


def _read_single(
    organisation: Organisation, request: ApiRequest, table: Table, stored: Values, name: str
) -> ApiResponse:
    column, targets = table.navigations[name]
    target = _target(organisation, column, stored)
    if stored[column.name] is None or target is None or target.name not in targets:
        return ApiResponse(204)
    return read_record(organisation, request, target, str(stored[column.name]))


def read_reference(
    organisation: Organisation, request: ApiRequest, table: Table, row_id: str, name: str
) -> ApiResponse:
    """``GET /<navigation>/$ref`` of a single-valued property: the address of the row."""
    stored = _required(organisation, table, row_id)
    if name not in table.navigations:
        raise unknown_property(name, table.name)
    column, _ = table.navigations[name]
    target = _target(organisation, column, stored)
    if stored[column.name] is None or target is None:
        return ApiResponse(204)
    context = f"{request.base}/$metadata#$ref"
    address = f"{request.base}/{target.set_name}({stored[column.name]})"
    return json_response({"@odata.context": context, "@odata.id": address})


def change_reference(
    organisation: Organisation, request: ApiRequest, table: Table, row_id: str, link: tuple[str, str | None]
) -> ApiResponse:
    """PUT, POST or DELETE of ``/<navigation>/$ref``; ``link`` is the property and, for a removal, the member's key."""
    name, member = link
    with organisation.database.transaction():
        stored = _required(organisation, table, row_id)
        if name in table.navigations:
            _change_single(organisation, request, table, stored, name)
        elif name == MEMBERSHIP and table.name in ("team", "systemuser"):
            _change_membership(organisation, request, table, row_id, member)
        else:
            _change_collection(organisation, request, table, row_id, link)
    return ApiResponse(204)


def _change_single(organisation: Organisation, request: ApiRequest, table: Table, stored: Values, name: str) -> None:
    column, targets = table.navigations[name]
    precondition(request).require_version(stored["versionnumber"])
    if request.method == "DELETE":
        values: Values = {column.name: None}
        kind = None
    else:
        target, other_id = _referenced(organisation, request)
        if target.name not in targets:
            raise unrecognized_path()
        values, kind = {column.name: other_id}, target.name
    if column.is_polymorphic:
        values[column.type_column] = kind
    update_row(organisation, table, request.caller, stored, values)


def _referenced(organisation: Organisation, request: ApiRequest) -> tuple[Table, str]:
    reference = request.json_body().get("@odata.id")
    if not isinstance(reference, str):
        message = "The body must hold the address of a row in '@odata.id'."
        raise bad_query(message)
    return find_reference(organisation, reference)


def _change_membership(
    organisation: Organisation, request: ApiRequest, table: Table, row_id: str, member: str | None
) -> None:
    if request.method == "DELETE":
        if member is None:
            raise unrecognized_path()
        other_id = member
    else:
        other, other_id = _referenced(organisation, request)
        if {other.name, table.name} != {"team", "systemuser"}:
            raise unrecognized_path()
    team, user = (row_id, other_id) if table.name == "team" else (other_id, row_id)
    database = organisation.database
    query = "SELECT teammembershipid FROM teammembership WHERE teamid = ? AND systemuserid = ?"
    found = database.connection.execute(query, (team, user)).fetchone()
    if request.method == "DELETE":
        if found is None:
            raise row_missing(table="teammembership", row_id=member or "")
        remove(organisation, organisation.schema.table("teammembership"), str(found[0]))
    elif found is None:
        row_id = str(uuid.UUID(int=organisation.random.getrandbits(128), version=4))
        insert = (
            "INSERT INTO teammembership (teammembershipid, teamid, systemuserid, versionnumber) VALUES (?, ?, ?, ?)"
        )
        database.connection.execute(insert, (row_id, team, user, database.next_version()))


def _change_collection(
    organisation: Organisation, request: ApiRequest, table: Table, row_id: str, link: tuple[str, str | None]
) -> None:
    name, member = link
    collection = organisation.schema.collections[table.name].get(name)
    if collection is None:
        raise unknown_property(name, table.name)
    child = organisation.schema.table(collection.child)
    column = child.columns[collection.column]
    if request.method == "DELETE":
        if member is None:
            raise unrecognized_path()
        child_id, parent, kind = member, None, None
    else:
        other, child_id = _referenced(organisation, request)
        if other.name != child.name:
            raise unrecognized_path()
        parent, kind = row_id, table.name
    values: Values = {column.name: parent}
    if column.is_polymorphic:
        values[column.type_column] = kind
    update_row(organisation, child, request.caller, _required(organisation, child, child_id), values)
