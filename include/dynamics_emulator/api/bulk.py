"""``CreateMultiple``, ``UpdateMultiple`` and ``UpsertMultiple``: one transaction, all or nothing."""

import uuid
from collections.abc import Mapping
from typing import Any

from dynamics_emulator.api.changing import change_row
from dynamics_emulator.api.deep_insert import create_from_body
from dynamics_emulator.api.keys import RowKey, locate
from dynamics_emulator.api.messages import ApiRequest, ApiResponse, json_response
from dynamics_emulator.api.payload import read_payload, require_type
from dynamics_emulator.api.records import upsert_missing
from dynamics_emulator.api.writing import stored_row
from dynamics_emulator.errors import (
    DataverseError,
    duplicate_key,
    key_missing,
    method_not_allowed,
    payload_error,
    unknown_segment,
    unrecognized_path,
)
from dynamics_emulator.odata.paths import parse_reference
from dynamics_emulator.organisation import Organisation
from dynamics_emulator.schema.described import CRM
from dynamics_emulator.schema.model import Table

_ACTIONS = ("CreateMultiple", "UpdateMultiple", "UpsertMultiple")


def answer_bulk(organisation: Organisation, request: ApiRequest, table: Table, action: str) -> ApiResponse:
    """Run a bulk action over its targets, in their order. When one is refused nothing is written."""
    if request.method != "POST":
        raise method_not_allowed(request.method)
    name = action.removeprefix(f"{CRM}.")
    if name == "DeleteMultiple":
        raise DataverseError(400, "0x80040216", "DeleteMultiple has not yet been implemented.")
    if name not in _ACTIONS:
        raise unknown_segment(action)
    targets = _targets(request, table)
    with organisation.database.transaction():
        ids = [_write(organisation, request, table, name, target) for target in targets]
    if name != "CreateMultiple":
        return ApiResponse(204)
    context = f"{request.base}/$metadata#{CRM}.CreateMultipleResponse"
    return json_response({"@odata.context": context, "Ids": ids})


def _targets(request: ApiRequest, table: Table) -> list[dict[str, Any]]:
    found = request.json_body().get("Targets")
    if not isinstance(found, list) or not found:
        raise payload_error(table.set_name, inner="The parameter Targets must be a list of rows.")
    for target in found:
        require_type(table, target.get("@odata.type") if isinstance(target, dict) else None)
    return found


def _write(organisation: Organisation, request: ApiRequest, table: Table, name: str, target: Mapping[str, Any]) -> str:
    if name == "CreateMultiple":
        return _create(organisation, request, table, target)
    key = _key(organisation, table, target)
    if key is None and name == "UpsertMultiple":
        return create_from_body(organisation, request, table, target)
    stored = stored_row(organisation, table, key.row_id) if key and key.row_id else None
    if key is not None and stored is not None:
        values = read_payload(organisation, table, target, creating=False)
        kept = {column: value for column, value in values.items() if column not in key.values}
        change_row(organisation, request, table, stored, kept)
        return str(key.row_id)
    if key is None or name == "UpdateMultiple":
        if key is not None and key.alternate:
            raise key_missing(table.name)
        missing = key.row_id if key else str(uuid.UUID(int=0))
        raise DataverseError(404, "0x80040217", f"{table.name} With Ids = {missing} Do Not Exist")
    return upsert_missing(organisation, request, table, key, target)


def _create(organisation: Organisation, request: ApiRequest, table: Table, target: Mapping[str, Any]) -> str:
    try:
        return create_from_body(organisation, request, table, target)
    except DataverseError as error:
        if error.code == duplicate_key().code:
            raise DataverseError(error.status, error.code, "Cannot insert duplicate key.") from error
        raise


def _key(organisation: Organisation, table: Table, target: Mapping[str, Any]) -> RowKey | None:
    """The key in the body or in ``@odata.id``; None when the target has none."""
    if "@odata.id" in target:
        segment = parse_reference(str(target["@odata.id"]))
        if segment.name != table.set_name:
            raise unrecognized_path()
        return locate(organisation, table, segment.key or "")
    found = target.get(table.primary_id)
    return locate(organisation, table, str(found)) if found else None
