"""Windows of about equal work, whatever the distribution of the rows."""

import itertools
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import example, given, settings
from hypothesis import strategies as st

from dynamics_sync.forward.balance import balanced_windows
from dynamics_sync.forward.slices import MOST_SLICES, Slice

FIRST = datetime(2020, 1, 1, tzinfo=UTC)
YEARS = 200_000_000
#: Seconds after FIRST at which rows were created: spread out, or many of them within minutes.
CROWDS = st.tuples(st.integers(0, YEARS), st.integers(1, 5_000), st.integers(0, 3_000))
ROWS = st.tuples(st.lists(CROWDS, max_size=4), st.integers(0, 2_000))


def created(crowds: Sequence[tuple[int, int, int]], spread: int) -> list[int]:
    rows = [round(YEARS * n / max(spread, 1)) for n in range(spread)]
    for start, length, number in crowds:
        rows += [start + n % length for n in range(number)]
    return sorted(rows)


def seconds_of(condition: str) -> tuple[float, float, bool]:
    """The window of a filter in seconds after FIRST, and whether it takes the rows without a value."""
    edges = {op: datetime.fromisoformat(at) for op, at in re.findall(r"createdon (ge|lt) (\S+Z)", condition)}
    low = (edges["ge"] - FIRST).total_seconds() if "ge" in edges else float("-inf")
    high = (edges["lt"] - FIRST).total_seconds() if "lt" in edges else float("inf")
    return low, high, "createdon eq null" in condition


def counter(rows: Sequence[int], most: int, asked: list[int]) -> Callable[[Sequence[str]], list[int | None]]:
    """Count as Dynamics does, which gives up above a limit."""

    def count(conditions: Sequence[str]) -> list[int | None]:
        asked.append(len(conditions))
        found = []
        for condition in conditions:
            low, high, _ = seconds_of(condition)
            number = sum(low <= row < high for row in rows)
            found.append(number if number <= most else None)
        return found

    return count


def windows(rows: Sequence[int], rows_per_slice: int, asked: list[int]) -> list[Slice]:
    first, last = (FIRST + timedelta(seconds=row) for row in (rows[0], rows[-1]))
    return balanced_windows("createdon", first, last, len(rows), rows_per_slice, counter(rows, 50_000, asked))


@settings(deadline=None, derandomize=True, max_examples=60)
@given(made=ROWS.filter(lambda made: created(*made)), rows_per_slice=st.integers(50, 1_000))
@example(([(5_000_000, 600, 3_000)], 40), 500)
@example(([(7, 1, 3_000)], 40), 100)
def test_each_row_is_in_one_window_and_none_is_crowded(
    made: tuple[list[tuple[int, int, int]], int], rows_per_slice: int
) -> None:
    rows, asked = created(*made), []
    slices = windows(rows, rows_per_slice, asked)
    assert len(slices) <= MOST_SLICES
    assert [piece.number for piece in slices] == list(range(1, len(slices) + 1))
    if slices[0].filter is None:
        assert len(slices) == 1
        return
    edges = [seconds_of(piece.filter or "") for piece in slices]
    # One after the other without a gap; the first takes what has no value.
    assert [edges[0][0], edges[-1][1]] == [float("-inf"), float("inf")]
    assert all(before[1] == after[0] for before, after in itertools.pairwise(edges))
    assert [takes_null for *_, takes_null in edges] == [True, *[False] * (len(edges) - 1)]
    assert max(asked) <= 1_000
    for (low, high, _), piece in zip(edges, slices, strict=True):
        inside = [row for row in rows if low <= row < high]
        assert len(inside) == piece.expected
        # Nobody can cut what was created in one second.
        largest = max((inside.count(row) for row in set(inside)), default=0)
        assert len(inside) <= 2 * rows_per_slice + largest


def test_an_import_of_an_hour_is_cut_as_finely_as_ten_years() -> None:
    rows = sorted([round(YEARS * n / 5_000) for n in range(5_000)] + [YEARS // 2 + n % 3600 for n in range(95_000)])
    asked: list[int] = []
    slices = windows(rows, 10_000, asked)
    assert 9 <= len(slices) <= 11
    assert max(piece.expected or 0 for piece in slices) < 13_000
    assert len(asked) <= 8
    assert sum(asked) < 300


def test_what_cannot_be_counted_leaves_windows_of_equal_time() -> None:
    rows = list(range(0, YEARS, YEARS // 1_000))
    first, last = FIRST, FIRST + timedelta(seconds=rows[-1])
    asked: list[int] = []
    slices = balanced_windows("createdon", first, last, 10**8, 100_000, counter(rows, -1, asked))
    assert sum(asked) <= 3_000
    assert len(slices) <= MOST_SLICES
