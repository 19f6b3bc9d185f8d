"""Columns and alternate keys made, changed and deleted through the Web API."""

from typing import Any

import pytest

from dynamics_emulator.testing_client import Client

LEAD = "EntityDefinitions(LogicalName='lead')"
CRM = "Microsoft.Dynamics.CRM"


def _label(text: str) -> dict[str, Any]:
    return {"LocalizedLabels": [{"Label": text, "LanguageCode": 1033}]}


def _column(kind: str, name: str = "acme_New", **facts: Any) -> dict[str, Any]:
    common = {"SchemaName": name, "DisplayName": _label("New"), "RequiredLevel": {"Value": "None"}}
    return {"@odata.type": f"{CRM}.{kind}AttributeMetadata", **common, **facts}


OPTIONS = {"Options": [{"Value": 1, "Label": _label("One")}, {"Value": 2, "Label": _label("Two")}]}
YES_NO = {"TrueOption": {"Value": 1, "Label": _label("Yes")}, "FalseOption": {"Value": 0, "Label": _label("No")}}


@pytest.mark.parametrize(
    ("kind", "facts", "value"),
    [
        ("String", {"MaxLength": 20, "FormatName": {"Value": "Text"}}, "x"),
        ("Memo", {"MaxLength": 4000}, "x"),
        ("Integer", {"MinValue": 0, "MaxValue": 9, "Format": "None"}, 5),
        ("Decimal", {"MinValue": -1.5, "MaxValue": 9, "Precision": 2}, 5.25),
        ("Boolean", {"OptionSet": YES_NO}, True),
        ("DateTime", {"Format": "DateOnly", "DateTimeBehavior": {"Value": "DateOnly"}}, "2026-03-01"),
        ("Picklist", {"OptionSet": OPTIONS}, 2),
    ],
)
def test_column_is_made_and_usable_at_once(client: Client, kind: str, facts: dict[str, Any], value: object) -> None:
    answer = client.call("POST", f"{LEAD}/Attributes", json=_column(kind, **facts))

    assert answer.status_code == 204
    made = client.get(answer.headers["OData-EntityId"]).json()
    assert (made["LogicalName"], made["SchemaName"]) == ("acme_new", "acme_New")
    assert made["@odata.type"] == f"#{CRM}.{kind}AttributeMetadata"
    lead = client.create("leads", lastname="x", acme_new=value)
    assert client.get(f"{lead}?$select=acme_new").json()["acme_new"] == value


def test_column_is_changed_and_deleted(client: Client) -> None:
    address = client.call("POST", f"{LEAD}/Attributes", json=_column("String", MaxLength=20)).headers["OData-EntityId"]
    whole = client.get(f"{address}/{CRM}.StringAttributeMetadata").json()
    whole |= {"MaxLength": 50, "DisplayName": _label("Newer"), "RequiredLevel": {"Value": "Recommended"}}

    assert client.call("PUT", address, json=whole).status_code == 204
    changed = client.get(f"{address}/{CRM}.StringAttributeMetadata").json()
    assert (changed["MaxLength"], changed["RequiredLevel"]["Value"]) == (50, "Recommended")
    assert changed["DisplayName"]["UserLocalizedLabel"]["Label"] == "Newer"
    assert client.call("DELETE", address).status_code == 204
    assert client.get(address).status_code == 404
    assert client.get("leads?$select=acme_new").status_code == 400


def test_columns_that_cannot_be_made_or_deleted(client: Client) -> None:
    client.call("POST", f"{LEAD}/Attributes", json=_column("String"))

    assert client.error("POST", f"{LEAD}/Attributes", json=_column("String")) == (400, "0x80047013")
    for body in (_column("String", "unprefixed"), _column("Image"), _column("Integer", "acme_O'Neill")):
        assert client.error("POST", f"{LEAD}/Attributes", json=body) == (400, "0x80060888")
    for name in ("leadid", "lastname"):
        assert client.error("DELETE", f"{LEAD}/Attributes(LogicalName='{name}')") == (400, "0x80060888")
    assert client.call("DELETE", LEAD).status_code == 405
    assert client.call("POST", "RelationshipDefinitions", json={}).status_code == 405


@pytest.mark.parametrize("status", ["Active", "Pending"])
def test_key_is_made_and_deleted(client: Client, status: str) -> None:
    client.emulator.control.change_settings(new_key_status=status)
    body = {"SchemaName": "acme_MailKey", "KeyAttributes": ["emailaddress1"], "DisplayName": _label("By mail")}

    address = client.call("POST", f"{LEAD}/Keys", json=body).headers["OData-EntityId"]
    made = client.get(address).json()
    assert (made["LogicalName"], made["EntityKeyIndexStatus"]) == ("acme_mailkey", status)
    client.create("leads", lastname="x", emailaddress1="x@acme.example")
    assert client.get("leads(emailaddress1='x@acme.example')").ok is (status == "Active")

    assert client.error("POST", f"{LEAD}/Keys", json=body) == (400, "0x8006088f")
    unknown = {"SchemaName": "acme_other", "KeyAttributes": ["nothing"]}
    assert client.error("POST", f"{LEAD}/Keys", json=unknown) == (400, "0x8006088f")
    assert client.call("DELETE", address).status_code == 204
    assert client.get(address).status_code == 404
