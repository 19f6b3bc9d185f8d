"""Reads of rows: what is shown, in which shape, and what is refused."""

from typing import Any

import pytest

from dynamics_emulator.schema.model import ColumnType
from dynamics_emulator.schema.source import default_schema
from dynamics_emulator.testing_client import Client

ALL_ANNOTATIONS = 'odata.include-annotations="*"'
LOOKUP_TABLE = "Microsoft.Dynamics.CRM.lookuplogicalname"
FORMATTED = "OData.Community.Display.V1.FormattedValue"


def test_select_returns_the_columns_the_etag_and_the_key(client: Client) -> None:
    client.create("leads", lastname="Okafor", subject="Call")

    [row] = client.rows("leads?$select=lastname")

    assert list(row) == ["@odata.etag", "lastname", "leadid"]
    assert row["lastname"] == "Okafor"


def test_without_select_every_column_comes_nulls_included(client: Client) -> None:
    client.create("leads", lastname="Okafor")

    [row] = client.rows("leads")

    assert set(default_schema().table("lead").properties) <= set(row)
    assert row["companyname"] is None


def test_selected_money_brings_its_currency_and_all_decimals(client: Client) -> None:
    client.create("leads", lastname="Okafor", estimatedamount=4500)

    answer = client.get("leads?$select=estimatedamount")

    assert '"estimatedamount":4500.0000' in answer.text
    assert "_transactioncurrencyid_value" in answer.json()["value"][0]


def test_annotations_come_only_when_asked_for(client: Client) -> None:
    client.create("leads", lastname="Okafor", leadsourcecode=8)

    assert "@" not in client.get("leads?$select=leadsourcecode").text.replace("@odata.", "")


def test_annotations_come_before_their_property(client: Client) -> None:
    client.create("leads", lastname="Okafor", leadsourcecode=8, estimatedamount=4500)

    path = "leads?$select=leadsourcecode,_ownerid_value,estimatedamount,createdon"
    [row] = client.rows(path, prefer=ALL_ANNOTATIONS)

    names = list(row)
    assert names[1:3] == [f"leadsourcecode@{FORMATTED}", "leadsourcecode"]
    assert row[f"leadsourcecode@{FORMATTED}"] == "Web"
    assert row["_ownerid_value@Microsoft.Dynamics.CRM.lookuplogicalname"] == "systemuser"
    assert row["_ownerid_value@Microsoft.Dynamics.CRM.associatednavigationproperty"] == "ownerid"
    assert row[f"_ownerid_value@{FORMATTED}"] == "# Marketing sync"
    assert row[f"estimatedamount@{FORMATTED}"] == "€4,500.00"
    assert names.index("_ownerid_value@Microsoft.Dynamics.CRM.lookuplogicalname") < names.index("_ownerid_value")


@pytest.mark.parametrize(
    ("pattern", "shown"),
    [
        ("*", {FORMATTED, LOOKUP_TABLE}),
        (FORMATTED, {FORMATTED}),
        ("Microsoft.Dynamics.CRM.*", {LOOKUP_TABLE}),
        (
            f"Microsoft.Dynamics.CRM.lookuplogicalname,{FORMATTED}",
            {FORMATTED, LOOKUP_TABLE},
        ),
    ],
)
def test_only_matching_annotations(client: Client, pattern: str, shown: set[str]) -> None:
    client.create("leads", lastname="Okafor")

    [row] = client.rows("leads?$select=_ownerid_value", prefer=f'odata.include-annotations="{pattern}"')

    found = {name.partition("@")[2] for name in row if name.startswith("_ownerid_value@")}
    assert found - {"Microsoft.Dynamics.CRM.associatednavigationproperty"} == shown


def test_a_row_without_a_value_has_no_annotation(client: Client) -> None:
    client.create("leads", lastname="Okafor")

    [row] = client.rows("leads?$select=leadsourcecode,_campaignid_value", prefer=ALL_ANNOTATIONS)

    assert not [name for name in row if name.startswith(("leadsourcecode@", "_campaignid_value@"))]


@pytest.mark.parametrize("column", ["foo", "ownerid", "owneridname"])
def test_unknown_bare_lookup_and_shadow_columns_are_refused(client: Client, column: str) -> None:
    answer = client.get(f"leads?$select={column}")

    assert answer.status_code == 400
    assert answer.json() == {
        "error": {
            "code": "0x80060888",
            "message": f"Could not find a property named '{column}' on type 'Microsoft.Dynamics.CRM.lead'.",
        }
    }


@pytest.mark.parametrize("option", ["$skip=1", "$search=x", "$format=json", "$compute=1", "$Select=lastname"])
def test_unsupported_options_are_refused(client: Client, option: str) -> None:
    assert client.error("GET", f"leads?{option}") == (400, "0x80060888")


