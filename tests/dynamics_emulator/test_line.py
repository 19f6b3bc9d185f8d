"""The line: latency and bandwidth, and the journal of what went over it."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from starlette.types import Message

from dynamics_emulator.line import Pace
from dynamics_emulator.testing_client import Call, Client


def test_latency_delays_the_web_api_only(client: Client) -> None:
    client.emulator.control.change_settings(latency_milliseconds=150)

    slow = client.get("WhoAmI").elapsed.total_seconds()
    client.emulator.control.change_settings(latency_milliseconds=0)

    assert slow >= 0.15
    assert client.get("WhoAmI").elapsed.total_seconds() < 0.15


def test_latency_is_waited_once_for_a_batch_and_by_callers_side_by_side(client: Client) -> None:
    client.emulator.control.change_settings(latency_milliseconds=400)
    batch = [Call("POST", "leads", {"lastname": "x"})] * 20

    with ThreadPoolExecutor(max_workers=6) as pool:
        started = time.perf_counter()
        answers = list(pool.map(client.send_batch, [batch] * 6))
        spent = time.perf_counter() - started

    assert {answer.status_code for answer in answers} == {200}
    assert all(answer.elapsed.total_seconds() >= 0.4 for answer in answers)
    assert spent < 6 * 0.4


def test_bandwidth_bounds_the_bytes_in_a_second(client: Client) -> None:
    client.create("accounts", name="x", description="y" * 1000)
    whole = client.get("accounts", headers={"Accept-Encoding": "identity"})
    client.emulator.control.change_settings(bandwidth_bytes_per_second=20_000)

    paced = client.get("accounts", headers={"Accept-Encoding": "identity"})

    assert paced.content == whole.content
    assert len(paced.content) > 4_000
    client.get("WhoAmI")  # An answer can be here before it is written down; not so once the next one is here.
    assert client.emulator.organisation.journal.latest(2)[1].milliseconds > len(paced.content) / 20_000 * 1000 * 0.6


@pytest.mark.parametrize(
    ("size", "rate", "pieces"), [(0, 100, [0]), (5, 100, [5]), (12, 100, [5, 5, 2]), (3, 1, [1, 1, 1])]
)
def test_slices(size: int, rate: int, pieces: list[int]) -> None:
    sent: list[Message] = []
    slept: list[float] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    body = bytes(range(size))
    asyncio.run(Pace(send, rate, sleep)({"type": "http.response.body", "body": body}))

    assert [len(message["body"]) for message in sent] == pieces
    assert b"".join(message["body"] for message in sent) == body
    assert [message.get("more_body", False) for message in sent] == [True] * (len(pieces) - 1) + [False]
    assert sum(slept) == pytest.approx(sum(pieces[:-1]) / rate)


def test_journal_has_what_was_asked(client: Client) -> None:
    client.get("leads?$top=1")
    client.emulator.control.add_fault("drop-after")
    with pytest.raises(requests.exceptions.ConnectionError):
        client.call("POST", "leads", json={"lastname": "x"})
    client.get("nothing")
    client.get("WhoAmI")

    journal = client.emulator.organisation.journal
    _, unknown, dropped, first = journal.latest(4)
    assert (unknown.method, unknown.path, unknown.status) == ("GET", "/api/data/v9.2/…", 404)
    assert (dropped.method, dropped.path, dropped.status) == ("POST", "/api/data/v9.2/leads", None)
    assert (first.path, first.status) == ("/api/data/v9.2/leads?$top", 200)
    assert first.bytes_sent > 50
    assert journal.total == 6  # Two of them are msal's.
