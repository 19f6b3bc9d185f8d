"""What docs/operations.md tells a person to do has the effect that it says."""

from typing import Any

import pytest

from dynamics_sync.catalogue import load_catalogue
from dynamics_sync.errors import EnvironmentChanged
from dynamics_sync.store.schema import ensure_tables


def test_an_intended_move_with_lower_versions_leaves_no_old_value(papers: Any, sync: Any) -> None:
    lead = load_catalogue().entity("lead")
    for entity in load_catalogue().entities:
        ensure_tables(sync.open_database(), entity)
    record = sync.create("leads", lastname="Held with a high version")
    sync.run(lead)
    sync.dynamics.control.write_raw("lead", record, {"lastname": "As in the copy"})
    # The organisation that the rows came from had counted further than this one.
    sync.sql("UPDATE lead_base SET crm_version = crm_version + 1000000")
    sync.dynamics.control.swap_organization(organization_id="0a0a0a0a-0000-4000-8000-00000000beef")
    with pytest.raises(EnvironmentChanged):
        sync.run(lead)
    (steps,) = [block for block in papers["docs/operations.md"].blocks("sql") if "sync_environment" in block]
    for statement in steps.split(";")[:-1]:
        sync.sql(statement)
    sync.variables.clear()
    sync.run(lead)
    assert [row["last_name"] for row in sync.rows(lead, order="lead_id")] == ["As in the copy"]
    assert [row["organization_id"] for row in sync.sql("SELECT * FROM sync_environment")] == [
        "0a0a0a0a-0000-4000-8000-00000000beef"
    ]
