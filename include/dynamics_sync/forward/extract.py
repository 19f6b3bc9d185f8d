"""extract: read one slice page by page into staging. A task that was killed goes on at the page where it stopped."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from dynamics_sync.dataverse.client import DataverseClient, Request
from dynamics_sync.dataverse.feed import VERSION
from dynamics_sync.dataverse.paging import read_pages
from dynamics_sync.dataverse.query import select_path
from dynamics_sync.errors import StaleAnswer
from dynamics_sync.forward.ahead import read_ahead
from dynamics_sync.forward.manifest import IDS_FILE, Log, Manifest
from dynamics_sync.forward.pages import end_of_pages, page_name, staged_pages
from dynamics_sync.forward.slices import Slice, SliceKind
from dynamics_sync.staging import StagingFolder
from dynamics_sync.translation.decode import DecodedPage, decode_page
from dynamics_sync.translation.fetching import check_page, fetch_rows, gone_ids
from dynamics_sync.translation.fields import ReadPlan
from dynamics_sync.translation.rejected import rejected_to_json

#: How many rows one $batch of reads may bring; a page's worth.
_IDS_PER_BATCH = 5_000


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
    *,
    log: Log,
) -> int:
    """Stage all pages of a slice, going on after those that an earlier try staged; return how many rows Dynamics gave.

    Staged: `slice-NNNN/page-NNNNN.arrow`, and then `.json` beside it with the rows that could not be read, and with
    where the reading goes on.
    """
    piece = manifest.piece(number)
    progress = _resume(folder, piece)
    if progress.pages:
        log(f"Going on after page {progress.pages}; {progress.rows:,} rows are staged already.")
    if progress.pages == 0 or progress.position is not None:
        read = _read_windows if piece.kind is SliceKind.WINDOW else _read_ids
        for page, position in read(manifest, piece, folder, client, progress):
            progress = _Progress(progress.pages + 1, progress.rows + page.rows, position)
            _stage(folder, piece, progress, page)
            of = f" of about {piece.expected:,}" if piece.expected else ""
            log(f"Page {progress.pages}: {progress.rows:,} rows{of}.")
    end_of_pages(folder, piece, progress.pages, progress.rows)
    return progress.rows


def _read_windows(
    manifest: Manifest, piece: Slice, _: StagingFolder, client: DataverseClient, progress: _Progress
) -> Iterator[tuple[DecodedPage, Any]]:
    plan = manifest.plan
    first = Request(
        select_path(plan.set_name, plan.select, filter=piece.filter),
        prefer=(f"odata.maxpagesize={manifest.page_size}", *plan.prefer),
    )
    pages = read_pages(client, first, resume_link=progress.position, start_number=progress.pages + 1)
    for page in read_ahead(pages):
        decoded = decode_page(page.body, plan)
        check_page(decoded.rows, page.rows, plan)
        yield decoded, page.next_link


def _read_ids(
    manifest: Manifest, piece: Slice, folder: StagingFolder, client: DataverseClient, progress: _Progress
) -> Iterator[tuple[DecodedPage, Any]]:
    """Fetch by id: one $batch brings a page's worth of rows. Ids that are gone from Dynamics bring none."""
    plan = manifest.plan
    wanted = folder.read_table(f"{piece.folder}/{IDS_FILE}")
    ids, named = wanted["id"].to_pylist(), wanted["version"].to_pylist()
    starts = range(progress.position or 0, len(ids), _IDS_PER_BATCH)

    def fetch() -> Iterator[DecodedPage]:
        for start in starts:
            part = ids[start : start + _IDS_PER_BATCH]
            page = fetch_rows(client, plan, part)
            _check_versions(plan, dict(zip(part, named[start : start + _IDS_PER_BATCH], strict=True)), page)
            gone_ids(client, plan, part, page)
            yield page

    for start, page in zip(starts, read_ahead(fetch()), strict=True):
        following = start + _IDS_PER_BATCH
        yield page, following if following < len(ids) else None


def _check_versions(plan: ReadPlan, named: Mapping[str, int | None], page: DecodedPage) -> None:
    """Refuse rows that are older than the feed named them: the watermark moves on, and would not name them again."""
    rows = zip(page.table[plan.key].to_pylist(), page.table[VERSION].to_pylist(), strict=True)
    stale = sum(1 for key, version in rows if key and version and version < (named.get(key.lower()) or 0))
    if stale:
        message = f"{stale} of {len(named)} rows of {plan.set_name} came in an older version than Dynamics had named"
        raise StaleAnswer(message, not_done="The rows were not staged")


def _stage(folder: StagingFolder, piece: Slice, progress: _Progress, page: DecodedPage) -> None:
    name = page_name(piece, progress.pages)
    folder.write_table(f"{name}.arrow", page.table)
    document = {"rows": progress.rows, "position": progress.position, "rejected": rejected_to_json(page.rejected)}
    folder.write_json(f"{name}.json", document)


def _resume(folder: StagingFolder, piece: Slice) -> _Progress:
    progress = _Progress(0, 0, None)
    for page in staged_pages(folder, partial(page_name, piece)):
        progress = _Progress(progress.pages + 1, page["rows"], page["position"])
    return progress
