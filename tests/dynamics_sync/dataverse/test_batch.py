"""`$batch`: what is sent, and answers in the forms that servers were seen to write."""

import json

import pytest
import requests
from requests.structures import CaseInsensitiveDict

from dynamics_sync import errors
from dynamics_sync.dataverse.batch import build_batch, parse_batch
from dynamics_sync.dataverse.client import Answer, Request

CALLS = [Request("leads(1)"), Request("leads(2)")]


def part(status: str, body: str, headers: str = "Content-Type: application/json; odata.metadata=minimal") -> str:
    return (
        f"Content-Type: application/http\nContent-Transfer-Encoding: binary\n\nHTTP/1.1 {status}\n{headers}\n\n{body}\n"
    )


def whole(parts: list[str], boundary: str = "batchresponse_1", *, close: bool = True) -> bytes:
    text = "".join(f"--{boundary}\n{item}" for item in parts) + (f"--{boundary}--\n" if close else "")
    return text.replace("\n", "\r\n").encode()


def answer(body: bytes, content_type: str = "multipart/mixed; boundary=batchresponse_1", status: int = 200) -> Answer:
    return Answer(status, CaseInsensitiveDict({"Content-Type": content_type}), body, Request("$batch", method="POST"))


def change_set(inner: list[str]) -> str:
    content = "".join(f"--changeset_1\n{item}" for item in inner) + "--changeset_1--\n"
    return f"Content-Type: multipart/mixed; boundary=changeset_1\n\n{content}"


