"""Metadata: both key forms, casts, expansions, filters, shadows."""

from typing import Any

import pytest

from dynamics_emulator.schema.source import default_schema
from dynamics_emulator.testing_client import Client

LEAD = "EntityDefinitions(LogicalName='lead')"
CRM = "Microsoft.Dynamics.CRM"
CASTS = [
    "String",
    "Memo",
    "Picklist",
    "State",
    "Status",
    "Boolean",
    "DateTime",
    "Lookup",
    "Money",
    "Decimal",
    "Double",
    "Integer",
    "BigInt",
    "UniqueIdentifier",
]


def _named(rows: list[dict[str, Any]], name: str) -> dict[str, Any]:
    [row] = [row for row in rows if row["LogicalName"] == name]
    return row


def test_list_is_not_paged_and_always_shows_the_id(client: Client) -> None:
    rows = client.rows("EntityDefinitions?$select=LogicalName,EntitySetName", prefer="odata.maxpagesize=2")

    assert len(rows) == len(default_schema().tables)
    assert set(rows[0]) == {"LogicalName", "EntitySetName", "MetadataId"}


def test_both_key_forms(client: Client) -> None:
    by_name = client.get(f"{LEAD}?$select=EntitySetName").json()
    by_id = client.get(f"EntityDefinitions({by_name['MetadataId']})?$select=EntitySetName").json()

    assert by_id["EntitySetName"] == by_name["EntitySetName"] == "leads"
    assert client.get("EntityDefinitions(LogicalName='nothing')").status_code == 404


def test_tracking_flags(client: Client) -> None:
    rows = client.rows("EntityDefinitions?$select=LogicalName,ChangeTrackingEnabled,CanChangeTrackingBeEnabled")

    off = {row["LogicalName"] for row in rows if not row["ChangeTrackingEnabled"]}
    assert off == {"connection", "teammembership", "organization"}
    assert _named(rows, "lead")["CanChangeTrackingBeEnabled"]["Value"] is True


def test_expanded_attributes_and_keys(client: Client) -> None:
    body = client.get(f"{LEAD}?$select=LogicalName&$expand=Attributes($select=LogicalName,AttributeType),Keys").json()

    assert body["Keys"] == []
    assert _named(body["Attributes"], "leadsourcecode")["AttributeType"] == "Picklist"


@pytest.mark.parametrize("kind", CASTS)
def test_casts_hold_exactly_the_columns_of_their_type(client: Client, kind: str) -> None:
    columns = default_schema().table("lead").columns.values()
    lookups = {"Lookup", "Owner", "Customer"}
    expected = {
        column.name
        for column in columns
        if column.type.lower() == kind.lower() or (kind == "Lookup" and column.type in lookups)
    }

    path = f"{LEAD}/Attributes/{CRM}.{kind}AttributeMetadata?$select=LogicalName&$filter=AttributeOf eq null"

    assert {row["LogicalName"] for row in client.rows(path)} == expected


def test_options_of_a_picklist(client: Client) -> None:
    path = f"{LEAD}/Attributes/{CRM}.PicklistAttributeMetadata?$select=LogicalName&$expand=OptionSet,GlobalOptionSet"

    source = _named(client.rows(path), "leadsourcecode")

    labels = {
        option["Value"]: option["Label"]["UserLocalizedLabel"]["Label"] for option in source["OptionSet"]["Options"]
    }
    assert labels[8] == "Web"
    assert source["GlobalOptionSet"] is None


def test_status_options_carry_their_state(client: Client) -> None:
    path = (
        f"{LEAD}/Attributes(LogicalName='statuscode')/{CRM}.StatusAttributeMetadata?$expand=OptionSet($select=Options)"
    )

    options = client.get(path).json()["OptionSet"]["Options"]

    assert {option["Value"]: option["State"] for option in options} == {1: 0, 2: 0, 3: 1, 4: 2, 5: 2, 6: 2, 7: 2}


def test_boolean_options(client: Client) -> None:
    path = f"{LEAD}/Attributes/{CRM}.BooleanAttributeMetadata?$select=LogicalName&$expand=OptionSet"

    option_set = _named(client.rows(path), "donotemail")["OptionSet"]

    assert (option_set["TrueOption"]["Value"], option_set["FalseOption"]["Value"]) == (1, 0)


def test_own_properties_need_a_cast(client: Client) -> None:
    plain = client.get(f"{LEAD}/Attributes?$select=LogicalName,MaxLength")
    cast = client.rows(f"{LEAD}/Attributes/{CRM}.StringAttributeMetadata?$select=LogicalName,MaxLength")

    assert plain.json()["error"]["message"] == (
        "Could not find a property named 'MaxLength' on type 'Microsoft.Dynamics.CRM.AttributeMetadata'."
    )
    assert _named(cast, "lastname")["MaxLength"] == 50
    assert client.get(f"{LEAD}/Attributes/{CRM}.EnumAttributeMetadata").status_code == 404


