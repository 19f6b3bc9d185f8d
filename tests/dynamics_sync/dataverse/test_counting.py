"""Rows are counted as far as Dynamics counts, and a count that did not come is never taken for none."""

from typing import Any

import pytest

from dynamics_emulator.testing import running_emulator
from dynamics_sync import errors
from dynamics_sync.dataverse.auth import Credentials
from dynamics_sync.dataverse.client import DataverseClient, open_client
from dynamics_sync.dataverse.counting import count_rows


def client_of(dynamics: Any) -> DataverseClient:
    credentials = Credentials(
        tenant_id=dynamics.tenant_id,
        client_id=dynamics.client_id,
        client_secret=dynamics.client_secret,
        authority=dynamics.authority,
        ca_file=str(dynamics.ca_file),
    )
    return open_client(credentials, dynamics.url, attempts=1)


def test_each_condition_is_counted_and_too_many_rows_are_not() -> None:
    with running_emulator(rows=300, aggregate_limit=30) as dynamics:
        client = client_of(dynamics)
        leads = client.get_json("leads?$select=createdon&$orderby=createdon")["value"]
        conditions = [
            f"createdon lt {leads[10]['createdon']}",
            f"createdon ge {leads[0]['createdon']}",
            "createdon lt 1999-01-01T00:00:00Z",
            f"(createdon lt {leads[10]['createdon']} or createdon eq null)",
        ]
        before = sum(row["createdon"] < leads[10]["createdon"] for row in leads)
        assert len(leads) > 30
        assert count_rows(client, "leads", conditions) == [before, None, 0, before]


def test_a_refused_count_is_no_count() -> None:
    with running_emulator(rows=300) as dynamics:
        client = client_of(dynamics)
        with pytest.raises(errors.SyncError):
            count_rows(client, "leads", ["nonsense eq 1"])
        dynamics.control.add_fault("status-500", match="$batch")
        with pytest.raises(errors.ServiceUnavailable):
            count_rows(client, "leads", ["createdon lt 1999-01-01T00:00:00Z"])
