"""Merge: one of two accounts, contacts or leads takes over what hangs on the other."""

from dynamics_emulator.api.access import require, require_special
from dynamics_emulator.api.arguments import invalid_argument, read_arguments
from dynamics_emulator.api.cascades import pointing, referencing
from dynamics_emulator.api.changing import change_row, require_row
from dynamics_emulator.api.messages import ApiRequest, ApiResponse
from dynamics_emulator.api.payload import read_payload
from dynamics_emulator.api.values import Values
from dynamics_emulator.api.writing import log_deletion, overwrite, remove
from dynamics_emulator.errors import DataverseError
from dynamics_emulator.organisation import Organisation, present_time
from dynamics_emulator.schema.links import Side
from dynamics_emulator.schema.model import Table
from dynamics_emulator.security.privileges import MERGE, Right
from dynamics_emulator.storage.layout import quote

_PARAMETERS = frozenset({"Target", "Subordinate", "UpdateContent", "PerformParentingChecks"})
_PARENTS = {"account": "parentaccountid", "contact": "parentcustomerid"}
"""The lookup by which rows of a table stand below each other; leads have none."""
_MERGEABLE = ("account", "contact", "lead")
_INACTIVE = 1
_STAYING = frozenset({"masterid"})
"""Lookups at the subordinate that a merge leaves alone: what was merged into it stays merged into it."""


def merge(organisation: Organisation, request: ApiRequest) -> ApiResponse:
    """Merge the subordinate into the target: 204.

    Raises a 400 for two rows of different tables or of a table that cannot be merged, for one row twice (0x80045305),
    for an inactive row (0x80045304), and where the target would become its own parent (0x80045300).
    """
    arguments = read_arguments(organisation, request, _PARAMETERS)
    table, target_id = arguments.row("Target")
    other, subordinate_id = arguments.row("Subordinate")
    if table.name != other.name or table.name not in _MERGEABLE:
        raise invalid_argument()
    content = arguments.content("UpdateContent") if arguments.values.get("UpdateContent") else {}
    with organisation.database.transaction():
        target = require_row(organisation, table, target_id)
        subordinate = require_row(organisation, table, subordinate_id)
        _require_rights(organisation, request, table, (target, subordinate))
        _require_mergeable(organisation, table, target, subordinate)
        values = read_payload(organisation, table, content, creating=False)
        change_row(organisation, request, table, target, values)
        _move_children(organisation, request, table, subordinate_id, target_id)
        _move_ties(organisation, table, subordinate_id, target_id)
        _close(organisation, request, table, subordinate, target_id)
    return ApiResponse(204)


def _require_rights(organisation: Organisation, request: ApiRequest, table: Table, rows: tuple[Values, Values]) -> None:
    try:
        require_special(organisation, request.caller, MERGE)
        for row in rows:
            require(organisation, table, request.caller, Right.WRITE, row)
    except DataverseError as refusal:
        text = "Merge is not allowed: caller does not have the privilege or access."
        raise DataverseError(refusal.status, "0x80045301", text) from refusal


def _require_mergeable(organisation: Organisation, table: Table, target: Values, subordinate: Values) -> None:
    if target[table.primary_id] == subordinate[table.primary_id]:
        text = "Merge cannot be performed on master and sub-entities that are identical."
        raise DataverseError(400, "0x80045305", text)
    if target["statecode"] or subordinate["statecode"]:
        raise DataverseError(400, "0x80045304", "Merge cannot be performed on entity that is inactive.")
    if _stands_below(organisation, table, target, str(subordinate[table.primary_id])):
        raise DataverseError(400, "0x80045300", "Merge could create cyclical parenting.")


def _stands_below(organisation: Organisation, table: Table, row: Values, above: str) -> bool:
    column = table.find(_PARENTS.get(table.name, ""))
    seen: set[object] = set()
    while column:
        parent = row[column.name]
        if parent == above:
            return True
        same_table = not column.is_polymorphic or row[column.type_column] == table.name
        if parent is None or parent in seen or not same_table:
            return False
        seen.add(parent)
        row = require_row(organisation, table, str(parent))
    return False


def _move_children(organisation: Organisation, request: ApiRequest, table: Table, old: str, new: str) -> None:
    for other, column in referencing(organisation, table):
        if column.name in _STAYING:
            continue
        for child in pointing(organisation, table, (other, column), old):
            # The target itself may point at the subordinate; it does not come to point at itself.
            value = None if (other.name, child) == (table.name, new) else new
            overwrite(organisation, other, child, {column.name: value, **_stamp(organisation, request, other)})


def _stamp(organisation: Organisation, request: ApiRequest, table: Table) -> Values:
    values: Values = {"modifiedon": present_time(organisation), "modifiedby": request.caller.user_id}
    return {name: value for name, value in values.items() if name in table.columns}


def _move_ties(organisation: Organisation, table: Table, old: str, new: str) -> None:
    for relationship in organisation.schema.many_to_many:
        intersect = organisation.schema.table(relationship.intersect)
        ends = ((relationship.first, relationship.second), (relationship.second, relationship.first))
        for mine, theirs in ends:
            if mine.table == table.name:
                _move_members(organisation, intersect, (mine, theirs), (old, new))


def _move_members(organisation: Organisation, intersect: Table, ends: tuple[Side, Side], keys: tuple[str, str]) -> None:
    mine, theirs = (quote(side.column) for side in ends)
    name, key = quote(intersect.name), quote(intersect.primary_id)
    connection = organisation.database.connection
    held = {other for (other,) in connection.execute(f"SELECT {theirs} FROM {name} WHERE {mine} = ?", (keys[1],))}
    found = connection.execute(f"SELECT {key}, {theirs} FROM {name} WHERE {mine} = ?", (keys[0],)).fetchall()
    for row_id, other in found:
        if other in held:
            remove(organisation, intersect, str(row_id))
        else:
            overwrite(organisation, intersect, str(row_id), {ends[0].column: keys[1]})


def _close(organisation: Organisation, request: ApiRequest, table: Table, row: Values, target_id: str) -> None:
    settings = organisation.settings
    state = settings.merged_lead_state if table.name == "lead" else _INACTIVE
    defaults = {option.value: option.default_status for option in table.columns["statecode"].options}
    closed: Values = {"merged": 1, "masterid": target_id, "statecode": state, "statuscode": defaults[state]}
    if settings.merge_shows_as == "delete":
        # The row keeps its version, so that only its deletion shows.
        closed["versionnumber"] = row["versionnumber"]
        log_deletion(organisation, table, str(row[table.primary_id]))
    overwrite(organisation, table, str(row[table.primary_id]), {**closed, **_stamp(organisation, request, table)})
