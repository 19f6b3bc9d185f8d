"""Actions by name: unbound ones, and those that are bound to a row."""

from collections.abc import Callable

from dynamics_emulator.api.closing import lose_opportunity, win_opportunity
from dynamics_emulator.api.jobs import bulk_delete
from dynamics_emulator.api.merge_rows import merge
from dynamics_emulator.api.messages import ApiRequest, ApiResponse
from dynamics_emulator.api.metadata_changes import publish_all
from dynamics_emulator.api.qualify import qualify_lead
from dynamics_emulator.organisation import Organisation
from dynamics_emulator.schema.model import Table

UNBOUND: dict[str, Callable[[Organisation, ApiRequest], ApiResponse]] = {
    "BulkDelete": bulk_delete,
    "LoseOpportunity": lose_opportunity,
    "Merge": merge,
    "PublishAllXml": publish_all,
    "PublishXml": publish_all,
    "WinOpportunity": win_opportunity,
}

BOUND: dict[tuple[str, str], Callable[[Organisation, ApiRequest, Table, str], ApiResponse]] = {
    ("lead", "QualifyLead"): qualify_lead,
}
"""By table and name, without the namespace that stands before it in the path."""
