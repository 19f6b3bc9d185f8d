"""Duplicate detection: off unless asked for, by rules that are rows themselves."""

import json
from typing import Any

import pytest
from requests import Response

from dynamics_emulator.testing_client import Client

ON = {"MSCRM.SuppressDuplicateDetection": "false"}
TEXT = "A record was not created or updated because a duplicate of the current record already exists."


def _create(client: Client, set_name: str, headers: dict[str, str] | None = None, **values: Any) -> Response:
    return client.call("POST", set_name, json=values, headers=ON if headers is None else headers)


def _rule(client: Client, base: str, matching: str, operator: int, column: str, **more: Any) -> str:
    """Make and publish a rule with one condition."""
    about = {key: more.pop(key) for key in ("iscasesensitive", "excludeinactiverecords") if key in more}
    rule = client.create("duplicaterules", name="Rule", baseentityname=base, matchingentityname=matching, **about)
    condition = {"baseattributename": column, "matchingattributename": column, "operatorcode": operator, **more}
    bind = {"regardingobjectid@odata.bind": rule.removeprefix(client.emulator.api)}
    client.create("duplicateruleconditions", **condition, **bind)
    client.call("PATCH", rule, json={"statecode": 1, "statuscode": 2})
    return rule


@pytest.mark.parametrize(
    ("set_name", "values"),
    [
        ("leads", {"lastname": "x", "emailaddress1": "Ada@Acme.example"}),
        ("contacts", {"lastname": "x", "emailaddress1": "Ada@Acme.example"}),
        ("accounts", {"name": "ACME"}),
    ],
)
def test_rules_of_a_new_organisation(client: Client, set_name: str, values: dict[str, str]) -> None:
    client.create(set_name, **values)
    lowered = {name: value.lower() for name, value in values.items()}

    answer = _create(client, set_name, **lowered)

    assert (answer.status_code, answer.json()["error"]) == (412, {"code": "0x80040333", "message": TEXT})
    assert _create(client, set_name, headers={}, **lowered).status_code == 204
    loud = {"MSCRM.SuppressDuplicateDetection": "true"}
    assert _create(client, set_name, headers=loud, **lowered).status_code == 204


def test_status_is_a_setting(client: Client) -> None:
    client.emulator.control.change_settings(duplicate_detection_status=500)
    client.create("accounts", name="Acme")

    assert _create(client, "accounts", name="Acme").status_code == 500


def test_update_is_checked_for_the_columns_that_it_writes(client: Client) -> None:
    client.create("accounts", name="Acme")
    other = client.create("accounts", name="Other")

    assert client.error("PATCH", other, json={"name": "acme"}, headers=ON) == (412, "0x80040333")
    assert client.call("PATCH", other, json={"telephone1": "1"}, headers=ON).status_code == 204
    assert client.call("PATCH", other, json={"name": "OTHER"}, headers=ON).status_code == 204


def test_blank_values_are_no_duplicates(client: Client) -> None:
    client.create("leads", lastname="One")

    assert _create(client, "leads", lastname="Two").status_code == 204


@pytest.mark.parametrize(
    ("operator", "length", "stored", "sent", "found"),
    [
        (0, None, "Okafor", "okafor", True),
        (0, None, "Okafor", "Okafo", False),
        (1, 3, "Okafor", "OKAnda", True),
        (1, 3, "Okafor", "Oxafor", False),
        (2, 3, "Okafor", "Meteor", False),
        (2, 2, "Okafor", "MeteOR", True),
    ],
)
def test_operators_on_text(
    client: Client, operator: int, length: int | None, stored: str, sent: str, *, found: bool
) -> None:
    _rule(client, "lead", "lead", operator, "lastname", operatorparam=length)
    client.create("leads", lastname=stored)

    assert _create(client, "leads", lastname=sent).status_code == (412 if found else 204)


