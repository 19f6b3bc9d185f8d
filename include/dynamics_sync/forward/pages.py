"""Pages in staging, and where the reading of them goes on after a task was killed.

A page is its Arrow file, and then a small JSON document: a page without a whole one was not staged. So what is there
and how far it was read cannot contradict each other.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any

from dynamics_sync.forward.slices import Slice
from dynamics_sync.staging import StagingFolder
from dynamics_sync.translation.rejected import Rejected, rejected_from_json


def staged_pages(folder: StagingFolder, name_of: Callable[[int], str]) -> Iterator[Mapping[str, Any]]:
    """Yield the documents of the pages that were staged, from page 1 on; `name_of` gives a page's name."""
    for number in count(1):
        document = folder.read_json_if_whole(f"{name_of(number)}.json")
        if document is None:
            return
        yield document


def page_name(piece: Slice, page: int) -> str:
    """Return the name of a page of a slice, counted from 1, without its ending."""
    return f"{piece.folder}/page-{page:05d}"


def end_of_pages(folder: StagingFolder, piece: Slice, pages: int, rows: int) -> None:
    """Note that a slice is staged as a whole, in so many pages of so many rows as Dynamics gave."""
    folder.write_json(f"{piece.folder}/extract.json", {"pages": pages, "rows": rows})


def page_names(folder: StagingFolder, piece: Slice) -> list[str]:
    """The names of the staged pages of a slice, in order, without their endings."""
    pages = folder.read_json(f"{piece.folder}/extract.json")["pages"]
    return [page_name(piece, page) for page in range(1, pages + 1)]


def rows_read(folder: StagingFolder, piece: Slice) -> int:
    """How many rows Dynamics gave for a slice."""
    rows: int = folder.read_json(f"{piece.folder}/extract.json")["rows"]
    return rows


def rejected_rows(folder: StagingFolder, name: str) -> tuple[Rejected, ...]:
    """Return the rows of a staged page that could not be read."""
    return rejected_from_json(folder.read_json(f"{name}.json")["rejected"])
