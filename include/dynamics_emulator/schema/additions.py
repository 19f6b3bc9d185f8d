"""Corrections to the shipped column list."""

from dataclasses import replace

from dynamics_emulator.schema.declared import amend_deletion
from dynamics_emulator.schema.model import Column, ColumnType, OnDelete

_CONNECTABLE = ("opportunity", "lead", "campaign")
"""Tables that the shipped list forgets as ends of a connection."""


def amend(table: str, column: Column) -> Column:
    """Correct one column of the shipped list."""
    if table == "connection" and column.name in ("record1id", "record2id"):
        missing = tuple(name for name in _CONNECTABLE if name not in column.targets)
        names = tuple(f"{column.name}_{name}" for name in missing)
        column = replace(column, targets=column.targets + missing, navigation=column.navigation + names)
    if table == "connection" and column.name in ("owninguser", "owningteam"):
        target = column.name.removeprefix("owning").replace("user", "systemuser")
        return replace(column, type=ColumnType.LOOKUP, targets=(target,), navigation=(column.name,))
    if table == "teammembership" and column.is_lookup:
        return replace(column, type=ColumnType.UNIQUEIDENTIFIER, targets=(), navigation=())
    if column.name == "versionnumber":
        return replace(column, required="None", creatable=False, updatable=False)
    if column.type is ColumnType.OWNER or (column.is_lookup and column.name == "transactioncurrencyid"):
        return replace(column, on_delete=OnDelete.RESTRICT)
    return amend_deletion(table, column)
