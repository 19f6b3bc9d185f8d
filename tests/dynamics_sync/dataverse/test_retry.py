"""What is repeated, how long the client waits, and what is never sent twice."""

import random
import socket
import ssl
from email.utils import formatdate

import pytest
import requests
import urllib3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dynamics_sync import errors
from dynamics_sync.dataverse.client import Request

CREATE = Request("leads", method="POST", body=b"{}")
UPDATE = Request("leads(1)", method="PATCH", body=b"{}")
VERSIONED = Request("leads(1)", method="PATCH", headers={"If-Match": 'W/"7"'}, body=b"{}")
READ = Request("leads")


def seeded(seed: int) -> random.Random:
    return random.Random(seed)  # noqa: S311 (a seed makes the test repeatable)


def test_retry_after_in_seconds_is_waited_in_full(rig, reply) -> None:
    made = rig([reply(429, {}, {"Retry-After": "17"}), reply(429, {}, {"Retry-After": "3"}), reply()])
    made.client.send(READ)
    assert made.slept == [17.0, 3.0]


def test_retry_after_as_a_date_is_waited_in_full(rig, reply) -> None:
    made = rig([reply(429, {}, {"Retry-After": formatdate(1_000_042, usegmt=True)}), reply()])
    made.client.send(READ)
    assert made.slept == [42.0]


def test_a_long_retry_after_is_handed_to_the_caller(rig, reply) -> None:
    made = rig([reply(429, {}, {"Retry-After": "61"})])
    with pytest.raises(errors.Throttled) as caught:
        made.client.send(READ)
    assert caught.value.retry_after == 61.0
    assert made.slept == []


def test_longest_wait_is_configurable(rig, reply) -> None:
    made = rig([reply(429, {}, {"Retry-After": "61"}), reply()], longest_wait=61)
    made.client.send(READ)
    assert made.slept == [61.0]


# The fixture is only a factory, so that sharing it between examples shares no state.
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32), st.integers(1, 9))
def test_backoff_has_full_jitter_within_bounds(rig, reply, seed, attempts) -> None:
    made = rig(lambda _request: reply(503), attempts=attempts, random=seeded(seed))
    with pytest.raises(errors.ServiceUnavailable):
        made.client.send(READ)
    assert len(made.slept) == attempts - 1
    for number, waited in enumerate(made.slept, start=1):
        assert 0 <= waited <= min(30.0, 0.5 * 2**number)


def test_two_clients_do_not_wait_alike(rig, reply) -> None:
    waits = []
    for seed in (1, 2):
        made = rig([reply(503), reply()], random=seeded(seed))
        made.client.send(READ)
        waits += made.slept
    assert len(set(waits)) == 2


def test_it_gives_up_after_so_many_attempts(rig, reply) -> None:
    made = rig([reply(503)] * 3, attempts=3)
    with pytest.raises(errors.ServiceUnavailable):
        made.client.send(READ)
    assert len(made.wire.asked) == 3


@pytest.mark.parametrize(
    ("request_sent", "status", "tries"),
    [
        (READ, 500, 2), (READ, 502, 2), (READ, 503, 2), (READ, 504, 2), (READ, 429, 2),
        (UPDATE, 500, 1), (UPDATE, 502, 2), (UPDATE, 503, 2), (UPDATE, 504, 2), (UPDATE, 429, 2),
        (VERSIONED, 500, 2), (VERSIONED, 502, 2), (VERSIONED, 503, 2), (VERSIONED, 429, 2), (VERSIONED, 412, 1),
        (CREATE, 500, 1), (CREATE, 502, 1), (CREATE, 503, 1), (CREATE, 504, 1), (CREATE, 429, 2),
        (READ, 400, 1), (READ, 403, 1), (READ, 404, 1), (READ, 412, 1), (READ, 413, 1),
    ],
)  # fmt: skip
def test_what_is_repeated(rig, reply, request_sent, status, tries) -> None:
    made = rig(lambda _request: reply(status), attempts=2)
    with pytest.raises(errors.SyncError):
        made.client.send(request_sent)
    assert len(made.wire.asked) == tries


