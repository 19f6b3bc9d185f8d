"""Service protection: three limits for each user and server, Retry-After that grows, headers that count down."""

import threading
from collections.abc import Iterator

import pytest
import requests

from dynamics_emulator.testing import RunningEmulator, running_emulator
from dynamics_emulator.testing_client import Client, connect

_REQUESTS_LEFT = "x-ms-ratelimit-burst-remaining-xrm-requests"
_TIME_LEFT = "x-ms-ratelimit-time-remaining-xrm-requests"


@pytest.fixture
def limited() -> Iterator[Client]:
    """A client of an organisation whose clock stands still and which takes three requests."""
    with running_emulator(request_limit=3, retry_after_seconds=4) as emulator:
        emulator.control.stop_clock(emulator.organisation.clock.now())
        client = connect(emulator)
        with client.session:
            yield client


def test_request_limit_and_growing_retry_after(limited: Client) -> None:
    remaining = [limited.get("WhoAmI").headers[_REQUESTS_LEFT] for _ in range(3)]

    refused = [limited.get("WhoAmI") for _ in range(2)]

    assert remaining == ["2", "1", "0"]
    assert [answer.headers["Retry-After"] for answer in refused] == ["4", "8"]
    assert refused[0].json()["error"] == {
        "code": "0x80072322",
        "message": "Number of requests exceeded the limit of 3 over time window of 300 seconds.",
    }
    limited.emulator.control.advance_clock(301)
    assert limited.get("WhoAmI").status_code == 200


def test_a_refusal_is_annotated_when_asked(limited: Client) -> None:
    answers = [limited.get("WhoAmI", prefer='odata.include-annotations="*"') for _ in range(4)]

    help_link = answers[3].json()["error"]["@Microsoft.PowerApps.CDS.HelpLink"]

    assert help_link.endswith("Microsoft.Crm.CrmException%3a80072322&client=platform")


def test_retry_after_shrinks_for_a_caller_that_waits(limited: Client) -> None:
    for _ in range(3):
        limited.get("WhoAmI")
    grown = [limited.get("WhoAmI").headers["Retry-After"] for _ in range(3)]
    limited.emulator.control.advance_clock(8)
    after_a_wait = limited.get("WhoAmI").headers["Retry-After"]
    limited.emulator.control.advance_clock(60)

    assert grown == ["4", "8", "12"]
    assert after_a_wait == "8"
    assert limited.get("WhoAmI").headers["Retry-After"] == "4"


def test_requests_leave_the_window_one_by_one(limited: Client) -> None:
    limited.get("WhoAmI")
    limited.emulator.control.advance_clock(200)
    limited.get("WhoAmI")
    limited.get("WhoAmI")
    assert limited.get("WhoAmI").status_code == 429

    limited.emulator.control.advance_clock(100)

    assert limited.get("WhoAmI").status_code == 200
    assert limited.get("WhoAmI").status_code == 429


def test_each_user_has_limits_of_its_own(limited: Client) -> None:
    other = connect(limited.emulator.as_application(limited.emulator.control.add_application()))
    with other.session:
        assert [limited.get("WhoAmI").status_code for _ in range(4)] == [200, 200, 200, 429]

        assert other.get("WhoAmI").status_code == 200


def test_execution_time_limit(client: Client) -> None:
    client.emulator.control.change_settings(execution_milliseconds_limit=0)

    answer = client.get("WhoAmI")

    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.json()["error"] == {
        "code": "0x80072321",
        "message": (
            "Combined execution time of incoming requests exceeded limit of 0 milliseconds over time window of 300 "
            "seconds. Decrease number of concurrent requests or reduce the duration of requests and try again later."
        ),
    }


def test_execution_time_is_summed_up(client: Client) -> None:
    client.emulator.control.stop_clock(client.emulator.organisation.clock.now())
    client.emulator.control.change_settings(execution_milliseconds_limit=1)
    answers = [client.get("leads") for _ in range(200)]

    refused = [answer.status_code for answer in answers].index(429)

    assert refused >= 1
    assert answers[refused].json()["error"]["code"] == "0x80072321"
    client.emulator.control.advance_clock(301)
    assert client.get("leads").status_code == 200


