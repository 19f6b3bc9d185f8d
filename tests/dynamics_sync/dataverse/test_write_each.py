"""Writes in batches whose parts fail in passing: what is sent again, what never is, and that no outcome is lost."""

import json
import re
from collections import Counter
from collections.abc import Callable

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dynamics_sync import errors
from dynamics_sync.dataverse.client import Request

MULTIPART = {"Content-Type": "multipart/mixed; boundary=b"}
Part = tuple[int, dict[str, str], object]
DONE: Part = (204, {}, "")


def refusal(status: int, code: str = "", message: str = "", **headers: str) -> Part:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return status, named, {"error": {"code": code, "message": message}}


THROTTLED = refusal(429, "0x80072322", Retry_After="7")
TOKEN_ENDED = refusal(401)
SQL_TIMEOUT = refusal(500, "0x80044151")
CONFLICT = refusal(412, "0x80060882")
GONE = refusal(404, "0x80040217")
REFUSED = refusal(400, "0x80044331")


def printed(part: Part) -> bytes:
    status, headers, body = part
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    text = body if isinstance(body, str) else json.dumps(body)
    return f"--b\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 {status} X\r\n{lines}\r\n{text}\r\n".encode()


def update(number: int) -> Request:
    return Request(f"leads({number})", method="PATCH", headers={"If-Match": 'W/"7"'}, body=b"{}")


class Dynamics:
    """Answers each row's writes with the parts that wait for it, and with success when none does.

    `wholes` come first, in place of a batch: a reply, or an exception.
    """

    def __init__(self, reply, waiting: dict[int, list[Part]], wholes: list[object] | None = None) -> None:
        self.reply = reply
        self.waiting = {number: list(parts) for number, parts in waiting.items()}
        self.wholes = wholes or []
        self.sent: list[list[int]] = []

    def __call__(self, request: requests.PreparedRequest):
        numbers = [int(found) for found in re.findall(rb"leads\((\d+)\)", request.body)]
        self.sent.append(numbers)
        whole = self.wholes.pop(0) if self.wholes else None
        if isinstance(whole, Exception):
            raise whole
        if whole is not None:
            return whole
        parts = [self.waiting[number].pop(0) if self.waiting.get(number) else DONE for number in numbers]
        return self.reply(200, b"".join(map(printed, parts)) + b"--b--\r\n", MULTIPART)


@pytest.fixture
def dynamics(reply) -> Callable[..., Dynamics]:
    return lambda waiting, wholes=None: Dynamics(reply, waiting, wholes)


def kinds(outcomes: list) -> list:
    return [type(item) if isinstance(item, Exception) else item.status for item in outcomes]


def test_what_was_answered_for_good_is_sent_once(rig, dynamics) -> None:
    served = dynamics({1: [CONFLICT], 2: [GONE], 3: [REFUSED], 4: [refusal(403, "0x80040220")]})
    outcomes = rig(served).client.write_each([update(number) for number in range(5)])
    expected = [204, errors.VersionConflict, errors.RecordNotFound, errors.RecordRefused, errors.PrivilegeMissing]
    assert kinds(outcomes) == expected
    assert served.sent == [[0, 1, 2, 3, 4]]


@pytest.mark.parametrize("passing", [THROTTLED, SQL_TIMEOUT, refusal(503), refusal(500), refusal(408), TOKEN_ENDED])
def test_a_part_that_failed_in_passing_goes_again_alone(rig, dynamics, passing) -> None:
    served = dynamics({1: [passing], 2: [CONFLICT]})
    outcomes = rig(served).client.write_each([update(number) for number in range(3)])
    assert kinds(outcomes) == [204, 204, errors.VersionConflict]
    assert served.sent == [[0, 1, 2], [1]]


def test_it_waits_as_long_as_the_longest_part_was_told(rig, dynamics) -> None:
    made = rig(dynamics({0: [refusal(429, Retry_After="3")], 1: [refusal(429, Retry_After="9")], 2: [refusal(503)]}))
    made.client.write_each([update(number) for number in range(3)])
    assert made.slept == [9.0]


def test_without_a_told_wait_it_backs_off(rig, dynamics) -> None:
    made = rig(dynamics({0: [refusal(503)] * 4}))
    assert kinds(made.client.write_each([update(0)])) == [204]
    assert len(made.slept) == 4
    assert all(0 < waited <= 0.5 * 2**number for number, waited in enumerate(made.slept, start=1))


