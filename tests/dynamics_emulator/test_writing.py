"""Writes: how they are answered, what they change, and what is refused with which code."""

from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import pytest

from dynamics_emulator.testing_client import Client

FIRST = "leads(00000000-0000-4000-8000-000000000001)"
REPRESENTATION = "return=representation"


def _only(client: Client, table: str) -> dict[str, Any]:
    [row] = client.emulator.database.rows(table)
    return row


def test_post_answers_with_the_address_alone(client: Client) -> None:
    answer = client.call("POST", "leads", json={"lastname": "Okafor"})

    assert answer.status_code == 204
    assert answer.content == b""
    assert answer.headers["OData-EntityId"] == answer.headers["Location"]
    assert client.get(answer.headers["OData-EntityId"]).json()["lastname"] == "Okafor"


def test_post_with_representation_answers_without_the_address(client: Client) -> None:
    answer = client.call("POST", "leads?$select=lastname", json={"lastname": "Okafor"}, prefer=REPRESENTATION)

    assert answer.status_code == 201
    assert answer.json()["lastname"] == "Okafor"
    assert "OData-EntityId" not in answer.headers
    assert answer.headers["Preference-Applied"] == REPRESENTATION


def test_post_honours_a_key_of_the_client_once(client: Client) -> None:
    body = {"leadid": "00000000-0000-4000-8000-0000000000AA", "lastname": "Okafor"}

    assert client.call("POST", "leads", json=body).headers["OData-EntityId"].endswith("00aa)")
    assert client.error("POST", "leads", json=body) == (412, "0x80040237")


def test_system_columns_of_a_new_row(client: Client) -> None:
    client.emulator.control.stop_clock(datetime(2026, 3, 1, 8, 15, tzinfo=UTC))
    client.create("leads", firstname="Ngozi", lastname="Okafor")

    row = _only(client, "lead")

    user = client.get("WhoAmI").json()["UserId"]
    assert (row["createdon"], row["modifiedon"]) == ("2026-03-01T08:15:00Z", "2026-03-01T08:15:00Z")
    assert (row["createdby"], row["ownerid"], row["owninguser"]) == (user, user, user)
    assert (row["statecode"], row["statuscode"], row["fullname"]) == (0, 1, "Ngozi Okafor")
    assert row["donotemail"] == 0


def test_overridden_creation_date(client: Client) -> None:
    client.emulator.control.stop_clock(datetime(2026, 3, 1, tzinfo=UTC))
    client.create("leads", lastname="Old", overriddencreatedon="2012-05-05T00:00:00Z")

    row = _only(client, "lead")

    assert row["createdon"] == "2012-05-05T00:00:00Z"
    assert row["overriddencreatedon"] == "2026-03-01T00:00:00Z"


def test_patch_creates_a_missing_row_and_updates_an_existing_one(client: Client) -> None:
    created = client.call("PATCH", FIRST, json={"lastname": "One"})
    updated = client.call("PATCH", FIRST, json={"firstname": "Ada"})

    assert (created.status_code, updated.status_code) == (204, 204)
    assert created.headers["OData-EntityId"] == updated.headers["OData-EntityId"]
    assert _only(client, "lead")["fullname"] == "Ada One"


def test_patch_with_representation_tells_create_from_update(client: Client) -> None:
    first = client.call("PATCH", FIRST, json={"lastname": "One"}, prefer=REPRESENTATION)
    second = client.call("PATCH", FIRST, json={"lastname": "One"}, prefer=REPRESENTATION)

    assert (first.status_code, second.status_code) == (201, 200)


def test_conditions_of_an_upsert(client: Client) -> None:
    any_version, new_only = {"If-Match": "*"}, {"If-None-Match": "*"}

    assert client.error("PATCH", FIRST, json={}, headers=any_version) == (404, "0x80040217")
    assert client.call("PATCH", FIRST, json={"lastname": "x"}, headers=new_only).status_code == 204
    assert client.error("PATCH", FIRST, json={"lastname": "y"}, headers=new_only) == (412, "0x80040237")
    assert client.call("PATCH", FIRST, json={"lastname": "z"}, headers=any_version).status_code == 204


def test_stale_version_is_refused_and_nothing_is_written(client: Client) -> None:
    client.call("PATCH", FIRST, json={"lastname": "One"})
    etag = client.get(FIRST).headers["ETag"]
    client.call("PATCH", FIRST, json={"lastname": "One"})

    assert client.error("PATCH", FIRST, json={"lastname": "Two"}, headers={"If-Match": etag}) == (412, "0x80060882")
    assert client.error("DELETE", FIRST, headers={"If-Match": etag}) == (412, "0x80060882")
    assert _only(client, "lead")["lastname"] == "One"