def test_a_batch_counts_as_one_request(client: Client) -> None:
    before = int(client.get("WhoAmI").headers[_REQUESTS_LEFT])
    part = (
        "--b\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\nGET WhoAmI HTTP/1.1\r\n\r\n"
    )
    headers = {"Content-Type": "multipart/mixed; boundary=b"}

    answer = client.call("POST", "$batch", data=part * 5 + "\r\n--b--\r\n", headers=headers)

    assert answer.text.count("HTTP/1.1 200") == 5
    assert int(answer.headers[_REQUESTS_LEFT]) == before - 1


def test_headers_of_every_answer(client: Client) -> None:
    found, missing = client.get("WhoAmI").headers, client.get("nothings").headers

    assert found["x-ms-dop-hint"] == "4"
    assert found[_REQUESTS_LEFT] == "5999"
    # The comma is Dataverse's own: no client may read this header as a float.
    assert found[_TIME_LEFT].startswith(("1,200.", "1,199."))
    assert missing[_REQUESTS_LEFT] == "5998"


def _cookies(answer: requests.Response) -> dict[str, str]:
    return {cookie.name: str(cookie.value) for cookie in answer.cookies}


def test_affinity_cookie_binds_to_one_server() -> None:
    with running_emulator(servers=2, request_limit=4) as emulator:
        client = connect(emulator)
        with client.session:
            statuses = [client.get("WhoAmI").status_code for _ in range(5)]

    assert statuses == [200, 200, 200, 200, 429]


def test_without_the_cookie_requests_spread_over_all_servers() -> None:
    with running_emulator(servers=2, request_limit=4) as emulator:
        client = connect(emulator)
        with client.session:
            answers = []
            for _ in range(9):
                client.session.cookies.clear()
                answers.append(client.get("WhoAmI"))

    assert [answer.status_code for answer in answers] == [200] * 8 + [429]
    assert len({_cookies(answer)["ARRAffinity"] for answer in answers}) == 2
    assert _cookies(answers[0]).keys() == {"ARRAffinity", "ARRAffinitySameSite"}


def test_servers_without_affinity_take_turns() -> None:
    with running_emulator(servers=2, request_limit=4, affinity_cookie=False) as emulator:
        client = connect(emulator)
        with client.session:
            answers = [client.get("WhoAmI") for _ in range(9)]

    assert [answer.status_code for answer in answers] == [200] * 8 + [429]
    assert "Set-Cookie" not in answers[0].headers


def test_a_cookie_of_no_server_is_ignored(client: Client) -> None:
    assert client.get("WhoAmI", headers={"Cookie": "ARRAffinity=elsewhere; other"}).status_code == 200


@pytest.mark.parametrize("limit", [6000, 8000])
def test_burst_limit_is_a_setting(emulator: RunningEmulator, limit: int) -> None:
    emulator.control.change_settings(request_limit=limit)
    client = connect(emulator)
    with client.session:
        assert client.get("WhoAmI").headers[_REQUESTS_LEFT] == str(limit - 1)


def test_concurrency_limit(client: Client) -> None:
    # A write transaction is held open, so the writer below stays inside of the service for as long as we want.
    client.emulator.control.change_settings(concurrency_limit=1)
    entered = threading.Event()
    statuses: list[int] = []

    def write() -> None:
        entered.set()
        # One of the questions below may be inside just when it comes.
        while not statuses or statuses[-1] == 429:
            statuses.append(client.call("POST", "leads", json={"lastname": "x"}).status_code)

    with client.emulator.database.transaction():
        writer = threading.Thread(target=write)
        writer.start()
        entered.wait(5)
        error = _error_while_running(client)
    writer.join()

    assert error == {"code": "0x80072326", "message": "Number of concurrent requests exceeded the limit of 1."}
    assert statuses[-1] == 204


def _error_while_running(client: Client) -> dict[str, str]:
    """Ask until the writer is inside; it cannot get out before we let it."""
    for _ in range(200):
        answer = client.session.get(f"{client.emulator.api}/WhoAmI", timeout=5)
        if answer.status_code == 429:
            found: dict[str, str] = answer.json()["error"]
            return found
    return pytest.fail("the writer never came in")
