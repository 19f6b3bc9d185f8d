"""Changes that administrators make to a schema: they show at once, or when published, and survive a restart."""

from pathlib import Path
from typing import Any

import pytest

from dynamics_emulator.schema.source import default_schema
from dynamics_emulator.storage.database import Database
from dynamics_emulator.testing import running_emulator
from dynamics_emulator.testing_client import Client, connect

LEAD = "EntityDefinitions(LogicalName='lead')"
CRM = "Microsoft.Dynamics.CRM"
ALL_ANNOTATIONS = 'odata.include-annotations="*"'
LABEL = "@OData.Community.Display.V1.FormattedValue"


def _columns(client: Client, table: str = "lead") -> dict[str, dict[str, Any]]:
    rows = client.rows(f"EntityDefinitions(LogicalName='{table}')/Attributes")
    return {row["LogicalName"]: row for row in rows}


@pytest.mark.parametrize(
    ("kind", "facts", "written", "read"),
    [
        ("String", {"length": 20}, "note", "note"),
        ("Memo", {"length": 4000}, "long\nnote", "long\nnote"),
        ("Integer", {"min": 0, "max": 10}, 7, 7),
        ("Decimal", {"min": 0, "max": 10, "precision": 2}, 7.25, 7.25),
        ("Double", {"min": 0, "max": 10, "precision": 2}, 7.5, 7.5),
        ("Boolean", {}, True, True),
        ("DateTime", {}, "2026-03-01T08:15:00Z", "2026-03-01T08:15:00Z"),
        ("DateTime", {"behavior": "DateOnly", "format": "DateOnly"}, "2026-03-01", "2026-03-01"),
        ("Picklist", {"options": {"1": "One"}}, 1, 1),
        ("MultiSelectPicklist", {"options": {"1": "One", "2": "Two"}}, "1,2", "1,2"),
        ("Uniqueidentifier", {}, "6a1f0d5e-0b1f-4b7e-9a57-6f0a4d1c2e90", "6a1f0d5e-0b1f-4b7e-9a57-6f0a4d1c2e90"),
    ],
)
def test_added_column_can_be_written_and_read(
    client: Client, kind: str, facts: dict[str, Any], written: object, read: object
) -> None:
    old = client.create("leads", lastname="before")
    client.emulator.control.add_column("lead", "acme_new", kind, **facts)
    new = client.create("leads", lastname="after", acme_new=written)

    assert _columns(client)["acme_new"]["AttributeTypeName"] == {"Value": f"{kind}Type"}
    assert client.get(f"{new}?$select=acme_new").json()["acme_new"] == read
    assert client.get(f"{old}?$select=acme_new").json()["acme_new"] is None
    assert client.get("$metadata").text.count('Name="acme_new"') == 1


def test_added_lookup_brings_its_navigation_properties(client: Client) -> None:
    client.emulator.control.add_column(
        "lead", "acme_homeid", "Lookup", targets=["account"], navigation=["acme_HomeId"], display="Home"
    )
    account = client.create("accounts", name="Acme")
    lead = client.create("leads", lastname="x", **{"acme_HomeId@odata.bind": account})

    row = client.get(f"{lead}?$select=lastname&$expand=acme_HomeId($select=name)").json()
    children = client.rows(f"{account}/account_lead_acme_homeid?$select=lastname")
    assert row["acme_HomeId"]["name"] == "Acme"
    assert [child["lastname"] for child in children] == ["x"]


def test_unpublished_column_exists_for_nobody(client: Client) -> None:
    control = client.emulator.control
    control.add_column("lead", "acme_new", "String", published=False)
    message = f"Could not find a property named 'acme_new' on type '{CRM}.lead'."

    before = client.get("leads?$select=acme_new")
    assert (before.status_code, before.json()["error"]["message"]) == (400, message)
    assert client.call("POST", "leads", json={"lastname": "x", "acme_new": "y"}).status_code == 400
    assert "acme_new" not in _columns(client)
    assert "acme_new" not in client.get("$metadata").text

    assert client.call("POST", "PublishAllXml").status_code == 204
    client.create("leads", lastname="x", acme_new="y")
    assert client.rows("leads?$select=acme_new")[0]["acme_new"] == "y"
    assert "acme_new" in client.get("$metadata").text
    assert control.publish() == 0


def test_dropped_and_renamed_columns(client: Client) -> None:
    client.create("leads", lastname="x", companyname="Acme", fax="1")
    client.emulator.control.drop_column("lead", "fax")
    client.emulator.control.rename_column("lead", "companyname", "employer")

    assert {"employer"} <= set(_columns(client))
    assert not {"fax", "companyname"} & set(_columns(client))
    assert client.get("leads?$select=fax").status_code == 400
    assert client.rows("leads?$select=employer")[0]["employer"] == "Acme"


