"""Merge: what moves to the target, what becomes of the subordinate, and what is refused."""

from typing import Any

import pytest
from requests import Response

from dynamics_emulator.testing_client import Client

TRACKED = "odata.track-changes"


def _merge(client: Client, table: str, target: str, subordinate: str, **more: Any) -> Response:
    def reference(address: str) -> dict[str, str]:
        return {f"{table}id": address[-37:-1], "@odata.type": f"Microsoft.Dynamics.CRM.{table}"}

    body = {"Target": reference(target), "Subordinate": reference(subordinate), "PerformParentingChecks": False}
    return client.call("POST", "Merge", json={**body, **more})


def _rows(client: Client, table: str) -> dict[str, dict[str, Any]]:
    key = client.emulator.organisation.schema.table(table).primary_id
    return {str(row[key]): row for row in client.emulator.database.rows(table)}


def _bind(client: Client, address: str) -> str:
    return address.removeprefix(client.emulator.api)


def _pair(client: Client, set_name: str, **values: Any) -> tuple[str, str]:
    return client.create(set_name, **values), client.create(set_name, **values)


@pytest.mark.parametrize(
    ("table", "set_name", "values", "closed"),
    [
        ("account", "accounts", {"name": "Acme"}, (1, 2)),
        ("contact", "contacts", {"lastname": "Ada"}, (1, 2)),
        ("lead", "leads", {"lastname": "Ada"}, (2, 7)),
    ],
)
def test_subordinate_is_closed_and_names_its_master(
    client: Client, table: str, set_name: str, values: dict[str, str], closed: tuple[int, int]
) -> None:
    target, subordinate = _pair(client, set_name, **values)

    answer = _merge(client, table, target, subordinate)

    assert (answer.status_code, answer.content) == (204, b"")
    row = _rows(client, table)[subordinate[-37:-1]]
    assert (row["merged"], row["masterid"]) == (1, target[-37:-1])
    assert (row["statecode"], row["statuscode"]) == closed
    kept = _rows(client, table)[target[-37:-1]]
    assert (kept["merged"], kept["masterid"], kept["statecode"]) == (0, None, 0)


@pytest.mark.parametrize(("state", "status"), [(1, 3), (0, 1)])
def test_state_of_a_merged_lead_is_a_setting(client: Client, state: int, status: int) -> None:
    client.emulator.control.change_settings(merged_lead_state=state)
    target, subordinate = _pair(client, "leads", lastname="Ada")
    _merge(client, "lead", target, subordinate)

    row = _rows(client, "lead")[subordinate[-37:-1]]
    assert (row["statecode"], row["statuscode"], row["merged"]) == (state, status, 1)


def test_content_is_written_over_the_target(client: Client) -> None:
    target, subordinate = _pair(client, "contacts", lastname="Ada", jobtitle="CEO")

    content = {"@odata.type": "Microsoft.Dynamics.CRM.contact", "jobtitle": "CTO"}
    _merge(client, "contact", target, subordinate, UpdateContent=content)

    rows = _rows(client, "contact")
    assert (rows[target[-37:-1]]["jobtitle"], rows[subordinate[-37:-1]]["jobtitle"]) == ("CTO", "CEO")


def test_children_and_ties_move_to_the_target(client: Client) -> None:
    target, subordinate = _pair(client, "contacts", lastname="Ada")
    bind = _bind(client, subordinate)
    deal = client.create("opportunities", **{"name": "Deal", "customerid_contact@odata.bind": bind})
    visit = client.create("acme_eventattendanceset", **{"acme_ContactId@odata.bind": bind})
    shared, single = (client.create("acme_interests", acme_name=name) for name in "ab")
    for interest, member in ((shared, target), (shared, subordinate), (single, subordinate)):
        client.call("POST", f"{interest}/acme_interest_contact/$ref", json={"@odata.id": member})

    _merge(client, "contact", target, subordinate)

    assert client.get(deal).json()["_customerid_value"] == target[-37:-1]
    assert client.get(visit).json()["_acme_contactid_value"] == target[-37:-1]
    interests = client.rows(f"{target}/acme_interest_contact?$orderby=acme_name")
    assert [row["acme_name"] for row in interests] == ["a", "b"]
    assert client.rows(f"{subordinate}/acme_interest_contact") == []


