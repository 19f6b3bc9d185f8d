"""Microsoft's Python SDK: filters, the query builder, FetchXML and SQL."""

from collections.abc import Callable, Iterator
from datetime import date

import pytest
from PowerPlatform.Dataverse import col, raw
from PowerPlatform.Dataverse.client import DataverseClient
from PowerPlatform.Dataverse.core.errors import HttpError
from PowerPlatform.Dataverse.models.filters import ColumnProxy, FilterExpression
from PowerPlatform.Dataverse.models.query_builder import ExpandOption, QueryBuilder

from dynamics_emulator.testing_client import Client

FORMATTED = "OData.Community.Display.V1.FormattedValue"

FILTERS: dict[str, tuple[FilterExpression, set[str]]] = {
    "equal": (col("lastname") == "ADA", {"Ada"}),
    "not equal": (col("lastname") != "Ada", {"Bo", "Cé", "O'Dea"}),
    "greater": (col("numberofemployees") > 20, {"Cé"}),
    "greater or equal": (col("numberofemployees") >= 20, {"Bo", "Cé"}),
    "less": (col("numberofemployees") < 20, {"Ada"}),
    "less or equal": (col("numberofemployees") <= 20, {"Ada", "Bo"}),
    "null": (col("numberofemployees").is_null(), {"O'Dea"}),
    "not null": (col("numberofemployees").is_not_null(), {"Ada", "Bo", "Cé"}),
    "in": (col("lastname").in_(["ada", "Cé"]), {"Ada", "Cé"}),
    "not in": (col("numberofemployees").not_in([10, 30]), {"Bo"}),
    "between": (col("numberofemployees").between(10, 20), {"Ada", "Bo"}),
    "not between": (col("numberofemployees").not_between(10, 20), {"Cé"}),
    "contains": (col("lastname").contains("d"), {"Ada", "O'Dea"}),
    "starts": (col("lastname").startswith("o'"), {"O'Dea"}),
    "ends": (col("lastname").endswith("A"), {"Ada", "O'Dea"}),
    "like": (col("lastname").like("%de%"), {"O'Dea"}),
    "not like": (col("lastname").not_like("A%"), {"Bo", "Cé", "O'Dea"}),
    "and": ((col("lastname") == "Bo") & (col("numberofemployees") == 20), {"Bo"}),
    "or": ((col("lastname") == "Bo") | (col("numberofemployees") == 10), {"Ada", "Bo"}),
    "not": (~(col("lastname") == "Bo"), {"Ada", "Cé", "O'Dea"}),
    "flag": (col("donotemail") == True, {"Bo"}),  # noqa: E712 - the SDK builds a filter from the comparison
    "date": (col("estimatedclosedate") == date(2026, 3, 1), {"Ada"}),
    "raw": (raw("Microsoft.Dynamics.CRM.Between(PropertyName='numberofemployees',PropertyValues=['25','35'])"), {"Cé"}),
}


@pytest.fixture(scope="module")
def company(client: Client) -> Iterator[str]:
    """The company of four leads whose values differ."""
    name = "Filters & Söhne"
    rows = [
        {"lastname": "Ada", "numberofemployees": 10, "estimatedclosedate": "2026-03-01"},
        {"lastname": "Bo", "numberofemployees": 20, "donotemail": True},
        {"lastname": "Cé", "numberofemployees": 30},
        {"lastname": "O'Dea"},
    ]
    for row in rows:
        client.create("leads", companyname=name, **row)
    return name


def _of(company: str) -> FilterExpression:
    return col("companyname") == company


@pytest.mark.parametrize("name", FILTERS)
def test_each_filter_finds_what_it_says(sdk: DataverseClient, company: str, name: str) -> None:
    expression, expected = FILTERS[name]

    found = sdk.records.list("lead", filter=_of(company) & expression, select=["lastname"])

    assert {row["lastname"] for row in found} == expected


def test_every_condition_of_a_column_is_tried() -> None:
    public = {name for name in vars(ColumnProxy) if not name.startswith("_")}
    tried = {"is_null", "is_not_null", "in_", "not_in", "between", "not_between"}
    tried |= {"contains", "startswith", "endswith", "like", "not_like"}

    assert public == tried


def _query(sdk: DataverseClient, company: str) -> QueryBuilder:
    return sdk.query.builder("lead").where(_of(company)).select("lastname", "leadsourcecode").order_by("lastname")


def test_builds_a_query(sdk: DataverseClient, company: str) -> None:
    found = _query(sdk, company).where(col("lastname") != "Bo").top(2).execute()

    assert [row["lastname"] for row in found] == ["Ada", "Cé"]
    assert found.first() is found[0]


def test_a_query_runs_page_by_page(sdk: DataverseClient, company: str) -> None:
    pages = list(_query(sdk, company).page_size(3).count().include_annotations().execute_pages())

    assert [[row["lastname"] for row in page] for page in pages] == [["Ada", "Bo", "Cé"], ["O'Dea"]]


