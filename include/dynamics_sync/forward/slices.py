"""How the work of a run is cut into slices, each read by one mapped task."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Any, Self

from dynamics_sync.dataverse.query import between

#: Airflow expands a task 1,024 times at most by default; one fan-out must stay below.
MOST_SLICES = 1_000
#: Places in the pool dynamics_api, as it comes.
PLACES = 8
_SMALLEST_WINDOW = 50_000


class SliceKind(StrEnum):
    """How a slice names its rows."""

    #: By a filter on a column of time, or by none: the whole table.
    WINDOW = "window"
    #: By a list of ids, which stands in its folder.
    IDS = "ids"


@dataclass(frozen=True, slots=True)
class Slice:
    """One piece of work. `expected` is how many rows it may bring, where that is known; it only serves progress."""

    number: int
    kind: SliceKind
    label: str
    filter: str | None = None
    expected: int | None = None

    @property
    def folder(self) -> str:
        """Where its pages stand within the run's folder."""
        return f"slice-{self.number:04d}"

    def to_json(self) -> dict[str, Any]:
        """Write the slice down for the manifest."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read a slice that `to_json` wrote."""
        return cls(**{**value, "kind": SliceKind(value["kind"])})


def whole_table(total: int | None) -> list[Slice]:
    """One slice that reads everything."""
    return [Slice(1, SliceKind.WINDOW, "the whole table", expected=total)]


def windows_of_table(column: str, first: datetime, last: datetime, total: int, rows_per_slice: int) -> list[Slice]:
    """Cut a whole table along a column of time.

    The windows leave nothing out: the first has no beginning and takes rows without a value, the last has no end.
    """
    cuts = even_cuts(first, last, math.ceil(total / rows_per_slice))
    each = math.ceil(total / (len(cuts) + 1))
    return windows_at(column, cuts, [each] * (len(cuts) + 1))


def windows_at(column: str, cuts: Sequence[datetime], expected: Sequence[int]) -> list[Slice]:
    """Cut a whole table at those instants, in order; `expected` are the rows of each window, one more than cuts."""
    if not cuts:
        return whole_table(sum(expected))
    slices = []
    for number, ((start, end), rows) in enumerate(zip(pairwise([None, *cuts, None]), expected, strict=True), start=1):
        condition = table_window(column, start, end)
        slices.append(Slice(number, SliceKind.WINDOW, _label(column, start, end), condition, expected=rows))
    return slices


def table_window(column: str, start: datetime | None, end: datetime | None) -> str:
    """Return the filter of a window of a whole table; the first takes the rows without a value, too."""
    condition = between(column, start, end)
    return f"({condition} or {column} eq null)" if start is None else condition


def windows_between(column: str, start: datetime, end: datetime, pieces: int) -> list[Slice]:
    """Cut a window of time, start <= column < end, into slices of equal length of time."""
    edges = [start, *even_cuts(start, end, pieces), end]
    return [
        Slice(number, SliceKind.WINDOW, _label(column, a, b), between(column, a, b))
        for number, (a, b) in enumerate(pairwise(edges), start=1)
    ]


def chunks_of_ids(count: int, size: int) -> list[Slice]:
    """Cut a list of ids into chunks of that size; the last one takes what is left."""
    return [
        Slice(
            number,
            SliceKind.IDS,
            f"ids {start + 1:,} to {min(start + size, count):,}",
            expected=min(size, count - start),
        )
        for number, start in enumerate(range(0, count, size), start=1)
    ]


def size_of_chunks(count: int, ids_per_slice: int) -> int:
    """How many of so many ids one slice takes; more than `ids_per_slice` where there would be too many slices."""
    return max(ids_per_slice, math.ceil(count / MOST_SLICES))


def size_of_windows(total: int, rows_per_slice: int) -> int:
    """How many of so many rows one window takes: at most `rows_per_slice`, fewer to give each place of the pool one.

    Below some size a slice costs more in starting its tasks than it gains by being read beside the others.
    """
    return max(min(math.ceil(total / PLACES), rows_per_slice), min(_SMALLEST_WINDOW, rows_per_slice))


def even_cuts(first: datetime, last: datetime, pieces: int) -> Sequence[datetime]:
    """The inner edges of so many pieces of equal length, to the second; fewer where the time is short."""
    pieces = min(pieces, MOST_SLICES)
    seconds = (last - first).total_seconds()
    moments = {first.replace(microsecond=0) + timedelta(seconds=round(seconds * n / pieces)) for n in range(1, pieces)}
    return sorted(moment for moment in moments if first < moment < last)


def _label(column: str, start: datetime | None, end: datetime | None) -> str:
    written = [f"{edge:%Y-%m-%d %H:%M:%S}" if edge else "" for edge in (start, end)]
    return f"{column} {written[0]} … {written[1]}".replace("  ", " ").strip()
