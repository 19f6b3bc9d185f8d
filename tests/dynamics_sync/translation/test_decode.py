"""decode: the fast and the patient way give equal tables, and one bad value costs one row."""

import json
import math
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamics_sync.errors import IncompleteAnswer, UnexpectedAnswer
from dynamics_sync.translation.decode import decode_page
from dynamics_sync.translation.fields import FORMATTED_VALUE, LOOKUP_TYPE, ReadPlan

Page = Callable[[list[Any]], bytes]

GUID = "11111111-2222-3333-4444-555555555555"
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
INT64S = st.integers(-(2**63), 2**63 - 1)
INSTANTS = st.datetimes().map(lambda instant: instant.isoformat() + "Z")
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "sampleid": st.uuids().map(str),
    "versionnumber": INT64S,
    "name": TEXTS,
    "count": INT64S,
    "rate": st.integers(-(10**15), 10**15).map(lambda number: number / 1000),
    "price": st.integers(-(10**15), 10**15).map(lambda number: number / 100),
    "score": st.floats(allow_nan=False, allow_infinity=False),
    "active": st.booleans(),
    "seenon": INSTANTS,
    "born": st.dates().map(lambda day: day.isoformat()),
    "other": st.uuids().map(str),
    "rating": INT64S,
    "interests": TEXTS,
    "_owner_value": st.uuids().map(str),
    f"_owner_value@{LOOKUP_TYPE}": TEXTS,
    f"_owner_value@{FORMATTED_VALUE}": TEXTS,
    "_parent_value": st.uuids().map(str),
    # What Dynamics sends unasked.
    "@odata.etag": TEXTS,
    "_transactioncurrencyid_value": st.uuids().map(str),
    "nested": st.recursive(st.none() | TEXTS | st.integers(), st.lists, max_leaves=5),
}
ROWS = st.fixed_dictionaries({}, optional={name: st.none() | values for name, values in VALUES.items()})

#: For each property of the sample, values that are not of its type, as they stand in JSON.
UNFIT = {
    "sampleid": ["1", "true", "{}"],
    "versionnumber": ['"1"', "true", "1.5", "9223372036854775808"],
    "name": ["1", "false", "{}", '["a"]', '"\\ud800"', '"\\udc00 low"', "NaN"],
    "count": [
        "true",
        "1.5",
        "1.0",
        '"1"',
        "9223372036854775808",
        "-9223372036854775809",
        "NaN",
        "{}",
        "1" + "0" * 5000,
    ],
    "rate": [
        "true",
        '"a"',
        '""',
        '" 1"',
        "1e28",
        "1e29",
        "1e30",
        "1e37",
        "9" * 38,
        "-1e28",
        "0.00000000001",
        "NaN",
        "Infinity",
        "1e-999999999",
        "{}",
    ],
    "price": ["1000000000000000", "1.00001", "1e99999999999999999999", '"1e-999999999"', '"NaN"', "[]"],
    "score": ["true", '"1.5"', "NaN", "Infinity", "-Infinity", "1e400", "1" + "0" * 400, "{}"],
    "active": ["1", "0", '"true"', "{}"],
    "seenon": [
        "1",
        '"soon"',
        '""',
        '"2026-02-30T00:00:00Z"',
        '"0000-01-01T00:00:00Z"',
        '"0001-01-01T00:00:00+05:00"',
        '"9999-12-31T23:59:59-05:00"',
        "NaN",
        "{}",
    ],
    "born": ["20260101", '"2026-02-30"', '"0000-01-01"', '"10000-01-01"', '"2026-01-01T00:00:00Z"', '""', "{}"],
    "rating": ['"1"', "1.5"],
    "_owner_value": ["1"],
    f"_owner_value@{LOOKUP_TYPE}": ["1"],
}
#: What the catalogue calls a property.
FIELD_OF = {"_owner_value": "owner", f"_owner_value@{LOOKUP_TYPE}": "owner"}
CASES = [(name, text) for name, texts in UNFIT.items() for text in texts]


def patient(body: bytes) -> bytes:
    """The same rows and one whose version is no number, which sends the page the patient way."""
    head, tail = body[: -len("]}")], body[-len("]}") :]
    return head + (b"" if head.endswith(b"[") else b",") + b'{"versionnumber":true}' + tail