def test_moved_children_show_in_change_tracking(client: Client) -> None:
    target, subordinate = _pair(client, "accounts", name="Acme")
    client.create("leads", **{"lastname": "x", "parentaccountid@odata.bind": _bind(client, subordinate)})
    link = client.get("leads?$select=lastname", prefer=TRACKED).json()["@odata.deltaLink"]

    _merge(client, "account", target, subordinate)

    assert [row["lastname"] for row in client.get(link).json()["value"]] == ["x"]


@pytest.mark.parametrize("shows_as", ["update", "delete"])
def test_subordinate_in_change_tracking(client: Client, shows_as: str) -> None:
    client.emulator.control.change_settings(merge_shows_as=shows_as)
    target, subordinate = _pair(client, "contacts", lastname="Ada")
    link = client.get("contacts?$select=merged", prefer=TRACKED).json()["@odata.deltaLink"]

    _merge(client, "contact", target, subordinate)

    found = client.get(link).json()["value"]
    assert found[0]["contactid"] == target[-37:-1]
    [other] = found[1:]
    if shows_as == "update":
        assert (other["contactid"], other["merged"]) == (subordinate[-37:-1], True)
    else:
        assert (other["id"], other["reason"]) == (subordinate[-37:-1], "deleted")


def test_row_with_itself(client: Client) -> None:
    contact = client.create("contacts", lastname="Ada")

    answer = _merge(client, "contact", contact, contact)

    text = "Merge cannot be performed on master and sub-entities that are identical."
    assert (answer.status_code, answer.json()["error"]) == (400, {"code": "0x80045305", "message": text})


@pytest.mark.parametrize("inactive", [0, 1])
def test_inactive_rows(client: Client, inactive: int) -> None:
    pair = _pair(client, "contacts", lastname="Ada")
    client.call("PATCH", pair[inactive], json={"statecode": 1})

    answer = _merge(client, "contact", *pair)

    text = "Merge cannot be performed on entity that is inactive."
    assert (answer.status_code, answer.json()["error"]) == (400, {"code": "0x80045304", "message": text})


def test_target_below_the_subordinate(client: Client) -> None:
    top = client.create("accounts", name="Top")
    middle = client.create("accounts", **{"name": "Middle", "parentaccountid@odata.bind": _bind(client, top)})
    below = client.create("accounts", **{"name": "Below", "parentaccountid@odata.bind": _bind(client, middle)})

    answer = _merge(client, "account", below, top)

    text = "Merge could create cyclical parenting."
    assert (answer.status_code, answer.json()["error"]) == (400, {"code": "0x80045300", "message": text})
    assert _merge(client, "account", top, below).status_code == 204


def test_without_the_right_to_write(client: Client) -> None:
    pair = _pair(client, "contacts", lastname="Ada")
    client.emulator.control.set_privilege("contact", "Write", None)

    answer = _merge(client, "contact", *pair)

    text = "Merge is not allowed: caller does not have the privilege or access."
    assert (answer.status_code, answer.json()["error"]) == (403, {"code": "0x80045301", "message": text})


def test_refused_arguments(client: Client) -> None:
    target, subordinate = _pair(client, "contacts", lastname="Ada")
    account, deal = client.create("accounts", name="Acme"), client.create("opportunities", name="Deal")
    other = {"accountid": account[-37:-1], "@odata.type": "Microsoft.Dynamics.CRM.account"}

    assert _merge(client, "contact", target, subordinate, Subordinate=other).json()["error"]["code"] == "0x80040203"
    assert _merge(client, "opportunity", deal, deal).json()["error"]["code"] == "0x80040203"
    unresolved = _merge(client, "contact", target, subordinate, Master=other)
    assert unresolved.json()["error"]["message"] == "Request message has unresolved parameters."
    missing = client.error("POST", "Merge", json={"Target": other})
    assert missing == (400, "0x80040203")
    content = {"jobtitle": "x" * 101}
    assert _merge(client, "contact", target, subordinate, UpdateContent=content).status_code == 400
    assert {row["merged"] for row in _rows(client, "contact").values()} == {0}