def test_each_write_draws_a_higher_version(client: Client) -> None:
    versions = []
    for _ in range(3):
        client.call("PATCH", FIRST, json={"lastname": "same"})
        versions.append(_only(client, "lead")["versionnumber"])

    assert versions == sorted(set(versions))


def test_delete(client: Client) -> None:
    client.call("PATCH", FIRST, json={"lastname": "One"})

    assert client.call("DELETE", FIRST).status_code == 204
    assert client.error("DELETE", FIRST) == (404, "0x80040217")
    assert client.error("DELETE", "systemusers(7e57ab1e-0000-4000-8000-000000000003)")[0] == 405


@pytest.mark.parametrize(
    ("known", "path", "annotated", "status"),
    [
        ("current", FIRST, False, 304),
        ("current", f"{FIRST}?$select=lastname", False, 304),
        ("among", FIRST, False, 304),
        ("current", f"{FIRST}?$expand=owninguser($select=fullname)", False, 200),
        ("current", FIRST, True, 200),
        ("stale", FIRST, False, 200),
        ("null", FIRST, False, 200),
    ],
)
def test_known_version_is_not_sent_again(
    client: Client, known: str, path: str, *, annotated: bool, status: int
) -> None:
    client.call("PATCH", FIRST, json={"lastname": "One"})
    etag = client.get(FIRST).headers["ETag"]
    sent = {"current": etag, "among": f'W/"1", {etag}', "stale": 'W/"1"', "null": "null"}[known]

    prefer = 'odata.include-annotations="*"' if annotated else None
    answer = client.get(path, headers={"If-None-Match": sent}, prefer=prefer)

    assert answer.status_code == status
    assert (answer.content == b"") is (status == 304)
    assert answer.headers["ETag"] == etag


def test_null_is_no_condition_of_a_write(client: Client) -> None:
    client.call("PATCH", FIRST, json={"lastname": "One"})

    assert client.call("PATCH", FIRST, json={"lastname": "x"}, headers={"If-None-Match": "null"}).status_code == 204


def test_table_without_versions(client: Client) -> None:
    organisation = client.emulator.organisation
    plain = replace(organisation.schema.table("lead"), optimistic=False)
    organisation.schema = replace(
        organisation.schema, tables=MappingProxyType({**organisation.schema.tables, "lead": plain})
    )
    client.call("PATCH", FIRST, json={"lastname": "One"})
    etag = client.get(FIRST).headers["ETag"]

    assert client.get(FIRST, headers={"If-None-Match": etag}).status_code == 200
    answer = client.call("PATCH", FIRST, json={"lastname": "Two"}, headers={"If-Match": etag})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "0x8006088d")
    assert "Optimistic concurrency isn't enabled for entity type lead." in answer.json()["error"]["message"]


def test_required_columns(client: Client) -> None:
    answer = client.call("POST", "duplicaterules", json={"name": "No tables"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "0x80040203")
    assert answer.json()["error"]["message"] == "Required field 'baseentityname' is missing"
    assert client.call("POST", "leads", json={}).status_code == 204
    client.emulator.control.change_settings(application_required_enforced=True)
    assert client.error("POST", "leads", json={"lastname": "x"}) == (400, "0x80040203")
    assert client.call("POST", "leads", json={"lastname": "x", "subject": "y"}).status_code == 204
    client.emulator.control.change_settings(system_required_enforced=False)
    assert client.call("POST", "duplicaterules", json={"name": "No tables"}).status_code == 204


def test_unpublished_column_is_unknown(client: Client) -> None:
    client.call("PATCH", FIRST, json={"lastname": "x"})
    client.emulator.control.add_column("lead", "acme_seats", "Integer", published=False)

    answer = client.call("PATCH", FIRST, json={"acme_seats": 40})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "0x80048d19")
    assert "The property 'acme_seats' does not exist on type" in answer.json()["error"]["message"]
    assert client.call("PUT", f"{FIRST}/acme_seats", json={"value": 40}).status_code in (400, 405)
    client.emulator.control.publish()
    assert client.call("PATCH", FIRST, json={"acme_seats": 40}).status_code == 204
    assert client.get(FIRST).json()["acme_seats"] == 40


@pytest.mark.parametrize("form", ["/{}", "{}", "absolute"])
def test_bind_forms_and_clearing(client: Client, form: str) -> None:
    address = client.create("contacts", lastname="Parent")
    path = address.removeprefix(f"{client.emulator.api}/")
    bind = address if form == "absolute" else form.format(path)
    client.call("PATCH", FIRST, json={"lastname": "x", "parentcontactid@odata.bind": bind})

    assert client.get(FIRST).json()["_parentcontactid_value"] == address[-37:-1]
    client.call("PATCH", FIRST, json={"parentcontactid@odata.bind": None})
    assert client.get(FIRST).json()["_parentcontactid_value"] is None