def test_operators_on_dates_and_options(client: Client) -> None:
    _rule(client, "acme_eventattendance", "acme_eventattendance", 3, "acme_attendedon")
    _rule(client, "lead", "lead", 6, "leadsourcecode")
    client.create("acme_eventattendanceset", acme_attendedon="2026-03-01T08:00:00Z")
    client.create("leads", lastname="x", leadsourcecode=8)

    same_day = _create(client, "acme_eventattendanceset", acme_attendedon="2026-03-01T19:00:00Z")
    next_day = _create(client, "acme_eventattendanceset", acme_attendedon="2026-03-02T08:00:00Z")
    assert (same_day.status_code, next_day.status_code) == (412, 204)
    assert _create(client, "leads", lastname="y", leadsourcecode=8).status_code == 412
    assert _create(client, "leads", lastname="y", leadsourcecode=9).status_code == 204


def test_rule_between_tables_and_case(client: Client) -> None:
    _rule(client, "lead", "contact", 0, "mobilephone", iscasesensitive=True)
    client.create("contacts", lastname="x", mobilephone="Ext A")

    assert _create(client, "leads", lastname="y", mobilephone="Ext A").status_code == 412
    assert _create(client, "leads", lastname="y", mobilephone="ext a").status_code == 204
    assert _create(client, "contacts", lastname="y", mobilephone="Ext A").status_code == 204


def test_rule_may_leave_inactive_rows_out(client: Client) -> None:
    _rule(client, "contact", "contact", 0, "jobtitle", excludeinactiverecords=True)
    other = client.create("contacts", lastname="x", jobtitle="CTO")
    client.call("PATCH", other, json={"statecode": 1})

    assert _create(client, "contacts", lastname="y", jobtitle="CTO").status_code == 204


def test_unpublished_rule_is_silent(client: Client) -> None:
    rule = _rule(client, "contact", "contact", 0, "jobtitle")
    client.create("contacts", lastname="x", jobtitle="CTO")
    client.call("PATCH", rule, json={"statecode": 0, "statuscode": 0})

    assert _create(client, "contacts", lastname="y", jobtitle="CTO").status_code == 204


def test_rows_of_a_refused_change_set_are_gone(client: Client) -> None:
    client.create("accounts", name="Acme")
    body = {"name": "New", "lead_parent_account": [{"lastname": "x", "emailaddress1": "a@b.example"}]}
    client.create("leads", lastname="y", emailaddress1="a@b.example")

    assert _create(client, "accounts", **body).status_code == 412
    assert client.emulator.database.count("account") == 1


def _duplicates(client: Client, entity: object, matching: str) -> Response:
    query = {"@p1": entity if isinstance(entity, str) else json.dumps(entity), "@p2": f"'{matching}'"}
    paging = {"@p3": json.dumps({"PageNumber": 1, "Count": 50})}
    path = "RetrieveDuplicates(BusinessEntity=@p1,MatchingEntityName=@p2,PagingInfo=@p3)"
    return client.get(path, params={**query, **paging})


def test_retrieving_the_duplicates_of_a_row(client: Client) -> None:
    addresses = [client.create("leads", lastname=name, emailaddress1="a@b.example") for name in "ab"]
    client.create("leads", lastname="c", emailaddress1="c@b.example")
    lead = {"@odata.type": "Microsoft.Dynamics.CRM.lead", "emailaddress1": "A@B.example"}

    found = _duplicates(client, lead, "lead").json()["value"]
    others = _duplicates(client, {**lead, "leadid": addresses[0][-37:-1]}, "lead").json()["value"]

    assert sorted(row["lastname"] for row in found) == ["a", "b"]
    assert [row["lastname"] for row in others] == ["b"]
    assert _duplicates(client, lead, "contact").json()["value"] == []


@pytest.mark.parametrize(
    ("entity", "matching"),
    [
        ("{", "lead"),
        ("[]", "lead"),
        ({"lastname": "x"}, "lead"),
        ({"@odata.type": "mscrm.lead"}, "nothing"),
        ("", "lead"),
    ],
)
def test_refused_arguments_of_retrieve_duplicates(client: Client, entity: object, matching: str) -> None:
    answer = _duplicates(client, entity, matching)

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "0x80040203")
