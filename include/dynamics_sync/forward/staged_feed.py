"""The feed, page by page through staging, so that a begin that was killed goes on at the page where it stopped."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from dynamics_sync.dataverse.feed import FeedPage, FeedReader
from dynamics_sync.errors import UnexpectedAnswer
from dynamics_sync.forward.cursor import FeedCursor
from dynamics_sync.staging import StagingFolder

KEYS_SCHEMA = pa.schema({"id": pa.string(), "version": pa.int64()})
IDS_SCHEMA = pa.schema({"id": pa.string()})

#: What is known of a read of which nothing is staged yet.
_NOT_BEGUN: dict[str, Any] = {"pages": 0, "next_link": None, "delta_link": None, "ended_at": None}


@dataclass(frozen=True, slots=True)
class StagedFeed:
    """A feed that was read to its end, at `ended_at`: changed keys (id, version), and deleted ids (id)."""

    keys: pa.Table
    deleted: pa.Table
    delta_link: str | None
    ended_at: datetime


def read_feed(reader: FeedReader, table: str, folder: StagingFolder, cursor: FeedCursor) -> StagedFeed:
    """Read a feed to its end, going on where an earlier try of the task stopped.

    Raises UnexpectedAnswer for rows without a key, besides what reading raises.
    """
    held = cursor.resume(reader.path) or _NOT_BEGUN
    number: int = held["pages"]
    if held["ended_at"] is None:
        for page in reader.pages(resume_link=held["next_link"]):
            number += 1
            _stage(page, number, table, folder)
            ended = datetime.now(UTC).isoformat() if page.next_link is None else None
            held = {"pages": number, "next_link": page.next_link, "delta_link": page.delta_link, "ended_at": ended}
            cursor.remember(reader.path, **held)
    names = [_name(page) for page in range(1, number + 1)]
    keys = [KEYS_SCHEMA.empty_table(), *(folder.read_table(f"{name}.parquet") for name in names)]
    deleted = [IDS_SCHEMA.empty_table(), *(folder.read_table(f"{name}.deleted.parquet") for name in names)]
    ended_at = datetime.fromisoformat(held["ended_at"])
    return StagedFeed(pa.concat_tables(keys), pa.concat_tables(deleted), held["delta_link"], ended_at)


def _stage(page: FeedPage, number: int, table: str, folder: StagingFolder) -> None:
    if page.without_key:
        message = f"the feed of {table} holds {page.without_key} rows without a key"
        raise UnexpectedAnswer(message, not_done="Nothing was read")
    keys = pa.table({"id": page.ids, "version": page.versions}, schema=KEYS_SCHEMA)
    folder.write_table(f"{_name(number)}.parquet", keys)
    folder.write_table(f"{_name(number)}.deleted.parquet", pa.table({"id": page.deleted}, schema=IDS_SCHEMA))


def _name(page: int) -> str:
    return f"feed/page-{page:05d}"
