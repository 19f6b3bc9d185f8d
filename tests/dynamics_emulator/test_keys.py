"""Alternate keys: reading, upserts, references and uniqueness by something else than the primary key."""

from typing import Any

import pytest

from dynamics_emulator.testing_client import Client

REPRESENTATION = "return=representation"
KEYED = "leads(acme_extid='M-7')"


def _only(client: Client, table: str) -> dict[str, Any]:
    [row] = client.emulator.database.rows(table)
    return row


def test_upsert_by_key_creates_then_updates_and_echoes_the_key(client: Client) -> None:
    created = client.call("PATCH", KEYED, json={"lastname": "One"})
    updated = client.call("PATCH", KEYED, json={"firstname": "Ada"})

    assert (created.status_code, updated.status_code) == (204, 204)
    address = f"{client.emulator.api}/{KEYED}"
    assert (created.headers["OData-EntityId"], updated.headers["OData-EntityId"]) == (address, address)
    row = _only(client, "lead")
    assert (row["acme_extid"], row["fullname"]) == ("M-7", "Ada One")


def test_representation_tells_create_from_update_and_gives_the_id(client: Client) -> None:
    first = client.call("PATCH", KEYED, json={"lastname": "One"}, prefer=REPRESENTATION)
    second = client.call("PATCH", KEYED, json={"lastname": "Two"}, prefer=REPRESENTATION)

    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["leadid"] == second.json()["leadid"] == _only(client, "lead")["leadid"]
    assert "OData-EntityId" not in first.headers


def test_key_columns_in_the_body_win_on_create_and_are_dropped_on_update(client: Client) -> None:
    client.call("PATCH", KEYED, json={"lastname": "One", "acme_extid": "M-8"})
    assert _only(client, "lead")["acme_extid"] == "M-8"

    client.call("PATCH", "leads(acme_extid='M-8')", json={"lastname": "Two", "acme_extid": "M-9"})

    row = _only(client, "lead")
    assert (row["acme_extid"], row["lastname"]) == ("M-8", "Two")


def test_conditions_of_an_upsert_by_key(client: Client) -> None:
    any_version, new_only = {"If-Match": "*"}, {"If-None-Match": "*"}

    assert client.error("PATCH", KEYED, json={}, headers=any_version) == (404, "0x80060891")
    assert client.call("PATCH", KEYED, json={"lastname": "x"}, headers=new_only).status_code == 204
    assert client.error("PATCH", KEYED, json={"lastname": "y"}, headers=new_only) == (412, "0x80040237")
    assert client.call("PATCH", KEYED, json={"lastname": "z"}, headers=any_version).status_code == 204


def test_every_verb_takes_a_key(client: Client) -> None:
    client.call("PATCH", KEYED, json={"lastname": "One"})
    parent = client.create("contacts", lastname="Parent", acme_extid="C-1")

    assert client.get(f"{KEYED}?$select=lastname").json()["lastname"] == "One"
    assert client.call("PUT", f"{KEYED}/lastname", json={"value": "Two"}).status_code == 204
    assert client.get(f"{KEYED}/lastname").json()["value"] == "Two"
    reference = {"@odata.id": f"{client.emulator.api}/contacts(acme_extid='C-1')"}
    assert client.call("PUT", f"{KEYED}/parentcontactid/$ref", json=reference).status_code == 204
    assert client.get(f"{KEYED}/parentcontactid?$select=lastname").json()["contactid"] == parent[-37:-1]
    assert client.call("DELETE", KEYED).status_code == 204
    assert client.emulator.database.count("lead") == 0


@pytest.mark.parametrize("form", ["/contacts(acme_extid='C-1')", "contacts(acme_extid='C-1')"])
def test_bind_by_key(client: Client, form: str) -> None:
    parent = client.create("contacts", lastname="Parent", acme_extid="C-1")
    client.call("PATCH", KEYED, json={"lastname": "x", "parentcontactid@odata.bind": form})

    assert client.get(KEYED).json()["_parentcontactid_value"] == parent[-37:-1]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("O'Neil's", "O''Neil''s"),
        ("a b/c?d", "a%20b%2Fc%3Fd"),
        ("x,y=z", "x%2Cy%3Dz"),
        ("(1)", "(1)"),
        ("Straße-Ω", "Stra%C3%9Fe-%CE%A9"),
        ("'", "''''"[1:3]),
    ],
)
def test_quotes_are_doubled_and_values_decoded(client: Client, value: str, written: str) -> None:
    path = f"leads(acme_extid='{written}')"
    client.call("PATCH", path, json={"lastname": "One"})

    assert _only(client, "lead")["acme_extid"] == value
    assert client.get(path).json()["acme_extid"] == value


def test_key_ignores_case(client: Client) -> None:
    client.call("PATCH", KEYED, json={"lastname": "One"})

    assert client.get("leads(acme_extid='m-7')").status_code == 200


