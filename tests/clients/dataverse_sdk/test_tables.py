"""Microsoft's Python SDK: what it reads of the metadata."""

from uuid import UUID

import pytest
from PowerPlatform.Dataverse.client import DataverseClient
from PowerPlatform.Dataverse.core.errors import MetadataError
from PowerPlatform.Dataverse.models.table_info import ColumnInfo


def test_describes_a_table(sdk: DataverseClient) -> None:
    lead = sdk.tables.get("Lead")

    assert lead is not None
    assert UUID(lead.metadata_id)
    assert (lead.logical_name, lead.schema_name, lead.entity_set_name) == ("lead", "Lead", "leads")
    assert (lead.primary_id_attribute, lead.primary_name_attribute) == ("leadid", "fullname")


def test_a_table_that_is_not_there_is_none(sdk: DataverseClient) -> None:
    assert sdk.tables.get("leads") is None


def test_lists_the_tables(sdk: DataverseClient) -> None:
    found = {
        row["LogicalName"]: row["EntitySetName"] for row in sdk.tables.list(select=["LogicalName", "EntitySetName"])
    }

    assert found["opportunity"] == "opportunities"
    assert found["acme_eventattendance"] != "acme_eventattendances"


def test_lists_some_tables(sdk: DataverseClient) -> None:
    found = sdk.tables.list(filter="LogicalName eq 'lead' or LogicalName eq 'contact'")

    assert {row["SchemaName"] for row in found} == {"Lead", "Contact"}
    assert all(row["ChangeTrackingEnabled"] for row in found)


def test_lists_columns_with_their_types(sdk: DataverseClient) -> None:
    columns = {row["LogicalName"]: row for row in sdk.tables.list_columns("lead")}

    assert columns["lastname"]["@odata.type"] == "#Microsoft.Dynamics.CRM.StringAttributeMetadata"
    assert ColumnInfo.from_api_response(columns["lastname"]).type == "StringType"
    assert columns["owneridname"]["AttributeOf"] == "ownerid"


def test_lists_columns_by_an_enum_literal(sdk: DataverseClient) -> None:
    found = sdk.tables.list_columns(
        "lead",
        select=["LogicalName"],
        filter="AttributeType eq Microsoft.Dynamics.CRM.AttributeTypeCode'Picklist'",
    )

    assert "leadsourcecode" in {row["LogicalName"] for row in found}
    assert "lastname" not in {row["LogicalName"] for row in found}


def test_lists_typed_columns(sdk: DataverseClient) -> None:
    columns = {row["LogicalName"]: row for row in sdk.tables.list_columns("lead", typed=True)}

    assert columns["lastname"]["MaxLength"] == 50
    assert columns["estimatedamount"]["Precision"] >= 0
    assert columns["lastname"]["DisplayName"]["UserLocalizedLabel"]["Label"] == "Last Name"
    assert columns["lastname"]["RequiredLevel"]["Value"]


def test_lists_chosen_properties_of_typed_columns(sdk: DataverseClient) -> None:
    chosen = ["LogicalName", "Targets", "OptionSet"]
    columns = {row["LogicalName"]: row for row in sdk.tables.list_columns("lead", typed=True, select=chosen)}

    assert set(columns["customerid"]["Targets"]) == {"account", "contact"}
    assert 8 in {option["Value"] for option in columns["leadsourcecode"]["OptionSet"]["Options"]}
    assert "MaxLength" not in columns["lastname"]


def test_a_typed_list_of_no_table_is_an_error(sdk: DataverseClient) -> None:
    with pytest.raises(MetadataError):
        sdk.tables.list_columns("leads", typed=True)


def test_describes_a_column(sdk: DataverseClient) -> None:
    column = sdk.tables.get_column("lead", "LastName")
    typed = sdk.tables.get_column("lead", "lastname", typed=True, select=["LogicalName", "MaxLength"])

    assert column is not None
    assert column["@odata.type"] == "#Microsoft.Dynamics.CRM.StringAttributeMetadata"
    assert typed is not None
    assert typed["MaxLength"] == 50


@pytest.mark.parametrize("typed", [False, True])
def test_a_column_that_is_not_there_is_none(sdk: DataverseClient, *, typed: bool) -> None:
    assert sdk.tables.get_column("lead", "acme_nothing", typed=typed) is None


def test_lists_alternate_keys(sdk: DataverseClient) -> None:
    keys = {key.schema_name.lower(): key for key in sdk.tables.get_alternate_keys("lead")}

    assert keys["acme_extid_key"].key_attributes == ["acme_extid"]
    assert keys["acme_extid_key"].status == "Active"
    assert UUID(keys["acme_extid_key"].metadata_id)


def test_lists_the_relationships_of_a_table(sdk: DataverseClient) -> None:
    found = {row["SchemaName"].lower() for row in sdk.tables.list_table_relationships("contact")}

    assert "acme_interest_contact" in found


def test_lists_all_relationships(sdk: DataverseClient) -> None:
    found = sdk.tables.list_relationships(select=["SchemaName", "RelationshipType"])

    assert {row["RelationshipType"] for row in found} == {"OneToManyRelationship", "ManyToManyRelationship"}


def test_lists_some_relationships(sdk: DataverseClient) -> None:
    found = sdk.tables.list_relationships(filter="SchemaName eq 'teammembership_association'")

    assert [row["SchemaName"] for row in found] == ["teammembership_association"]


def test_describes_a_relationship(sdk: DataverseClient) -> None:
    found = sdk.tables.get_relationship("teammembership_association")

    assert found is not None
    assert found.relationship_type == "many_to_many"
    assert {found.entity1_logical_name, found.entity2_logical_name} == {"systemuser", "team"}


def test_a_relationship_that_is_not_there_is_none(sdk: DataverseClient) -> None:
    assert sdk.tables.get_relationship("acme_nothing") is None


def test_forgets_the_labels_that_it_has_read(sdk: DataverseClient) -> None:
    sdk.records.create("lead", {"lastname": "Okafor", "leadsourcecode": "Web"})

    assert sdk.flush_cache("picklist") == 1
    assert sdk.flush_cache("picklist") == 0
