"""Links between rows: reading and changing them by ``/<navigation>`` and ``/<navigation>/$ref``."""

from dynamics_emulator.api.access import require, require_read
from dynamics_emulator.api.changing import change_row, require_row
from dynamics_emulator.api.collections import count_collection, new_scope, read_collection
from dynamics_emulator.api.keys import find_reference, locate
from dynamics_emulator.api.messages import ApiRequest, ApiResponse, json_response
from dynamics_emulator.api.payload import bound_values, is_collection
from dynamics_emulator.api.records import precondition, read_record
from dynamics_emulator.api.relating import associate, disassociate
from dynamics_emulator.api.values import Values
from dynamics_emulator.errors import bad_query, method_not_allowed, unknown_property, unrecognized_path
from dynamics_emulator.odata.paths import Segment
from dynamics_emulator.organisation import Organisation
from dynamics_emulator.schema.model import Column, Table
from dynamics_emulator.security.privileges import Right


def read_navigation(
    organisation: Organisation, request: ApiRequest, table: Table, row_id: str, name: str, *, counting: bool = False
) -> ApiResponse:
    """The row or rows behind a navigation property; 204 when a single-valued one is empty."""
    stored = require_row(organisation, table, row_id)
    require(organisation, table, request.caller, Right.READ, stored)
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
    """``GET /<navigation>/$ref``: the address of the row, or the addresses of the rows."""
    stored = require_row(organisation, table, row_id)
    require(organisation, table, request.caller, Right.READ, stored)
    context = f"{request.base}/$metadata#"
    if name not in table.navigations:
        addresses = [{"@odata.id": address} for address in _addresses(organisation, request, table, row_id, name)]
        return json_response({"@odata.context": f"{context}Collection($ref)", "value": addresses})
    column, _ = table.navigations[name]
    target = _target(organisation, column, stored)
    if stored[column.name] is None or target is None:
        return ApiResponse(204)
    address = f"{request.base}/{target.set_name}({stored[column.name]})"
    return json_response({"@odata.context": f"{context}$ref", "@odata.id": address})


def _addresses(organisation: Organisation, request: ApiRequest, table: Table, row_id: str, name: str) -> list[str]:
    outer = new_scope(organisation, request, table)
    inner, tie = outer.collection(name)
    require_read(organisation, inner.table, request.caller)
    tie = tie.replace(outer.sql_name(table.primary_id), outer.parameters.add(row_id))
    key = inner.sql_name(inner.table.primary_id)
    limit = organisation.settings.page_size
    query = f"SELECT {key} FROM {inner.source} WHERE {tie} ORDER BY {key} LIMIT {limit}"
    found = organisation.database.connection.execute(query, outer.parameters.values)
    return [f"{request.base}/{inner.table.set_name}({other})" for (other,) in found]


def change_reference(
    organisation: Organisation, request: ApiRequest, table: Table, row_id: str, segment: Segment
) -> ApiResponse:
    """PUT, POST or DELETE of ``/<navigation>/$ref``; a removal from a collection names the member in parentheses,
    or by its address in the option ``$id``.
    """
    with organisation.database.transaction():
        stored = require_row(organisation, table, row_id)
        if segment.name in table.navigations:
            _change_single(organisation, request, table, stored, segment.name)
        elif not is_collection(organisation, table, segment.name):
            raise unknown_property(segment.name, table.name)
        elif request.method == "DELETE":
            member = _member(organisation, request, table, segment)
            disassociate(organisation, request, table, row_id, (segment.name, member))
        elif request.method == "POST":
            associate(organisation, request, table, row_id, (segment.name, _referenced(organisation, request)))
        else:
            # A collection has no one row that PUT could replace.
            raise method_not_allowed(request.method)
    return ApiResponse(204)


def _change_single(organisation: Organisation, request: ApiRequest, table: Table, stored: Values, name: str) -> None:
    precondition(request).require_version(table, stored["versionnumber"])
    if not table.navigations[name][0].updatable:
        message = f"The property '{name}' of '{table.name}' cannot be set."
        raise bad_query(message)
    target, other_id = (None, None) if request.method == "DELETE" else _referenced(organisation, request)
    change_row(organisation, request, table, stored, bound_values(table, name, target, other_id))


def _referenced(organisation: Organisation, request: ApiRequest) -> tuple[Table, str]:
    reference = request.json_body().get("@odata.id")
    if not isinstance(reference, str):
        message = "The body must hold the address of a row in '@odata.id'."
        raise bad_query(message)
    return find_reference(organisation, reference)


def _member(organisation: Organisation, request: ApiRequest, table: Table, segment: Segment) -> str:
    address = request.options.get("$id")
    if address is not None:
        return find_reference(organisation, address)[1]
    if segment.key is None:
        raise unrecognized_path()
    return locate(organisation, _behind(organisation, table, segment.name), segment.key).required(table)


def _behind(organisation: Organisation, table: Table, name: str) -> Table:
    association = organisation.schema.association(table.name, name)
    if association:
        return organisation.schema.table(association[2].table)
    return organisation.schema.table(organisation.schema.collections[table.name][name].child)