def test_reference_can_be_put_read_and_removed(client: Client) -> None:
    contact = client.create("contacts", lastname="Parent")
    client.call("PATCH", FIRST, json={"lastname": "x"})
    path = f"{FIRST}/parentcontactid/$ref"

    assert client.call("PUT", path, json={"@odata.id": contact}).status_code == 204
    assert client.get(path).json()["@odata.id"] == contact
    assert client.get(f"{FIRST}/parentcontactid?$select=lastname").json()["lastname"] == "Parent"
    assert client.call("DELETE", path).status_code == 204
    assert client.get(path).status_code == 204


@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        (
            {"lastname": "x" * 51},
            "0x80044331",
            "A validation error occurred.  The length of the 'lastname' attribute of the 'lead' entity "
            "exceeded the maximum allowed length of '50'.",
        ),
        ({"leadsourcecode": 4711}, "0x8004431a", "The picklist value is out of the range."),
        ({"statecode": 7}, "0x8004431a", "outside the valid range"),
        (
            {"statecode": 0, "statuscode": 3},
            "0x80048408",
            "State code is invalid or state code is valid but status code is invalid for a specified state code.",
        ),
        ({"parentcontactid@odata.bind": 5}, "0x80060888", "ODataUnrecognizedPathException"),
        ({"parentcontactid@odata.bind": "/contacts(acme_extid='no')"}, "0x80060891", "specified key values"),
        ({"parentcontactid@odata.bind": "/contacts(lastname='no')"}, "0x80060890", "not a defined key"),
        ({"numberofemployees": -1}, "0x80040203", "outside the valid range"),
        ({"_parentcontactid_value": "x"}, "0x80060888", "Use Navigation properties instead."),
        ({"parentcontactid": "x"}, "0x80060888", "Use Navigation properties instead."),
        ({"nothing@odata.bind": "/contacts(1)"}, "0x80048d19", "An undeclared property 'nothing' which only has"),
        ({"nothing": 1}, "0x80048d19", "does not exist on type 'Microsoft.Dynamics.CRM.lead'"),
        ({"numberofemployees": "many"}, "0x80048d19", "Cannot convert the literal 'many'"),
        ({"estimatedclosedate": "2026-02-30"}, "0x80048d19", "Cannot convert"),
        ({"donotemail": 1}, "0x80048d19", "Cannot convert"),
        (
            {"parentcontactid@odata.bind": "/nowhere(00000000-0000-4000-8000-000000000001)"},
            "0x80060888",
            "URL was not parsed due to an ODataUnrecognizedPathException. "
            "Resource not found for the segment provided in the URL.",
        ),
        (
            {"parentcontactid@odata.bind": "/accounts(7e57ab1e-0000-4000-8000-000000000003)"},
            "0x80040217",
            "Does Not Exist",
        ),
    ],
)
def test_refused_values(client: Client, body: dict[str, Any], code: str, text: str) -> None:
    answer = client.call("PATCH", FIRST, json={"subject": "kept out", **body})

    assert answer.json()["error"]["code"] == code
    assert text in answer.json()["error"]["message"]
    assert client.emulator.database.count("lead") == 0


def test_body_that_is_no_json(client: Client) -> None:
    assert client.error("POST", "leads", data=b"{") == (400, "0x80048d19")


def test_read_only_columns_are_ignored_or_refused(client: Client) -> None:
    assert client.call("PATCH", FIRST, json={"lastname": "x", "fullname": "y"}).status_code == 204
    assert _only(client, "lead")["fullname"] == "x"
    user = {"modifiedby@odata.bind": "/systemusers(00000000-0000-4000-8000-00000000dead)"}
    assert client.call("PATCH", FIRST, json=user).status_code == 204
    reference = {"@odata.id": f"{client.emulator.api}/systemusers({client.get('WhoAmI').json()['UserId']})"}
    assert client.error("PUT", f"{FIRST}/createdby/$ref", json=reference) == (400, "0x80060888")
    client.emulator.control.change_settings(read_only_columns="refuse")
    assert client.error("PATCH", FIRST, json=user) == (400, "0x80060888")
    assert client.error("PATCH", FIRST, json={"fullname": "y"}) == (400, "0x80060888")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"statuscode": 4}, (2, 4)),
        ({"statecode": 2}, (2, 7)),
        ({"statecode": 2, "statuscode": 5}, (2, 5)),
        ({"statecode": 1}, (1, 3)),
    ],
)
def test_state_and_status_follow_each_other(client: Client, body: dict[str, int], expected: tuple[int, int]) -> None:
    client.call("PATCH", FIRST, json={"lastname": "x"})
    client.call("PATCH", FIRST, json=body)

    row = _only(client, "lead")
    assert (row["statecode"], row["statuscode"]) == expected


