"""Writes that must not pass: cleared values that each row has, values beyond a type, and rows of another type."""

from datetime import UTC, datetime
from typing import Any

import pytest

from dynamics_emulator.schema.model import OPTION_TYPES
from dynamics_emulator.schema.source import default_schema
from dynamics_emulator.testing_client import Client

FIRST = "leads(00000000-0000-4000-8000-000000000001)"
CRM = "Microsoft.Dynamics.CRM"


def _only(client: Client, table: str) -> dict[str, Any]:
    [row] = client.emulator.database.rows(table)
    return row


@pytest.mark.parametrize("body", [{"statecode": None}, {"statuscode": None}, {"statecode": 0, "statuscode": None}])
def test_state_and_status_cannot_be_cleared(client: Client, body: dict[str, Any]) -> None:
    client.call("PATCH", FIRST, json={"lastname": "One"})

    answer = client.call("PATCH", FIRST, json={"lastname": "Two", **body})

    missing = f"Required field '{list(body)[-1]}' is missing"
    assert (answer.status_code, answer.json()["error"]) == (400, {"code": "0x80040203", "message": missing})
    assert client.error("POST", "leads", json={"lastname": "New", **body}) == (400, "0x80040203")
    row = _only(client, "lead")
    assert (row["lastname"], row["statecode"], row["statuscode"]) == ("One", 0, 1)


def test_single_state_property_cannot_be_deleted(client: Client) -> None:
    client.call("PATCH", FIRST, json={"lastname": "One"})

    assert client.error("DELETE", f"{FIRST}/statecode") == (400, "0x80040203")
    assert _only(client, "lead")["statecode"] == 0


def test_row_keeps_its_owner(client: Client) -> None:
    client.call("PATCH", FIRST, json={"lastname": "One", "ownerid@odata.bind": None})
    owner = _only(client, "lead")["ownerid"]

    assert owner == client.get("WhoAmI").json()["UserId"]
    assert client.error("PATCH", FIRST, json={"ownerid@odata.bind": None}) == (400, "0x80040203")
    assert client.error("DELETE", f"{FIRST}/ownerid/$ref") == (400, "0x80040203")
    assert _only(client, "lead")["ownerid"] == owner


def test_fault_of_the_service_is_told_in_the_envelope(client: Client, capfd: pytest.CaptureFixture[str]) -> None:
    client.emulator.database.connection.execute('DROP TABLE "campaign"')

    answer = client.call("POST", "campaigns", json={"name": "john@doe.example"})

    expected = {"code": "0x80040216", "message": "An unexpected error occurred."}
    assert (answer.status_code, answer.json()["error"]) == (500, expected)
    told = capfd.readouterr().err
    assert "Unexpected OperationalError" in told
    assert "writing.py" in told
    assert "john@doe" not in told


def test_no_picklist_is_empty() -> None:
    empty = [
        f"{table.name}.{column.name}"
        for table in default_schema().tables.values()
        for column in table.columns.values()
        if column.type in OPTION_TYPES and not column.options
    ]

    assert empty == []


@pytest.mark.parametrize(
    "name", ["need", "budgetstatus", "initialcommunication", "purchaseprocess", "purchasetimeframe"]
)
@pytest.mark.parametrize("value", [12345, -1, 2**31, 10**30])
def test_option_that_the_list_does_not_have(client: Client, name: str, value: int) -> None:
    assert client.error("POST", "opportunities", json={"name": "Deal", name: value}) == (400, "0x8004431a")
    assert client.emulator.database.count("opportunity") == 0


def test_sales_picklists_take_their_options(client: Client) -> None:
    chosen = {"need": 3, "budgetstatus": 3, "initialcommunication": 1, "purchaseprocess": 2, "purchasetimeframe": 4}
    deal = client.create("opportunities", name="Deal", **chosen)

    found = client.get(deal).json()

    assert {name: found[name] for name in chosen} == chosen


@pytest.mark.parametrize("value", [2**31, -(2**31) - 1, 10**30])
def test_whole_number_column_without_bounds_holds_32_bits(client: Client, value: int) -> None:
    client.emulator.control.add_column("lead", "acme_seats", "Integer")

    assert client.error("PATCH", FIRST, json={"acme_seats": value}) == (400, "0x80040203")
    assert client.call("PATCH", FIRST, json={"acme_seats": 2**31 - 1}).status_code == 204


@pytest.mark.parametrize("name", ["mkt_lastinterestingmomentdate", "estimatedclosedate"])
def test_dates_begin_in_1753(client: Client, name: str) -> None:
    for text in ("0001-01-01", "0999-12-31", "1752-12-31"):
        assert client.error("PATCH", FIRST, json={name: text}) == (400, "0x80040239")
    assert client.call("PATCH", FIRST, json={name: "1753-01-01"}).status_code == 204


def test_creation_date_cannot_lie_ahead(client: Client) -> None:
    client.emulator.control.stop_clock(datetime(2026, 3, 1, tzinfo=UTC))

    ahead = {"lastname": "x", "overriddencreatedon": "2026-03-01T00:00:01Z"}
    assert client.error("POST", "leads", json=ahead) == (400, "0x80040239")
    assert client.emulator.database.count("lead") == 0
    assert client.create("leads", lastname="x", overriddencreatedon="2026-03-01T00:00:00Z")


@pytest.mark.parametrize("stated", [f"#{CRM}.contact", f"{CRM}.lead.x", "lead", 5, None])
def test_row_of_another_type(client: Client, stated: object) -> None:
    body = {"@odata.type": stated, "lastname": "x"}

    assert client.error("POST", "leads", json=body) == (400, "0x80048d19")
    assert client.error("PATCH", FIRST, json=body) == (400, "0x80048d19")
    assert client.emulator.database.count("lead") == 0


@pytest.mark.parametrize("form", ["{crm}.lead", "#{crm}.lead", "{api}/$metadata#{crm}.lead"])
def test_row_may_name_its_own_type(client: Client, form: str) -> None:
    stated = form.format(crm=CRM, api=client.emulator.api)

    assert client.create("leads", **{"@odata.type": stated, "lastname": "x"})
