"""Leads a request to the code that answers it."""

import sqlite3
from collections.abc import Callable

from dynamics_emulator.api import associations, functions, records
from dynamics_emulator.api.batch import answer_batch
from dynamics_emulator.api.bulk import answer_bulk
from dynamics_emulator.api.collections import count_collection, new_scope, read_collection
from dynamics_emulator.api.csdl import metadata_document
from dynamics_emulator.api.deltas import count_changes, is_tracked, read_tracked
from dynamics_emulator.api.messages import ApiRequest, ApiResponse, error_response
from dynamics_emulator.api.metadata import METADATA_SETS, answer_metadata
from dynamics_emulator.errors import DataverseError, method_not_allowed, too_many_conditions, unknown_segment
from dynamics_emulator.odata.paths import Segment, guid_key, named_keys, parse_path
from dynamics_emulator.organisation import Organisation
from dynamics_emulator.schema.described import CRM
from dynamics_emulator.schema.model import Table

_FUNCTIONS: dict[str, Callable[[Organisation, ApiRequest], ApiResponse]] = {
    "WhoAmI": functions.who_am_i,
    "RetrieveVersion": functions.retrieve_version,
    "RetrieveCurrentOrganization": functions.retrieve_current_organization,
    "$metadata": metadata_document,
}


def answer(organisation: Organisation, request: ApiRequest) -> ApiResponse:
    """The answer to one request; a refusal is an answer too."""
    try:
        return _route(organisation, request)
    except DataverseError as error:
        return error_response(error, annotated=_wants_details(request))
    except (RecursionError, sqlite3.OperationalError) as problem:
        # Expressions that are nested too deeply for the parser, or for SQLite; anything else is a fault of ours.
        if isinstance(problem, sqlite3.OperationalError) and "overflow" not in str(problem):
            raise
        return error_response(too_many_conditions(), annotated=_wants_details(request))


def _wants_details(request: ApiRequest) -> bool:
    return request.annotations.wants("Microsoft.PowerApps.CDS.HelpLink")


def _route(organisation: Organisation, request: ApiRequest) -> ApiResponse:  # noqa: PLR0911 - a return for each kind of path
    segments = parse_path(request.path)
    if not segments:
        return functions.service_document(organisation, request)
    first = segments[0]
    if first.name == "$batch":
        return answer_batch(organisation, request, answer)
    if first.name in METADATA_SETS:
        return answer_metadata(organisation, request, segments)
    if first.name == "RetrieveTotalRecordCount":
        return functions.retrieve_total_record_count(organisation, request, first.key or "")
    if first.name in _FUNCTIONS:
        return _FUNCTIONS[first.name](organisation, request)
    table = organisation.table_of_set(first.name)
    if table is None:
        raise unknown_segment(first.name)
    if first.key is None:
        return _on_set(organisation, request, table, segments[1:])
    return _on_row(organisation, request, table, _row_id(table, first.key), segments[1:])


def _row_id(table: Table, key: str) -> str:
    named = named_keys(key)
    if not named:
        return guid_key(key)
    if table.primary_id in named and not table.key_is_owner:
        return guid_key(named[table.primary_id])
    message = f"The specified key attributes are not a defined key for the {table.name} entity"
    raise DataverseError(400, "0x80060890", message)


def _on_set(organisation: Organisation, request: ApiRequest, table: Table, rest: list[Segment]) -> ApiResponse:
    if not rest and request.method == "POST":
        return records.create_record(organisation, request, table)
    if rest and rest[0].name.startswith(f"{CRM}."):
        return answer_bulk(organisation, request, table, rest[0].name)
    if request.method != "GET":
        raise method_not_allowed(request.method)
    scope = new_scope(organisation, request, table)
    if not rest and is_tracked(request):
        return read_tracked(organisation, request, table, scope)
    if not rest:
        return read_collection(organisation, request, table, path=table.set_name, scope=scope)
    if rest[0].name != "$count":
        raise unknown_segment(rest[0].name)
    if request.options.get("$deltatoken") is not None:
        return count_changes(organisation, request, table, scope)
    return count_collection(organisation, request, table, scope)


def _on_row(
    organisation: Organisation, request: ApiRequest, table: Table, row_id: str, rest: list[Segment]
) -> ApiResponse:
    if rest:
        return _below_row(organisation, request, table, row_id, rest)
    match request.method:
        case "GET":
            return records.read_record(organisation, request, table, row_id)
        case "PATCH":
            return records.change_record(organisation, request, table, row_id)
        case "DELETE":
            return records.delete_record(organisation, request, table, row_id)
        case _:
            raise method_not_allowed(request.method)


def _below_row(
    organisation: Organisation, request: ApiRequest, table: Table, row_id: str, rest: list[Segment]
) -> ApiResponse:
    name, ends = rest[0].name, rest[-1].name
    if ends == "$ref":
        return _on_reference(organisation, request, table, row_id, rest[0])
    column = table.properties.get(name)
    if column and request.method == "GET":
        return records.read_property(organisation, request, table, row_id, column)
    if column and request.method in ("PUT", "DELETE"):
        return records.write_property(organisation, request, table, row_id, column)
    if request.method != "GET":
        raise method_not_allowed(request.method)
    return associations.read_navigation(organisation, request, table, row_id, name, counting=ends == "$count")


def _on_reference(
    organisation: Organisation, request: ApiRequest, table: Table, row_id: str, segment: Segment
) -> ApiResponse:
    if request.method == "GET":
        return associations.read_reference(organisation, request, table, row_id, segment.name)
    member = guid_key(segment.key) if segment.key else None
    return associations.change_reference(organisation, request, table, row_id, (segment.name, member))
