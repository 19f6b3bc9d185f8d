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


def test_list_is_not_paged_and_always_shows_the_id(sample: Client) -> None:
    rows = sample.rows("EntityDefinitions?$select=LogicalName,EntitySetName", prefer="odata.maxpagesize=2")

    assert len(rows) == len(default_schema().tables)
    assert set(rows[0]) == {"LogicalName", "EntitySetName", "MetadataId"}


def test_both_key_forms(sample: Client) -> None:
    by_name = sample.get(f"{LEAD}?$select=EntitySetName").json()
    by_id = sample.get(f"EntityDefinitions({by_name['MetadataId']})?$select=EntitySetName").json()

    assert by_id["EntitySetName"] == by_name["EntitySetName"] == "leads"
    assert sample.get("EntityDefinitions(LogicalName='nothing')").status_code == 404


def test_tracking_flags(sample: Client) -> None:
    rows = sample.rows("EntityDefinitions?$select=LogicalName,ChangeTrackingEnabled,CanChangeTrackingBeEnabled")

    off = {row["LogicalName"] for row in rows if not row["ChangeTrackingEnabled"]}
    assert {"connection", "teammembership", "organization", "listmember"} <= off
    assert not off & {"lead", "contact", "acme_eventattendance", "acme_event", "list"}
    assert _named(rows, "lead")["CanChangeTrackingBeEnabled"]["Value"] is True


def test_expanded_attributes(sample: Client) -> None:
    body = sample.get(
        f"{LEAD}?$select=LogicalName&$expand=Attributes($select=LogicalName;"
        f"$filter=AttributeType eq {CRM}.AttributeTypeCode'Picklist'),ManyToManyRelationships"
    ).json()

    assert "leadsourcecode" in {row["LogicalName"] for row in body["Attributes"]}
    assert "lastname" not in {row["LogicalName"] for row in body["Attributes"]}
    assert [row["SchemaName"] for row in body["ManyToManyRelationships"]] == ["listlead_association"]


def test_keys_expanded_and_listed(sample: Client) -> None:
    [expanded] = sample.get(f"{LEAD}?$select=LogicalName&$expand=Keys").json()["Keys"]
    [listed] = sample.rows("EntityDefinitions(LogicalName='acme_event')/Keys")

    shown = ("LogicalName", "KeyAttributes", "EntityKeyIndexStatus")
    assert [expanded[name] for name in shown] == ["acme_extid_key", ["acme_extid"], "Active"]
    assert listed["KeyAttributes"] == ["acme_code", "acme_edition"]
    by_id = sample.get(f"{LEAD}/Keys({expanded['MetadataId']})?$select=SchemaName").json()
    assert by_id["SchemaName"] == "acme_extid_key"


@pytest.mark.parametrize("kind", CASTS)
def test_casts_hold_exactly_the_columns_of_their_type(sample: Client, kind: str) -> None:
    columns = default_schema().table("lead").columns.values()
    lookups = {"Lookup", "Owner", "Customer"}
    expected = {
        column.name
        for column in columns
        if column.type.lower() == kind.lower() or (kind == "Lookup" and column.type in lookups)
    }

    path = f"{LEAD}/Attributes/{CRM}.{kind}AttributeMetadata?$select=LogicalName&$filter=AttributeOf eq null"

    assert {row["LogicalName"] for row in sample.rows(path)} == expected


def test_options_of_a_picklist(sample: Client) -> None:
    path = f"{LEAD}/Attributes/{CRM}.PicklistAttributeMetadata?$select=LogicalName&$expand=OptionSet,GlobalOptionSet"

    source = _named(sample.rows(path), "leadsourcecode")

    labels = {
        option["Value"]: option["Label"]["UserLocalizedLabel"]["Label"] for option in source["OptionSet"]["Options"]
    }
    assert labels[8] == "Web"
    assert source["GlobalOptionSet"] is None


def test_status_options_carry_their_state(sample: Client) -> None:
    path = (
        f"{LEAD}/Attributes(LogicalName='statuscode')/{CRM}.StatusAttributeMetadata?$expand=OptionSet($select=Options)"
    )

    options = sample.get(path).json()["OptionSet"]["Options"]

    assert {option["Value"]: option["State"] for option in options} == {1: 0, 2: 0, 3: 1, 4: 2, 5: 2, 6: 2, 7: 2}