def test_column_made_anew_is_empty(client: Client) -> None:
    client.create("leads", lastname="x", fax="1")
    client.emulator.control.drop_column("lead", "fax")
    client.emulator.control.add_column("lead", "fax", "String", length=10)

    assert client.rows("leads?$select=fax")[0]["fax"] is None


@pytest.mark.parametrize("column", ["fax", "acme_extid", "parentaccountid"])
def test_retyped_column_is_empty_and_takes_its_new_type(client: Client, column: str) -> None:
    client.create("leads", lastname="x", fax="1", acme_extid="M-1")
    client.emulator.control.retype_column("lead", column, "Integer", min=0, max=99)
    client.create("leads", lastname="y", **{column: 5})

    rows = client.rows(f"leads?$select=lastname,{column}&$orderby=lastname")
    assert [row[column] for row in rows] == [None, 5]
    assert _columns(client)[column]["AttributeType"] == "Integer"


def test_lengths_and_required_levels(client: Client) -> None:
    control = client.emulator.control
    control.shorten_column("lead", "subject", 10)
    control.lengthen_column("lead", "firstname", 450)
    control.require_column("lead", "jobtitle")
    control.rename_display("lead", "jobtitle", "Function")

    assert client.error("POST", "leads", json={"subject": "longer than ten"}) == (400, "0x80044331")
    client.create("leads", lastname="x", firstname="y" * 450)
    column = _columns(client)["jobtitle"]
    assert column["RequiredLevel"]["Value"] == "ApplicationRequired"
    assert column["DisplayName"]["UserLocalizedLabel"]["Label"] == "Function"


def test_options(client: Client) -> None:
    control = client.emulator.control
    client.create("leads", lastname="x", leadsourcecode=8)
    control.remove_option("lead", "leadsourcecode", 8)
    control.relabel_option("lead", "leadsourcecode", 9, "Hearsay")
    control.add_option("lead", "leadsourcecode", 804240000, "Webinar")
    control.add_option("lead", "statuscode", 804240004, "Nurturing", state=0)

    assert client.error("POST", "leads", json={"leadsourcecode": 8}) == (400, "0x8004431a")
    client.create("leads", lastname="y", leadsourcecode=9)
    client.create("leads", lastname="z", leadsourcecode=804240000, statecode=0, statuscode=804240004)
    rows = client.rows("leads?$select=leadsourcecode,statuscode&$orderby=lastname", prefer=ALL_ANNOTATIONS)
    assert [row.get(f"leadsourcecode{LABEL}") for row in rows[1:]] == ["Hearsay", "Webinar"]
    # The old row keeps its value, whose label nobody knows any more.
    assert rows[0]["leadsourcecode"] == 8
    assert rows[2][f"statuscode{LABEL}"] == "Nurturing"


def test_replaced_options(client: Client) -> None:
    client.emulator.control.replace_options("lead", "industrycode", {100: "Farming", 101: "Fishing"})

    path = f"{LEAD}/Attributes(LogicalName='industrycode')/{CRM}.PicklistAttributeMetadata?$expand=OptionSet"
    options = client.get(path).json()["OptionSet"]["Options"]
    assert [option["Value"] for option in options] == [100, 101]
    assert client.error("POST", "leads", json={"industrycode": 1}) == (400, "0x8004431a")


def test_added_and_dropped_table(client: Client) -> None:
    control = client.emulator.control
    control.add_table(
        "fab_plan",
        set_name="fab_planset",
        schema_name="fab_Plan",
        display="Plan",
        plural="Plans",
        primary_name="fab_name",
        ownership="UserOwned",
        parts=["stamps", "owner", "state"],
        columns=[
            {"name": "fab_name", "type": "String", "length": 50},
            {"name": "fab_contactid", "type": "Lookup", "targets": ["contact"], "navigation": ["fab_ContactId"]},
        ],
    )
    contact = client.create("contacts", lastname="x")
    client.create("fab_planset", fab_name="first", **{"fab_ContactId@odata.bind": contact})

    [row] = client.rows("fab_planset?$select=fab_name&$expand=fab_ContactId($select=lastname)")
    assert row["fab_ContactId"]["lastname"] == "x"
    assert client.get("EntityDefinitions(LogicalName='fab_plan')?$select=EntitySetName").ok
    control.drop_table("fab_plan")
    assert client.get("fab_planset").status_code == 404
    assert "fab_planset" not in client.get("").text


def test_keys_and_the_state_of_their_index(client: Client) -> None:
    control = client.emulator.control
    control.add_key("lead", "acme_mail_key", ["emailaddress1"], status="Pending")
    path = f"{LEAD}/Keys?$select=LogicalName&$filter=EntityKeyIndexStatus eq {CRM}.EntityKeyIndexStatus'Active'"

    assert [row["LogicalName"] for row in client.rows(path)] == ["acme_extid_key"]
    control.set_key_status("lead", "acme_mail_key", "Active")
    control.set_key_status("lead", "acme_extid_key", "Failed")
    assert [row["LogicalName"] for row in client.rows(path)] == ["acme_mail_key"]
    control.remove_key("lead", "acme_mail_key")
    assert client.rows(path) == []


