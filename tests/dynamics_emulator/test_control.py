"""The control in this process: identity, privileges and raw writes."""

from typing import Any

import pytest

from dynamics_emulator.settings import undocumented_settings
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


def _leads(client: Client, *names: str) -> list[str]:
    return [client.create("leads", lastname=name) for name in names]


def test_refresh_brings_another_moment_with_its_versions(client: Client) -> None:
    kept, gone = _leads(client, "Kept", "Gone later")
    client.emulator.control.keep_moment()
    before, version = _identity(client), client.emulator.database.current_version()
    client.call("PATCH", kept, json={"lastname": "Edited later"})
    client.call("DELETE", gone)
    _leads(client, "Made later")
    link = client.get("leads?$select=lastname", prefer="odata.track-changes").json()["@odata.deltaLink"]

    changed = client.emulator.control.refresh_environment()

    after = _identity(client)
    assert {row["lastname"] for row in client.rows("leads")} == {"Kept", "Gone later"}
    assert changed == ["organization_id", "unique_name"]
    assert {name for name in before if before[name] != after[name]} == {"OrganizationId", "UniqueName"}
    assert client.emulator.database.current_version() == version
    # The token is of a later moment than the newest row, and nothing tells its bearer so.
    assert client.get(link).json()["value"] == []
    assert _leads(client, "After the refresh")


def test_refresh_brings_the_schema_and_the_rights_of_its_moment(client: Client) -> None:
    control = client.emulator.control
    control.add_column("lead", "acme_shoe", "String", length=20)
    client.create("leads", lastname="x", acme_shoe="brown")
    control.keep_moment()
    control.rename_column("lead", "acme_shoe", "acme_boot")
    control.drop_column("lead", "fax")
    control.set_read("contact", allowed=False)

    control.refresh_environment()

    assert client.rows("leads?$select=acme_shoe,fax")[0]["acme_shoe"] == "brown"
    assert client.error("GET", "leads?$select=acme_boot")[0] == 400
    assert client.get("contacts").status_code == 200


def test_refresh_closes_the_environment_for_a_while(client: Client) -> None:
    control = client.emulator.control
    control.keep_moment()
    control.change_settings(administration_mode_status=500)

    control.refresh_environment(closed_seconds=60)

    assert client.error("GET", "leads") == (500, "0x8006088a")
    control.advance_clock(61)
    assert client.get("leads").status_code == 200


@pytest.mark.parametrize("parts", undocumented_settings()["refresh_changes"])
def test_refresh_changes_what_the_setting_names(client: Client, parts: list[str]) -> None:
    names = {
        "organization_id": "OrganizationId",
        "environment_id": "EnvironmentId",
        "unique_name": "UniqueName",
        "url_name": "UrlName",
    }
    client.emulator.control.keep_moment()
    client.emulator.control.change_settings(refresh_changes=parts)
    before = _identity(client)

    client.emulator.control.refresh_environment()

    after = _identity(client)
    assert {name for name in before if before[name] != after[name]} == {names[part] for part in parts}


def test_copy_keeps_rows_and_versions(client: Client) -> None:
    _leads(client, "Kept")
    rows, before = client.rows("leads"), _identity(client)

    changed = client.emulator.control.copy_environment()

    after = _identity(client)
    assert client.rows("leads") == rows
    assert changed == ["organization_id", "environment_id", "unique_name", "url_name"]
    assert all(before[name] != after[name] for name in ("OrganizationId", "EnvironmentId", "UniqueName", "UrlName"))
    assert before["TenantId"] == after["TenantId"]


def test_refresh_without_a_moment_does_nothing(client: Client) -> None:
    before = _identity(client)

    with pytest.raises(ValueError, match="no moment was kept"):
        client.emulator.control.refresh_environment()

    assert _identity(client) == before


def test_bulk_job_on_a_table_without_modifiedon(client: Client) -> None:
    keys = {"teammembershipid": "00000000-0000-4000-8000-000000000001", "teamid": "x", "systemuserid": "y"}
    client.emulator.control.insert_rows("teammembership", [keys])
    before = client.emulator.database.current_version()

    assert client.emulator.control.bulk_update("teammembership", 5) == 1
    assert client.emulator.control.bulk_update("lead", 5) == 0
    assert client.emulator.database.current_version() == before + 1
    with pytest.raises(KeyError):
        client.emulator.control.bulk_update("nothing", 5)