def test_a_token_that_ended_within_the_batch_is_renewed_once_without_waiting(rig, dynamics) -> None:
    served = dynamics({1: [TOKEN_ENDED], 2: [TOKEN_ENDED]})
    made = rig(served)
    assert kinds(made.client.write_each([update(number) for number in range(3)])) == [204, 204, 204]
    assert [request.headers["Authorization"] for request in made.wire.asked] == ["Bearer token-0", "Bearer token-1"]
    assert (made.tokens.renewals, made.slept, served.sent) == (1, [], [[0, 1, 2], [1, 2]])


def test_a_token_that_is_refused_after_its_renewal_is_refused(rig, dynamics) -> None:
    served = dynamics({1: [TOKEN_ENDED] * 9})
    assert kinds(rig(served).client.write_each([update(0), update(1)])) == [204, errors.TokenRefused]
    assert served.sent == [[0, 1], [1]]


def test_a_token_that_ends_in_the_last_round_has_a_round_of_its_own(rig, dynamics) -> None:
    served = dynamics({0: [refusal(503), TOKEN_ENDED]})
    assert kinds(rig(served, attempts=2).client.write_each([update(0)])) == [204]
    assert len(served.sent) == 3


def test_an_application_that_is_no_user_is_not_sent_again(rig, dynamics) -> None:
    made = rig(dynamics({0: [refusal(401, "0x80072560")]}))
    assert kinds(made.client.write_each([update(0)])) == [errors.NotAMember]
    assert (made.tokens.renewals, len(made.wire.asked)) == (0, 1)


def test_what_still_fails_after_the_rounds_has_its_error(rig, dynamics) -> None:
    served = dynamics({1: [THROTTLED] * 9, 2: [SQL_TIMEOUT] * 9})
    outcomes = rig(served, attempts=3).client.write_each([update(number) for number in range(3)])
    assert kinds(outcomes) == [204, errors.Throttled, errors.ServiceUnavailable]
    assert served.sent == [[0, 1, 2], [1, 2], [1, 2]]
    assert outcomes[2].dataverse_code == "0x80044151"


def test_a_wait_that_is_too_long_is_handed_to_the_caller_and_nothing_is_lost(rig, dynamics) -> None:
    made = rig(dynamics({1: [refusal(429, Retry_After="61")], 2: [TOKEN_ENDED], 3: [CONFLICT]}))
    outcomes = made.client.write_each([update(number) for number in range(4)])
    assert kinds(outcomes) == [204, errors.Throttled, errors.Throttled, errors.VersionConflict]
    assert outcomes[1].retry_after == 61.0
    assert (made.slept, len(made.wire.asked)) == ([], 1)


def test_a_batch_that_fails_as_a_whole_is_repeated_and_then_raised(rig, dynamics, reply) -> None:
    served = dynamics({}, [requests.ReadTimeout(), reply(500), reply(429, {}, {"Retry-After": "4"})])
    made = rig(served)
    assert kinds(made.client.write_each([update(0), update(1)])) == [204, 204]
    assert (served.sent, made.slept[-1]) == ([[0, 1]] * 4, 4.0)
    with pytest.raises(errors.NetworkFault, match="Whether it was written is not known"):
        rig(dynamics({}, [requests.ReadTimeout()] * 5)).client.write_each([update(0)])


def test_an_answer_that_was_cut_is_asked_for_again(rig, dynamics, reply) -> None:
    cut = reply(200, printed(DONE) + printed(DONE)[:20], MULTIPART)
    served = dynamics({0: [CONFLICT]}, [cut])
    assert kinds(rig(served).client.write_each([update(0), update(1)])) == [errors.VersionConflict, 204]
    assert served.sent == [[0, 1], [0, 1]]


@pytest.mark.parametrize(("whole", "error"), [
    (requests.ReadTimeout(), errors.NetworkFault), ("long", errors.Throttled), ("forbidden", errors.PrivilegeMissing),
])  # fmt: skip
def test_a_later_round_that_fails_as_a_whole_loses_no_outcome(rig, dynamics, reply, refused, whole, error) -> None:
    found = {"long": reply(429, {}, {"Retry-After": "99"}), "forbidden": refused(403, "0x80040220")}.get(whole, whole)
    served = dynamics({1: [refusal(503)], 2: [CONFLICT]}, [None, *[found] * 5])
    outcomes = rig(served).client.write_each([update(number) for number in range(3)])
    assert kinds(outcomes) == [204, error, errors.VersionConflict]


def test_a_renewal_that_fails_loses_no_outcome(rig, dynamics) -> None:
    made = rig(dynamics({1: [TOKEN_ENDED]}))

    def refuse() -> str:
        what = "no more"
        raise errors.SignInRefused(what)

    made.tokens.renew = refuse
    assert kinds(made.client.write_each([update(0), update(1)])) == [204, errors.SignInRefused]


