"""Writes: how they are answered, what they change, and what is refused with which code."""

from datetime import UTC, datetime
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


def test_deleting_a_parent_clears_the_lookups_at_it(client: Client) -> None:
    account = client.create("accounts", name="Acme")
    bind = account.removeprefix(client.emulator.api)
    client.create("contacts", **{"lastname": "Ada", "parentcustomerid_account@odata.bind": bind})
    before = _only(client, "contact")["versionnumber"]

    client.call("DELETE", account)

    row = _only(client, "contact")
    assert (row["parentcustomerid"], row["parentcustomerid__type"]) == (None, None)
    assert row["versionnumber"] > before


def test_connection_gets_its_other_half_and_dies_with_its_ends(client: Client) -> None:
    contact = client.create("contacts", lastname="Ada")
    opportunity = client.create("opportunities", name="Deal")
    role = client.create("connectionroles", name="Champion").removeprefix(client.emulator.api)
    ends = {
        "record1id_opportunity@odata.bind": opportunity.removeprefix(client.emulator.api),
        "record2id_contact@odata.bind": contact.removeprefix(client.emulator.api),
        "record2roleid@odata.bind": role,
    }
    client.create("connections", **ends)

    one, other = sorted(client.emulator.database.rows("connection"), key=lambda row: row["ismaster"], reverse=True)
    assert (one["record1id"], one["record2id"]) == (other["record2id"], other["record1id"])
    assert (one["record2roleid"], one["relatedconnectionid"]) == (other["record1roleid"], other["connectionid"])
    assert other["relatedconnectionid"] == one["connectionid"]
    assert client.call("DELETE", contact).status_code == 204
    assert client.emulator.database.count("connection") == 0


def test_team_that_owns_rows_cannot_be_deleted(client: Client) -> None:
    team = client.create("teams", name="Desk")
    bind = team.removeprefix(client.emulator.api)
    client.call("PATCH", FIRST, json={"lastname": "x", "ownerid@odata.bind": bind})

    assert client.error("DELETE", team) == (405, "0x80040227")
    client.call("DELETE", FIRST)
    assert client.call("DELETE", team).status_code == 204


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
        ({"leadsourcecode": 4711}, "0x8004431a", "outside the valid range"),
        ({"statecode": 0, "statuscode": 3}, "0x80048408", "not a valid status code"),
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
    client.emulator.control.change_settings(read_only_columns="refuse")
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


def test_assigning_sets_the_owning_columns(sample: Client, client: Client) -> None:
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


def test_team_membership(sample: Client, client: Client) -> None:
    client.create("teams", name="Desk")
    [team] = client.rows("teams?$select=name")
    user = client.get("WhoAmI").json()["UserId"]
    path = f"teams({team['teamid']})/teammembership_association"

    added = client.call("POST", f"{path}/$ref", json={"@odata.id": f"{client.emulator.api}/systemusers({user})"})
    members = client.rows(f"{path}?$select=fullname")
    removed = client.call("DELETE", f"{path}({user})/$ref")

    assert (added.status_code, removed.status_code) == (204, 204)
    assert [row["systemuserid"] for row in members] == [user]
    assert client.rows(path) == []
    assert client.emulator.database.count("teammembership") == 0


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