@settings(deadline=None, derandomize=True)
@given(rows=st.lists(ROWS, max_size=6), ascii_only=st.booleans())
def test_both_ways_give_the_same_table(plan: ReadPlan, rows: list[Any], ascii_only: bool) -> None:
    body = json.dumps({"value": rows}, ensure_ascii=ascii_only).encode()
    fast, slow = decode_page(body, plan), decode_page(patient(body), plan)
    assert fast.rejected == ()
    assert len(slow.rejected) == 1
    assert fast.table.schema == slow.table.schema == plan.staged_schema
    assert fast.table.equals(slow.table)


@settings(deadline=None, derandomize=True)
@given(rows=st.lists(ROWS, max_size=6))
def test_values_arrive_as_they_were_sent(plan: ReadPlan, page: Page, rows: list[Any]) -> None:
    for sent, held in zip(rows, decode_page(page(rows), plan).table.to_pylist(), strict=True):
        for name in ("sampleid", "versionnumber", "name", "count", "score", "active", f"_owner_value@{LOOKUP_TYPE}"):
            assert held[name] == sent.get(name)
        for name in ("rate", "price"):
            assert held[name] == (None if sent.get(name) is None else Decimal(repr(sent[name])))
        assert (held["born"] and held["born"].isoformat()) == sent.get("born")
        instant = held["seenon"]
        assert (instant and instant.replace(tzinfo=None).isoformat() + "Z") == sent.get("seenon")


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("price", "922337203685477.5807", Decimal("922337203685477.5807")),
        ("price", "999999999999999.9999", Decimal("999999999999999.9999")),
        ("price", "100.0000000000", Decimal(100)),
        ("price", "1E2", Decimal(100)),
        ("price", '"12.5"', Decimal("12.5")),
        ("rate", "-9999999999999999999999999999.9999999999", Decimal("-9999999999999999999999999999.9999999999")),
        ("count", "-9223372036854775808", -(2**63)),
        ("score", "7", 7.0),
        ("score", "-0.0", 0.0),
        ("name", '"\\ud83d\\ude00 \\u0000\\n"', "😀 \x00\n"),
        ("name", '""', ""),
    ],
)
def test_the_edges_of_each_type_are_read_both_ways(plan: ReadPlan, name: str, text: str, expected: object) -> None:
    body = f'{{"value":[{{"{name}":{text}}}]}}'.encode()
    assert decode_page(body, plan).table[name].to_pylist() == [expected]
    assert decode_page(patient(body), plan).table[name].to_pylist() == [expected]


def test_an_instant_without_a_zone_or_with_another_one_is_read_as_utc(plan: ReadPlan, page: Page) -> None:
    texts = ["2026-03-01T08:00:00", "2026-03-01T10:00:00+02:00", "2026-03-01T08:00:00.0000000Z"]
    instants = decode_page(page([{"seenon": text} for text in texts]), plan).table["seenon"]
    assert {instant.isoformat() for instant in instants.to_pylist()} == {"2026-03-01T08:00:00+00:00"}


@pytest.mark.parametrize(("name", "text"), CASES, ids=[f"{name}={text[:24]}" for name, text in CASES])
def test_one_bad_value_sets_aside_exactly_its_row(plan: ReadPlan, name: str, text: str) -> None:
    good = '{"sampleid":"%s","versionnumber":7}'
    bad = f'{{"sampleid":"{GUID}","versionnumber":5,"zz":"kept","{name}":{text}}}'
    if name in ("sampleid", "versionnumber"):
        bad = bad.replace(f'"sampleid":"{GUID}",' if name == "sampleid" else '"versionnumber":5,', "")
    body = f'{{"value":[{good % "before"},{bad},{good % "after"}]}}'.encode()
    decoded = decode_page(body, plan)
    assert decoded.table["sampleid"].to_pylist() == ["before", "after"]
    assert decoded.rows == 3
    (rejected,) = decoded.rejected
    assert (rejected.code, rejected.field) == ("DS-602", FIELD_OF.get(name, name))
    assert rejected.record_key == (None if name == "sampleid" else GUID)
    assert rejected.version == (None if name == "versionnumber" else 5)
    assert json.loads(rejected.payload, parse_constant=pytest.fail)["zz"] == "kept"


@pytest.mark.parametrize("text", ["NaN", "1" + "0" * 5000, '"\\udc00"', "1e400", "1e-999999999", "-Infinity"])
def test_odd_values_of_fields_that_nobody_asked_for_do_no_harm(plan: ReadPlan, text: str) -> None:
    body = f'{{"value":[{{"sampleid":"{GUID}","zz":{text}}}]}}'.encode()
    assert decode_page(body, plan).table["sampleid"].to_pylist() == [GUID]
    assert decode_page(patient(body), plan).table["sampleid"].to_pylist() == [GUID]


