"""``$ref``: ties between rows, single-valued, 1:N and N:N, and rows nested in the body of a create."""

from typing import Any

import pytest

from dynamics_emulator.testing_client import Client

NOBODY = "00000000-0000-4000-8000-00000000dead"


def _key(address: str) -> str:
    return address[-37:-1]


def _path(client: Client, address: str) -> str:
    return address.removeprefix(client.emulator.api)


@pytest.mark.parametrize("verb", ["PUT", "POST"])
def test_single_valued_reference(client: Client, verb: str) -> None:
    contact, lead = client.create("contacts", lastname="Parent"), client.create("leads", lastname="x")
    path = f"{lead}/parentcontactid/$ref"

    assert client.call(verb, path, json={"@odata.id": contact}).status_code == 204
    assert client.get(path).json() == {
        "@odata.context": f"{client.emulator.api}/$metadata#$ref",
        "@odata.id": contact,
    }
    assert client.call("DELETE", path).status_code == 204
    assert client.get(path).status_code == 204


def test_polymorphic_reference_by_each_of_its_properties(client: Client) -> None:
    account, contact = client.create("accounts", name="Acme"), client.create("contacts", lastname="Ada")
    path = f"{contact}/parentcustomerid_account/$ref"

    assert client.call("PUT", path, json={"@odata.id": account}).status_code == 204
    assert client.get(path).json()["@odata.id"] == account
    assert client.error("PUT", path, json={"@odata.id": contact}) == (400, "0x80060888")


def test_reference_of_one_to_many(client: Client) -> None:
    account, lead = client.create("accounts", name="Acme"), client.create("leads", lastname="x")
    path = f"{account}/lead_parent_account"

    assert client.call("POST", f"{path}/$ref", json={"@odata.id": lead}).status_code == 204
    assert client.get(lead).json()["_parentaccountid_value"] == _key(account)
    assert client.get(f"{path}/$ref").json()["value"] == [{"@odata.id": lead}]
    assert client.call("DELETE", f"{path}({_key(lead)})/$ref").status_code == 204
    assert client.get(lead).json()["_parentaccountid_value"] is None
    assert client.error("DELETE", f"{path}({_key(lead)})/$ref") == (404, "0x80040217")


@pytest.mark.parametrize(
    ("one", "many", "name", "intersect"),
    [
        (("teams", {"name": "Desk"}), ("systemusers", {}), "teammembership_association", "teammembership"),
        (("lists", {"listname": "L", "createdfromcode": 4}), ("leads", {}), "listlead_association", "listmember"),
        (("lists", {"listname": "L", "createdfromcode": 2}), ("contacts", {}), "listcontact_association", "listmember"),
        (
            ("campaigns", {"name": "C"}),
            ("lists", {"listname": "L", "createdfromcode": 2}),
            "campaignlist_association",
            "campaignitem",
        ),
        (("acme_interests", {"acme_name": "I"}), ("contacts", {}), "acme_interest_contact", "acme_interest_contact"),
    ],
)
def test_many_to_many_from_both_sides(
    client: Client, one: tuple[str, dict[str, Any]], many: tuple[str, dict[str, Any]], name: str, intersect: str
) -> None:
    first = client.create(one[0], **one[1])
    second = _other(client, *many)
    before = client.emulator.database.count(intersect)

    added = client.call("POST", f"{first}/{name}/$ref", json={"@odata.id": second})
    again = client.call("POST", f"{second}/{name}/$ref", json={"@odata.id": first})

    assert (added.status_code, again.status_code) == (204, 204)
    assert client.emulator.database.count(intersect) == before + 1
    assert client.get(f"{first}/{name}/$ref").json()["value"] == [{"@odata.id": second}]
    assert [row["@odata.etag"] != "" for row in client.rows(f"{second}/{name}")] == [True]
    assert client.call("DELETE", f"{second}/{name}({_key(first)})/$ref").status_code == 204
    assert client.rows(f"{first}/{name}") == []
    assert client.emulator.database.count(intersect) == before


def _other(client: Client, set_name: str, values: dict[str, Any]) -> str:
    if set_name == "systemusers":
        return f"{client.emulator.api}/systemusers({client.get('WhoAmI').json()['UserId']})"
    return client.create(set_name, **values)


