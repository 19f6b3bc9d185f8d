"""extract: read one slice page by page into staging. A task that was killed goes on at the page where it stopped."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from dynamics_sync.dataverse.batch import MOST_PARTS
from dynamics_sync.dataverse.client import DataverseClient, Request
from dynamics_sync.dataverse.feed import VERSION
from dynamics_sync.dataverse.paging import read_pages, split_page
from dynamics_sync.dataverse.query import ids_chunks, ids_per_url, in_filter, select_path
from dynamics_sync.errors import IncompleteAnswer, RecordNotFound, StaleAnswer, SyncError, UnexpectedAnswer
from dynamics_sync.forward.cursor import Cursor
from dynamics_sync.forward.manifest import IDS_FILE, Manifest
from dynamics_sync.forward.slices import Slice, SliceKind
from dynamics_sync.staging import StagingFolder
from dynamics_sync.translation.decode import DecodedPage, decode_page
from dynamics_sync.translation.fields import ReadPlan
from dynamics_sync.translation.rejected import rejected_to_json

#: How many rows one $batch of reads may bring; a page's worth.
_IDS_PER_BATCH = 5_000

Log = Callable[[str], None]


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


def rows_read(folder: StagingFolder, piece: Slice) -> int:
    """How many rows Dynamics gave for a slice."""
    rows: int = folder.read_json(f"{piece.folder}/extract.json")["rows"]
    return rows


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
        _check_page(decoded.rows, page.rows, plan)
        yield decoded, page.next_link


def _read_ids(
    manifest: Manifest, piece: Slice, folder: StagingFolder, client: DataverseClient, progress: _Progress
) -> Iterator[tuple[DecodedPage, Any]]:
    """Fetch by id: one $batch brings a page's worth of rows. Ids that are gone from Dynamics bring none."""
    plan = manifest.plan
    wanted = folder.read_table(IDS_FILE).slice(piece.first, piece.last - piece.first)
    ids, named = wanted["id"].to_pylist(), wanted["version"].to_pylist()
    per_url = ids_per_url(plan.set_name, plan.select, plan.key)
    start = progress.position or 0
    while start < len(ids):
        part = ids[start : start + _IDS_PER_BATCH]
        versions = dict(zip(part, named[start : start + _IDS_PER_BATCH], strict=True))
        start += len(part)
        page = _fetch(client, plan, part, per_url)
        _check_versions(plan, versions, page)
        _check_missing(client, plan, part, page)
        yield page, start if start < len(ids) else None


def _fetch(client: DataverseClient, plan: ReadPlan, ids: list[str], per_url: int) -> DecodedPage:
    requests = [
        Request(select_path(plan.set_name, plan.select, filter=in_filter(plan.key, chunk)), prefer=plan.prefer)
        for chunk in ids_chunks(ids, per_url)
    ]
    pages = [split_page(answer, 1) for answer in client.batch(requests)]
    if any(page.next_link for page in pages):
        message = f"a read of at most {per_url} named rows of {plan.set_name} came in several pages"
        raise UnexpectedAnswer(message, not_done="The rows were not staged")
    decoded = [decode_page(page.body, plan) for page in pages]
    merged = DecodedPage(
        pa.concat_tables([page.table for page in decoded]), tuple(r for page in decoded for r in page.rejected)
    )
    _check_page(merged.rows, sum(page.rows for page in pages), plan)
    return merged


def _check_versions(plan: ReadPlan, named: Mapping[str, int | None], page: DecodedPage) -> None:
    """Refuse rows that are older than the feed named them: the watermark moves on, and would not name them again."""
    rows = zip(page.table[plan.key].to_pylist(), page.table[VERSION].to_pylist(), strict=True)
    stale = sum(1 for key, version in rows if key and version and version < (named.get(key.lower()) or 0))
    if stale:
        message = f"{stale} of {len(named)} rows of {plan.set_name} came in an older version than Dynamics had named"
        raise StaleAnswer(message, not_done="The rows were not staged")


def _check_missing(client: DataverseClient, plan: ReadPlan, ids: list[str], page: DecodedPage) -> None:
    """Ask for each row that was named but did not come. Only "does not exist" counts as gone: it was deleted meanwhile.

    Anything else would lose a change, as the watermark moves on and no later feed names the row again.
    """
    brought = {key.lower() for key in page.table[plan.key].to_pylist() if key is not None}
    brought |= {row.record_key.lower() for row in page.rejected if row.record_key is not None}
    missing = [key for key in ids if key not in brought]
    for start in range(0, len(missing), MOST_PARTS):
        requests = [
            Request(f"{plan.set_name}({key})?$select={plan.key}") for key in missing[start : start + MOST_PARTS]
        ]
        for outcome in client.batch_each(requests):
            if isinstance(outcome, RecordNotFound):
                continue
            if isinstance(outcome, SyncError):
                raise outcome
            message = f"Dynamics left out {len(missing)} of {len(ids)} rows of {plan.set_name} that it has"
            raise IncompleteAnswer(message, not_done="The rows were not staged")


def _check_page(decoded: int, given: int, plan: ReadPlan) -> None:
    if decoded != given:
        message = f"a page of {plan.set_name} holds {given} rows, of which {decoded} were read"
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
