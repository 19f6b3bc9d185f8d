"""Refusals by business logic of the organisation: what a plug-in or a business rule would say."""

from dynamics_emulator.api.access import require_special
from dynamics_emulator.api.collections import new_scope
from dynamics_emulator.api.messages import ApiRequest
from dynamics_emulator.errors import refused_by_rule
from dynamics_emulator.odata.conditions import compile_filter
from dynamics_emulator.organisation import Organisation
from dynamics_emulator.schema.model import Table
from dynamics_emulator.security.privileges import BYPASS_BUSINESS_LOGIC, BYPASS_PLUGINS


def require_permitted(organisation: Organisation, request: ApiRequest, table: Table, row_id: str) -> None:
    """Refuse a row that has just been written and that a rule of its table forbids (400, 0x80040265).

    The caller undoes the write. A request that bypasses business logic passes; one that may not bypass it is refused
    whether a rule stands in its way or not (403, 0x80040220).
    """
    bypasses = _bypasses_logic(organisation, request)
    for rule in organisation.rules:
        if rule.table != table.name or bypasses:
            continue
        scope = new_scope(organisation, request, table)
        condition = f"{scope.points_here(scope.parameters.add(row_id))} AND ({compile_filter(rule.condition, scope)})"
        query = f"SELECT 1 FROM {scope.source} WHERE {condition}"
        if organisation.database.connection.execute(query, scope.parameters.values).fetchone():
            raise refused_by_rule(rule.message)


def _bypasses_logic(organisation: Organisation, request: ApiRequest) -> bool:
    """Whether the headers leave synchronous business logic out."""
    named = request.headers.get("mscrm.bypassbusinesslogicexecution")
    plugins = request.headers.get("mscrm.bypasscustompluginexecution", "").lower() == "true"
    if named is not None:
        require_special(organisation, request.caller, BYPASS_BUSINESS_LOGIC)
    if plugins:
        require_special(organisation, request.caller, BYPASS_PLUGINS)
    return plugins or "CustomSync" in [part.strip() for part in (named or "").split(",")]