def test_boolean_options(sample: Client) -> None:
    path = f"{LEAD}/Attributes/{CRM}.BooleanAttributeMetadata?$select=LogicalName&$expand=OptionSet"

    option_set = _named(sample.rows(path), "donotemail")["OptionSet"]

    assert (option_set["TrueOption"]["Value"], option_set["FalseOption"]["Value"]) == (1, 0)


def test_own_properties_need_a_cast(sample: Client) -> None:
    plain = sample.get(f"{LEAD}/Attributes?$select=LogicalName,MaxLength")
    cast = sample.rows(f"{LEAD}/Attributes/{CRM}.StringAttributeMetadata?$select=LogicalName,MaxLength")

    assert plain.json()["error"]["message"] == (
        "Could not find a property named 'MaxLength' on type 'Microsoft.Dynamics.CRM.AttributeMetadata'."
    )
    assert _named(cast, "lastname")["MaxLength"] == 50
    assert sample.error("GET", f"{LEAD}/Attributes?$filter=MaxLength gt 5") == (400, "0x80060888")
    assert sample.error("GET", f"{LEAD}?$expand=Attributes($select=MaxLength)") == (400, "0x80060888")
    assert sample.get(f"{LEAD}/Attributes/{CRM}.EnumAttributeMetadata").status_code == 404


def test_date_behaviour(sample: Client) -> None:
    path = f"{LEAD}/Attributes/{CRM}.DateTimeAttributeMetadata?$select=LogicalName,DateTimeBehavior,Format"

    rows = sample.rows(path)

    assert _named(rows, "estimatedclosedate")["DateTimeBehavior"] == {"Value": "DateOnly"}
    created = _named(rows, "createdon")
    assert (created["Format"], created["DateTimeBehavior"]) == ("DateOnly", {"Value": "UserLocal"})


def test_shadow_columns_exist_in_metadata_only(sample: Client) -> None:
    rows = sample.rows(f"{LEAD}/Attributes?$select=LogicalName,AttributeOf,IsValidODataAttribute")

    shadow = _named(rows, "owneridname")
    assert (shadow["AttributeOf"], shadow["IsValidODataAttribute"]) == ("ownerid", False)
    assert sample.get("leads?$select=owneridname").status_code == 400


def _names(sample: Client, path: str) -> set[str]:
    return {row["LogicalName"] for row in sample.rows(path)}


def test_filters(sample: Client) -> None:
    picklist = f"{CRM}.AttributeTypeCode'Picklist'"
    picklists = _names(sample, f"{LEAD}/Attributes?$select=LogicalName&$filter=AttributeType eq {picklist}")
    found = sample.rows("EntityDefinitions?$select=EntitySetName&$filter=LogicalName eq 'opportunity'")
    untrackable = _names(
        sample, "EntityDefinitions?$select=LogicalName&$filter=CanChangeTrackingBeEnabled/Value eq false"
    )
    required = f"RequiredLevel/Value eq {CRM}.AttributeRequiredLevel'ApplicationRequired'"
    owned = _names(
        sample, f"EntityDefinitions?$select=LogicalName&$filter=OwnershipType eq {CRM}.OwnershipTypes'UserOwned'"
    )

    assert "leadsourcecode" in picklists
    assert "lastname" not in picklists
    assert [row["EntitySetName"] for row in found] == ["opportunities"]
    assert "teammembership" in untrackable
    assert "lead" not in untrackable
    assert "lastname" in _names(sample, f"{LEAD}/Attributes?$select=LogicalName&$filter={required}")
    assert {"lead", "acme_event"} <= owned
    assert "acme_interest" not in owned
    assert {"lead"} == _names(sample, "EntityDefinitions?$filter=IsPrivate eq false and (SchemaName eq 'Lead')")