def test_a_query_sorts_downwards_with_formatted_values(sdk: DataverseClient, company: str) -> None:
    query = sdk.query.builder("lead").select("statecode", "estimatedclosedate").where(_of(company))

    found = query.order_by("numberofemployees", descending=True).include_formatted_values().execute()

    assert {row[f"statecode@{FORMATTED}"] for row in found} == {"Open"}
    assert [row["estimatedclosedate"] for row in found] == [None, None, "2026-03-01", None]


def test_a_query_expands_with_options_of_its_own(sdk: DataverseClient, client: Client, mark: str) -> None:
    account = client.create("accounts", name=mark)
    for name in ("Ada", "Bo", "Cy"):
        client.create("contacts", lastname=name, **{"parentcustomerid_account@odata.bind": account})
    people = ExpandOption("contact_customer_accounts").select("lastname").filter("lastname ne 'Bo'")

    query = sdk.query.builder("account").select("name").where(col("name") == mark)
    found = query.expand(people.order_by("lastname", descending=True).top(2), "owninguser").execute()

    assert [contact["lastname"] for contact in found[0]["contact_customer_accounts"]] == ["Cy", "Ada"]
    assert found[0]["owninguser"]["ownerid"]


def test_a_built_query_can_be_read_as_a_list(sdk: DataverseClient, company: str) -> None:
    parameters = dict(_query(sdk, company).build())

    found = sdk.records.list(parameters.pop("table"), **parameters)

    assert len(found) == 4


def test_the_older_ways_of_running_a_query(sdk: DataverseClient, company: str) -> None:
    with pytest.warns(UserWarning, match="by_page"):
        pages = list(_query(sdk, company).page_size(3).execute(by_page=True))
    with pytest.deprecated_call():
        frame = _query(sdk, company).to_dataframe()

    assert [len(page) for page in pages] == [3, 1]
    assert list(frame["lastname"]) == ["Ada", "Bo", "Cé", "O'Dea"]


@pytest.fixture
def _plain_enums(change_setting: Callable[..., None]) -> None:
    """The SDK compares ``AttributeType`` with a plain text, against Microsoft's page on metadata queries."""
    change_setting(metadata_enum_literals_required=False)


@pytest.mark.usefixtures("_plain_enums")
def test_columns_for_sql_leave_shadows_out(sdk: DataverseClient) -> None:
    columns = {column["name"]: column for column in sdk.query.sql_columns("lead")}

    assert next(iter(columns)) == "leadid"
    assert columns["leadid"]["is_pk"]
    assert columns["fullname"]["is_name"]
    assert columns["lastname"]["type"] == "String"
    assert columns["lastname"]["label"] == "Last Name"
    assert "owneridname" not in columns
    assert "versionnumber" not in columns


def test_columns_for_sql_need_a_server_that_takes_plain_enums(
    sdk: DataverseClient, change_setting: Callable[..., None]
) -> None:
    change_setting(metadata_enum_literals_required=True)

    with pytest.raises(HttpError) as refused:
        sdk.query.sql_columns("lead")

    assert refused.value.status_code == 400


@pytest.mark.usefixtures("_plain_enums")
def test_every_column_for_a_select_can_be_read(sdk: DataverseClient) -> None:
    with pytest.deprecated_call():
        columns = sdk.query.odata_select("systemuser", include_system=True)

    assert "versionnumber" in columns
    assert "fullname" in columns


def test_finds_what_can_be_expanded(sdk: DataverseClient) -> None:
    found = sdk.query.odata_expands("lead")
    by_name = {row["nav_property"]: row for row in found}

    assert by_name["parentcontactid"]["target_entity_set"] == "contacts"
    assert by_name["customerid_account"]["lookup_attribute"] == "customerid"
    assert {row["target_entity_set"] for row in found} >= {"systemusers", "opportunities"}


def test_finds_the_navigation_property_between_two_tables(sdk: DataverseClient, mark: str) -> None:
    event = sdk.records.create("acme_event", {"acme_name": mark})
    with pytest.deprecated_call():
        name = sdk.query.odata_expand("acme_eventattendance", "acme_event")
    with pytest.deprecated_call():
        bind = sdk.query.odata_bind("acme_eventattendance", "acme_event", event)

    made = sdk.records.create("acme_eventattendance", {"acme_name": mark, **bind})
    found = sdk.records.retrieve("acme_eventattendance", made, select=["acme_name"], expand=[name])

    assert found is not None
    assert found[name]["acme_name"] == mark


FETCH = "<fetch><entity name='lead'><attribute name='lastname'/></entity></fetch>"


def test_fetchxml_is_refused_plainly(sdk: DataverseClient) -> None:
    fetch = sdk.query.fetchxml(FETCH)

    with pytest.raises(HttpError, match=r"(?i)fetchxml") as whole:
        fetch.execute()
    with pytest.raises(HttpError, match=r"(?i)fetchxml") as paged:
        list(fetch.execute_pages())

    assert (whole.value.status_code, paged.value.status_code) == (501, 501)


def test_sql_is_refused_plainly(sdk: DataverseClient) -> None:
    with pytest.raises(HttpError, match="sql") as refused:
        sdk.query.sql("SELECT TOP 5 lastname FROM lead")

    assert refused.value.status_code == 501
