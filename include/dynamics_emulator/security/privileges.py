"""What may be done to rows, how far a privilege reaches, and the names of privileges."""

from enum import IntEnum, StrEnum

from dynamics_emulator.schema.model import Table


class Right(StrEnum):
    """What a privilege allows on the rows of a table."""

    READ = "Read"
    CREATE = "Create"
    WRITE = "Write"
    DELETE = "Delete"
    APPEND = "Append"
    APPEND_TO = "AppendTo"
    ASSIGN = "Assign"
    SHARE = "Share"


class Depth(IntEnum):
    """How far a privilege reaches; the numbers are those of ``privilegedepthmask``."""

    BASIC = 1
    """Rows that the user, or the team that holds the role, owns."""
    LOCAL = 2
    """Rows of the business unit."""
    DEEP = 4
    """Rows of the business unit and those below it."""
    GLOBAL = 8
    """All rows."""


ACCESS_MASKS = {
    Right.READ: 1,
    Right.WRITE: 2,
    Right.APPEND: 4,
    Right.APPEND_TO: 16,
    Right.CREATE: 32,
    Right.DELETE: 65536,
    Right.SHARE: 262144,
    Right.ASSIGN: 524288,
}
"""``accessright`` of a privilege row."""

ACT_ON_BEHALF = "prvActOnBehalfOfAnotherUser"
BYPASS_PLUGINS = "prvBypassCustomPlugins"
BYPASS_BUSINESS_LOGIC = "prvBypassCustomBusinessLogic"
MERGE = "prvMerge"
BULK_DELETE = "prvBulkDelete"
SPECIAL_PRIVILEGES = (ACT_ON_BEHALF, BYPASS_PLUGINS, BYPASS_BUSINESS_LOGIC, MERGE, BULK_DELETE)
"""Privileges that belong to no table; they are held globally or not at all."""


def privilege_name(table: Table, right: Right) -> str:
    """The privilege that a right on a table needs, such as ``prvReadLead``; all activities share theirs."""
    if table.activity:
        return f"prv{right}Activity"
    return f"prv{right}{'User' if table.name == 'systemuser' else table.schema_name}"
