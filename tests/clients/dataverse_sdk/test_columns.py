"""Microsoft's Python SDK: columns and alternate keys that it adds, changes and removes."""

from enum import IntEnum

import pytest
from PowerPlatform.Dataverse.client import DataverseClient
from PowerPlatform.Dataverse.core.errors import HttpError, MetadataError
from PowerPlatform.Dataverse.models.upsert import UpsertItem


class Tier(IntEnum):
    """An option set, as the SDK takes one."""

    GOLD = 1
    SILVER = 2


def test_adds_columns_of_every_kind(sdk: DataverseClient, mark: str) -> None:
    columns = {
        "acme_Text": {"type": "string", "max_length": 20},
        "acme_Note": "memo",
        "acme_Count": "int",
        "acme_Price": "decimal",
        "acme_Share": "float",
        "acme_Day": "datetime",
        "acme_Flag": "bool",
        "acme_Tier": Tier,
    }

    assert sdk.tables.add_columns("lead", columns) == list(columns)

    row = {"acme_text": "x", "acme_count": 3, "acme_price": 1.5, "acme_flag": True, "acme_tier": "silver"}
    lead = sdk.records.create("lead", {"lastname": mark, **row, "acme_day": "2026-03-01"})
    found = sdk.records.retrieve("lead", lead, select=list(row))
    assert found is not None
    assert {name: found[name] for name in row} == {**row, "acme_tier": 2}


def test_changes_columns(sdk: DataverseClient) -> None:
    sdk.tables.add_columns("contact", {"acme_Text": "string", "acme_Count": "int"})

    assert sdk.tables.update_column("contact", "acme_text", {"max_length": 30, "display_name": "Text"}) == "acme_text"
    sdk.tables.update_columns("contact", {"acme_text": {"required": "Recommended"}, "acme_count": {"max_value": 9}})

    columns = {row["LogicalName"]: row for row in sdk.tables.list_columns("contact", typed=True)}
    assert columns["acme_text"]["MaxLength"] == 30
    assert columns["acme_text"]["DisplayName"]["UserLocalizedLabel"]["Label"] == "Text"
    assert columns["acme_text"]["RequiredLevel"]["Value"] == "Recommended"
    assert columns["acme_count"]["MaxValue"] == 9


def test_a_column_that_is_not_there_cannot_be_changed(sdk: DataverseClient) -> None:
    with pytest.raises(MetadataError):
        sdk.tables.update_column("lead", "acme_nothing", {"max_length": 30})


def test_removes_columns(sdk: DataverseClient) -> None:
    sdk.tables.add_columns("account", {"acme_One": "string", "acme_Two": "string"})

    assert sdk.tables.remove_columns("account", ["acme_one", "acme_two"]) == ["acme_one", "acme_two"]

    assert sdk.tables.get_column("account", "acme_one") is None
    with pytest.raises(HttpError):
        sdk.records.list("account", select=["acme_two"])


def test_adds_and_removes_columns_in_a_batch(sdk: DataverseClient) -> None:
    adding = sdk.batch.new()
    adding.tables.add_columns("campaign", {"acme_One": "string"})
    assert not adding.execute().has_errors
    assert sdk.tables.get_column("campaign", "acme_one") is not None

    batch = sdk.batch.new()
    batch.tables.add_columns("campaign", {"acme_Two": "string"})
    batch.tables.remove_columns("campaign", "acme_one")
    assert not batch.execute().has_errors

    assert sdk.tables.get_column("campaign", "acme_one") is None
    assert sdk.tables.get_column("campaign", "acme_two") is not None


def test_makes_and_deletes_an_alternate_key(sdk: DataverseClient, mark: str) -> None:
    made = sdk.tables.create_alternate_key("lead", "acme_FaxKey", ["fax"], display_name="By fax")

    sdk.records.upsert("lead", [UpsertItem({"fax": mark}, {"lastname": "A"})])
    known = {key.metadata_id for key in sdk.tables.get_alternate_keys("lead")}
    sdk.tables.delete_alternate_key("lead", made.metadata_id)

    assert made.metadata_id in known
    with pytest.raises(HttpError) as refused:
        sdk.records.upsert("lead", [UpsertItem({"fax": mark}, {"lastname": "A"})])
    assert refused.value.details["service_error_code"] == "0x80060890"
