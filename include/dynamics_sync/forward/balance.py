"""Windows of about equal work: where many rows were created at once, for instance by an import, time is cut finer.

The table is cut into cells of equal time, whose rows Dynamics counts; a cell with more rows than a window shall have is
cut again. Neighbours are then put together to windows. It takes a few `$batch`es whatever the size of the table.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from dynamics_sync.forward.slices import MOST_SLICES, Slice, even_cuts, table_window, whole_table, windows_at

#: For each condition how many rows it holds; None where Dynamics does not count so far.
Count = Callable[[Sequence[str]], Sequence[int | None]]

#: How finely time is cut at first, and how finely a cell that is too crowded.
_CELLS_PER_WINDOW, _AGAIN = 4, 8
#: Conditions of one question; the most that go into a `$batch`.
_MOST_CELLS = 1_000
#: How many cells are counted at most; each count is a request to Dynamics, though they travel together.
_MOST_COUNTS = 3_000
#: What a cell holds at least that cannot be counted.
_UNCOUNTED = 50_000
#: `createdon` tells no less, so that a cell of a second stays whole.
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class _Cell:
    """A stretch of time, open at the ends of the table, and its rows."""

    start: datetime | None
    end: datetime | None
    rows: int | None = None

    @property
    def known(self) -> int:
        return _UNCOUNTED if self.rows is None else self.rows


def balanced_windows(
    column: str, first: datetime, last: datetime, total: int, rows_per_slice: int, count: Count
) -> list[Slice]:
    """Cut a whole table along a column of time into windows of about `rows_per_slice` rows.

    `first` and `last` are the column's first and last value, `total` about how many rows there are. As those of
    `windows_of_table`, the windows leave nothing out.
    """
    pieces = min(math.ceil(total / rows_per_slice), MOST_SLICES)
    cuts = even_cuts(first, last, min(pieces * _CELLS_PER_WINDOW, _MOST_CELLS))
    if not cuts:
        return whole_table(total)
    cells = _counted([_Cell(a, b) for a, b in zip([None, *cuts], [*cuts, None], strict=True)], column, count)
    asked = len(cells)
    while crowded := [cell for cell in cells if _is_crowded(cell, rows_per_slice, first, last)]:
        finer = {cell: _cut(cell, first, last) for cell in crowded[: _MOST_CELLS // _AGAIN]}
        asked += sum(len(parts) for parts in finer.values())
        if asked > _MOST_COUNTS:
            break
        counted = iter(_counted([part for parts in finer.values() for part in parts], column, count))
        cells = [part for cell in cells for part in ([next(counted) for _ in finer[cell]] if cell in finer else [cell])]
    return _put_together(column, cells, rows_per_slice)


def _counted(cells: Sequence[_Cell], column: str, count: Count) -> list[_Cell]:
    rows = count([table_window(column, cell.start, cell.end) for cell in cells])
    return [_Cell(cell.start, cell.end, number) for cell, number in zip(cells, rows, strict=True)]


def _is_crowded(cell: _Cell, rows_per_slice: int, first: datetime, last: datetime) -> bool:
    return cell.known >= min(rows_per_slice, _UNCOUNTED) and len(_cut(cell, first, last)) > 1


def _cut(cell: _Cell, first: datetime, last: datetime) -> list[_Cell]:
    start, end = cell.start or first, cell.end or last + _SECOND
    cuts = even_cuts(start, end, _AGAIN)
    return [_Cell(a, b) for a, b in zip([cell.start, *cuts], [*cuts, cell.end], strict=True)]


def _put_together(column: str, cells: Sequence[_Cell], rows_per_slice: int) -> list[Slice]:
    total = sum(cell.known for cell in cells)
    pieces = max(1, min(math.ceil(total / rows_per_slice), MOST_SLICES))
    groups = list(_groups(cells, total / pieces))
    cuts = [group[0].start for group in groups[1:] if group[0].start is not None]
    return windows_at(column, cuts, [sum(cell.known for cell in group) for group in groups])


def _groups(cells: Sequence[_Cell], each: float) -> Iterator[list[_Cell]]:
    """Cut the row of cells where its sum comes nearest to a multiple of `each`."""
    group: list[_Cell] = []
    before, wall = 0, each
    for cell in cells:
        middle = before + cell.known / 2
        if group and middle > wall:
            yield group
            group = []
        while middle > wall:
            wall += each
        group.append(cell)
        before += cell.known
    if group:
        yield group
