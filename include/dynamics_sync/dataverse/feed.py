"""The feed: which rows changed and which were deleted. It reads ids and versions and nothing else.

*The feed says which rows; the fetch says what they hold.* A tracked read gives a link from which the next
one goes on.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from dynamics_sync.dataverse.client import DataverseClient
from dynamics_sync.dataverse.metadata import TableMetadata
from dynamics_sync.dataverse.paging import Page, read_pages
from dynamics_sync.dataverse.query import select_path
from dynamics_sync.dataverse.wire import Request, decode
from dynamics_sync.errors import ChangeTrackingOff, IncompleteAnswer

VERSION = "versionnumber"
LONGEST_PAGE = 5_000


@dataclass(frozen=True)
class FeedPage:
    """One page of the feed.

    `ids` and `versions` belong together by position; a version is None where Dynamics gave none. `deleted` are ids
    that no longer exist; some were never seen. `without_key` counts rows that came without an id, so that no row is
    lost in silence. GUIDs are in lower case. `next_link` is None on the last page; a tracked read's last page has the
    `delta_link` that the next one starts from.
    """

    ids: list[str]
    versions: list[int | None]
    deleted: list[str]
    without_key: int = 0
    next_link: str | None = None
    delta_link: str | None = None


class FeedReader:
    """Iterates the pages of a feed."""

    def __init__(self, client: DataverseClient, key: str, first: Request, *, tracked: bool) -> None:
        self._client = client
        self._first = first
        self._tracked = tracked
        self._page_type = _page_decoder(key)

    @property
    def path(self) -> str:
        """What is read; the same read has the same path."""
        return self._first.path

    def pages(self, *, resume_link: str | None = None) -> Iterator[FeedPage]:
        """Yield the pages, or those from `resume_link` on (the `next_link` of a page that was kept).

        Raises UnexpectedAnswer when a tracked read ends without a link for the next.
        """
        for page in read_pages(self._client, self._first, resume_link=resume_link):
            final = self._final_link(page) if page.next_link is None else None
            yield replace(self._decode(page), next_link=page.next_link, delta_link=final)

    def _final_link(self, page: Page) -> str | None:
        if self._tracked and page.delta_link is None:
            what = f"The tracked read {self._first.label} ended without a delta link"
            raise IncompleteAnswer(what, not_done="The changes after it could not be found, so nothing was kept")
        return page.delta_link if self._tracked else None

    def _decode(self, page: Page) -> FeedPage:
        rows = decode(page.answer, self._page_type).value
        present = [row for row in rows if not row.is_deletion]
        named = [row for row in present if row.key]
        return FeedPage(
            ids=[row.key.lower() for row in named],
            versions=[row.version for row in named],
            deleted=[row.id.lower() for row in rows if row.is_deletion and row.id],
            without_key=len(present) - len(named),
        )


def read_tracked(
    client: DataverseClient,
    table: TableMetadata,
    delta_link: str | None = None,
    *,
    page_size: int = LONGEST_PAGE,
) -> FeedReader:
    """Return the changes since `delta_link`; without one, all keys of the table and the first link.

    Iterating raises ChangeTrackingExpired when the link is too old or the table's columns changed,
    ChangeTrackingOff, and PrivilegeMissing without organisation-level read.
    """
    if not table.change_tracking:
        what = f"Change tracking is off for table {table.name}"
        raise ChangeTrackingOff(what, not_done="Its changes were not read")
    path = delta_link or select_path(table.set_name, _key_columns(table))
    return _tracked(client, table.primary_id, path, page_size)


def read_changes(client: DataverseClient, key: str, delta_link: str, *, page_size: int = LONGEST_PAGE) -> FeedReader:
    """Return the changes since `delta_link` of the table with that primary key, without its metadata.

    Iterating raises like `read_tracked`.
    """
    return _tracked(client, key, delta_link, page_size)


def _tracked(client: DataverseClient, key: str, path: str, page_size: int) -> FeedReader:
    prefer = ("odata.track-changes", f"odata.maxpagesize={page_size}")
    return FeedReader(client, key, Request(path, prefer=prefer), tracked=True)


def read_keys(
    client: DataverseClient, table: TableMetadata, *, filter: str | None = None, page_size: int = LONGEST_PAGE
) -> FeedReader:
    """Return ids and versions of all rows, or of those that `filter` names; it knows nothing of deletions."""
    path = select_path(table.set_name, _key_columns(table), filter=filter)
    return FeedReader(
        client, table.primary_id, Request(path, prefer=(f"odata.maxpagesize={page_size}",)), tracked=False
    )


def _key_columns(table: TableMetadata) -> list[str]:
    return [table.primary_id, *([VERSION] if VERSION in table.columns else [])]


class _Row(msgspec.Struct):
    id: str | None = None
    reason: str | None = None
    context: str | None = msgspec.field(default=None, name="@odata.context")

    @property
    def is_deletion(self) -> bool:
        return self.context is not None and self.context.endswith("/$deletedEntity")


def _page_decoder(primary_id: str) -> "msgspec.json.Decoder[Any]":
    """A decoder that takes only key and version out of a row; other properties are skipped unread."""
    key = ("key", str | None, msgspec.field(default=None, name=primary_id))
    version = ("version", int | None, msgspec.field(default=None, name=VERSION))
    row = msgspec.defstruct("FeedRow", [key, version], bases=(_Row,))
    rows: Any = list[row]  # type: ignore[valid-type] # the type is made at run time
    return msgspec.json.Decoder(msgspec.defstruct("FeedRows", [("value", rows)]))
