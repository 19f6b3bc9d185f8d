"""Each named fault, as a client sees it."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
import requests

from dynamics_emulator.control.faults import Fault, Faults
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


def test_chance_spares_a_token_at_its_first_use(client: Client) -> None:
    """A client that renews its token after a 401 must get on, or the fault would be a refusal for good."""
    emulator = client.emulator
    emulator.control.add_fault("token-expired-401", probability=0.9)

    firsts, seconds = [], []
    for _ in range(8):
        with connect(emulator).session as session:
            firsts.append(session.get(f"{emulator.api}/WhoAmI", timeout=10).status_code)
            seconds.append(session.get(f"{emulator.api}/WhoAmI", timeout=10).status_code)

    assert set(firsts) == {200}
    assert 401 in seconds


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
    filled.emulator.control.add_fault("duplicate-row")
    first = filled.get("accounts?$select=name", prefer=PAGES).json()

    second = filled.get(first["@odata.nextLink"], prefer=PAGES).json()

    assert len(second["value"]) == 3
    assert second["value"][0] == first["value"][-1]


def test_duplicate_row_on_a_page_of_changes(filled: Client) -> None:
    link = filled.get("accounts?$select=name", prefer="odata.track-changes").json()["@odata.deltaLink"]
    for number in range(3):
        filled.create("accounts", name=f"Later {number}")
    filled.emulator.control.add_fault("duplicate-row")

    pages = filled.pages(link, prefer=PAGES)

    assert [[row["name"] for row in page["value"]] for page in pages] == [
        ["Later 0", "Later 1"],
        ["Later 1", "Later 2"],
    ]


def test_shuffled_rows_leave_changes_alone_and_the_other_way_round(filled: Client) -> None:
    control = filled.emulator.control
    start = filled.get("accounts?$select=name", prefer="odata.track-changes").json()
    for number in range(6):
        filled.create("accounts", name=f"Later {number}")
    gone = filled.rows("accounts?$select=name&$filter=name eq 'Company 0'")[0]["accountid"]
    filled.call("DELETE", f"accounts({gone})")
    plain = filled.rows("accounts?$select=name")
    changes = filled.rows(start["@odata.deltaLink"])
    control.add_fault("shuffled-rows", probability=1.0)
    shuffled, unmoved = filled.rows("accounts?$select=name"), filled.rows(start["@odata.deltaLink"])
    control.clear_faults()
    control.add_fault("shuffled-changes", probability=1.0)
    straight, mixed = filled.rows("accounts?$select=name"), filled.rows(start["@odata.deltaLink"])

    assert shuffled != plain == straight
    assert sorted(shuffled, key=str) == sorted(plain, key=str)
    assert mixed != changes == unmoved
    assert sorted(mixed, key=str) == sorted(changes, key=str)


def test_rows_in_an_old_state(filled: Client) -> None:
    filled.emulator.control.add_fault("stale-rows", at=[2])
    before = filled.rows("accounts?$select=name")
    address = f"accounts({before[0]['accountid']})"
    filled.call("PATCH", address, json={"name": "Renamed"})
    new = filled.create("accounts", name="New")

    stale = filled.rows("accounts?$select=name")
    fresh = filled.rows("accounts?$select=name")

    assert [row for row in stale if row["accountid"] not in new] == before
    assert len(stale) == 6
    assert "Renamed" in {row["name"] for row in fresh}


def test_tracked_read_without_a_link_for_the_next(filled: Client) -> None:
    filled.emulator.control.add_fault("missing-delta-link")

    lost, whole = (filled.get("accounts?$select=name", prefer="odata.track-changes").json() for _ in range(2))

    assert "@odata.deltaLink" not in lost
    assert lost["value"] == whole["value"]
    assert "@odata.deltaLink" in whole


def test_damaged_compression(filled: Client) -> None:
    for number in range(20):
        filled.create("accounts", name=f"More {number}")
    filled.emulator.control.add_fault("bad-gzip", probability=1.0)

    assert filled.get("accounts", headers={"Accept-Encoding": "identity"}).status_code == 200
    with pytest.raises(requests.exceptions.ContentDecodingError):
        filled.get("accounts", headers={"Accept-Encoding": "gzip"})


def test_answer_that_promises_more_than_it_sends(filled: Client) -> None:
    filled.emulator.control.add_fault("wrong-content-length")

    with pytest.raises((requests.exceptions.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        filled.call("POST", "accounts", json={"name": "Written"}, headers={"Prefer": "return=representation"})

    assert len(filled.rows("accounts?$filter=name eq 'Written'")) == 1


def test_pages_inside_of_a_batch_are_struck_too(filled: Client) -> None:
    filled.emulator.control.add_fault("empty-answer")
    body = "--b\r\nContent-Type: application/http\r\n\r\nGET accounts?$select=name HTTP/1.1\r\n\r\n\r\n--b--\r\n"
    headers = {"Content-Type": "multipart/mixed;boundary=b"}

    first, second = (filled.call("POST", "$batch", data=body, headers=headers).text for _ in range(2))

    assert '"value":[]' in first
    assert "Company 4" in second


def test_match_times_and_clear(client: Client) -> None:
    control = client.emulator.control
    control.add_fault("status-500", times=2, match="/leads")

    assert [client.get(path).status_code for path in ("accounts", "leads", "leads", "leads")] == [200, 500, 500, 200]
    control.add_fault("status-500", times=9)
    control.clear_faults()
    assert client.get("leads").status_code == 200


@pytest.mark.parametrize("name", ["status-500", "drop-before"])
def test_at_the_nth_request(client: Client, name: str) -> None:
    client.emulator.control.add_fault(name, at=[4, 2], match="/leads")

    def succeeds(path: str) -> bool:
        try:
            return client.get(path).status_code == 200
        except requests.exceptions.ConnectionError:
            return False

    paths = ["accounts", "leads", "leads", "accounts", "leads", "leads", "leads"]
    assert [succeeds(path) for path in paths] == [True, True, False, True, True, False, True]
    assert client.emulator.control.active_faults() == []


def test_one_fault_is_switched_off(client: Client) -> None:
    control = client.emulator.control
    control.add_fault("status-500", probability=1.0)
    control.add_fault("slow", probability=0.0)

    control.clear_faults("status-500")

    assert [fault["name"] for fault in control.active_faults()] == ["slow"]
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


def test_draws_do_not_depend_on_other_requests() -> None:
    """Threads may ask for other tables in between: what strikes a table stays the same."""

    def statuses(between: tuple[str, ...]) -> list[bool]:
        faults = Faults(seed=3)
        faults.add("status-503", probability=0.5)
        hits = []
        for number in range(40):
            for path in between:
                faults.strikes(Fault.STATUS_503, f"https://localhost:1/api/data/v9.2/{path}")
            hits.append(
                faults.strikes(Fault.STATUS_503, f"https://localhost:1/api/data/v9.2/leads({number})?$select=x")
            )
        return hits

    assert statuses(()) == statuses(("accounts", "contacts")) == statuses(("accounts",))
    assert 10 < sum(statuses(())) < 30


def test_share_of_struck_requests_is_the_probability() -> None:
    faults = Faults(seed=1)
    faults.add("slow", probability=0.05)

    hits = sum(faults.strikes(Fault.SLOW, f"/api/data/v9.2/leads{number % 7}") for number in range(20_000))

    assert 850 < hits < 1150


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nothing", {}),
        ("slow", {"at": [0]}),
        ("slow", {"times": 0}),
        ("slow", {"probability": 1.5}),
        ("slow", {"at": [1], "times": 2}),
    ],
)
def test_what_makes_no_sense_is_refused(client: Client, name: str, words: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"nothing|counted|between|neither"):
        client.emulator.control.add_fault(name, **words)

    assert client.emulator.control.active_faults() == []
