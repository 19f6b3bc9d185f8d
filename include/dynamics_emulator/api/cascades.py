"""What happens to other rows when a row is made or deleted."""

from collections.abc import Iterator

from dynamics_emulator.api.messages import Caller
from dynamics_emulator.api.values import Values
from dynamics_emulator.api.writing import create_row, new_id, overwrite, remove, stored_row
from dynamics_emulator.errors import deletion_restricted
from dynamics_emulator.organisation import Organisation
from dynamics_emulator.schema.model import Column, ColumnType, OnDelete, Table
from dynamics_emulator.storage.layout import quote

Deleting = frozenset[tuple[str, str]]
"""Tables and keys of the rows whose deletion is under way: rows may point at each other in a circle."""


def after_create(organisation: Organisation, table: Table, caller: Caller, row_id: str) -> None:
    """Make the other half of a new connection."""
    if table.name != "connection":
        return
    row = stored_row(organisation, table, row_id)
    if row is None or row.get("relatedconnectionid"):
        return
    other_id = new_id(organisation)
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


def before_delete(organisation: Organisation, table: Table, row_id: str, deleting: Deleting = frozenset()) -> None:
    """Delete the rows that do not outlive a row which is about to go, and clear the lookups of the others at it.

    Raises a 405 (0x80040227) when a row refuses: it is owned by this one, or its relationship restricts deletion.
    """
    deleting |= {(table.name, row_id)}
    for other, column in referencing(organisation, table):
        for child in pointing(organisation, table, (other, column), row_id):
            _release(organisation, other, column, child, deleting)
    for relationship in organisation.schema.many_to_many:
        for side in (relationship.first, relationship.second):
            if side.table == table.name:
                _forget(organisation, organisation.schema.table(relationship.intersect), side.column, row_id)


def referencing(organisation: Organisation, table: Table) -> Iterator[tuple[Table, Column]]:
    """Every lookup of every table that may point at rows of ``table``."""
    yield from organisation.schema.references[table.name]


def pointing(organisation: Organisation, table: Table, lookup: tuple[Table, Column], row_id: str) -> list[str]:
    """Keys of the rows whose lookup, given with its own table, points at this row of ``table``."""
    other, column = lookup
    condition, values = f"{quote(column.name)} = ?", [row_id]
    if column.is_polymorphic:
        condition += f" AND {quote(column.type_column)} = ?"
        values.append(table.name)
    query = f"SELECT {quote(other.primary_id)} FROM {quote(other.name)} WHERE {condition}"
    return [str(key) for (key,) in organisation.database.connection.execute(query, values).fetchall()]


def _release(organisation: Organisation, other: Table, column: Column, child: str, deleting: Deleting) -> None:
    if (other.name, child) in deleting:
        return
    if column.type is ColumnType.OWNER or column.on_delete is OnDelete.RESTRICT:
        raise deletion_restricted()
    if stored_row(organisation, other, child) is None:
        # Another lookup of the same row has taken it along already.
        return
    if column.on_delete is OnDelete.CASCADE:
        before_delete(organisation, other, child, deleting)
        remove(organisation, other, child)
        return
    emptied: Values = {column.name: None}
    if column.is_polymorphic:
        emptied[column.type_column] = None
    overwrite(organisation, other, child, emptied)


def _forget(organisation: Organisation, intersect: Table, column: str, row_id: str) -> None:
    key = quote(intersect.primary_id)
    query = f"SELECT {key} FROM {quote(intersect.name)} WHERE {quote(column)} = ?"
    for (member,) in organisation.database.connection.execute(query, (row_id,)).fetchall():
        remove(organisation, intersect, str(member))
