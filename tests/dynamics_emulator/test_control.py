"""The control in this process: identity, privileges and raw writes."""

from typing import Any

import pytest

from dynamics_emulator.testing import running_emulator
from dynamics_emulator.testing_client import Client, connect


def _identity(client: Client) -> dict[str, Any]:
    path = "RetrieveCurrentOrganization(AccessType=@p1)?@p1=Microsoft.Dynamics.CRM.EndpointAccessType'Default'"
    found: dict[str, Any] = client.get(path).json()["Detail"]
    return found


def test_swapped_identity_survives_a_restart(tmp_path: Any) -> None:
    with running_emulator(tmp_path) as emulator:
        client = connect(emulator)
        before = _identity(client)
        emulator.control.swap_organization(organization_id="00000000-0000-4000-8000-0000000000ff", url_name="copy")
        after = _identity(client)
        client.session.close()
    with running_emulator(tmp_path) as emulator:
        client = connect(emulator)
        kept = _identity(client)
        client.session.close()

    assert {name for name in before if before[name] != after[name]} == {"OrganizationId", "UrlName"}
    assert kept["OrganizationId"] == after["OrganizationId"]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("leadsourcecode", 4711),
        ("lastname", "x" * 5000),
        ("mkt_lastinterestingmomentdate", "not a date"),
        ("numberofemployees", "not a number"),
        ("estimatedamount", "12.3456789"),
        ("donotemail", 7),
        ("lastname", None),
    ],
)
def test_raw_values_pass_every_check_and_show_up(client: Client, column: str, value: Any) -> None:
    address = client.create("leads", lastname="x")
    before = client.get(address).headers["ETag"]

    client.emulator.control.write_raw("lead", address[-37:-1], {column: value})

    answer = client.get(address, prefer='odata.include-annotations="*"')
    assert answer.headers["ETag"] != before
    assert answer.json()[column] == (float(value) if column == "estimatedamount" else value)


def test_raw_write_to_what_does_not_exist(client: Client) -> None:
    address = client.create("leads", lastname="x")

    with pytest.raises(KeyError):
        client.emulator.control.write_raw("lead", "nothing", {"lastname": "y"})
    with pytest.raises(KeyError):
        client.emulator.control.write_raw("lead", address[-37:-1], {"nothing": "y"})


def test_many_rows_inserted_and_deleted_behind_the_api(client: Client) -> None:
    keys = [f"00000000-0000-4000-8000-{number:012d}" for number in range(300)]
    link = client.get("leads?$select=lastname", prefer="odata.track-changes").json()["@odata.deltaLink"]

    client.emulator.control.insert_rows("lead", [{"leadid": key, "lastname": key[-3:]} for key in keys])
    client.emulator.control.delete_rows("lead", keys[:100])

    entries = client.rows(link)
    assert [row["lastname"] for row in entries[:200]] == [key[-3:] for key in keys[100:]]
    assert [row["id"] for row in entries[200:]] == keys[:100]
    assert client.rows("leads?$top=1")[0]["donotemail"] is False


def test_settings_are_checked(client: Client) -> None:
    with pytest.raises(ValueError, match="page_size"):
        client.emulator.control.change_settings(page_size=0)
    with pytest.raises(ValueError, match="nothing"):
        client.emulator.control.change_settings(nothing=1)

    assert client.emulator.organisation.settings.page_size == 5000