def test_a_page_that_is_cut_anywhere_is_an_incomplete_answer(plan: ReadPlan, page: Page) -> None:
    body = page([{"sampleid": GUID, "versionnumber": 12, "price": 1.5, "name": "Zoë 😀\n", "nested": [{"a": None}]}])
    for end in range(len(body)):
        with pytest.raises(IncompleteAnswer):
            decode_page(body[:end], plan)
    assert decode_page(body, plan).rows == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"  \n",
        b"<html><body>Sign in</body></html>",
        b'{"value":[]} and more',
        b'{"value":[]}{"value":[]}',
        b'null{"value":[]}',
        b'{"value":[{"name":"\xff\xfe"}]}',
        b'{"value":[{"other":"\xe9"}]}',
        b'{"value":[{"name":"a\x01b"}]}',
        b"{'value':[]}",
        '{"value":[]}'.encode("utf-16"),
    ],
)
def test_what_is_no_json_is_an_incomplete_answer(plan: ReadPlan, body: bytes) -> None:
    with pytest.raises(IncompleteAnswer) as caught:
        decode_page(body, plan)
    assert "not staged" in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        b"null",
        b" null",
        b"\xef\xbb\xbfnull",
        b"true",
        b"1",
        b'"text"',
        b"[]",
        b"{}",
        b'{"error":{"code":"0x0"}}',
        b'{"value":null}',
        b'{"value":{}}',
        b'{"value":"text"}',
        b'{"value":[1]}',
        b'{"value":[null]}',
        b'{"value":[{},null]}',
        b'{"value":[[]]}',
    ],
)
def test_json_that_is_no_page_is_an_unexpected_answer(plan: ReadPlan, body: bytes) -> None:
    with pytest.raises(UnexpectedAnswer):
        decode_page(body, plan)


@pytest.mark.parametrize("depth", [500, 5_000, 200_000])
def test_deep_nesting_in_a_field_that_nobody_asked_for_does_no_harm(plan: ReadPlan, depth: int) -> None:
    assert decode_page(b'{"value":[{"zz":%s}]}' % nested(depth), plan).rows == 1


def test_deep_nesting_beside_a_bad_value_is_kept_or_refused(plan: ReadPlan) -> None:
    body = b'{"value":[{"versionnumber":true,"zz":%s}]}'
    assert len(decode_page(body % nested(200), plan).rejected) == 1
    for depth in (5_000, 200_000):
        with pytest.raises(UnexpectedAnswer, match="nested too deeply"):
            decode_page(body % nested(depth), plan)


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


def test_the_form_of_the_document_does_not_matter(plan: ReadPlan) -> None:
    document = {"value": [{"sampleid": GUID, "name": "a\nb"}, {"name": None}]}
    plain = decode_page(json.dumps(document).encode(), plan).table
    indented = json.dumps(document, indent=2).encode()
    for body in (indented, b"\xef\xbb\xbf" + indented, b"\r\n " + indented + b"\n\n"):
        assert decode_page(body, plan).table.equals(plain)


def test_an_empty_page_has_the_staged_columns(plan: ReadPlan) -> None:
    decoded = decode_page(b'{"value":[]}', plan)
    assert decoded.table.schema == plan.staged_schema
    assert decoded.rows == 0


@settings(deadline=None, derandomize=True)
@given(body=st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
def test_any_bytes_give_a_page_or_one_of_two_errors(plan: ReadPlan, body: bytes) -> None:
    try:
        decoded = decode_page(body, plan)
    except (IncompleteAnswer, UnexpectedAnswer):
        return
    assert isinstance(decoded.table, pa.Table)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*VALUES, "value", "zz"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(deadline=None, derandomize=True)
@given(rows=st.lists(st.dictionaries(st.sampled_from([*VALUES]), JSON, max_size=8), max_size=4))
def test_each_row_of_any_json_is_read_or_set_aside(plan: ReadPlan, rows: list[Any]) -> None:
    decoded = decode_page(json.dumps({"value": rows}).encode(), plan)
    assert decoded.rows == len(rows)
    assert all(math.isfinite(score) for score in decoded.table["score"].to_pylist() if score is not None)


@settings(deadline=None, derandomize=True)
@given(document=JSON)
def test_any_json_gives_a_page_or_an_unexpected_answer(plan: ReadPlan, document: Any) -> None:
    try:
        decode_page(json.dumps(document).encode(), plan)
    except UnexpectedAnswer:
        assert not (
            isinstance(document, dict)
            and isinstance(document.get("value"), list)
            and all(isinstance(row, dict) for row in document["value"])
        )
