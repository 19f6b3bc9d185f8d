"""QualifyLead: the rows that a lead becomes, what they inherit, and what is refused."""

from typing import Any

import pytest
from requests import Response

from dynamics_emulator.testing_client import Client

ACTION = "Microsoft.Dynamics.CRM.QualifyLead"
ALL = {"CreateAccount": True, "CreateContact": True, "CreateOpportunity": True, "Status": 3}
LEAD = {
    "firstname": "Ada",
    "lastname": "Okafor",
    "companyname": "Acme",
    "subject": "Forty seats",
    "emailaddress1": "ada@acme.example",
    "telephone1": "1",
    "telephone2": "2",
    "mobilephone": "3",
    "address1_city": "Enugu",
    "donotemail": True,
    "description": "Met in Lagos",
    "sic": "7372",
    "qualificationcomments": "Budget is there",
}


def _qualify(client: Client, lead: str, **arguments: Any) -> Response:
    return client.call("POST", f"{lead}/{ACTION}", json={**ALL, **arguments})


def _row(client: Client, table: str) -> dict[str, Any]:
    [row] = client.emulator.database.rows(table)
    return row


def test_answer_names_the_rows_it_made(client: Client) -> None:
    lead = client.create("leads", **LEAD)

    answer = _qualify(client, lead)

    assert answer.status_code == 200
    kinds = [row["@odata.type"] for row in answer.json()["value"]]
    assert kinds == [f"#Microsoft.Dynamics.CRM.{name}" for name in ("account", "contact", "opportunity")]
    account, contact, opportunity = answer.json()["value"]
    assert account["accountid"] == _row(client, "account")["accountid"]
    assert contact["contactid"] == _row(client, "contact")["contactid"]
    assert opportunity["opportunityid"] == _row(client, "opportunity")["opportunityid"]
    assert "@odata.context" in answer.json()


def test_answer_can_be_empty(client: Client) -> None:
    client.emulator.control.change_settings(qualify_lead_answer="empty")

    answer = _qualify(client, client.create("leads", **LEAD))

    assert (answer.status_code, answer.content) == (204, b"")


def test_values_go_where_the_field_maps_send_them(client: Client) -> None:
    lead = client.create("leads", **LEAD)
    _qualify(client, lead)

    account, contact, opportunity = (_row(client, name) for name in ("account", "contact", "opportunity"))
    assert (account["name"], account["address1_city"], account["sic"]) == ("Acme", "Enugu", "7372")
    assert (contact["fullname"], contact["mobilephone"], contact["telephone2"]) == ("Ada Okafor", "3", "2")
    assert (account["telephone1"], contact["telephone1"]) == (None, None)
    assert (account["donotemail"], contact["donotemail"]) == (1, 1)
    assert (opportunity["name"], opportunity["description"]) == ("Forty seats", "Met in Lagos")
    assert opportunity["qualificationcomments"] == "Budget is there"


def test_rows_are_tied_to_each_other_and_to_the_lead(client: Client) -> None:
    lead = client.create("leads", **LEAD)
    _qualify(client, lead)

    account, contact, opportunity = (_row(client, name) for name in ("account", "contact", "opportunity"))
    key = lead[-37:-1]
    assert {row["originatingleadid"] for row in (account, contact, opportunity)} == {key}
    assert (contact["parentcustomerid"], contact["parentcustomerid__type"]) == (account["accountid"], "account")
    assert account["primarycontactid"] == contact["contactid"]
    assert (opportunity["customerid"], opportunity["customerid__type"]) == (account["accountid"], "account")
    assert opportunity["parentcontactid"] == contact["contactid"]


@pytest.mark.parametrize("fills", [True, False])
def test_lead_is_closed(client: Client, *, fills: bool) -> None:
    client.emulator.control.change_settings(qualify_fills_lead=fills)
    lead = client.create("leads", **LEAD)
    _qualify(client, lead)

    row = _row(client, "lead")
    assert (row["statecode"], row["statuscode"]) == (1, 3)
    assert row["qualifyingopportunityid"] == _row(client, "opportunity")["opportunityid"]
    assert row["parentaccountid"] == (_row(client, "account")["accountid"] if fills else None)
    assert row["parentcontactid"] == (_row(client, "contact")["contactid"] if fills else None)
    assert client.error("PATCH", lead, json={"lastname": "y"}) == (400, "0x80040230")


def test_only_what_is_asked_for_is_made(client: Client) -> None:
    lead = client.create("leads", **LEAD)

    answer = _qualify(client, lead, CreateAccount=False, CreateOpportunity=False, Status=-1)

    assert [row["@odata.type"] for row in answer.json()["value"]] == ["#Microsoft.Dynamics.CRM.contact"]
    assert client.emulator.database.count("account") == client.emulator.database.count("opportunity") == 0
    assert _row(client, "lead")["statuscode"] == 3


