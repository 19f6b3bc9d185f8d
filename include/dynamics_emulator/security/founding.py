"""The privileges and roles that an organisation starts with."""

import uuid
from collections.abc import Iterable, Mapping

from dynamics_emulator.identity import APPLICATION_USER_ID, ROOT_BUSINESS_UNIT_ID
from dynamics_emulator.schema.model import Schema, Table
from dynamics_emulator.security.privileges import ACCESS_MASKS, SPECIAL_PRIVILEGES, Depth, Right, privilege_name
from dynamics_emulator.storage.bulk import insert_rows
from dynamics_emulator.storage.database import Database, SqlValue

MARKETING_SYNC = "Marketing sync"
ADMINISTRATOR = "System Administrator"
SALESPERSON = "Salesperson"
_NAMES = uuid.UUID("7e57ab1e-0000-4000-8000-0000000000e2")
_BORN = "2019-01-07T08:00:00Z"
_SALES_DEPTHS = {
    Right.READ: Depth.LOCAL,
    Right.CREATE: Depth.BASIC,
    Right.WRITE: Depth.BASIC,
    Right.DELETE: Depth.BASIC,
    Right.APPEND: Depth.BASIC,
    Right.APPEND_TO: Depth.LOCAL,
    Right.ASSIGN: Depth.BASIC,
    Right.SHARE: Depth.BASIC,
}
"""A salesperson's rights on rows that have an owner; of all else it may read everything and link to it."""

Row = Mapping[str, SqlValue]


def named_id(*names: str) -> str:
    """A GUID that always follows from the same names."""
    return str(uuid.uuid5(_NAMES, "/".join(names)))


def found_roles(database: Database, schema: Schema) -> None:
    """Give the organisation its roles, and every table that is new to it its privileges."""
    with database.transaction():
        if database.count("role") == 0:
            _insert(database, schema, "role", (_role(name) for name in (MARKETING_SYNC, ADMINISTRATOR, SALESPERSON)))
            assign_role(database, schema, APPLICATION_USER_ID, MARKETING_SYNC)
        known = {str(row["name"]) for row in database.rows("privilege")}
        fresh = [row for row in _privileges(schema) if row["name"] not in known]
        _insert(database, schema, "privilege", fresh)
        _insert(database, schema, "roleprivileges", _default_grants(schema, {str(row["name"]) for row in fresh}))


def assign_role(database: Database, schema: Schema, user_id: str, role: str) -> None:
    """Give a user a role of the root business unit; only inside a transaction."""
    row = {"systemuserroleid": named_id(user_id, role), "systemuserid": user_id, "roleid": named_id("role", role)}
    _insert(database, schema, "systemuserroles", [row])


def add_role(database: Database, schema: Schema, name: str) -> str:
    """Add a role without privileges and return its id; only inside a transaction."""
    row = _role(name)
    _insert(database, schema, "role", [row])
    return str(row["roleid"])


def grant_row(role_id: str, privilege: str, depth: Depth) -> Row:
    """The stored row by which a role holds a privilege."""
    return {
        "roleprivilegeid": named_id(role_id, privilege),
        "roleid": role_id,
        "privilegeid": named_id("privilege", privilege),
        "privilegedepthmask": int(depth),
    }


def _role(name: str) -> Row:
    role_id = named_id("role", name)
    return {
        "roleid": role_id,
        "roleidunique": role_id,
        "name": name,
        "businessunitid": ROOT_BUSINESS_UNIT_ID,
        "parentrootroleid": role_id,
        "ismanaged": 0,
        "isinherited": 1,
        "createdon": _BORN,
        "modifiedon": _BORN,
        "createdby": APPLICATION_USER_ID,
        "modifiedby": APPLICATION_USER_ID,
    }


def _privileges(schema: Schema) -> list[Row]:
    found: dict[str, Row] = {name: _privilege(name, 0, owned=False) for name in SPECIAL_PRIVILEGES}
    for table in schema.tables.values():
        for right, mask in ACCESS_MASKS.items():
            name = privilege_name(table, right)
            found.setdefault(name, _privilege(name, mask, owned=_is_owned(table)))
    return list(found.values())


def _privilege(name: str, mask: int, *, owned: bool) -> Row:
    shallow = {f"canbe{depth.name.lower()}": int(owned) for depth in (Depth.BASIC, Depth.LOCAL, Depth.DEEP)}
    row_id = named_id("privilege", name)
    return {"privilegeid": row_id, "name": name, "accessright": mask, **shallow, "canbeglobal": 1}


def _is_owned(table: Table) -> bool:
    return "ownerid" in table.columns


def _default_grants(schema: Schema, privileges: set[str]) -> Iterable[Row]:
    for role in (MARKETING_SYNC, ADMINISTRATOR):
        for privilege in sorted(privileges):
            yield grant_row(named_id("role", role), privilege, Depth.GLOBAL)
    depths: dict[str, Depth] = {}
    for table in schema.tables.values():
        for right, depth in _SALES_DEPTHS.items():
            if _is_owned(table):
                depths[privilege_name(table, right)] = depth
            elif right in (Right.READ, Right.APPEND_TO):
                depths[privilege_name(table, right)] = Depth.GLOBAL
    for privilege in sorted(privileges & depths.keys()):
        yield grant_row(named_id("role", SALESPERSON), privilege, depths[privilege])


def _insert(database: Database, schema: Schema, table: str, rows: Iterable[Row]) -> None:
    insert_rows(database, schema.table(table), list(rows))
