"""What happens to other rows when a row is made or deleted."""

import uuid

from dynamics_emulator.api.messages import Caller
from dynamics_emulator.api.payload import Values
from dynamics_emulator.api.writing import create_row, overwrite, remove, stored_row
from dynamics_emulator.errors import DataverseError
from dynamics_emulator.organisation import Organisation
from dynamics_emulator.schema.model import Column, ColumnType, Table
from dynamics_emulator.storage.layout import quote

_DELETED_WITH = frozenset({"record1id", "record2id", "relatedconnectionid"})
"""Lookups of a connection: it does not outlive the rows that it connects, nor its other half."""
_MEMBER_COLUMNS = {"team": "teamid", "systemuser": "systemuserid"}


def after_create(organisation: Organisation, table: Table, caller: Caller, row_id: str) -> None:
    """Make the other half of a new connection."""
    if table.name != "connection":
        return
    row = stored_row(organisation, table, row_id)
    if row is None or row.get("relatedconnectionid"):
        return
    other_id = str(uuid.UUID(int=organisation.random.getrandbits(128), version=4))
    mirrored = {_mirrored(name): value for name, value in row.items() if name.startswith(("record1", "record2"))}
    kept: Values = {name: row[name] for name in ("name", "description", "ownerid", "ownerid__type") if name in row}
    create_row(
        organisation,
        table,
        caller,
        {**mirrored, **kept, "connectionid": other_id, "relatedconnectionid": row_id, "ismaster": 0},
    )
    overwrite(organisation, table, row_id, {"relatedconnectionid": other_id, "ismaster": 1})


def _mirrored(name: str) -> str:
    return name.replace("record1", "record#").replace("record2", "record1").replace("record#", "record2")


def before_delete(organisation: Organisation, table: Table, row_id: str) -> None:
    """Clear the lookups at a row that is about to go, and delete the connections and memberships it has part in.

    Raises a 405 (0x80040227) when the row still owns others.
    """
    for other in organisation.schema.tables.values():
        for column in other.columns.values():
            if table.name in column.targets:
                _release(organisation, table, other, column, row_id)
    member = _MEMBER_COLUMNS.get(table.name)
    memberships = organisation.schema.tables.get("teammembership")
    if member and memberships:
        for child in _children(organisation, memberships, f"{quote(member)} = ?", [row_id]):
            remove(organisation, memberships, child)


def _release(organisation: Organisation, table: Table, other: Table, column: Column, row_id: str) -> None:
    condition, values = f"{quote(column.name)} = ?", [row_id]
    emptied: Values = {column.name: None}
    if column.is_polymorphic:
        condition += f" AND {quote(column.type_column)} = ?"
        values.append(table.name)
        emptied[column.type_column] = None
    children = _children(organisation, other, condition, values)
    if children and column.type is ColumnType.OWNER:
        message = "The object you tried to delete is associated with another object and cannot be deleted."
        raise DataverseError(405, "0x80040227", message)
    for child in children:
        if other.name == "connection" and column.name in _DELETED_WITH:
            remove(organisation, other, child)
        else:
            overwrite(organisation, other, child, emptied)


def _children(organisation: Organisation, table: Table, condition: str, values: list[str]) -> list[str]:
    query = f"SELECT {quote(table.primary_id)} FROM {quote(table.name)} WHERE {condition}"
    return [str(key) for (key,) in organisation.database.connection.execute(query, values).fetchall()]