@pytest.mark.parametrize("option", ["fetchXml=<fetch/>", "sql=select name from lead", "savedQuery=x", "userQuery=x"])
def test_other_ways_to_ask_are_plainly_not_supported(client: Client, option: str) -> None:
    answer = client.get(f"leads?{option}")

    assert answer.status_code == 501
    assert answer.json()["error"]["message"] == (
        f"The query option '{option.partition('=')[0]}' is not supported by this emulator."
    )


def test_order_by_a_lookup_is_the_order_of_names(client: Client) -> None:
    for name in ("beta", "Alpha", "gamma"):
        account = client.create("accounts", name=name).removeprefix(client.emulator.api)
        client.create("contacts", **{"lastname": name, "parentcustomerid_account@odata.bind": account})
    client.create("contacts", lastname="none")
    path = "contacts?$select=lastname&$orderby={}"

    by_lookup = [row["lastname"] for row in client.rows(path.format("_parentcustomerid_value"))]
    by_path = [row["lastname"] for row in client.rows(path.format("parentcustomerid_account/name desc"))]
    paged = client.pages(path.format("_parentcustomerid_value desc"), prefer="odata.maxpagesize=1")

    assert by_lookup == ["none", "Alpha", "beta", "gamma"]
    assert by_path == ["gamma", "beta", "Alpha", "none"]
    assert [row["lastname"] for page in paged for row in page["value"]] == ["gamma", "beta", "Alpha", "none"]


@pytest.mark.parametrize(
    "order",
    ["ownerid", "nothing", "lastname upwards", "contains(lastname,'a')", "owninguser/teammembership_association"],
)
def test_refused_orders(client: Client, order: str) -> None:
    assert client.error("GET", f"leads?$orderby={order}") == (400, "0x80060888")


def test_choices_have_no_order(client: Client) -> None:
    assert client.error("GET", "acme_eventattendanceset?$orderby=acme_interests") == (400, "0x80060888")


def test_options_are_decoded_form_style(client: Client) -> None:
    client.create("leads", lastname="Two Words")

    assert len(client.rows("leads?%24select=lastname&%24filter=lastname+eq+'two+words'")) == 1


def test_parameter_aliases(client: Client) -> None:
    client.create("leads", lastname="Ng")
    client.create("leads", lastname="Li")

    assert len(client.rows("leads?$filter=lastname eq @p&@p='Ng'")) == 1


def test_error_details_come_with_annotations(client: Client) -> None:
    error = client.get("leads?$select=foo", prefer=ALL_ANNOTATIONS).json()["error"]

    assert error["@Microsoft.PowerApps.CDS.HelpLink"].startswith("http://go.microsoft.com/fwlink/?LinkID=398563")


def test_headers_of_every_answer(client: Client) -> None:
    headers = client.get("WhoAmI").headers

    assert headers["OData-Version"] == "4.0"
    assert headers["Content-Type"] == "application/json; odata.metadata=minimal"
    assert headers["x-ms-ratelimit-time-remaining-xrm-requests"].startswith("1,")
    assert headers["x-ms-dop-hint"] == "4"
    assert headers["Set-Cookie"].startswith("ARRAffinity=")
    assert headers["x-ms-service-request-id"]


def test_url_length_limit(client: Client) -> None:
    assert client.get("leads?$filter=lastname eq '" + "x" * 32_700 + "'").status_code == 414
    assert client.get("leads?$filter=lastname eq '" + "x" * 32_000 + "'").status_code == 200


def test_count_is_capped_and_the_cap_is_visible(client: Client) -> None:
    for number in range(4):
        client.create("accounts", name=f"Company {number}")
    client.emulator.control.change_settings(count_limit=3)

    body = client.get("accounts?$select=name&$count=true", prefer=ALL_ANNOTATIONS).json()

    assert body["@odata.count"] == 3
    assert body["@Microsoft.Dynamics.CRM.totalrecordcountlimitexceeded"] is True
    assert client.get("accounts/$count").text == "3"
    total = client.get("RetrieveTotalRecordCount(EntityNames=['account'])").json()["EntityRecordCountCollection"]
    assert (total["Keys"], total["Values"]) == (["account"], [4])


def test_total_record_count_takes_an_alias(client: Client) -> None:
    body = client.get('RetrieveTotalRecordCount(EntityNames=@x)?@x=["lead","contact"]').json()

    assert body["EntityRecordCountCollection"]["Values"] == [0, 0]


def test_one_row_with_its_context_and_etag(client: Client) -> None:
    address = client.create("leads", lastname="Okafor")

    answer = client.get(f"{address}?$select=lastname")

    assert answer.json()["@odata.context"].endswith("/$metadata#leads(lastname)/$entity")
    assert answer.headers["ETag"] == answer.json()["@odata.etag"]


