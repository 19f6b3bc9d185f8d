"""Faults that strike within a batch: single parts that write, and the answer as a whole."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from uuid import UUID

import pytest
from requests import Response

from dynamics_emulator.control.faults import WITHIN_BATCHES, Fault
from dynamics_emulator.testing_client import Call, Client, connect, part_answers

NEW = {"If-None-Match": "*"}
REFUSALS = {
    Fault.STATUS_429: (429, "0x80072322"),
    Fault.RETRY_AFTER_DATE: (429, "0x80072322"),
    Fault.STATUS_500: (500, "0x80040216"),
    Fault.STATUS_502: (502, "0x8006088a"),
    Fault.STATUS_503: (503, "0x8006088a"),
    Fault.STATUS_504: (504, "0x8006088a"),
}


def lead(number: int) -> str:
    return f"leads({UUID(int=number, version=4)})"


def create(number: int) -> Call:
    return Call("PATCH", lead(number), {"lastname": str(number)}, NEW)


def creates(count: int, first: int = 1) -> list[Call]:
    return [create(number) for number in range(first, first + count)]


def names(client: Client) -> list[str]:
    return [str(row["lastname"]) for row in client.emulator.database.rows("lead")]


def test_each_fault_that_can_strike_a_part_is_tried() -> None:
    assert {*REFUSALS, Fault.TOKEN_EXPIRED_401, Fault.TRUNCATED_JSON} == WITHIN_BATCHES


@pytest.mark.parametrize("fault", list(REFUSALS), ids=str)
def test_a_part_is_refused_and_the_others_are_carried_out(client: Client, fault: Fault) -> None:
    added = client.emulator.control.add_fault(fault, at=[2], in_batch=True)

    answers = client.batch(*creates(4))

    assert [answer.status for answer in answers] == [204, REFUSALS[fault][0], 204, 204]
    assert answers[1].refusal == REFUSALS[fault]
    assert names(client) == ["1", "3", "4"]
    assert (added.hits, added.met) == (1, 2)
    assert [answer.status for answer in client.batch(create(2))] == [204]


def test_retry_after_stands_in_the_part(client: Client) -> None:
    client.emulator.control.stop_clock(datetime(2026, 3, 1, 8, 0, tzinfo=UTC))
    client.emulator.control.change_settings(retry_after_seconds=7)
    client.emulator.control.add_fault("status-429", at=[1], in_batch=True)
    client.emulator.control.add_fault("retry-after-date", at=[1], in_batch=True)

    answer = client.send_batch(creates(3))

    seconds, date, _ = part_answers(answer)
    assert seconds.headers["Retry-After"] == "7"
    assert parsedate_to_datetime(date.headers["Retry-After"]) == datetime(2026, 3, 1, 8, 0, 7, tzinfo=UTC)
    assert (answer.status_code, "Retry-After" in answer.headers) == (200, False)


def test_token_ends_within_a_batch(client: Client) -> None:
    client.emulator.control.add_fault("token-expired-401", at=[3, 4], in_batch=True)

    answers = client.batch(*creates(4))

    assert [answer.status for answer in answers] == [204, 204, 401, 401]
    assert answers[2].headers["WWW-Authenticate"].startswith("Bearer ")
    assert answers[2].body is None
    assert names(client) == ["1", "2"]


def test_chance_spares_all_parts_of_a_tokens_first_batch(client: Client) -> None:
    """Else a client that renews its token after a 401 could be refused for good."""
    emulator = client.emulator
    emulator.control.add_fault("token-expired-401", probability=0.5, in_batch=True)

    for turn in range(3):
        with connect(emulator).session as session:
            fresh = Client(emulator, session)
            first, second = (fresh.batch(*creates(20, 100 * turn + start)) for start in (1, 51))
        assert {answer.status for answer in first} == {204}
        assert {answer.status for answer in second} == {204, 401}


def test_first_struck_part_ends_a_batch_that_is_not_to_go_on(client: Client) -> None:
    client.emulator.control.add_fault("status-503", at=[2], in_batch=True)

    answer = client.send_batch(creates(3), prefer=None)

    assert (answer.status_code, [part.status for part in part_answers(answer)]) == (400, [204, 503])
    assert names(client) == ["1"]


def test_struck_part_undoes_its_change_set(client: Client) -> None:
    client.emulator.control.add_fault("status-503", at=[2], in_batch=True)
    parts = "".join(f"--set\r\n{create(number).text()}\r\n" for number in (1, 2, 3))
    body = f"--b\r\nContent-Type: multipart/mixed; boundary=set\r\n\r\n{parts}--set--\r\n--b--\r\n"

    answer = client.call("POST", "$batch", data=body, headers={"Content-Type": "multipart/mixed; boundary=b"})

    assert [part.refusal for part in part_answers(answer)] == [(503, "0x8006088a")]
    assert names(client) == []


def test_reads_and_whole_requests_are_left_alone(client: Client) -> None:
    """And the other way round: the same fault for whole requests strikes no part."""
    added = client.emulator.control.add_fault("status-503", probability=1.0, in_batch=True)

    assert client.call("PATCH", lead(1), json={"lastname": "1"}).status_code == 204
    assert [answer.status for answer in client.batch(Call("GET", lead(1)), create(2))] == [200, 503]
    assert added.met == 1
    client.emulator.control.clear_faults()
    client.emulator.control.add_fault("status-503", at=[2])
    assert [answer.status for answer in client.batch(*creates(3, 3))] == [204, 204, 204]
    assert client.send_batch(creates(3, 6)).status_code == 503


@pytest.mark.parametrize(
    ("match", "expected"), [("DELETE", [204, 503, 204]), ("PATCH", [503, 204, 204]), ("/contacts", [204, 204, 503])]
)
def test_match_by_method_or_address(client: Client, match: str, expected: list[int]) -> None:
    client.batch(create(1))
    client.emulator.control.add_fault("status-503", match=match, in_batch=True)
    calls = [
        Call("PATCH", lead(1), {"firstname": "x"}, {"If-Match": "*"}),
        Call("DELETE", lead(1)),
        Call("POST", "contacts", {"lastname": "x"}),
    ]

    assert [answer.status for answer in client.batch(*calls)] == expected


def test_share_of_struck_parts_is_the_probability_and_is_repeatable(client: Client) -> None:
    def struck(first: int) -> list[bool]:
        client.emulator.control.clear_faults()
        client.emulator.control.add_fault("status-429", probability=0.1, in_batch=True)
        return [answer.status == 429 for answer in client.batch(*creates(400, first))]

    once, again = struck(1), struck(1001)

    assert 20 < sum(once) < 60
    assert once == again


def test_answer_to_a_batch_is_cut(client: Client) -> None:
    client.emulator.control.add_fault("truncated-json", in_batch=True)
    assert _is_whole(client.send_batch([Call("GET", "WhoAmI")]))

    answer = client.send_batch(creates(10))

    assert answer.status_code == 200  # And of the length that it promised, or requests would have raised.
    assert 0 < answer.content.count(b"HTTP/1.1 204") < 10
    assert not _is_whole(answer)
    assert len(names(client)) == 10
    assert {part.refusal for part in client.batch(*creates(10))} == {(412, "0x80040237")}


def _is_whole(answer: Response) -> bool:
    boundary = answer.headers["Content-Type"].partition("boundary=")[2]
    return answer.content.endswith(f"--{boundary}--\r\n".encode())


def test_refusal_tells_details_when_the_part_asks_for_annotations(client: Client) -> None:
    client.emulator.control.add_fault("status-503", in_batch=True)
    asking = {**NEW, "Prefer": 'return=representation,odata.include-annotations="*"'}

    [answer] = client.batch(Call("PATCH", lead(1), {"lastname": "x"}, asking))

    assert "@Microsoft.PowerApps.CDS.HelpLink" in answer.body["error"]


@pytest.mark.parametrize("fault", sorted(set(Fault) - WITHIN_BATCHES))
def test_faults_of_connections_and_pages_have_no_parts(client: Client, fault: str) -> None:
    with pytest.raises(ValueError, match="strikes whole requests only"):
        client.emulator.control.add_fault(fault, in_batch=True)


def test_fault_shows_where_it_strikes(client: Client) -> None:
    client.emulator.control.add_fault("status-429", probability=0.5, in_batch=True)

    shown: list[Any] = client.emulator.control.active_faults()

    assert [fault["in_batch"] for fault in shown] == [True]
    assert "within batches that write" in client.session.get(f"{client.emulator.url}/", timeout=10).text
