"""What no change of a schema takes away, because the platform itself needs it."""

from dynamics_emulator.schema.described import is_custom
from dynamics_emulator.schema.model import ColumnType, Table

_PLATFORM = frozenset(
    {
        "asyncoperation",
        "bulkdeleteoperation",
        "businessunit",
        "duplicaterule",
        "duplicaterulecondition",
        "organization",
        "privilege",
        "role",
        "roleprivileges",
        "sdkmessage",
        "sdkmessagefilter",
        "systemuser",
        "systemuserroles",
        "team",
        "teammembership",
        "teamroles",
        "transactioncurrency",
    }
)
"""Tables that answer who may do what, and how: of these only custom columns can go."""
_STATES = (ColumnType.STATE, ColumnType.STATUS)


def require_own_table(table: Table) -> None:
    """Raise ValueError for a table that is not custom: Dataverse deletes none of its own."""
    if not is_custom(table.name):
        message = f"{table.name} belongs to the platform and stays"
        raise ValueError(message)


def require_free_column(table: Table, name: str) -> None:
    """Raise ValueError for a column without which rows are not told apart, versioned or closed; KeyError for none."""
    is_vital = name in (table.primary_id, "versionnumber") or table.columns[name].type in _STATES
    if is_vital or (table.name in _PLATFORM and not is_custom(name)):
        message = f"{table.name}.{name} belongs to the platform and stays"
        raise ValueError(message)
