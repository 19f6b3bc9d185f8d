"""What a caller may do."""

from dynamics_emulator.api.messages import Caller
from dynamics_emulator.errors import privilege_missing
from dynamics_emulator.organisation import Organisation
from dynamics_emulator.schema.model import Table


def require_read(organisation: Organisation, table: Table, caller: Caller) -> None:
    """Refuse a caller without global read on the table (403, 0x80040220)."""
    if table.name in organisation.unreadable:
        raise privilege_missing(caller.user_id, f"prvRead{table.schema_name}", table.name)