def test_date_behaviour(client: Client) -> None:
    path = f"{LEAD}/Attributes/{CRM}.DateTimeAttributeMetadata?$select=LogicalName,DateTimeBehavior,Format"

    rows = client.rows(path)

    assert _named(rows, "estimatedclosedate")["DateTimeBehavior"] == {"Value": "DateOnly"}
    created = _named(rows, "createdon")
    assert (created["Format"], created["DateTimeBehavior"]) == ("DateOnly", {"Value": "UserLocal"})


def test_shadow_columns_exist_in_metadata_only(client: Client) -> None:
    rows = client.rows(f"{LEAD}/Attributes?$select=LogicalName,AttributeOf,IsValidODataAttribute")

    shadow = _named(rows, "owneridname")
    assert (shadow["AttributeOf"], shadow["IsValidODataAttribute"]) == ("ownerid", False)
    assert client.get("leads?$select=owneridname").status_code == 400


def test_filters(client: Client) -> None:
    picklists = client.rows(
        f"{LEAD}/Attributes?$select=LogicalName&$filter=AttributeType eq {CRM}.AttributeTypeCode'Picklist'"
    )
    found = client.rows("EntityDefinitions?$select=EntitySetName&$filter=LogicalName eq 'opportunity'")
    trackable = client.rows("EntityDefinitions?$select=LogicalName&$filter=CanChangeTrackingBeEnabled/Value eq false")

    assert "leadsourcecode" in {row["LogicalName"] for row in picklists}
    assert [row["EntitySetName"] for row in found] == ["opportunities"]
    assert [row["LogicalName"] for row in trackable] == ["teammembership"]


def test_navigation_properties_cannot_be_guessed(client: Client) -> None:
    path = (
        f"RelationshipDefinitions/{CRM}.OneToManyRelationshipMetadata?"
        "$select=ReferencingAttribute,ReferencingEntityNavigationPropertyName,ReferencedEntity"
        "&$filter=ReferencingEntity eq '{}'"
    )

    leads = client.rows(path.replace("{}", "lead"))
    custom = client.rows(path.replace("{}", "acme_eventattendance"))

    by_column = {(row["ReferencingAttribute"], row["ReferencedEntity"]): row for row in [*leads, *custom]}
    name = "ReferencingEntityNavigationPropertyName"
    assert by_column["slaid", "sla"][name] == "sla_lead_sla"
    assert by_column["customerid", "contact"][name] == "customerid_contact"
    assert by_column["acme_contactid", "contact"][name] == "acme_ContactId"
    refused = "RelationshipDefinitions?$filter=startswith(SchemaName,'lead')"
    assert client.error("GET", refused) == (400, "0x80060888")


def test_many_to_many(client: Client) -> None:
    [row] = client.rows(f"RelationshipDefinitions/{CRM}.ManyToManyRelationshipMetadata")

    assert row["IntersectEntityName"] == "teammembership"


def test_global_option_sets(client: Client) -> None:
    [found] = client.rows("GlobalOptionSetDefinitions")
    body = client.get("GlobalOptionSetDefinitions(Name='acme_attendancestatus')").json()

    assert body["Name"] == found["Name"]
    assert [option["Value"] for option in body["Options"]] == [100000000, 100000001, 100000002]


def test_schema_changes_show_at_once_and_survive(client: Client) -> None:
    control = client.emulator.control
    control.drop_column("lead", "fax")
    control.rename_column("lead", "companyname", "employer")
    control.shorten_column("lead", "subject", 10)
    control.remove_option("lead", "leadsourcecode", 8)
    control.relabel_option("lead", "leadsourcecode", 9, "Hearsay")

    names = {row["LogicalName"] for row in client.rows(f"{LEAD}/Attributes?$select=LogicalName")}
    assert "fax" not in names
    assert {"employer"} <= names
    assert client.get("leads?$select=fax").status_code == 400
    assert client.error("POST", "leads", json={"subject": "longer than ten"}) == (400, "0x80044331")
    assert client.error("POST", "leads", json={"leadsourcecode": 8}) == (400, "0x8004431a")
    client.create("leads", lastname="x", employer="Acme", leadsourcecode=9)
    [row] = client.rows("leads?$select=employer,leadsourcecode", prefer='odata.include-annotations="*"')
    assert row["employer"] == "Acme"
    assert row["leadsourcecode@OData.Community.Display.V1.FormattedValue"] == "Hearsay"


def test_csdl(client: Client) -> None:
    plain, annotated = client.get("$metadata").text, client.get("$metadata?annotations=true").text

    assert '<EntityType Name="lead"><Key><PropertyRef Name="leadid" /></Key>' in plain
    assert '<EntityType Name="systemuser"><Key><PropertyRef Name="ownerid" />' in plain
    assert "ChangeTracking" not in plain
    assert "Org.OData.Capabilities.V1.ChangeTracking" in annotated
