"""The feed, page by page through staging, so that a begin that was killed goes on at the page where it stopped."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from dynamics_sync.dataverse.feed import FeedPage, FeedReader
from dynamics_sync.errors import UnexpectedAnswer
from dynamics_sync.forward.pages import staged_pages
from dynamics_sync.staging import StagingFolder

KEYS_SCHEMA = pa.schema({"id": pa.string(), "version": pa.int64()})
IDS_SCHEMA = pa.schema({"id": pa.string()})

#: What is known of a read of which nothing is staged yet.
_NOT_BEGUN: Mapping[str, Any] = {"changed": 0, "gone": 0, "next_link": None, "delta_link": None, "ended_at": None}


@dataclass(frozen=True, slots=True)
class StagedFeed:
    """A feed that was read to its end, at `ended_at`. What it said stays in staging, page by page."""

    folder: StagingFolder
    pages: int
    #: How many keys changed, and how many ids were deleted.
    changed: int
    gone: int
    delta_link: str | None
    ended_at: datetime

    def keys(self) -> Iterator[pa.Table]:
        """Yield the changed keys (id string, version int64)."""
        return staged_keys(self.folder, self.pages)


def staged_keys(folder: StagingFolder, pages: int) -> Iterator[pa.Table]:
    """Yield so many staged pages of keys (id string, version int64)."""
    for page in range(1, pages + 1):
        yield folder.read_table(f"{_name(page)}.arrow")


def staged_deletions(folder: StagingFolder, pages: int) -> pa.Table:
    """Return the deleted ids (id string) of so many staged pages."""
    read = (folder.read_table(f"{_name(page)}.deleted.arrow") for page in range(1, pages + 1))
    return pa.concat_tables([IDS_SCHEMA.empty_table(), *read])


def has_staged_pages(folder: StagingFolder) -> bool:
    """Say whether a read of the feed has begun to be staged."""
    names = (f"{_name(1)}{ending}" for ending in (".json", ".arrow", ".deleted.arrow"))
    return all(folder.exists(name) for name in names)


def read_feed(reader: FeedReader, table: str, folder: StagingFolder) -> StagedFeed:
    """Read a feed to its end, going on where an earlier try of the task stopped.

    Raises UnexpectedAnswer for rows without a key, besides what reading raises.
    """
    number, held = _resume(folder, reader.path)
    if held["ended_at"] is None:
        for page in reader.pages(resume_link=held["next_link"]):
            number += 1
            held = _stage(page, number, table, folder, reader.path, held)
    ended_at = datetime.fromisoformat(held["ended_at"])
    return StagedFeed(folder, number, held["changed"], held["gone"], held["delta_link"], ended_at)


def _resume(folder: StagingFolder, read: str) -> tuple[int, Mapping[str, Any]]:
    """How many pages of that very read are staged, and what the last of them says."""
    number, held = 0, _NOT_BEGUN
    for page in staged_pages(folder, _name):
        if page["read"] != read:
            if number == 0:
                # From now on its pages are written over, one by one; nobody must go on with that other read.
                folder.remove_file(f"{_name(1)}.json")
            break
        number, held = number + 1, page
    return number, held


def _stage(
    page: FeedPage, number: int, table: str, folder: StagingFolder, read: str, before: Mapping[str, Any]
) -> Mapping[str, Any]:
    if page.without_key:
        message = f"the feed of {table} holds {page.without_key} rows without a key"
        raise UnexpectedAnswer(message, not_done="Nothing was read")
    keys = pa.table({"id": page.ids, "version": page.versions}, schema=KEYS_SCHEMA)
    folder.write_table(f"{_name(number)}.arrow", keys)
    folder.write_table(f"{_name(number)}.deleted.arrow", pa.table({"id": page.deleted}, schema=IDS_SCHEMA))
    ended = datetime.now(UTC).isoformat() if page.next_link is None else None
    document = {
        "read": read,
        "changed": before["changed"] + len(page.ids),
        "gone": before["gone"] + len(page.deleted),
        "next_link": page.next_link,
        "delta_link": page.delta_link,
        "ended_at": ended,
    }
    folder.write_json(f"{_name(number)}.json", document)
    return document


def _name(page: int) -> str:
    return f"feed/page-{page:05d}"