@pytest.mark.parametrize("literal", ["'Picklist'", f"{CRM}.OwnershipTypes'Picklist'"])
def test_enumerations_are_compared_with_their_own_literals(sample: Client, literal: str) -> None:
    answer = sample.get(f"{LEAD}/Attributes?$filter=AttributeType eq {literal}")

    assert answer.status_code == 400
    assert "A binary operator with incompatible types was detected." in answer.json()["error"]["message"]


def test_plain_strings_for_enumerations_can_be_allowed(client: Client) -> None:
    client.emulator.control.change_settings(metadata_enum_literals_required=False)

    assert "lastname" in _names(client, f"{LEAD}/Attributes?$filter=AttributeType eq 'String'")


@pytest.mark.parametrize(
    "path",
    [
        "RelationshipDefinitions?$filter=startswith(SchemaName,'lead')",
        "EntityDefinitions?$filter=startswith(LogicalName,'acme_')",
        f"{LEAD}/Attributes?$filter=contains(LogicalName,'name')",
    ],
)
@pytest.mark.parametrize("status", [400, 501])
def test_functions_are_refused(client: Client, path: str, status: int) -> None:
    client.emulator.control.change_settings(metadata_function_status=status)
    answer = client.get(path)

    assert (answer.status_code, answer.json()["error"]["code"]) == (status, "0x8006088a")
    assert "function isn't supported for Metadata Entities." in answer.json()["error"]["message"]


@pytest.mark.parametrize("option", ["$orderby=LogicalName", "$top=3", "$count=true"])
def test_other_query_options_are_refused(sample: Client, option: str) -> None:
    assert sample.error("GET", f"EntityDefinitions?{option}") == (400, "0x80060888")


def test_navigation_properties_cannot_be_guessed(sample: Client) -> None:
    path = (
        f"RelationshipDefinitions/{CRM}.OneToManyRelationshipMetadata?"
        "$select=ReferencingAttribute,ReferencingEntityNavigationPropertyName,ReferencedEntity"
        "&$filter=ReferencingEntity eq '{}'"
    )

    leads = sample.rows(path.replace("{}", "lead"))
    custom = sample.rows(path.replace("{}", "acme_eventattendance"))

    by_column = {(row["ReferencingAttribute"], row["ReferencedEntity"]): row for row in [*leads, *custom]}
    name = "ReferencingEntityNavigationPropertyName"
    assert by_column["slaid", "sla"][name] == "sla_lead_sla"
    assert by_column["customerid", "contact"][name] == "customerid_contact"
    assert by_column["acme_contactid", "contact"][name] == "acme_ContactId"
    uncast = "RelationshipDefinitions?$filter=ReferencingEntity eq 'lead'"
    assert sample.error("GET", uncast) == (400, "0x80060888")
    assert sample.error("GET", "RelationshipDefinitions?$select=ReferencedEntity") == (400, "0x80060888")


def test_many_to_many(sample: Client) -> None:
    rows = sample.rows(f"RelationshipDefinitions/{CRM}.ManyToManyRelationshipMetadata")

    by_name = {row["SchemaName"]: row for row in rows}
    assert by_name["teammembership_association"]["IntersectEntityName"] == "teammembership"
    assert by_name["listcontact_association"]["Entity1IntersectAttribute"] == "listid"
    assert by_name["acme_interest_contact"]["IsCustomRelationship"] is True


def test_relationship_by_its_schema_name(sample: Client) -> None:
    [found] = sample.rows("RelationshipDefinitions?$filter=SchemaName eq 'contact_customer_accounts'")
    path = f"RelationshipDefinitions({found['MetadataId']})/{CRM}.OneToManyRelationshipMetadata"
    same = sample.get(path).json()
    named = sample.get("RelationshipDefinitions(SchemaName='contact_customer_accounts')").json()

    assert found["@odata.type"] == f"#{CRM}.OneToManyRelationshipMetadata"
    assert same["ReferencedEntity"] == "account"
    assert same["CascadeConfiguration"]["Delete"] == "Cascade"
    assert named["MetadataId"] == found["MetadataId"]


