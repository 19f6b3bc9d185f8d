"""WinOpportunity and LoseOpportunity."""

from datetime import UTC, datetime
from typing import Any

import pytest
from requests import Response

from dynamics_emulator.testing_client import Client


def _deal(client: Client, **values: Any) -> str:
    return client.create("opportunities", name="Deal", **values)


def _close(client: Client, action: str, deal: str, status: int, **content: Any) -> Response:
    bind = {"opportunityid@odata.bind": deal.removeprefix(client.emulator.api)}
    return client.call("POST", action, json={"Status": status, "OpportunityClose": {**bind, **content}})


@pytest.mark.parametrize(
    ("action", "status", "expected"),
    [
        ("WinOpportunity", 3, (1, 3)),
        ("WinOpportunity", -1, (1, 3)),
        ("LoseOpportunity", 4, (2, 4)),
        ("LoseOpportunity", 5, (2, 5)),
    ],
)
def test_closes_and_records_an_activity(client: Client, action: str, status: int, expected: tuple[int, int]) -> None:
    client.emulator.control.stop_clock(datetime(2026, 3, 1, 8, 15, tzinfo=UTC))
    deal = _deal(client)

    answer = _close(client, action, deal, status, subject="Done", actualrevenue=1200.5)

    assert (answer.status_code, answer.content) == (204, b"")
    row = client.get(deal).json()
    assert (row["statecode"], row["statuscode"], row["actualclosedate"]) == (*expected, "2026-03-01")
    assert row["actualvalue"] == 1200.5
    [activity] = client.emulator.database.rows("opportunityclose")
    assert (activity["opportunityid"], activity["subject"]) == (row["opportunityid"], "Done")
    assert (activity["statecode"], activity["statuscode"]) == (1, 2)


def test_closed_opportunity_is_refused(client: Client) -> None:
    deal = _deal(client)
    _close(client, "LoseOpportunity", deal, 4)

    answer = _close(client, "WinOpportunity", deal, 3)

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "0x8004f00e")
    assert "has attempted to transition from an invalid state: Lost." in answer.json()["error"]["message"]
    assert client.emulator.database.count("opportunityclose") == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"Status": 4}, "0x80048408"),
        ({"Status": None}, "0x80040203"),
        ({"Status": "3"}, "0x80040203"),
        ({"OpportunityClose": None}, "0x80040203"),
        ({"OpportunityClose": {"subject": "no deal named"}}, "0x80040203"),
        ({"OpportunityClose": {"nothing": 1}}, "0x80048d19"),
        ({"Opportunity": {}}, "0x8006088a"),
    ],
)
def test_refused_arguments(client: Client, body: dict[str, Any], code: str) -> None:
    deal = _deal(client)
    bind = {"opportunityid@odata.bind": deal.removeprefix(client.emulator.api)}

    found = client.error("POST", "WinOpportunity", json={"Status": 3, "OpportunityClose": bind, **body})

    assert found == (400, code)
    assert client.get(deal).json()["statecode"] == 0


def test_missing_opportunity(client: Client) -> None:
    missing = f"{client.emulator.api}/opportunities(00000000-0000-4000-8000-00000000dead)"

    assert _close(client, "WinOpportunity", missing, 3).status_code == 404