def test_removal_by_address(client: Client) -> None:
    interest, contact = client.create("acme_interests", acme_name="I"), client.create("contacts", lastname="Ada")
    path = f"{interest}/acme_interest_contact/$ref"
    client.call("POST", path, json={"@odata.id": contact})

    assert client.call("DELETE", f"{path}?$id={contact}").status_code == 204
    assert client.get(path).json()["value"] == []


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("PUT", "nothing/$ref", {"@odata.id": "{contact}"}, (400, "0x80060888")),
        ("PUT", "parentcontactid/$ref", {}, (400, "0x80060888")),
        ("PUT", "parentcontactid/$ref", {"@odata.id": "contacts(" + NOBODY + ")"}, (404, "0x80040217")),
        ("PUT", "parentcontactid/$ref", {"@odata.id": "nowhere(" + NOBODY + ")"}, (400, "0x80060888")),
        ("PUT", "listlead_association/$ref", {"@odata.id": "{contact}"}, (405, "0x8006088a")),
        ("POST", "listlead_association/$ref", {"@odata.id": "{contact}"}, (400, "0x80060888")),
        ("DELETE", "listlead_association/$ref", {}, (400, "0x80060888")),
        ("PATCH", "parentcontactid/$ref", {}, (405, "0x8006088a")),
    ],
)
def test_refused_references(
    client: Client, method: str, path: str, body: dict[str, str], expected: tuple[int, str]
) -> None:
    contact, lead = client.create("contacts", lastname="Ada"), client.create("leads", lastname="x")
    sent = {name: value.format(contact=contact) for name, value in body.items()}

    assert client.error(method, f"{lead}/{path}", json=sent) == expected


def test_stale_version_keeps_a_reference(client: Client) -> None:
    contact, lead = client.create("contacts", lastname="Ada"), client.create("leads", lastname="x")
    etag = client.get(lead).headers["ETag"]
    client.call("PATCH", lead, json={"lastname": "y"})

    stale = {"json": {"@odata.id": contact}, "headers": {"If-Match": etag}}
    assert client.error("PUT", f"{lead}/parentcontactid/$ref", **stale) == (412, "0x80060882")


def test_deep_insert_makes_parents_and_children(client: Client) -> None:
    body = {
        "name": "Acme",
        "primarycontactid": {"lastname": "Ada"},
        "opportunity_customer_accounts": [
            {"name": "Deal", "opportunity_opportunityclose_opportunityid": [{"description": "deep"}]},
            {"name": "Other"},
        ],
    }
    account = client.create("accounts", **body)

    found = client.get(f"{account}?$expand=primarycontactid($select=lastname)").json()
    assert found["primarycontactid"]["lastname"] == "Ada"
    deals = client.rows(f"{account}/opportunity_customer_accounts?$select=name&$orderby=name")
    assert [row["name"] for row in deals] == ["Deal", "Other"]
    [closing] = client.emulator.database.rows("opportunityclose")
    assert closing["opportunityid"] == deals[0]["opportunityid"]


def test_deep_insert_is_all_or_nothing(client: Client) -> None:
    body = {"name": "Acme", "opportunity_customer_accounts": [{"name": "Deal"}, {"name": "x" * 301}]}

    assert client.error("POST", "accounts", json=body) == (400, "0x80044331")
    assert client.emulator.database.count("account") == 0
    assert client.emulator.database.count("opportunity") == 0


def test_collection_bind_on_create(client: Client) -> None:
    leads = [client.create("leads", lastname=name) for name in "ab"]
    member = client.create("contacts", lastname="Ada")
    account = client.create(
        "accounts", **{"name": "Acme", "lead_parent_account@odata.bind": [_path(client, lead) for lead in leads]}
    )
    interest = client.create(
        "acme_interests", **{"acme_name": "I", "acme_interest_contact@odata.bind": [_path(client, member)]}
    )

    assert len(client.rows(f"{account}/lead_parent_account")) == 2
    assert [row["lastname"] for row in client.rows(f"{interest}/acme_interest_contact")] == ["Ada"]


def test_nested_rows_are_for_creates_only(client: Client) -> None:
    account = client.create("accounts", name="Acme")

    body = {"primarycontactid": {"lastname": "Ada"}}
    assert client.error("PATCH", account, json=body)[0] == 400
    assert client.emulator.database.count("contact") == 0


def test_bottomless_body_is_refused(client: Client) -> None:
    body: dict[str, Any] = {"lastname": "x"}
    for _ in range(20):
        body = {"lastname": "x", "contact_customer_contacts": [body]}

    assert client.error("POST", "contacts", json=body) == (400, "0x80048d19")
    assert client.emulator.database.count("contact") == 0