def test_key_of_two_columns(client: Client) -> None:
    path = "acme_events(acme_code='EXPO',acme_edition=2026)"
    client.call("PATCH", path, json={"acme_name": "Expo"})

    row = _only(client, "acme_event")
    assert (row["acme_code"], row["acme_edition"]) == ("EXPO", 2026)
    assert client.get("acme_events(acme_edition=2026,acme_code='EXPO')").json()["acme_name"] == "Expo"
    other = client.call("PATCH", "acme_events(acme_code='EXPO',acme_edition=2027)", json={"acme_name": "Next"})
    assert other.status_code == 204
    assert client.emulator.database.count("acme_event") == 2


@pytest.mark.parametrize(
    ("path", "status", "code", "text"),
    [
        (KEYED, 404, "0x80060891", "A record with the specified key values does not exist in lead entity"),
        (
            "leads(lastname='x')",
            400,
            "0x80060890",
            "The specified key attributes are not a defined key for the lead entity",
        ),
        ("leads(nothing='x')", 400, "0x80060890", "not a defined key"),
        ("leads(acme_extid='x',lastname='y')", 400, "0x80060890", "not a defined key"),
        ("acme_events(acme_code='EXPO')", 400, "0x80060890", "for the acme_event entity"),
        ("acme_events(acme_code='EXPO',acme_edition='many')", 400, "0x80060888", "acme_edition"),
        ("leads(4711)", 400, "0x80060888", "Unrecognized 'Edm.Guid' literal"),
    ],
)
def test_refused_keys(client: Client, path: str, status: int, code: str, text: str) -> None:
    answer = client.get(path)

    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert text in error["message"]


def test_principals_are_never_addressed_by_name_of_their_key(client: Client) -> None:
    user = client.get("WhoAmI").json()["UserId"]

    assert client.get(f"systemusers({user})").status_code == 200
    assert client.error("GET", f"systemusers(systemuserid={user})") == (400, "0x80060890")


def test_same_value_twice_is_refused(client: Client) -> None:
    client.call("PATCH", KEYED, json={"lastname": "One"})
    other = client.create("leads", lastname="Two")
    text = (
        "Entity Key External Id violated. A record with the same value for External Id already exists. "
        "A duplicate record cannot be created. Select one or more unique values and try again."
    )

    for method, path in (("POST", "leads"), ("PATCH", other)):
        answer = client.call(method, path, json={"acme_extid": "m-7"})
        assert (answer.status_code, answer.json()["error"]) == (412, {"code": "0x80060892", "message": text})
    client.emulator.control.change_settings(duplicate_alternate_key_status=400)
    assert client.error("POST", "leads", json={"acme_extid": "M-7"}) == (400, "0x80060892")
    assert client.call("PATCH", KEYED, json={"acme_extid": "M-7", "firstname": "Ada"}).status_code == 204


def test_rows_without_a_key_value_do_not_clash(client: Client) -> None:
    client.create("leads", lastname="One")
    client.create("leads", lastname="Two")
    client.create("acme_events", acme_name="One", acme_code="X")
    client.create("acme_events", acme_name="Two", acme_code="X")

    assert client.emulator.database.count("lead") == 2
    assert client.emulator.database.count("acme_event") == 2


def test_key_works_only_while_its_index_is_active(client: Client) -> None:
    client.call("PATCH", KEYED, json={"lastname": "One"})
    client.emulator.control.set_key_status("lead", "acme_extid_key", "Pending")

    answer = client.get(KEYED)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "0x8006088f")
    assert error["message"].startswith("Invalid EntityKey Operation performed")
    assert client.call("POST", "leads", json={"acme_extid": "M-7"}).status_code == 204
    client.emulator.control.set_key_status("lead", "acme_extid_key", "Active")
    assert client.error("GET", KEYED) == (400, "0x8006089d")


def test_key_of_other_types(client: Client) -> None:
    control = client.emulator.control
    control.add_key("acme_eventattendance", "visit_key", ["acme_contactid", "acme_checkindate", "acme_rating"])
    contact = client.create("contacts", lastname="Ada")
    key = f"_acme_contactid_value={contact[-37:-1]},acme_checkindate=2026-03-01,acme_rating=4.50"
    path = f"acme_eventattendanceset({key})"

    created = client.call("PATCH", path, json={"acme_name": "Visit"}, prefer=REPRESENTATION)
    again = client.call("PATCH", path, json={"acme_name": "Visited"}, prefer=REPRESENTATION)

    assert (created.status_code, again.status_code) == (201, 200)
    row = _only(client, "acme_eventattendance")
    assert (row["acme_contactid"], row["acme_checkindate"]) == (contact[-37:-1], "2026-03-01")
    assert (row["acme_rating"], row["acme_name"]) == ("4.50", "Visited")
