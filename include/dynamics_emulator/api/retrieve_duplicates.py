"""RetrieveDuplicates: the rows that the published rules take for the same as a given one."""

import json
import re
from collections.abc import Mapping
from typing import Any

from dynamics_emulator.api.arguments import invalid_argument
from dynamics_emulator.api.collections import new_scope, read_collection
from dynamics_emulator.api.duplicates import matching_rows, published_rules
from dynamics_emulator.api.messages import ApiRequest, ApiResponse
from dynamics_emulator.api.payload import read_payload
from dynamics_emulator.errors import required_missing
from dynamics_emulator.organisation import Organisation
from dynamics_emulator.schema.model import Table

_ARGUMENT = re.compile(r"(\w+)\s*=\s*(@\w+)")


def retrieve_duplicates(organisation: Organisation, request: ApiRequest) -> ApiResponse:
    """Rows of ``MatchingEntityName`` that duplicate ``BusinessEntity``; the arguments are parameter aliases.

    Raises a 400 for a missing argument, and for one of the wrong shape.
    """
    named = {name: request.options.aliases.get(alias, "") for name, alias in _ARGUMENT.findall(request.path)}
    base, values = _entity(organisation, _json(named, "BusinessEntity"))
    matching = organisation.schema.tables.get(_required(named, "MatchingEntityName").strip("'"))
    if matching is None:
        raise invalid_argument()
    row = read_payload(organisation, base, values, creating=True)
    own = row.get(base.primary_id) if base.name == matching.name else None
    found = {
        row_id
        for rule in published_rules(organisation, base.name)
        if rule.matching.name == matching.name
        for row_id in matching_rows(organisation, rule, row, own)
    }
    scope = new_scope(organisation, request, matching)
    places = ", ".join(scope.parameters.add(row_id) for row_id in sorted(found))
    tie = f"{scope.sql_name(matching.primary_id)} IN ({places})"
    return read_collection(organisation, request, matching, path=matching.set_name, scope=scope, tie=tie)


def _entity(organisation: Organisation, body: Mapping[str, Any]) -> tuple[Table, Mapping[str, Any]]:
    table = organisation.schema.tables.get(str(body.get("@odata.type", "")).rpartition(".")[2])
    if table is None:
        raise invalid_argument()
    return table, body


def _json(named: Mapping[str, str], name: str) -> Mapping[str, Any]:
    try:
        found = json.loads(_required(named, name))
    except ValueError as problem:
        raise invalid_argument() from problem
    if not isinstance(found, dict):
        raise invalid_argument()
    return found


def _required(named: Mapping[str, str], name: str) -> str:
    if not named.get(name):
        raise required_missing(name)
    return named[name]