def test_a_server_that_stops_at_a_failure_is_asked_for_the_rest(rig, dynamics, reply) -> None:
    stopped = reply(400, printed(DONE) + printed(CONFLICT) + b"--b--\r\n", MULTIPART)
    served = dynamics({}, [stopped])
    outcomes = rig(served).client.write_each([update(number) for number in range(4)])
    assert kinds(outcomes) == [204, errors.VersionConflict, 204, 204]
    assert served.sent == [[0, 1, 2, 3], [2, 3]]


def test_answers_of_which_one_is_missing_are_not_taken_for_those_of_other_calls(rig, dynamics, reply) -> None:
    short = reply(200, printed(CONFLICT) + printed(DONE) + b"--b--\r\n", MULTIPART)
    served = dynamics({}, [short] * 5)
    with pytest.raises(errors.IncompleteAnswer):
        rig(served).client.write_each([update(number) for number in range(3)])
    assert served.sent == [[0, 1, 2]] * 5


def test_more_than_a_thousand_go_in_several_batches(rig, dynamics) -> None:
    served = dynamics({1500: [THROTTLED]})
    assert kinds(rig(served).client.write_each([update(number) for number in range(2001)])) == [204] * 2001
    assert [len(numbers) for numbers in served.sent] == [1000, 1000, 1, 1]


def test_a_second_batch_that_fails_as_a_whole_loses_no_outcome_of_the_first(rig, dynamics) -> None:
    served = dynamics({}, [None, *[requests.ReadTimeout()] * 5])
    outcomes = rig(served).client.write_each([update(number) for number in range(2500)])
    assert kinds(outcomes) == [204] * 1000 + [errors.NetworkFault] * 1500
    assert len(served.sent) == 6


@pytest.mark.parametrize("unsafe", [
    Request("leads", method="POST", body=b"{}"), Request("leads(1)", method="PATCH", body=b"{}"),
    Request("leads(1)", method="PATCH", headers={"If-Match": "*"}, body=b"{}"), Request("leads(1)", method="DELETE"),
])  # fmt: skip
def test_what_could_act_twice_is_not_taken(rig, unsafe) -> None:
    made = rig([])
    with pytest.raises(ValueError, match="version"):
        made.client.write_each([update(0), unsafe])
    assert made.wire.asked == []


def test_reads_are_taken_and_nothing_is_sent_for_nothing(rig, dynamics) -> None:
    made = rig(dynamics({0: [(200, {}, {"leadid": "x"})]}))
    (outcome,) = made.client.write_each([Request("leads(0)")])
    assert outcome.json() == {"leadid": "x"}
    assert made.client.write_each([]) == []
    assert len(made.wire.asked) == 1


ENDINGS = {
    204: DONE, errors.VersionConflict: CONFLICT, errors.RecordNotFound: GONE, errors.RecordRefused: REFUSED,
}  # fmt: skip
COURSES = st.tuples(st.lists(st.sampled_from([THROTTLED, SQL_TIMEOUT, refusal(503)]), max_size=3), st.sampled_from(
    list(ENDINGS)
))  # fmt: skip


# The fixtures are only factories, so that sharing them between examples shares no state.
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(COURSES, min_size=1, max_size=8))
def test_each_call_goes_until_it_is_answered_and_not_once_more(rig, dynamics, courses) -> None:
    served = dynamics({n: [*passing, ENDINGS[end]] for n, (passing, end) in enumerate(courses)})
    outcomes = rig(served).client.write_each([update(number) for number in range(len(courses))])
    assert kinds(outcomes) == [end for _, end in courses]
    times = Counter(number for numbers in served.sent for number in numbers)
    assert times == {number: len(passing) + 1 for number, (passing, _) in enumerate(courses)}


VALUE = "okafor@example.com"


@pytest.mark.parametrize("code", ["", "0x80040265", "0x80060888", "0x80040220", "0x80044331", "0x80048d19"])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 412, 429, 500])
def test_a_part_has_its_code_and_quotes_no_value(rig, dynamics, status, code) -> None:
    made = rig(dynamics({0: [refusal(status, code, f"Something about '{VALUE}' (and {VALUE})")] * 9}), attempts=2)
    request = Request(
        f"leads(0)?$filter=emailaddress1 eq '{VALUE}'",
        method="PATCH",
        headers={"If-Match": 'W/"7"'},
        body=json.dumps({"emailaddress1": VALUE}).encode(),
    )
    (error,) = made.client.write_each([request])
    assert isinstance(error, errors.SyncError)
    assert (error.dataverse_code, error.http_status) == (code, status)
    assert VALUE not in f"{error} {error!r}"
    assert "PATCH leads(0)" in str(error)