TWO = [part("200 OK", '{"n": 1}'), part("200 OK", '{"n": 2}')]
VARIANTS = {
    "crlf": answer(whole(TWO)),
    "lf only": answer(whole(TWO).replace(b"\r\n", b"\n")),
    "quoted boundary": answer(whole(TWO), 'multipart/mixed; boundary="batchresponse_1"'),
    "no blank before boundary": answer(whole(TWO), "multipart/mixed;boundary=batchresponse_1"),
    "empty line first": answer(b"\r\n" + whole(TWO)),
    "preamble and epilogue": answer(b"ignored\r\n" + whole(TWO) + b"ignored"),
    "streaming parameter": answer(
        whole([part("200 OK", '{"n": 1}', "Content-Type: application/json; odata.streaming=true"), TWO[1]])
    ),
    "change set": answer(whole([TWO[0], change_set([TWO[1]])])),
    "outer 400": answer(whole(TWO), status=400),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_each_wire_variant_is_read(name) -> None:
    assert [item.json() for item in parse_batch(VARIANTS[name], CALLS)] == [{"n": 1}, {"n": 2}]


def test_a_part_keeps_status_headers_and_request() -> None:
    body = whole([part("404 Not Found", "{}", "REQ_ID: 5f1c\nRetry-After: 7"), TWO[1]])
    first = parse_batch(answer(body), CALLS)[0]
    assert (first.status, first.request_id, first.headers["retry-after"]) == (404, "5f1c", "7")
    assert first.request is CALLS[0]


def test_text_of_all_languages_comes_through() -> None:
    names = ["Grüße", "Иван", "李", "مرحبا", "שלום", "🙂", "a\u2028b\u0085c\x0bd"]
    body = whole([part("200 OK", json.dumps({"n": names}, ensure_ascii=False)), TWO[1]])
    assert parse_batch(answer(body), CALLS)[0].json() == {"n": names}


def test_an_empty_part_is_an_empty_body() -> None:
    body = whole([part("204 No Content", ""), TWO[1]])
    assert parse_batch(answer(body), CALLS)[0].body.strip() == b""


def test_a_cut_batch_is_no_answer() -> None:
    with pytest.raises(errors.IncompleteAnswer):
        parse_batch(answer(whole(TWO, close=False)), CALLS)


@pytest.mark.parametrize("found", [
    answer(b"nothing", "multipart/mixed"), answer(whole(["Content-Type: application/http\n\nnothing\n"])),
    answer(whole([*TWO, *TWO])),
])  # fmt: skip
def test_what_cannot_be_read_is_unexpected(found) -> None:
    with pytest.raises(errors.UnexpectedAnswer):
        parse_batch(found, CALLS)


def test_the_request_is_what_the_service_documents() -> None:
    calls = [Request("leads?$select=a", prefer=("x", "y")), Request("leads(1)", method="PATCH", body=b'{"a":1}')]
    built = build_batch(calls, lambda call: f"https://h/api/data/v9.2/{call.path}", "b1")
    assert built.headers["Content-Type"] == 'multipart/mixed; boundary="b1"'
    assert built.prefer == ("odata.continue-on-error",)
    assert built.body == (
        b"--b1\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
        b"GET https://h/api/data/v9.2/leads?$select=a HTTP/1.1\r\nAccept: application/json\r\nPrefer: x,y\r\n\r\n\r\n"
        b"--b1\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
        b"PATCH https://h/api/data/v9.2/leads(1) HTTP/1.1\r\nAccept: application/json\r\n"
        b'Content-Type: application/json\r\n\r\n{"a":1}\r\n--b1--\r\n'
    )
    assert not built.repeatable
    assert build_batch(calls[:1], lambda call: call.path, "b").repeatable


def batch_reply(reply, parts, status=200):
    return reply(status, whole(parts), {"Content-Type": "multipart/mixed; boundary=batchresponse_1"})


FAILED = part("403 Forbidden", '{"error": {"code": "0x80040220", "message": "is missing prvReadLead privilege"}}')


@pytest.mark.parametrize(("status", "parts"), [(200, [TWO[0], FAILED]), (400, [TWO[0], FAILED]), (400, [FAILED])])
def test_the_first_failing_part_is_raised(rig, reply, status, parts) -> None:
    made = rig([batch_reply(reply, parts, status)])
    with pytest.raises(errors.PrivilegeMissing, match="prvReadLead"):
        made.client.batch(CALLS)


def test_a_batch_of_reads_is_repeated_when_one_part_was_throttled(rig, reply) -> None:
    throttled = part("429 Too Many Requests", "{}", "Retry-After: 4")
    made = rig([batch_reply(reply, [throttled, TWO[1]]), batch_reply(reply, TWO)])
    assert [item.json()["n"] for item in made.client.batch(CALLS)] == [1, 2]
    assert made.slept == [4.0]


def test_fewer_answers_than_calls_are_no_answer(rig, reply) -> None:
    with pytest.raises(errors.IncompleteAnswer):
        rig(lambda _request: batch_reply(reply, TWO[:1])).client.batch(CALLS)


def test_a_batch_that_is_refused_as_a_whole(rig, refused) -> None:
    with pytest.raises(errors.RequestRefused):
        rig([refused(400, "0x80048d19")]).client.batch(CALLS)


def test_a_batch_that_is_answered_without_parts_is_no_answer(rig, reply) -> None:
    with pytest.raises(errors.IncompleteAnswer):
        rig(lambda _request: reply()).client.batch(CALLS)


READ = Request("leads(1)")
CREATE = Request("leads(2)", method="PATCH", headers={"If-None-Match": "*"}, body=b"{}")
UPDATE = Request("leads(3)", method="PATCH", headers={"If-Match": 'W/"7"'}, body=b"{}")
ANY_VERSION = Request("leads(4)", method="PATCH", headers={"If-Match": "*"}, body=b"{}")
POSTED = Request("leads", method="POST", headers={"If-None-Match": "*"}, body=b"{}")


@pytest.mark.parametrize(
    ("calls", "reads", "once"),
    [
        ([READ, READ], True, True), ([READ, CREATE, UPDATE], False, True), ([UPDATE], False, True),
        ([CREATE, ANY_VERSION], False, False), ([UPDATE, POSTED], False, False), ([READ, POSTED], False, False),
    ],
)  # fmt: skip
def test_a_batch_is_what_its_calls_are(calls, reads, once) -> None:
    built = build_batch(calls, lambda call: call.path, "b")
    assert (built.reads, built.changes_once, built.may_be_repeated) == (reads, once, once)


def test_a_create_in_a_batch_bears_its_condition_and_no_cache_defeat(rig, reply) -> None:
    made = rig([batch_reply(reply, TWO)])
    made.client.batch_each([CREATE, UPDATE])
    first, second = made.wire.asked[0].body.split(b"PATCH ")[1:]
    assert first.lower().count(b"if-none-match") == 1
    assert b"\r\nIf-None-Match: *\r\n" in first
    assert b"If-Match" not in first
    assert b'\r\nIf-Match: W/"7"\r\n' in second
    assert b"if-none-match" not in second.lower()


def lost(_request):
    raise requests.ReadTimeout


@pytest.mark.parametrize(("calls", "tries"), [([READ, UPDATE], 2), ([CREATE, READ], 2), ([READ, ANY_VERSION], 1)])
@pytest.mark.parametrize(
    ("failure", "error"),
    [
        ("lost", errors.NetworkFault), ("cut", errors.IncompleteAnswer), (500, errors.ServiceUnavailable),
        (502, errors.ServiceUnavailable), (503, errors.ServiceUnavailable), (504, errors.ServiceUnavailable),
    ],
)  # fmt: skip
def test_a_whole_batch_is_repeated_when_no_call_can_act_twice(rig, reply, calls, tries, failure, error) -> None:
    cut = reply(200, whole(TWO, close=False), {"Content-Type": "multipart/mixed; boundary=batchresponse_1"})
    handlers = {"lost": lost, "cut": lambda _request: cut}
    made = rig(handlers.get(failure, lambda _request: reply(failure)), attempts=2)
    with pytest.raises(error, match="Whether it was written is not known"):
        made.client.batch_each(calls)
    assert len(made.wire.asked) == tries


def test_more_than_a_thousand_calls_go_in_several_batches(rig, reply) -> None:
    sizes = []

    def handler(request):
        sizes.append(request.body.count(b"HTTP/1.1"))
        return batch_reply(reply, [part("200 OK", "{}")] * sizes[-1])

    assert len(rig(handler).client.batch([Request("leads(1)")] * 2001)) == 2001
    assert sizes == [1000, 1000, 1]


def test_each_outcome_of_writes_is_returned(rig, reply) -> None:
    made = rig([batch_reply(reply, [part("204 No Content", ""), FAILED])])
    first, second = made.client.batch_each([Request("leads(1)", method="PATCH", body=b"{}")] * 2)
    assert first.status == 204
    assert isinstance(second, errors.PrivilegeMissing)


def test_a_batch_of_creates_is_not_repeated_when_its_answer_was_lost(rig, reply) -> None:
    made = rig(lambda _request: reply(503))
    with pytest.raises(errors.ServiceUnavailable):
        made.client.batch_each([Request("leads", method="POST", body=b"{}")])
    assert len(made.wire.asked) == 1


def test_a_batch_takes_no_more_than_a_thousand_writes(rig) -> None:
    with pytest.raises(ValueError, match="1000"):
        rig([]).client.batch_each([Request("leads(1)", method="DELETE")] * 1001)


def test_a_call_cannot_break_out_of_its_part(rig, reply) -> None:
    made = rig([batch_reply(reply, TWO[:1])])
    made.client.batch([Request("leads?$filter=a eq 'x'\r\nEvil: 1\r\n\r\n--batch")])
    assert b"$filter=a%20eq%20'x'%0D%0AEvil:%201" in made.wire.asked[0].body


def test_a_foreign_link_is_not_put_into_a_batch(rig) -> None:
    made = rig([])
    with pytest.raises(errors.ForeignLink):
        made.client.batch([Request("https://evil.example/api/data/v9.2/leads")])
    assert made.wire.asked == []
