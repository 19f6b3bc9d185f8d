"""extract: read one slice page by page into staging. A task that was killed goes on at the page where it stopped."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from dynamics_sync.dataverse.client import DataverseClient, Request
from dynamics_sync.dataverse.paging import read_pages, split_page
from dynamics_sync.dataverse.query import ids_chunks, ids_per_url, in_filter, select_path
from dynamics_sync.errors import UnexpectedAnswer
from dynamics_sync.forward.decode import DecodedPage, decode_page
from dynamics_sync.forward.manifest import IDS_FILE, Manifest
from dynamics_sync.forward.rejected import rejected_to_json
from dynamics_sync.forward.slices import Slice, SliceKind
from dynamics_sync.staging import StagingFolder

#: How many rows one $batch of reads may bring; a page's worth.
_IDS_PER_BATCH = 5_000

Log = Callable[[str], None]


class Cursor(Protocol):
    """What survives a retry of a task: Airflow's task state store, or a dict-like stand-in."""

    def get(self, key: str, default: Any = None) -> Any: ...

    def set(self, key: str, value: Any) -> None: ...


@dataclass(frozen=True, slots=True)
class _Progress:
    """How far a slice was read: so many pages are staged, and the reading goes on at `position`."""

    pages: int
    rows: int
    position: Any


def extract_slice(
    manifest: Manifest,
    number: int,
    folder: StagingFolder,
    client: DataverseClient,
    cursor: Cursor,
    *,
    log: Log,
) -> int:
    """Stage all pages of a slice; return how many rows Dynamics gave.

    Staged: `slice-NNNN/page-NNNNN.parquet`, and `.rejected.json` beside it for rows that could not be read. What is
    staged is remembered in `cursor` after each page.
    """
    piece = manifest.piece(number)
    progress = _resume(cursor, manifest)
    if progress.pages:
        log(f"Going on after page {progress.pages}; {progress.rows:,} rows are staged already.")
    if progress.pages == 0 or progress.position is not None:
        read = _read_windows if piece.kind is SliceKind.WINDOW else _read_ids
        for page, position in read(manifest, piece, folder, client, progress):
            progress = _Progress(progress.pages + 1, progress.rows + page.rows, position)
            _stage(folder, piece, progress.pages, page)
            _remember(cursor, manifest, progress)
            of = f" of about {piece.expected:,}" if piece.expected else ""
            log(f"Page {progress.pages}: {progress.rows:,} rows{of}.")
    folder.write_json(f"{piece.folder}/extract.json", {"pages": progress.pages, "rows": progress.rows})
    return progress.rows


def page_names(folder: StagingFolder, piece: Slice) -> list[str]:
    """The names of the staged pages of a slice, in order, without their endings."""
    pages = folder.read_json(f"{piece.folder}/extract.json")["pages"]
    return [_page_name(piece, page) for page in range(1, pages + 1)]


def _read_windows(
    manifest: Manifest, piece: Slice, _: StagingFolder, client: DataverseClient, progress: _Progress
) -> Iterator[tuple[DecodedPage, Any]]:
    plan = manifest.plan
    first = Request(
        select_path(plan.set_name, plan.select, filter=piece.filter),
        prefer=(f"odata.maxpagesize={manifest.page_size}", *plan.prefer),
    )
    pages = read_pages(client, first, resume_link=progress.position, start_number=progress.pages + 1)
    for page in pages:
        decoded = decode_page(page.body, plan)
        _check_page(decoded.rows, page.rows, manifest)
        yield decoded, page.next_link


def _read_ids(
    manifest: Manifest, piece: Slice, folder: StagingFolder, client: DataverseClient, progress: _Progress
) -> Iterator[tuple[DecodedPage, Any]]:
    """Fetch by id: one $batch brings a page's worth of rows. Ids that are gone from Dynamics bring none."""
    plan = manifest.plan
    ids = folder.read_table(IDS_FILE)["id"].slice(piece.first, piece.last - piece.first).to_pylist()
    per_url = ids_per_url(plan.set_name, plan.select, plan.key)
    start = progress.position or 0
    while start < len(ids):
        part = ids[start : start + _IDS_PER_BATCH]
        requests = [
            Request(select_path(plan.set_name, plan.select, filter=in_filter(plan.key, chunk)), prefer=plan.prefer)
            for chunk in ids_chunks(part, per_url)
        ]
        start += len(part)
        pages = [split_page(answer, 1) for answer in client.batch(requests)]
        decoded = [decode_page(page.body, plan) for page in pages]
        merged = DecodedPage(
            pa.concat_tables([page.table for page in decoded]),
            tuple(r for page in decoded for r in page.rejected),
        )
        _check_page(merged.rows, sum(page.rows for page in pages), manifest)
        yield merged, start if start < len(ids) else None


def _check_page(decoded: int, given: int, manifest: Manifest) -> None:
    if decoded != given:
        message = f"a page of {manifest.plan.set_name} holds {given} rows, of which {decoded} were read"
        raise UnexpectedAnswer(message, not_done="The page was not staged")


def _page_name(piece: Slice, page: int) -> str:
    return f"{piece.folder}/page-{page:05d}"


def _stage(folder: StagingFolder, piece: Slice, number: int, page: DecodedPage) -> None:
    name = _page_name(piece, number)
    folder.write_table(f"{name}.parquet", page.table)
    folder.write_json(f"{name}.rejected.json", rejected_to_json(page.rejected))


def _resume(cursor: Cursor, manifest: Manifest) -> _Progress:
    """What an earlier try of this task has staged; another run's progress (after a clear) does not count."""
    held = cursor.get("extract")
    if not held or held["run_key"] != manifest.run.run_key:
        return _Progress(0, 0, None)
    return _Progress(held["pages"], held["rows"], held["position"])


def _remember(cursor: Cursor, manifest: Manifest, progress: _Progress) -> None:
    cursor.set(
        "extract",
        {
            "run_key": manifest.run.run_key,
            "pages": progress.pages,
            "rows": progress.rows,
            "position": progress.position,
        },
    )
