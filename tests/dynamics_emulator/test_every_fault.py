"""Every named fault at the same reads, and at a write: it strikes, and a client notices."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from dynamics_emulator.control.faults import Fault
from dynamics_emulator.testing import RunningEmulator, running_emulator
from dynamics_emulator.testing_client import Client, connect

BROKEN = "broken"
STRIKING_WRITES = {
    Fault.DROP_BEFORE: (BROKEN, 0),
    Fault.DROP_DURING: (BROKEN, 1),
    Fault.DROP_AFTER: (BROKEN, 1),
    Fault.WRONG_LENGTH: (BROKEN, 1),
    Fault.HTML_200: (200, 1),
    Fault.STATUS_429: (429, 0),
    Fault.RETRY_AFTER_DATE: (429, 0),
    Fault.STATUS_500: (500, 0),
    Fault.STATUS_502: (502, 0),
    Fault.STATUS_503: (503, 0),
    Fault.STATUS_504: (504, 0),
    Fault.TOKEN_EXPIRED_401: (401, 0),
    Fault.SLOW: (204, 1),
}
"""What a POST under a fault shows, and how many rows there are then."""


@pytest.fixture(scope="module")
def undisturbed() -> list[object]:
    """What a client sees without a fault."""
    with running_emulator() as emulator:
        return list(story(emulator))


def story(emulator: RunningEmulator) -> Iterator[object]:
    """What is seen of a plain and two tracked reads in pages, with changes between that the line does not carry."""
    emulator.control.insert_rows("account", [account(number) for number in range(25)])
    with connect(emulator).session as session:
        client = Client(emulator, session)
        for _ in range(2):
            yield from pages(client, "accounts?$select=name", "odata.maxpagesize=10")
            link = yield from pages(client, "accounts?$select=name", "odata.track-changes,odata.maxpagesize=10")
            yield from pages(client, link, "odata.maxpagesize=4")
            emulator.control.write_raw("account", account(3)["accountid"], {"name": "Renamed"})
        emulator.control.delete_rows("account", [account(number)["accountid"] for number in range(5)])
        yield from pages(client, link, "odata.maxpagesize=4")


def account(number: int) -> dict[str, str]:
    return {"accountid": f"00000000-0000-4000-8000-{number:012d}", "name": f"Company {number} {'x' * 80}"}


def pages(client: Client, link: str, prefer: str) -> Any:
    """Yields what each page shows, five at most, and returns the link to the changes."""
    delta = link
    for _ in range(5):
        try:
            answer = client.get(link, prefer=prefer)
            body = answer.json()
        except requests.exceptions.RequestException as problem:
            yield type(problem)
            continue
        next_link = body.get("@odata.nextLink", "")
        delta = body.get("@odata.deltaLink", delta)
        keys = [row.get("name") or row.get("id") for row in body.get("value", ())]
        is_late = answer.elapsed.total_seconds() >= 1
        yield (
            answer.status_code,
            keys,
            next_link.partition("/api/")[0] == client.emulator.url,
            next_link == link,
            is_late,
        )
        link = next_link if next_link.startswith(client.emulator.url) else link
        if not next_link and answer.ok:
            break
    return delta


@pytest.mark.parametrize("fault", list(Fault), ids=str)
def test_each_fault_shows(emulator: RunningEmulator, undisturbed: list[object], fault: Fault) -> None:
    added = emulator.control.add_fault(fault, probability=1.0, match="/accounts")
    if fault in STRIKING_WRITES:  # Else nothing would come through.
        emulator.control.clear_faults()
        added = emulator.control.add_fault(fault, at=[2], match="/accounts")

    seen = list(story(emulator))

    assert added.hits
    assert seen != undisturbed


@pytest.mark.parametrize("fault", list(Fault), ids=str)
def test_write_under_each_fault(client: Client, fault: Fault) -> None:
    """A write without a body in its answer; faults of pages leave it alone."""
    client.emulator.control.change_settings(slow_milliseconds=1)
    added = client.emulator.control.add_fault(fault, match="/leads")

    seen = post(client)

    assert (seen, client.emulator.database.count("lead")) == STRIKING_WRITES.get(fault, (204, 1))
    assert added.hits == (fault in STRIKING_WRITES)
    client.emulator.control.clear_faults()
    assert post(client) == 204


def post(client: Client) -> object:
    try:
        return client.call("POST", "leads", json={"lastname": "x"}).status_code
    except requests.exceptions.ConnectionError:
        return BROKEN


@pytest.mark.parametrize("fault", [Fault.DROP_BEFORE, Fault.DROP_DURING, Fault.DROP_AFTER, Fault.WRONG_LENGTH], ids=str)
@pytest.mark.parametrize("prefer", [None, "return=representation"])
def test_a_broken_connection_is_no_error_of_the_server(
    client: Client, caplog: pytest.LogCaptureFixture, fault: Fault, prefer: str | None
) -> None:
    client.emulator.control.add_fault(fault)

    with pytest.raises(requests.exceptions.RequestException):
        client.call("POST", "leads", json={"lastname": "x"}, prefer=prefer)

    assert client.get("leads").status_code == 200
    assert caplog.messages == []


def test_each_fault_is_described() -> None:
    for fault in Fault:
        assert re.fullmatch(r"\S.{20,110}\.", fault.description), fault
