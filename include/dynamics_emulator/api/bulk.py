"""``CreateMultiple``, ``UpdateMultiple`` and ``UpsertMultiple``: one transaction, all or nothing."""

import uuid
from collections.abc import Mapping
from typing import Any

from dynamics_emulator.api.cascades import after_create
from dynamics_emulator.api.messages import ApiRequest, ApiResponse, json_response
from dynamics_emulator.api.payload import read_payload
from dynamics_emulator.api.writing import create_row, stored_row, update_row
from dynamics_emulator.errors import DataverseError, method_not_allowed, payload_error, unknown_segment
from dynamics_emulator.odata.paths import guid_key, parse_reference
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
    expected = f"{CRM}.{table.name}"
    for target in found:
        if not isinstance(target, dict) or str(target.get("@odata.type", "")).lstrip("#") != expected:
            raise payload_error(table.set_name, inner=f"Each target needs '@odata.type': '{expected}'.")
    return found


def _write(organisation: Organisation, request: ApiRequest, table: Table, name: str, target: Mapping[str, Any]) -> str:
    row_id = _key(table, target)
    stored = stored_row(organisation, table, row_id) if row_id and name != "CreateMultiple" else None
    if stored is not None:
        values = read_payload(organisation, table, target, creating=False)
        update_row(organisation, table, request.caller, stored, values)
        return row_id
    if name == "UpdateMultiple":
        raise DataverseError(404, "0x80040217", f"{table.name} With Ids = {row_id or uuid.UUID(int=0)} Do Not Exist")
    values = read_payload(organisation, table, target, creating=True)
    if row_id:
        values[table.primary_id] = row_id
    created = create_row(organisation, table, request.caller, values)
    after_create(organisation, table, request.caller, created)
    return created


def _key(table: Table, target: Mapping[str, Any]) -> str:
    """The key in the body or in ``@odata.id``; empty when the target has none."""
    if "@odata.id" in target:
        return guid_key(parse_reference(str(target["@odata.id"])).key or "")
    return guid_key(str(target[table.primary_id])) if target.get(table.primary_id) else ""