def test_optional_references(client: Client) -> None:
    customer = client.create("contacts", lastname="Customer")[-37:-1]
    campaign = client.create("campaigns", name="Spring")[-37:-1]
    currency = client.rows("transactioncurrencies")[0]["transactioncurrencyid"]
    lead = client.create("leads", **LEAD)

    _qualify(
        client,
        lead,
        CreateAccount=False,
        CreateContact=False,
        OpportunityCustomerId={"contactid": customer, "@odata.type": "Microsoft.Dynamics.CRM.contact"},
        OpportunityCurrencyId={
            "transactioncurrencyid": currency,
            "@odata.type": "#Microsoft.Dynamics.CRM.transactioncurrency",
        },
        SourceCampaignId={"campaignid": campaign, "@odata.type": "Microsoft.Dynamics.CRM.campaign"},
    )

    row = _row(client, "opportunity")
    assert (row["customerid"], row["customerid__type"]) == (customer, "contact")
    assert (row["transactioncurrencyid"], row["campaignid"]) == (currency, campaign)


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("OpportunityCurrencyId", "transactioncurrency"),
        ("OpportunityCustomerId", "account"),
        ("SourceCampaignId", "campaign"),
    ],
)
def test_references_must_lead_to_rows_of_their_table(client: Client, name: str, table: str) -> None:
    lead = client.create("leads", **LEAD)
    missing = {f"{table}id": "00000000-0000-4000-8000-00000000dead", "@odata.type": f"Microsoft.Dynamics.CRM.{table}"}
    other = {"leadid": lead[-37:-1], "@odata.type": "Microsoft.Dynamics.CRM.lead"}

    answers = [_qualify(client, lead, **{name: reference}) for reference in (missing, other)]

    found = [(answer.status_code, answer.json()["error"]["code"]) for answer in answers]
    assert found == [(404, "0x80040217"), (400, "0x80040203")]
    assert client.emulator.database.count("opportunity") == client.emulator.database.count("account") == 0
    assert _row(client, "lead")["statecode"] == 0


def test_closed_lead_is_refused(client: Client) -> None:
    lead = client.create("leads", **LEAD)
    _qualify(client, lead)

    answer = _qualify(client, lead)

    assert answer.status_code == 400
    assert answer.json()["error"] == {"code": "0x80040519", "message": "The lead is already closed."}
    assert client.emulator.database.count("account") == 1


@pytest.mark.parametrize(
    ("changed", "code", "text"),
    [
        ({"Createaccount": True}, "0x8006088a", "Request message has unresolved parameters."),
        ({"Status": None}, "0x80040203", "Required field 'Status' is missing"),
        ({"CreateContact": None}, "0x80040203", "Required field 'CreateContact' is missing"),
        ({"CreateContact": "yes"}, "0x80040203", "Invalid argument."),
        ({"Status": 4}, "0x80048408", "not a valid status code"),
        ({"OpportunityCustomerId": {"contactid": "x"}}, "0x80040203", "Invalid argument."),
        (
            {"OpportunityCustomerId": {"@odata.type": "Microsoft.Dynamics.CRM.lead", "leadid": "{lead}"}},
            "0x80040203",
            "CustomerIdType for opportunity can either be an account or contact",
        ),
    ],
)
def test_refused_arguments_write_nothing(client: Client, changed: dict[str, Any], code: str, text: str) -> None:
    lead = client.create("leads", **LEAD)
    reference = changed.get("OpportunityCustomerId", {})
    if "leadid" in reference:
        changed = {"OpportunityCustomerId": {**reference, "leadid": lead[-37:-1]}}

    answer = _qualify(client, lead, **changed)

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
    assert text in answer.json()["error"]["message"]
    assert client.emulator.database.count("account") == 0
    assert _row(client, "lead")["statecode"] == 0


def test_missing_lead_and_wrong_verb(client: Client) -> None:
    missing = f"leads(00000000-0000-4000-8000-00000000dead)/{ACTION}"

    assert client.error("POST", missing, json=ALL) == (404, "0x80040217")
    assert client.error("GET", f"{client.create('leads', **LEAD)}/{ACTION}") == (405, "0x8006088a")


def test_without_the_right_to_make_accounts(client: Client) -> None:
    lead = client.create("leads", **LEAD)
    client.emulator.control.set_privilege("account", "Create", None)

    answer = _qualify(client, lead)

    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "0x80081018")
    assert "you don't have permission to create accounts" in answer.json()["error"]["message"]
    assert _row(client, "lead")["statecode"] == 0


@pytest.mark.parametrize("action", ["Microsoft.Dynamics.CRM.Nothing", "Microsoft.Dynamics.CRM.Merge"])
def test_action_that_a_row_does_not_have(client: Client, action: str) -> None:
    lead = client.create("leads", **LEAD)

    assert client.error("POST", f"{lead}/{action}", json={}) == (404, "0x80060888")
    assert client.error("POST", "Nothing", json={}) == (404, "0x80060888")
