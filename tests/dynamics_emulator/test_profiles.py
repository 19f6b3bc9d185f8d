"""Kinds of tenants: the standard one, and one that somebody has customised for years."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dynamics_emulator.schema.model import TEXT_TYPES
from dynamics_emulator.schema.profiles import Profile, profile_schema
from dynamics_emulator.schema.source import default_schema
from dynamics_emulator.testing import running_emulator
from dynamics_emulator.testing_client import Client, connect

CRM = "Microsoft.Dynamics.CRM"
LEAD = "EntityDefinitions(LogicalName='lead')"
ALL_ANNOTATIONS = 'odata.include-annotations="*"'
LABEL = "@OData.Community.Display.V1.FormattedValue"
CATALOGUE = (
    "account",
    "acme_eventattendance",
    "connection",
    "contact",
    "lead",
    "opportunity",
    "systemuser",
    "team",
    "teammembership",
)


@pytest.fixture(scope="module")
def customised() -> Iterator[Client]:
    """A client of a filled customised organisation. Tests only read from it."""
    with running_emulator(rows=600, profile="customised") as running:
        connected = connect(running)
        with connected.session:
            yield connected


def _lengths(client: Client, kind: str) -> dict[str, Any]:
    path = f"{LEAD}/Attributes/{CRM}.{kind}AttributeMetadata?$select=LogicalName,MaxLength,RequiredLevel"
    return {row["LogicalName"]: row for row in client.rows(path)}


def test_lengths_and_required_levels_differ(customised: Client) -> None:
    texts, memos = _lengths(customised, "String"), _lengths(customised, "Memo")

    assert {name: texts[name]["MaxLength"] for name in ("firstname", "fullname", "subject")} == {
        "firstname": 450,
        "fullname": 650,
        "subject": 50,
    }
    assert memos["description"]["MaxLength"] == 4151
    assert memos["description"]["RequiredLevel"]["Value"] == "ApplicationRequired"
    assert texts["lastname"]["RequiredLevel"]["Value"] == "None"


def test_option_lists_differ(customised: Client) -> None:
    def values(column: str, kind: str) -> set[int]:
        path = f"{LEAD}/Attributes(LogicalName='{column}')/{CRM}.{kind}AttributeMetadata/OptionSet?$select=Options"
        return {option["Value"] for option in customised.get(path).json()["Options"]}

    standard = default_schema().table("lead").columns
    assert values("leadsourcecode", "Picklist") > set(standard["leadsourcecode"].labels)
    assert values("statuscode", "Status") - set(standard["statuscode"].labels) == {804240004, 823270000}
    assert not values("industrycode", "Picklist") & set(standard["industrycode"].labels)


def test_labels_have_a_second_language(customised: Client) -> None:
    path = f"{LEAD}/Attributes(LogicalName='industrycode')/{CRM}.PicklistAttributeMetadata/OptionSet?$select=Options"
    label = customised.get(path).json()["Options"][0]["Label"]

    assert {entry["LanguageCode"] for entry in label["LocalizedLabels"]} == {1033, 1031}
    assert label["UserLocalizedLabel"]["LanguageCode"] == 1033
    table = customised.get(f"{LEAD}?$select=DisplayName").json()["DisplayName"]
    assert [entry["Label"] for entry in table["LocalizedLabels"]] == ["Enquiry", "Anfrage"]


def test_other_tables_names_and_tracking(customised: Client) -> None:
    rows = customised.rows("EntityDefinitions?$select=LogicalName,EntitySetName,ChangeTrackingEnabled")
    sets = {row["LogicalName"]: row["EntitySetName"] for row in rows}
    tracked = {row["LogicalName"] for row in rows if row["ChangeTrackingEnabled"]}

    assert sets["fab_contract"] == "fab_contractses"
    assert sets["fab_contractline"] == "fab_contractlinecollection"
    assert "account" not in tracked
    assert customised.error("GET", "accounts", prefer="odata.track-changes") == (400, "0x80072491")
    [row] = customised.rows("acme_eventattendanceset?$top=1&$select=acme_name&$expand=acme_contactID($select=fullname)")
    assert "acme_contactID" in row
    assert customised.get("acme_eventattendanceset?$expand=acme_ContactId").status_code == 400


def test_sample_rows_fit_the_profile(customised: Client) -> None:
    for table in profile_schema(Profile.CUSTOMISED).tables.values():
        for row in customised.emulator.database.rows(table.name):
            for column in table.columns.values():
                value = row[column.name]
                if column.type in TEXT_TYPES and isinstance(value, str) and column.max_length:
                    assert len(value) <= column.max_length, (table.name, column.name)
                if column.options and isinstance(value, int):
                    assert value in column.labels, (table.name, column.name, value)


def test_rows_show_the_labels_of_the_profile(customised: Client) -> None:
    rows = customised.rows("leads?$select=industrycode&$filter=industrycode ne null", prefer=ALL_ANNOTATIONS)

    known = {"Banking and insurance", "Public sector", "Manufacturing", "Retail", "Other"}
    assert {row[f"industrycode{LABEL}"] for row in rows} <= known
    assert rows


@pytest.mark.parametrize("table", CATALOGUE)
def test_customising_takes_no_column_away(table: str) -> None:
    standard = default_schema().table(table).columns
    customised = profile_schema(Profile.CUSTOMISED).table(table).columns

    assert set(standard) <= set(customised)
    assert {name: standard[name].type for name in standard} == {name: customised[name].type for name in standard}


def test_profile_is_kept_with_the_organisation(tmp_path: Path) -> None:
    with running_emulator(tmp_path, profile="customised"):
        pass
    with running_emulator(tmp_path) as again:
        assert again.organisation.schema.table("lead").columns["firstname"].max_length == 450
    with pytest.raises(ValueError, match="has the profile customised"), running_emulator(tmp_path, profile="standard"):
        pass


def test_standard_is_the_shipped_list() -> None:
    assert profile_schema(Profile.STANDARD) is default_schema()
    lead = default_schema().table("lead").columns
    assert (lead["firstname"].max_length, lead["subject"].max_length) == (50, 300)