@pytest.mark.parametrize("code", ["0x80040265", "0x80044331", "0x80048408", "0x80040333"])
def test_a_refused_content_is_never_repeated_whatever_the_status(rig, refused, code) -> None:
    made = rig(lambda _request: refused(500, code))
    with pytest.raises(errors.SyncError):
        made.client.send(UPDATE)
    assert len(made.wire.asked) == 1


def failing(error):
    def handler(_request):
        raise error

    return handler


def unresolved(number: int) -> requests.ConnectionError:
    """What requests raises when a name cannot be resolved, chained as urllib3 chains it."""
    pool = urllib3.HTTPSConnectionPool("acme")
    cause = socket.gaierror(number, "Okafor")
    reason = urllib3.exceptions.NameResolutionError("acme", pool, cause)
    reason.__cause__ = cause
    return requests.ConnectionError(urllib3.exceptions.MaxRetryError(pool, "/x?q=Okafor", reason))


FAULTS = [
    (requests.ConnectionError("Okafor"), errors.NetworkFault),
    (requests.ConnectionError(ConnectionResetError()), errors.NetworkFault),
    (requests.ConnectTimeout("Okafor"), errors.NetworkFault),
    (requests.ReadTimeout("Okafor"), errors.NetworkFault),
    (requests.exceptions.ChunkedEncodingError("Okafor"), errors.NetworkFault),
    (requests.exceptions.SSLError(ssl.SSLEOFError()), errors.NetworkFault),
    (requests.exceptions.SSLError(ssl.SSLCertVerificationError("Okafor")), errors.UnknownHost),
    (unresolved(socket.EAI_NONAME), errors.UnknownHost),
    (unresolved(socket.EAI_AGAIN), errors.NetworkFault),
]


@pytest.mark.parametrize(("fault", "expected"), FAULTS, ids=lambda value: getattr(value, "__name__", None))
def test_a_network_fault_has_its_error(rig, fault, expected) -> None:
    made = rig(failing(fault), attempts=3)
    with pytest.raises(expected) as caught:
        made.client.send(READ)
    assert type(caught.value) is expected
    assert len(made.wire.asked) == (3 if expected is errors.NetworkFault else 1)
    assert "Okafor" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_create_is_not_sent_again_when_its_answer_was_lost(rig) -> None:
    made = rig(failing(requests.ReadTimeout()))
    with pytest.raises(errors.NetworkFault, match="not known"):
        made.client.send(CREATE)
    assert len(made.wire.asked) == 1


@pytest.mark.parametrize(
    ("method", "headers", "conditional"),
    [
        ("PATCH", {"If-Match": 'W/"7"'}, True), ("DELETE", {"If-Match": 'W/"7"'}, True),
        ("PATCH", {"if-match": 'W/"7"'}, True), ("PATCH", {"If-None-Match": "*"}, True),
        ("PATCH", {"IF-NONE-MATCH": " * "}, True), ("PATCH", {"If-Match": "*"}, False),
        ("PATCH", {"If-Match": ""}, False), ("PATCH", {"If-None-Match": "null"}, False), ("PATCH", {}, False),
        ("POST", {"If-None-Match": "*"}, False), ("POST", {"If-Match": 'W/"7"'}, False),
        ("GET", {"If-None-Match": 'W/"7"'}, False),
    ],
)  # fmt: skip
def test_a_write_is_conditional_by_its_headers(method, headers, conditional) -> None:
    request = Request("leads(1)", method=method, headers=headers)
    assert request.conditional is conditional
    assert request.changes_once is (conditional or method == "GET")
    assert request.may_be_repeated is (method != "POST")


def test_a_conditional_create_that_is_sent_alone_bears_nothing_else(rig, reply) -> None:
    made = rig([reply(204, b"")])
    made.client.send(Request("leads(1)", method="PATCH", headers={"If-None-Match": "*"}, body=b"{}"))
    assert made.wire.asked[0].headers["If-None-Match"] == "*"


def test_an_update_with_a_version_may_be_sent_again(rig) -> None:
    made = rig(failing(requests.ReadTimeout()), attempts=2)
    with pytest.raises(errors.NetworkFault):
        made.client.send(VERSIONED)
    assert len(made.wire.asked) == 2
