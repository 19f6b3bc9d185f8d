"""Each named fault, as a client sees it."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
import requests

from dynamics_emulator.control.faults import Fault
from dynamics_emulator.testing import running_emulator
from dynamics_emulator.testing_client import Client, connect

PAGES = "odata.maxpagesize=2"


@pytest.fixture
def filled(client: Client) -> Client:
    """A client of an organisation with five accounts."""
    for number in range(5):
        client.create("accounts", name=f"Company {number}")
    return client


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_status_strikes_once_and_nothing_is_written(client: Client, status: int) -> None:
    client.emulator.control.add_fault(f"status-{status}")

    answer = client.call("POST", "leads", json={"lastname": "x"})

    assert answer.status_code == status
    assert answer.json()["error"]["code"].startswith("0x")
    assert client.emulator.database.count("lead") == 0
    assert client.call("POST", "leads", json={"lastname": "x"}).status_code == 204


def test_retry_after_as_seconds_and_as_a_date(client: Client) -> None:
    client.emulator.control.stop_clock(datetime(2026, 3, 1, 8, 0, tzinfo=UTC))
    client.emulator.control.change_settings(retry_after_seconds=7)
    client.emulator.control.add_fault("status-429")
    client.emulator.control.add_fault("retry-after-date")

    # The token was given before the clock was stopped in the past, so it is still valid.
    seconds = client.get("leads").headers["Retry-After"]
    date = client.get("leads").headers["Retry-After"]

    assert seconds == "7"
    assert parsedate_to_datetime(date) == datetime(2026, 3, 1, 8, 0, 7, tzinfo=UTC)


def test_token_is_refused_once(client: Client) -> None:
    client.emulator.control.add_fault("token-expired-401")

    assert [client.get("leads").status_code for _ in range(2)] == [401, 200]


def test_truncated_json_and_html(filled: Client) -> None:
    filled.emulator.control.add_fault("truncated-json")
    filled.emulator.control.add_fault("html-200")

    page = filled.get("accounts")
    cut = filled.get("accounts")

    assert page.status_code == 200
    assert page.headers["Content-Type"].startswith("text/html")
    assert cut.status_code == 200
    with pytest.raises(requests.exceptions.JSONDecodeError):
        cut.json()


@pytest.mark.parametrize(("name", "written"), [("drop-before", 0), ("drop-after", 1)])
def test_dropped_write(client: Client, name: str, written: int) -> None:
    client.emulator.control.add_fault(name)

    with pytest.raises(requests.exceptions.ConnectionError):
        client.call("POST", "leads", json={"lastname": "x"})

    assert client.emulator.database.count("lead") == written
    assert client.get("leads").status_code == 200


def test_dropped_in_the_middle_of_the_answer(filled: Client) -> None:
    filled.emulator.control.add_fault("drop-during")

    with pytest.raises((requests.exceptions.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        filled.get("accounts", headers={"Accept-Encoding": "identity"})


def test_slow_answer(client: Client) -> None:
    client.emulator.control.change_settings(slow_milliseconds=120)
    client.emulator.control.add_fault("slow")

    assert client.get("WhoAmI").elapsed.total_seconds() >= 0.12


def test_empty_answer(filled: Client) -> None:
    filled.emulator.control.add_fault("empty-answer", match="/accounts")

    assert filled.get("accounts", prefer=PAGES).json()["value"] == []
    assert len(filled.rows("accounts")) == 5


def test_page_that_repeats(filled: Client) -> None:
    filled.emulator.control.add_fault("repeat-page")
    first = filled.get("accounts?$select=name", prefer=PAGES).json()

    second = filled.get(first["@odata.nextLink"], prefer=PAGES).json()

    assert second["value"] == first["value"]


def test_link_that_loops_and_link_to_elsewhere(filled: Client) -> None:
    filled.emulator.control.add_fault("loop-link")
    loop = filled.get("accounts?$select=name", prefer=PAGES).json()["@odata.nextLink"]
    filled.emulator.control.add_fault("foreign-link")
    foreign = filled.get("accounts?$select=name", prefer=PAGES).json()["@odata.nextLink"]

    assert loop == f"{filled.emulator.api}/accounts?$select=name"
    assert foreign.startswith("https://elsewhere.example/")


def test_duplicate_row(filled: Client) -> None:
    first = filled.get("accounts?$select=name", prefer=PAGES).json()
    filled.emulator.control.add_fault("duplicate-row")

    second = filled.get(first["@odata.nextLink"], prefer=PAGES).json()

    assert len(second["value"]) == 3
    assert second["value"][0] == first["value"][-1]


def test_match_times_and_clear(client: Client) -> None:
    control = client.emulator.control
    control.add_fault("status-500", times=2, match="/leads")

    assert [client.get(path).status_code for path in ("accounts", "leads", "leads", "leads")] == [200, 500, 500, 200]
    control.add_fault("status-500", times=9)
    control.clear_faults()
    assert client.get("leads").status_code == 200


def test_probability_is_repeatable() -> None:
    def run() -> list[int]:
        with running_emulator(seed=11) as emulator:
            client = connect(emulator)
            emulator.control.add_fault("status-503", probability=0.5)
            statuses = [client.get("WhoAmI").status_code for _ in range(12)]
            client.session.close()
        return statuses

    first = run()

    assert set(first) == {200, 503}
    assert run() == first


def test_unknown_fault_is_refused(client: Client) -> None:
    with pytest.raises(ValueError, match="nothing"):
        client.emulator.control.add_fault("nothing")


def test_every_fault_has_a_test() -> None:
    text = Path(__file__).read_text(encoding="utf-8")

    for fault in Fault:
        assert fault.value in text or (fault.value.startswith("status-") and "status-{status}" in text), fault
