"""Paths and filters: encoded so that the server reads back what was meant."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamics_sync import errors
from dynamics_sync.dataverse.query import (
    GET_URL_LIMIT,
    between,
    equals,
    function_path,
    ids_chunks,
    ids_per_url,
    in_filter,
    select_path,
)

BASE = "https://a-long-organisation-name.crm4.dynamics.com/api/data/v9.2/"
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,40}", fullmatch=True)


@given(st.lists(NAMES, min_size=1, max_size=5), st.text(min_size=1))
def test_what_is_encoded_is_decoded_form_style(columns, text) -> None:
    path = select_path("leads", columns, filter=equals("lastname", text))
    assert path.isascii()
    asked = parse_qs(urlsplit(path).query, strict_parsing=True)
    doubled = text.replace("'", "''")
    assert asked == {"$select": [",".join(columns)], "$filter": [f"lastname eq '{doubled}'"]}


def test_all_options() -> None:
    path = select_path("leads", ["a", "b"], filter="a eq 1", orderby="b desc", top=3)
    assert path == "leads?$select=a,b&$filter=a%20eq%201&$orderby=b%20desc&$top=3"


def test_no_option_no_question_mark() -> None:
    assert select_path("leads", []) == "leads"


@pytest.mark.parametrize(
    ("value", "literal"),
    [
        (None, "null"), (True, "true"), (False, "false"), (7, "7"), (Decimal("1.50"), "1.50"), ("O'Neil", "'O''Neil'"),
        (Decimal("1E+3"), "1000"), (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (datetime(2026, 3, 1, 8, 15, tzinfo=UTC), "2026-03-01T08:15:00Z"),
    ],
)  # fmt: skip
def test_literals(value, literal) -> None:
    assert equals("x", value) == f"x eq {literal}"


def test_a_window_is_half_open_and_in_utc() -> None:
    start = datetime(2026, 3, 1, 10, tzinfo=timezone(timedelta(hours=2)))
    end = datetime(2026, 3, 2, 0, 0, 0, 123000, tzinfo=UTC)
    assert between("modifiedon", start, end) == (
        "modifiedon ge 2026-03-01T08:00:00Z and modifiedon lt 2026-03-02T00:00:00.123000Z"
    )
    assert between("modifiedon", start, None) == "modifiedon ge 2026-03-01T08:00:00Z"


def test_an_instant_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        between("modifiedon", datetime(2026, 3, 1), None)  # noqa: DTZ001 (the fault that the test is about)


def test_the_in_function_takes_a_json_array() -> None:
    assert in_filter("leadid", ["a", 'b"']) == (
        'Microsoft.Dynamics.CRM.In(PropertyName=\'leadid\',PropertyValues=["a","b\\""])'
    )


@given(st.lists(NAMES, min_size=1, max_size=300), st.integers(0, 3000))
def test_no_chunk_of_ids_makes_a_url_too_long(columns, count) -> None:
    ids = [str(UUID(int=number)) for number in range(count)]
    per_url = ids_per_url("leads", columns, "leadid")
    chunks = list(ids_chunks(ids, per_url))
    assert [item for chunk in chunks for item in chunk] == ids
    for chunk in chunks:
        assert len(BASE + select_path("leads", columns, filter=in_filter("leadid", chunk))) <= GET_URL_LIMIT


def test_a_chunk_uses_the_room_there_is() -> None:
    assert 700 <= ids_per_url("leads", ["leadid"], "leadid") <= 760


def test_columns_that_fill_the_url_are_refused() -> None:
    with pytest.raises(errors.RequestRefused, match="leads"):
        ids_per_url("leads", [f"new_column_{number:04}" for number in range(4000)], "leadid")


def test_aliases_are_encoded() -> None:
    assert function_path("F(A=@p1)", {"@p1": '["lead"]'}) == "F(A=@p1)?@p1=%5B%22lead%22%5D"