def test_one_value_and_its_raw_form(client: Client) -> None:
    address = client.create("leads", lastname='Ng "Zoë"', donotemail=True, numberofemployees=5, estimatedamount=4.5)
    shown = {"lastname": 'Ng "Zoë"', "donotemail": "true", "numberofemployees": "5", "estimatedamount": "4.5000"}

    for name, raw in shown.items():
        value = client.get(f"{address}/{name}").json()["value"]
        assert value == client.get(address).json()[name]
        answer = client.get(f"{address}/{name}/$value")
        assert (answer.headers["Content-Type"], answer.content.decode()) == ("text/plain", raw)
    assert client.get(f"{address}/companyname/$value").status_code == 204
    assert client.error("GET", f"{address}/lastname/first") == (404, "0x80060888")
    assert client.error("PUT", f"{address}/lastname/$value") == (405, "0x8006088a")


def test_sql_is_not_built(client: Client) -> None:
    for path in ("?sql=SELECT name FROM account", "leads?sql=SELECT lastname FROM lead"):
        assert client.get(path).status_code == 501


def test_not_modified_only_without_annotations(client: Client) -> None:
    address = client.create("leads", lastname="Okafor")
    etag = client.get(address).headers["ETag"]

    assert client.get(address, headers={"If-None-Match": etag}).status_code == 304
    assert client.get(address, headers={"If-None-Match": etag}, prefer=ALL_ANNOTATIONS).status_code == 200
    assert client.get(address, headers={"If-None-Match": "null"}).status_code == 200


def test_missing_row(client: Client) -> None:
    answer = client.get("leads(00000000-0000-4000-8000-00000000dead)")

    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "0x80040217"
    assert answer.json()["error"]["message"].endswith(" Does Not Exist")


def test_users_have_their_key_twice_and_no_named_key(client: Client) -> None:
    [user] = client.rows("systemusers?$select=fullname")

    assert user["ownerid"] == user["systemuserid"]
    assert client.rows(f"systemusers?$select=ownerid&$filter=ownerid eq {user['ownerid']}") != []
    assert client.error("GET", f"systemusers(systemuserid={user['systemuserid']})") == (400, "0x80060890")


def test_team_members(sample: Client) -> None:
    team = sample.rows("teams?$select=name&$expand=teammembership_association($select=fullname)")[0]

    members = sample.rows(f"teams({team['teamid']})/teammembership_association?$select=fullname")

    assert len(members) == 8
    assert {row["systemuserid"] for row in members} == {
        row["systemuserid"] for row in team["teammembership_association"]
    }


def test_revoked_read_privilege(client: Client) -> None:
    client.emulator.control.set_read("lead", allowed=False)

    assert client.error("GET", "leads") == (403, "0x80040220")
    assert "prvReadLead" in client.get("leads").json()["error"]["message"]
    client.emulator.control.set_read("lead", allowed=True)
    assert client.get("leads").status_code == 200


def test_every_sample_row_is_valid_json_of_its_type(sample: Client) -> None:
    kinds: dict[ColumnType, type | tuple[type, ...]] = {
        ColumnType.STRING: str,
        ColumnType.MEMO: str,
        ColumnType.INTEGER: int,
        ColumnType.BIG_INT: int,
        ColumnType.DOUBLE: (int, float),
        ColumnType.DECIMAL: (int, float),
        ColumnType.MONEY: (int, float),
        ColumnType.BOOLEAN: bool,
        ColumnType.PICKLIST: int,
    }
    for table in default_schema().tables.values():
        for row in sample.rows(table.set_name, prefer=ALL_ANNOTATIONS):
            for name, column in table.properties.items():
                assert row[name] is None or isinstance(row[name], kinds.get(column.type, (str, int))), (
                    table.name,
                    name,
                )


def test_gzip_when_asked_for(sample: Client) -> None:
    zipped = sample.get("contacts", headers={"Accept-Encoding": "gzip"})
    plain = sample.get("contacts", headers={"Accept-Encoding": "identity"})

    assert zipped.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert zipped.json()["value"] == plain.json()["value"]


@pytest.mark.parametrize("version", ["v9.0", "v9.1", "v9.2"])
def test_versions(client: Client, version: str) -> None:
    assert client.get(f"{client.emulator.url}/api/data/{version}/WhoAmI").status_code == 200


def test_service_document_and_functions(client: Client) -> None:
    names = {entry["name"] for entry in client.get("").json()["value"]}
    organisation: dict[str, Any] = client.get(
        "RetrieveCurrentOrganization(AccessType=@p1)?@p1=Microsoft.Dynamics.CRM.EndpointAccessType'Default'"
    ).json()["Detail"]

    assert {"leads", "opportunities", "transactioncurrencies", "acme_eventattendanceset"} <= names
    assert client.get("RetrieveVersion()").json()["Version"].startswith("9.2.")
    assert organisation["OrganizationId"] == client.get("WhoAmI").json()["OrganizationId"]
    assert organisation["State"] == "Enabled"