def test_relationships_of_a_table(sample: Client) -> None:
    event = "EntityDefinitions(LogicalName='acme_event')"
    below = sample.rows(f"{event}/OneToManyRelationships?$select=ReferencingEntity")
    above = sample.rows(f"{event}/ManyToOneRelationships?$filter=ReferencingAttribute eq 'acme_campaignid'")

    assert [row["ReferencingEntity"] for row in below] == ["acme_eventattendance"]
    assert [row["ReferencingEntityNavigationPropertyName"] for row in above] == ["acme_CampaignId"]


def test_global_option_sets(sample: Client) -> None:
    [found] = sample.rows("GlobalOptionSetDefinitions")
    by_name = sample.get("GlobalOptionSetDefinitions(Name='acme_attendancestatus')").json()
    cast = sample.get(f"GlobalOptionSetDefinitions({found['MetadataId']})/{CRM}.OptionSetMetadata?$select=Options")

    assert by_name["Name"] == found["Name"]
    assert [option["Value"] for option in cast.json()["Options"]] == [100000000, 100000001, 100000002]
    assert sample.error("GET", "GlobalOptionSetDefinitions?$select=Options") == (400, "0x80060888")
    assert sample.error("GET", f"GlobalOptionSetDefinitions?$filter=Name eq '{found['Name']}'") == (400, "0x80060888")
    attribute = "EntityDefinitions(LogicalName='acme_eventattendance')/Attributes(LogicalName='acme_status')"
    behind = sample.get(f"{attribute}/{CRM}.PicklistAttributeMetadata/GlobalOptionSet?$select=Name").json()
    assert behind["Name"] == "acme_attendancestatus"


def test_one_attribute_names_its_type_and_can_be_cast(sample: Client) -> None:
    path = f"{LEAD}/Attributes(LogicalName='lastname')"
    plain = sample.get(f"{path}?$select=MetadataId,SchemaName").json()
    by_id = sample.get(f"{LEAD}/Attributes({plain['MetadataId']})?$select=LogicalName").json()
    cast = sample.get(f"{path}/{CRM}.StringAttributeMetadata?$select=MaxLength").json()

    assert plain["@odata.type"] == f"#{CRM}.StringAttributeMetadata"
    assert by_id["LogicalName"] == "lastname"
    assert cast["MaxLength"] == 50
    assert sample.get(f"{path}/{CRM}.MemoAttributeMetadata").status_code == 404
    assert sample.get(f"{LEAD}/Attributes(LogicalName='nothing')").status_code == 404


def test_shapes_of_labels_and_managed_properties(sample: Client) -> None:
    row = sample.get(f"{LEAD}/Attributes(LogicalName='lastname')").json()

    assert set(row["RequiredLevel"]) == {"Value", "CanBeChanged", "ManagedPropertyLogicalName"}
    shown = row["DisplayName"]["UserLocalizedLabel"]
    assert set(shown) == {"Label", "LanguageCode", "IsManaged", "MetadataId", "HasChanged"}
    assert row["DisplayName"]["LocalizedLabels"] == [shown]
    assert row["Description"] == {"LocalizedLabels": [], "UserLocalizedLabel": None}


def test_ids_are_stable(client: Client) -> None:
    def ids() -> dict[str, str]:
        rows = client.rows(f"{LEAD}/Attributes?$select=LogicalName")
        return {row["LogicalName"]: row["MetadataId"] for row in rows}

    before = ids()
    client.emulator.control.shorten_column("lead", "lastname", 40)

    assert ids() == before
    assert len(set(before.values())) == len(before)


def test_custom_columns_are_told_from_standard_ones(sample: Client) -> None:
    rows = sample.rows(f"{LEAD}/Attributes?$select=LogicalName,IsCustomAttribute&$filter=AttributeOf eq null")

    custom = {row["LogicalName"] for row in rows if row["IsCustomAttribute"]}
    assert {"acme_extid", "mkt_priority", "new_synctomkto"} <= custom
    assert not {name for name in custom if not name.startswith(("acme_", "mkt_", "new_"))}


def test_supported_messages(sample: Client) -> None:
    path = "sdkmessagefilters?$filter=sdkmessageid/name eq 'UpsertMultiple' and primaryobjecttypecode eq '{}'"

    assert len(sample.rows(path.replace("{}", "lead"))) == 1
    assert sample.rows(path.replace("{}", "teammembership")) == []
