"""Slices: windows leave out nothing and read nothing twice; chunks cover the list of ids."""

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dynamics_sync.forward.slices import (
    MOST_SLICES,
    PLACES,
    Slice,
    SliceKind,
    chunks_of_ids,
    size_of_chunks,
    size_of_windows,
    whole_table,
    windows_between,
    windows_of_table,
)

INSTANTS = st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds
#: Many rows in a few seconds, and few in many years.
SPANS = st.timedeltas(timedelta(0), timedelta(seconds=90)) | st.timedeltas(timedelta(0), timedelta(days=40_000))


Test = Callable[[datetime | None], bool]


def condition_of(piece: Slice) -> Test:
    """Read a slice's filter as Dynamics does; a comparison with null is false."""
    text = piece.filter
    if text is None:
        return lambda _: True
    or_null = re.fullmatch(r"\((.*) or createdon eq null\)", text)
    parts = [
        re.fullmatch(r"createdon (ge|lt) (\S+Z)", part) for part in (or_null[1] if or_null else text).split(" and ")
    ]
    assert all(parts), text
    edges = [(part[1], datetime.fromisoformat(part[2])) for part in parts if part]
    return lambda value: (
        or_null is not None
        if value is None
        else all(value >= edge if operator == "ge" else value < edge for operator, edge in edges)
    )


def edges_of(slices: list[Slice]) -> list[datetime]:
    texts = [text for piece in slices for text in re.findall(r"(?:ge|lt) (\S+Z)", piece.filter or "")]
    return [datetime.fromisoformat(text) for text in texts]


@settings(deadline=None, derandomize=True, max_examples=50)
@given(
    first=INSTANTS,
    span=SPANS,
    total=st.integers(0, 10**9),
    size=st.integers(100, 50_000),
    shares=st.lists(st.floats(-0.5, 1.5), max_size=20),
)
@example(datetime(2026, 1, 1, tzinfo=UTC), timedelta(0), 10**6, 100, [])
@example(datetime(2026, 1, 1, 0, 0, 0, 999_999, tzinfo=UTC), timedelta(seconds=2), 10**6, 100, [0.0, 0.5, 1.0])
def test_windows_of_a_table_are_a_partition(
    first: datetime, span: timedelta, total: int, size: int, shares: list[float]
) -> None:
    slices = windows_of_table("createdon", first, first + span, total, size)
    assert 1 <= len(slices) <= MOST_SLICES
    assert [piece.number for piece in slices] == list(range(1, len(slices) + 1))
    conditions = [condition_of(piece) for piece in slices]
    near = [edge + timedelta(microseconds=step) for edge in edges_of(slices)[:20] for step in (-1, 0, 1)]
    inside = [first + share * span for share in shares]
    for value in [None, first, first + span, *near, *inside]:
        assert sum(condition(value) for condition in conditions) == 1


@settings(deadline=None, derandomize=True)
@given(start=INSTANTS, span=SPANS.filter(bool), pieces=st.integers(1, 50), shares=st.lists(st.floats(-0.5, 1.5)))
def test_windows_between_cover_the_window_and_no_more(
    start: datetime, span: timedelta, pieces: int, shares: list[float]
) -> None:
    end = start + span
    slices = windows_between("createdon", start, end, pieces)
    assert 1 <= len(slices) <= pieces
    conditions = [condition_of(piece) for piece in slices]
    near = [edge + timedelta(microseconds=step) for edge in edges_of(slices) for step in (-1, 0, 1)]
    for value in [None, start, end, *near, *(start + share * span for share in shares)]:
        expected = value is not None and start <= value < end
        assert sum(condition(value) for condition in conditions) == expected


@settings(deadline=None, derandomize=True)
@given(total=st.integers(50_001, 10**7))
def test_a_long_table_is_cut_into_as_many_windows_as_its_rows_need(total: int) -> None:
    first = datetime(2000, 1, 1, tzinfo=UTC)
    slices = windows_of_table("createdon", first, first + timedelta(days=9000), total, 50_000)
    assert len(slices) == -(-total // 50_000)
    assert sum(piece.expected or 0 for piece in slices) >= total


def test_rows_of_one_second_cannot_be_cut() -> None:
    first = datetime(2026, 1, 1, tzinfo=UTC)
    assert windows_of_table("createdon", first, first, 10**6, 100) == whole_table(10**6)


def test_the_whole_table_is_one_slice_without_a_filter() -> None:
    (piece,) = whole_table(None)
    assert (piece.number, piece.kind, piece.filter, piece.expected) == (1, SliceKind.WINDOW, None, None)


@settings(deadline=None, derandomize=True)
@given(count=st.integers(0, 10**7), size=st.integers(100, 10_000))
@example(10**7, 100)
@example(MOST_SLICES * 100, 100)
@example(MOST_SLICES * 100 + 1, 100)
def test_chunks_cover_the_list_of_ids_exactly(count: int, size: int) -> None:
    chunk = size_of_chunks(count, size)
    slices = chunks_of_ids(count, chunk)
    assert len(slices) <= MOST_SLICES
    assert [piece.number for piece in slices] == list(range(1, len(slices) + 1))
    expected = [piece.expected or 0 for piece in slices]
    assert sum(expected) == count
    assert all(rows == chunk for rows in expected[:-1])
    assert all(0 < rows <= chunk for rows in expected)


@settings(deadline=None, derandomize=True)
@given(total=st.integers(0, 10**9), most=st.integers(100, 10**6))
def test_there_are_as_many_windows_as_places_unless_they_get_too_large(total: int, most: int) -> None:
    size = size_of_windows(total, most)
    assert min(50_000, most) <= size <= most
    assert math.ceil(total / size) <= PLACES or size == most


def test_windows_of_small_and_large_tables() -> None:
    assert [size_of_windows(total, 250_000) for total in (10_000, 10**6, 10**8)] == [50_000, 125_000, 250_000]


def test_no_ids_are_no_slices() -> None:
    assert chunks_of_ids(0, 100) == []


@pytest.mark.parametrize("kind", SliceKind)
def test_a_slice_survives_json(kind: SliceKind) -> None:
    piece = Slice(7, kind, "createdon 2026 …", "createdon ge 2026-01-01T00:00:00Z", 6)
    assert Slice.from_json(piece.to_json()) == piece


def test_folders_of_slices_sort_as_their_numbers_do() -> None:
    names = [Slice(number, SliceKind.IDS, "").folder for number in range(1, MOST_SLICES + 1)]
    assert sorted(names) == names
    assert names[0] == "slice-0001"


def test_labels_say_what_a_slice_reads() -> None:
    start, end = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 3, tzinfo=UTC)
    assert [piece.label for piece in windows_between("modifiedon", start, end, 2)] == [
        "modifiedon 2026-01-01 00:00:00 … 2026-01-02 00:00:00",
        "modifiedon 2026-01-02 00:00:00 … 2026-01-03 00:00:00",
    ]
    assert [piece.label for piece in windows_of_table("createdon", start, end, 200, 100)] == [
        "createdon … 2026-01-02 00:00:00",
        "createdon 2026-01-02 00:00:00 …",
    ]
    assert [piece.label for piece in chunks_of_ids(5_001, 5_000)] == ["ids 1 to 5,000", "ids 5,001 to 5,001"]
