"""Service protection: three limits, Retry-After that grows, headers that count down."""

import threading

import pytest

from dynamics_emulator.testing_client import Client


def test_request_limit_and_growing_retry_after(client: Client) -> None:
    client.emulator.control.change_settings(request_limit=3, retry_after_seconds=4)
    remaining = [client.get("WhoAmI").headers["x-ms-ratelimit-burst-remaining-xrm-requests"] for _ in range(3)]

    refused = [client.get("WhoAmI") for _ in range(2)]

    assert remaining == ["2", "1", "0"]
    assert [answer.headers["Retry-After"] for answer in refused] == ["4", "8"]
    assert refused[0].json()["error"] == {
        "code": "0x80072322",
        "message": "Number of requests exceeded the limit of 3 over time window of 300 seconds.",
    }
    client.emulator.control.advance_clock(301)
    assert client.get("WhoAmI").status_code == 200


def test_execution_time_limit(client: Client) -> None:
    client.emulator.control.change_settings(execution_milliseconds_limit=0)

    answer = client.get("WhoAmI")

    assert answer.json()["error"]["code"] == "0x80072321"
    assert "exceeded limit of 0 milliseconds" in answer.json()["error"]["message"]


def test_concurrency_limit(client: Client) -> None:
    # A write transaction is held open, so the writer below stays inside of the service for as long as we want.
    client.emulator.control.change_settings(concurrency_limit=1)
    entered = threading.Event()
    statuses: list[int] = []

    def write() -> None:
        entered.set()
        statuses.append(client.call("POST", "leads", json={"lastname": "x"}).status_code)

    with client.emulator.database.transaction():
        writer = threading.Thread(target=write)
        writer.start()
        entered.wait(5)
        codes = [_code_while_running(client) for _ in range(1)]
    writer.join()

    assert codes == ["0x80072326"]
    assert statuses == [204]


def _code_while_running(client: Client) -> str:
    """Ask until the writer is inside; it cannot get out before we let it."""
    for _ in range(200):
        answer = client.session.get(f"{client.emulator.api}/WhoAmI", timeout=5)
        if answer.status_code == 429:
            return str(answer.json()["error"]["code"])
    return pytest.fail("the writer never came in")