def test_qualified_lead_is_read_only_until_reopened(client: Client) -> None:
    client.call("PATCH", FIRST, json={"lastname": "x", "statecode": 1})

    assert client.error("PATCH", FIRST, json={"lastname": "y"}) == (400, "0x80040230")
    assert client.call("PATCH", FIRST, json={"statecode": 0}).status_code == 204
    assert client.call("PATCH", FIRST, json={"lastname": "y"}).status_code == 204


def test_assigning_sets_the_owning_columns(client: Client) -> None:
    client.emulator.control.change_settings(owner_needs_privilege=False)
    client.create("teams", **{"name": "Desk", "businessunitid@odata.bind": _root_unit(client)})
    [team] = client.rows("teams?$select=name")
    client.call("PATCH", FIRST, json={"lastname": "x", "ownerid@odata.bind": f"/teams({team['teamid']})"})

    row = _only(client, "lead")
    assert (row["ownerid"], row["ownerid__type"]) == (team["teamid"], "team")
    assert (row["owningteam"], row["owninguser"]) == (team["teamid"], None)


def _root_unit(client: Client) -> str:
    return f"/businessunits({client.rows('businessunits')[0]['businessunitid']})"


def test_money_keeps_its_digits_and_fills_the_base(client: Client) -> None:
    answer = client.call("PATCH", FIRST, json={"lastname": "x"})
    body = b'{"estimatedamount": 922337203685.4775}'
    answer = client.call("PATCH", FIRST, data=body, headers={"Content-Type": "application/json"})

    assert answer.status_code == 204
    assert '"estimatedamount":922337203685.4775' in client.get(f"{FIRST}?$select=estimatedamount").text
    assert _only(client, "lead")["estimatedamount_base"] == "922337203685.4775"


def test_dates_are_stored_in_utc_and_without_fractions(client: Client) -> None:
    body = {"lastname": "x", "mkt_lastinterestingmomentdate": "2026-03-01T10:15:00.5+02:00"}
    client.call("PATCH", FIRST, json=body)

    assert client.get(FIRST).json()["mkt_lastinterestingmomentdate"] == "2026-03-01T08:15:00Z"


def test_length_counts_utf16_units(client: Client) -> None:
    assert client.call("PATCH", FIRST, json={"lastname": "😀" * 25}).status_code == 204
    assert client.error("PATCH", FIRST, json={"lastname": "😀" * 26}) == (400, "0x80044331")


def test_single_property(client: Client) -> None:
    client.call("PATCH", FIRST, json={"lastname": "One", "companyname": "Acme"})

    assert client.call("PUT", f"{FIRST}/lastname", json={"value": "Two"}).status_code == 204
    assert client.get(f"{FIRST}/lastname").json()["value"] == "Two"
    assert client.call("DELETE", f"{FIRST}/companyname").status_code == 204
    assert client.get(f"{FIRST}/companyname").status_code == 204
    assert client.call("PUT", f"{FIRST}/_ownerid_value", json={"value": None}).status_code == 400
    assert client.error("PUT", f"{FIRST}/lastname", json={}) == (400, "0x80048d19")
    assert client.error("PUT", f"{FIRST}/fullname", json={"value": "x"}) == (400, "0x80060888")
    assert client.error("PUT", f"{FIRST}/lastname", json={"value": "x" * 51}) == (400, "0x80044331")
    assert client.error("DELETE", f"{FIRST}/lastname", headers={"If-Match": 'W/"1"'}) == (412, "0x80060882")


def test_method_that_a_set_does_not_take(client: Client) -> None:
    assert client.call("PATCH", "leads", json={}).status_code == 405


def test_custom_table_with_its_own_names(client: Client) -> None:
    contact = client.create("contacts", lastname="Ada").removeprefix(client.emulator.api)
    values = {"acme_name": "Visit", "acme_ContactId@odata.bind": contact, "acme_interests": "100000002,100000000"}
    address = client.create("acme_eventattendanceset", **values, acme_rating=4.256, acme_checkindate="2026-03-01")

    row = client.get(address).json()

    assert row["_acme_contactid_value"] == contact[-37:-1]
    assert row["acme_interests"] == "100000000,100000002"
    assert (row["acme_rating"], row["acme_checkindate"]) == (4.26, "2026-03-01")
    assert client.error("PATCH", address, json={"acme_contactid@odata.bind": contact}) == (400, "0x80048d19")
