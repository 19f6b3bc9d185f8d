"""Leads a request to the code that answers it."""

import re
import sys
import traceback
from collections.abc import Callable

from dynamics_emulator.api import associations, functions, records
from dynamics_emulator.api.actions import BOUND, UNBOUND
from dynamics_emulator.api.batch import answer_batch
from dynamics_emulator.api.bulk import answer_bulk
from dynamics_emulator.api.collections import count_collection, new_scope, read_collection
from dynamics_emulator.api.csdl import metadata_document
from dynamics_emulator.api.deltas import count_changes, is_tracked, read_tracked
from dynamics_emulator.api.impersonation import acting
from dynamics_emulator.api.jobs import run_due_jobs
from dynamics_emulator.api.keys import locate
from dynamics_emulator.api.messages import ApiRequest, ApiResponse, error_response
from dynamics_emulator.api.metadata import answer_metadata
from dynamics_emulator.api.metadata_changes import retrieve_metadata_changes
from dynamics_emulator.api.metadata_paths import METADATA_SETS
from dynamics_emulator.api.retrieve_duplicates import retrieve_duplicates
from dynamics_emulator.control.pages import bent_page
from dynamics_emulator.errors import (
    DataverseError,
    method_not_allowed,
    too_many_conditions,
    unexpected,
    unknown_segment,
)
from dynamics_emulator.odata.paths import Segment, parse_path
from dynamics_emulator.organisation import Organisation
from dynamics_emulator.schema.described import CRM
from dynamics_emulator.schema.model import Column, Table
from dynamics_emulator.storage.engine import sqlite3

_TOO_DEEP = re.compile("parser stack overflow|tree is too large")

_FUNCTIONS: dict[str, Callable[[Organisation, ApiRequest], ApiResponse]] = {
    "": functions.service_document,
    "WhoAmI": functions.who_am_i,
    "RetrieveVersion": functions.retrieve_version,
    "RetrieveCurrentOrganization": functions.retrieve_current_organization,
    "$metadata": metadata_document,
    "RetrieveDuplicates": retrieve_duplicates,
    "RetrieveMetadataChanges": retrieve_metadata_changes,
    "RetrieveTotalRecordCount": functions.retrieve_total_record_count,
}


def answer(organisation: Organisation, request: ApiRequest) -> ApiResponse:
    """The answer to one request; a refusal is an answer too."""
    try:
        run_due_jobs(organisation)
        request = acting(organisation, request)
        return bent_page(organisation, request, _route(organisation, request))
    except DataverseError as error:
        return error_response(error, annotated=request.wants_details)
    except Exception as problem:  # noqa: BLE001 - a fault of ours, too, must not end a batch or a connection
        return error_response(_refusal(problem), annotated=request.wants_details)


def _refusal(problem: Exception) -> DataverseError:
    """What the caller is told; the place of a fault of ours goes to standard error, without any value of a row."""
    if _is_too_deep(problem):
        return too_many_conditions()
    print(f"Unexpected {type(problem).__name__}:", file=sys.stderr)
    traceback.print_tb(problem.__traceback__)
    return unexpected()


def _is_too_deep(problem: Exception) -> bool:
    """Whether an expression is nested too deeply for the parser, or for SQLite."""
    if isinstance(problem, sqlite3.OperationalError):
        return _TOO_DEEP.search(str(problem)) is not None
    return isinstance(problem, RecursionError)


def _route(organisation: Organisation, request: ApiRequest) -> ApiResponse:
    segments = parse_path(request.path)
    first = segments[0] if segments else Segment("", None)
    if first.name == "$batch":
        return answer_batch(organisation, request, answer)
    if first.name in METADATA_SETS:
        return answer_metadata(organisation, request, segments)
    if first.name in UNBOUND:
        return UNBOUND[first.name](organisation, request)
    if first.name in _FUNCTIONS:
        if request.method != "GET":
            raise method_not_allowed(request.method)
        return _FUNCTIONS[first.name](organisation, request)
    return _in_set(organisation, request, segments)


def _in_set(organisation: Organisation, request: ApiRequest, segments: list[Segment]) -> ApiResponse:
    first = segments[0]
    table = organisation.table_of_set(first.name)
    if table is None:
        raise unknown_segment(first.name)
    if first.key is None:
        return _on_set(organisation, request, table, segments[1:])
    if request.method == "PATCH" and len(segments) == 1:
        return records.change_record(organisation, request, table, first.key)
    row_id = locate(organisation, table, first.key).required(table)
    return _on_row(organisation, request, table, row_id, segments[1:])


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
    bound = BOUND.get((table.name, name.removeprefix(f"{CRM}.")))
    if name.startswith(f"{CRM}."):
        if bound is None:
            raise unknown_segment(name)
        return bound(organisation, request, table, row_id)
    column = table.properties.get(name)
    if column:
        return _on_property(organisation, request, table, row_id, column, rest[1:])
    if request.method != "GET":
        raise method_not_allowed(request.method)
    return associations.read_navigation(organisation, request, table, row_id, name, counting=ends == "$count")


def _on_property(
    organisation: Organisation, request: ApiRequest, table: Table, row_id: str, column: Column, rest: list[Segment]
) -> ApiResponse:
    raw = [segment.name for segment in rest] == ["$value"]
    if rest and not raw:
        raise unknown_segment(rest[0].name)
    if request.method == "GET":
        return records.read_property(organisation, request, table, row_id, column, raw=raw)
    if raw or request.method not in ("PUT", "DELETE"):
        raise method_not_allowed(request.method)
    return records.write_property(organisation, request, table, row_id, column)


def _on_reference(
    organisation: Organisation, request: ApiRequest, table: Table, row_id: str, segment: Segment
) -> ApiResponse:
    if request.method == "GET":
        return associations.read_reference(organisation, request, table, row_id, segment.name)
    if request.method not in ("PUT", "POST", "DELETE"):
        raise method_not_allowed(request.method)
    return associations.change_reference(organisation, request, table, row_id, segment)