def test_dropped_and_renamed_columns_of_a_key(client: Client) -> None:
    control = client.emulator.control
    control.rename_column("acme_event", "acme_code", "acme_sign")
    control.drop_column("lead", "acme_extid")

    [key] = client.rows("EntityDefinitions(LogicalName='acme_event')/Keys")
    assert key["KeyAttributes"] == ["acme_sign", "acme_edition"]
    assert client.rows(f"{LEAD}/Keys") == []


@pytest.mark.parametrize("expires", [False, True])
def test_whether_a_change_expires_delta_tokens_is_a_setting(client: Client, expires: bool) -> None:
    client.emulator.control.change_settings(metadata_change_expires_tokens=expires)
    tracked = {name: client.get(name, prefer="odata.track-changes").json() for name in ("leads", "contacts")}

    client.emulator.control.add_column("lead", "acme_new", "String")

    answers = {name: client.get(body["@odata.deltaLink"]) for name, body in tracked.items()}
    assert answers["contacts"].ok
    assert answers["leads"].ok is not expires
    if expires:
        assert answers["leads"].json()["error"]["code"] == "0x80044352"


def test_tracking_switched_off(client: Client) -> None:
    client.emulator.control.set_tracking("lead", enabled=False)

    assert client.error("GET", "leads", prefer="odata.track-changes") == (400, "0x80072491")
    assert client.get(f"{LEAD}?$select=ChangeTrackingEnabled").json()["ChangeTrackingEnabled"] is False


def test_changes_survive_a_restart(tmp_path: Path) -> None:
    with running_emulator(tmp_path) as emulator:
        control = emulator.control
        control.add_column("lead", "acme_new", "String", length=30)
        control.rename_column("lead", "companyname", "employer")
        control.drop_column("lead", "fax")
        control.add_column("lead", "acme_later", "String", published=False)
        client = connect(emulator)
        client.create("leads", lastname="x", acme_new="kept", employer="Acme")
        client.session.close()
    with running_emulator(tmp_path) as emulator:
        client = connect(emulator)
        [row] = client.rows("leads?$select=acme_new,employer")
        names = set(_columns(client))
        waiting = emulator.control.publish()
        client.session.close()

    assert (row["acme_new"], row["employer"]) == ("kept", "Acme")
    assert not {"fax", "companyname", "acme_later"} & names
    assert waiting == 1


def test_organisation_of_an_older_version_gets_what_it_lacks(tmp_path: Path) -> None:
    with running_emulator(tmp_path) as emulator:
        client = connect(emulator)
        client.create("leads", lastname="x")
        client.session.close()
    database = Database(tmp_path / "organisation.sqlite")
    with database.transaction() as connection:
        for name in database.indexes_on("lead", "acme_extid"):
            connection.execute(f'DROP INDEX "{name}"')
        connection.execute('ALTER TABLE "lead" DROP COLUMN "acme_extid"')
        connection.execute('DROP TABLE "acme_interest_contact"')
        connection.execute("DELETE FROM _state WHERE key = 'profile'")
    database.close()

    with running_emulator(tmp_path) as emulator:
        client = connect(emulator)
        [row] = client.rows("leads?$select=lastname,acme_extid")
        crossings = client.rows("acme_interest_contactset")
        client.session.close()
    assert (row["lastname"], row["acme_extid"], crossings) == ("x", None, [])


def test_senseless_changes_change_nothing(client: Client) -> None:
    control = client.emulator.control
    before = client.emulator.organisation.schema

    with pytest.raises(ValueError, match="has a column lastname"):
        control.add_column("lead", "lastname", "String")
    with pytest.raises(ValueError, match="has a column subject"):
        control.rename_column("lead", "lastname", "subject")
    with pytest.raises(ValueError, match="is a lookup"):
        control.rename_column("lead", "parentaccountid", "home")
    with pytest.raises(ValueError, match="Colour"):
        control.add_column("lead", "acme_new", "Colour")
    with pytest.raises(ValueError, match="belongs to a state"):
        control.add_option("lead", "statuscode", 99, "Nowhere")
    with pytest.raises(KeyError):
        control.drop_column("lead", "nothing")
    with pytest.raises(KeyError):
        control.set_key_status("lead", "nothing", "Active")
    for table in ("systemuser", "account"):
        with pytest.raises(ValueError, match="belongs to the platform"):
            control.drop_table(table)
    with pytest.raises(ValueError, match="belongs to the platform"):
        control.drop_column("lead", "leadid", published=False)
    assert control.publish() == 0
    assert client.emulator.organisation.schema is before
    assert set(_columns(client)) >= set(default_schema().table("lead").columns)
