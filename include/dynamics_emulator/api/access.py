"""What a caller may do: on a table as a whole, on one row, and which rows it may see."""

from collections.abc import Mapping

from dynamics_emulator.api.messages import Caller
from dynamics_emulator.errors import owner_without_privilege, privilege_missing, row_refused
from dynamics_emulator.odata.scope import Scope
from dynamics_emulator.organisation import Organisation
from dynamics_emulator.schema.model import Column, Table
from dynamics_emulator.security.privileges import Depth, Right, privilege_name
from dynamics_emulator.security.rights import ALL_ROWS, Rights
from dynamics_emulator.storage.layout import quote

Row = Mapping[str, object]
_PLATFORM_LOOKUPS = frozenset(
    {"ownerid", "owninguser", "owningteam", "owningbusinessunit", "transactioncurrencyid", "businessunitid"}
    | {f"{event}{by}" for event in ("created", "modified") for by in ("by", "onbehalfby")}
)
"""Lookups that are no link in the sense of Append and AppendTo."""


def rights_of(organisation: Organisation, caller: Caller) -> Rights:
    """The rights of a caller; they were settled when its request came in, if it came in by a request."""
    return caller.rights or organisation.security.rights(caller.user_id, organisation.clock.now())


def require(
    organisation: Organisation, table: Table, caller: Caller, right: Right = Right.READ, row: Row | None = None
) -> None:
    """Refuse a caller that lacks a right on a table, or whose privilege does not reach a stored row (403)."""
    rights = rights_of(organisation, caller)
    _require_privilege(rights, table, right)
    if row is not None and not rights.reaches(table, row, right):
        code = organisation.settings.row_refused_code
        raise row_refused(code, rights.user_id, table.name, row, table.primary_id, f"{right}Access")


def require_read(organisation: Organisation, table: Table, caller: Caller) -> None:
    """Refuse a caller without any read privilege on the table (403, 0x80040220)."""
    require(organisation, table, caller, Right.READ)


def require_global_read(organisation: Organisation, table: Table, caller: Caller) -> None:
    """Refuse a caller that may not read every row of the table, as change tracking does (403, 0x80040220)."""
    rights = rights_of(organisation, caller)
    privilege = privilege_name(table, Right.READ)
    if rights.depth(privilege) is not Depth.GLOBAL and rights.condition(table, "t") != ALL_ROWS:
        raise privilege_missing(rights.user_id, privilege, table.name, rights.roles, rights.privileges)


def require_special(organisation: Organisation, caller: Caller, privilege: str) -> None:
    """Refuse a caller that lacks a privilege which belongs to no table (403, 0x80040220)."""
    rights = rights_of(organisation, caller)
    if not rights.holds(privilege):
        raise privilege_missing(rights.user_id, privilege, "none", rights.roles, rights.privileges)


def require_create(organisation: Organisation, table: Table, caller: Caller, row: Row) -> None:
    """Refuse a new row, complete with its owner, that the caller may not make or link."""
    require(organisation, table, caller, Right.CREATE, row)
    _require_links(organisation, table, caller, row, {})
    if row.get("ownerid") not in (None, caller.user_id):
        _require_able_owner(organisation, table, row)


def require_update(organisation: Organisation, table: Table, caller: Caller, stored: Row, values: Row) -> None:
    """Refuse values that the caller may not write over a stored row: change it, link it, or give it away."""
    assigned = values.get("ownerid", stored.get("ownerid")) != stored.get("ownerid")
    if assigned:
        require(organisation, table, caller, Right.ASSIGN, stored)
        _require_able_owner(organisation, table, values)
    if not assigned or values.keys() - {"ownerid", "ownerid__type"}:
        require(organisation, table, caller, Right.WRITE, stored)
    _require_links(organisation, table, caller, values, stored)


def require_delete(organisation: Organisation, table: Table, caller: Caller, stored: Row) -> None:
    """Refuse the deletion of a stored row."""
    require(organisation, table, caller, Right.DELETE, stored)


def require_link(organisation: Organisation, table: Table, other: Table, caller: Caller) -> None:
    """Refuse to tie a row of ``table`` to one of ``other``: Append on the first, AppendTo on the second."""
    rights = rights_of(organisation, caller)
    _require_privilege(rights, table, Right.APPEND)
    _require_privilege(rights, other, Right.APPEND_TO)


def readable(organisation: Organisation, table: Table, caller: Caller, scope: Scope) -> str:
    """SQL condition for the rows of a scope that the caller may see; ``1`` for all of them."""
    return rights_of(organisation, caller).condition(table, scope.alias)


def _require_privilege(rights: Rights, table: Table, right: Right) -> None:
    privilege = privilege_name(table, right)
    if not rights.holds(privilege):
        raise privilege_missing(rights.user_id, privilege, table.name, rights.roles, rights.privileges)


def _require_links(organisation: Organisation, table: Table, caller: Caller, values: Row, stored: Row) -> None:
    """Refuse lookups among new values that the caller may not set on this row, or to the row that they point at."""
    for name, value in values.items():
        column = None if value is None or name in _PLATFORM_LOOKUPS else table.find(name)
        if column is None or not column.is_lookup:
            continue
        target = _target(organisation, column, values)
        if target is not None and value != stored.get(name):
            require(organisation, table, caller, Right.APPEND, {**stored, **values})
            _require_append_to(organisation, target, caller, str(value))


def _require_append_to(organisation: Organisation, table: Table, caller: Caller, row_id: str) -> None:
    rights = rights_of(organisation, caller)
    _require_privilege(rights, table, Right.APPEND_TO)
    condition = rights.condition(table, "t", Right.APPEND_TO)
    if condition == ALL_ROWS:
        return
    query = f"SELECT t.*, {condition} AS reached FROM {quote(table.name)} t WHERE {quote(table.primary_id)} = ?"
    cursor = organisation.database.connection.execute(query, (row_id,))
    found = cursor.fetchone()
    if found is not None and not found[-1]:
        row = dict(zip((entry[0] for entry in cursor.description), found, strict=True))
        code = organisation.settings.row_refused_code
        raise row_refused(code, rights.user_id, table.name, row, table.primary_id, "AppendToAccess")


def _target(organisation: Organisation, column: Column, values: Row) -> Table | None:
    name = str(values.get(column.type_column)) if column.is_polymorphic else column.targets[0]
    return organisation.schema.tables.get(name)


def _require_able_owner(organisation: Organisation, table: Table, row: Row) -> None:
    """Rows are given only to users and teams that may read such rows."""
    if not organisation.settings.owner_needs_privilege or row.get("ownerid") is None:
        return
    owner, team = str(row["ownerid"]), row.get("ownerid__type") == "team"
    rights = organisation.security.rights(owner, organisation.clock.now(), team=team)
    if not rights.holds(privilege_name(table, Right.READ)):
        raise owner_without_privilege(owner, privilege_name(table, Right.READ), team=team)
