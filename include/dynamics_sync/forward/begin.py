"""begin: check that all is as it was, read the feed, and cut the work into slices.

*The feed says which rows; the fetch says what they hold.* What a run reads follows from its mode and its watermark:

    full, or no watermark yet        the whole table, in windows of `createdon`
    watermark without a delta link   the keys of the whole table; what is missing or older here is fetched, what is
                                     missing there was deleted
    watermark with a delta link      what change tracking reports since then
    no change tracking               `modifiedon` since the watermark, and the keys of the whole table when they are due

So the first copy is checked, key by key and version by version, by the run after it, which also takes the first
delta link.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar

import pyarrow as pa

from dynamics_sync.dataverse.client import DataverseClient
from dynamics_sync.dataverse.counting import count_rows
from dynamics_sync.dataverse.feed import FeedReader, read_keys, read_tracked
from dynamics_sync.dataverse.metadata import TableMetadata
from dynamics_sync.dataverse.organization import total_record_count
from dynamics_sync.dataverse.query import between, select_path
from dynamics_sync.entity import ChangeSource, Entity
from dynamics_sync.errors import (
    RequestRefused,
    RunParameterError,
    TryAgain,
    UnexpectedAnswer,
    WaitAsTold,
)
from dynamics_sync.forward.balance import balanced_windows
from dynamics_sync.forward.manifest import IDS_FILE, NEWEST_FILE, Log, Manifest
from dynamics_sync.forward.quiet import REFUSED_LINK
from dynamics_sync.forward.request import Mode, RunRequest
from dynamics_sync.forward.slices import (
    PLACES,
    Slice,
    SliceKind,
    chunks_of_ids,
    size_of_chunks,
    size_of_windows,
    whole_table,
    windows_between,
    windows_of_table,
)
from dynamics_sync.forward.staged_feed import StagedFeed, read_feed
from dynamics_sync.settings import Settings
from dynamics_sync.staging import StagingFolder
from dynamics_sync.store.database import MarketingDatabase
from dynamics_sync.store.difference import keys_to_fetch
from dynamics_sync.store.quarantine import open_record_keys
from dynamics_sync.store.runs import RunIdentity, is_recorded
from dynamics_sync.translation.fields import ReadPlan
from dynamics_sync.watermark import Watermark

T = TypeVar("T")

_CREATED, _MODIFIED = "createdon", "modifiedon"
#: Dataverse counts no further.
_COUNT_LIMIT = 5_000


@dataclass(frozen=True, slots=True)
class Begin:
    """What begin works with. The tables of the entity exist, and the organisation is the one the rows came from."""

    entity: Entity
    request: RunRequest
    run: RunIdentity
    table: TableMetadata
    plan: ReadPlan
    watermark: Watermark | None
    settings: Settings
    client: DataverseClient
    database: MarketingDatabase
    folder: StagingFolder
    log: Log

    def plan_run(self) -> Manifest:
        """Read the feed, cut it into slices, write the manifest and return it."""
        if self.request.mode is Mode.CHANGES and self.watermark is not None:
            manifest = self._changes(self._trusted(self.watermark))
        elif self.request.moves_watermark:
            manifest = self._full_copy()
        elif self.request.mode is Mode.WINDOW:
            manifest = self._manifest(self._window())
        else:
            manifest = self._manifest(self._named_ids())
        manifest.write(self.folder)
        return manifest

    # --- the whole table -------------------------------------------------------------------------

    def _full_copy(self) -> Manifest:
        """Everything, in windows. What changes meanwhile is found by the next run, which compares all versions."""
        newest = self._newest() if self._source() is ChangeSource.MODIFIEDON else None
        slices = self._table_slices()
        self.log(f"Copying the whole table in {len(slices)} slices.")
        return self._manifest(slices, watermark=self._watermark(modified_up_to=newest))

    def _table_slices(self) -> list[Slice]:
        total = self._total()
        most = self.settings.rows_per_slice
        about = PLACES * most if total is None else total
        rows_per_slice = size_of_windows(about, most)
        if about <= rows_per_slice or _CREATED not in self.table.columns:
            return whole_table(total)
        first, last = self._edge(_CREATED, "asc"), self._edge(_CREATED, "desc")
        if first is None or last is None:
            return whole_table(total)
        try:
            return balanced_windows(_CREATED, first, last, about, rows_per_slice, self._count)
        except WaitAsTold:
            raise
        except (TryAgain, UnexpectedAnswer, RequestRefused) as error:
            self.log(f"Dynamics does not count the rows of a time, so that slices are cut by time alone: {error}")
            return windows_of_table(_CREATED, first, last, about, rows_per_slice)

    def _count(self, conditions: Sequence[str]) -> list[int | None]:
        return count_rows(self.client, self.table.set_name, conditions)

    def _total(self) -> int | None:
        """How many rows the table has, about; Dynamics takes a snapshot of it once a day. None if it does not tell.

        It only decides how the work is cut, so that nothing depends on it.
        """
        try:
            return total_record_count(self.client, self.entity.entity)
        except WaitAsTold:
            raise
        except (TryAgain, UnexpectedAnswer, RequestRefused) as error:
            self.log(f"Dynamics does not tell how many rows there are, which only cuts the work less well: {error}")
            return None

    def _edge(self, column: str, direction: str) -> datetime | None:
        """The first or last value of a column of time; None for a table without rows or without the column."""
        if column not in self.table.columns:
            return None
        path = select_path(
            self.table.set_name, [column], filter=f"{column} ne null", orderby=f"{column} {direction}", top=1
        )
        rows = self._get(path, "value")
        return datetime.fromisoformat(rows[0][column]) if rows else None

    def _newest(self) -> datetime | None:
        """The newest `modifiedon` before the feed was read, asked once for a run.

        A begin that goes on after hours goes on with the feed of then. A newer instant would pass over what changed
        in between.
        """
        held = self.folder.read_json_if_whole(NEWEST_FILE)
        if held is None:
            newest = self._edge(_MODIFIED, "desc")
            self.folder.write_json(NEWEST_FILE, {"modified": None if newest is None else newest.isoformat()})
            return newest
        return None if held["modified"] is None else datetime.fromisoformat(held["modified"])

    def _get(self, path: str, word: str) -> Any:
        """Return one word of an answer; UnexpectedAnswer if it is not there."""
        answer = self.client.get_json(path)
        if word not in answer:
            message = f"an answer for {self.table.set_name} has no `{word}`"
            raise UnexpectedAnswer(message, not_done="Nothing was read")
        return answer[word]

    # --- what changed ------------------------------------------------------------------------------

    def _changes(self, watermark: Watermark) -> Manifest:
        match self._source():
            case ChangeSource.TRACKING:
                return self._tracked(watermark)
            case ChangeSource.MODIFIEDON if not self._keys_are_due(watermark):
                return self._modified(watermark)
            case _:
                newest = self._newest()
                return self._scanned(read_keys(self.client, self.table, page_size=self.settings.page_size), newest)

    def _trusted(self, watermark: Watermark) -> Watermark:
        """Believe a watermark only if this database holds the run that wrote it.

        Otherwise the database is another one, or was restored to an earlier state, and what it lacks does not show in
        the changes since the watermark.
        """
        if is_recorded(self.database, self.entity, watermark.begun_at):
            return watermark
        self.log("The marketing database does not know the run that wrote the watermark, so all keys are compared.")
        return Watermark(begun_at=watermark.begun_at)

    def _source(self) -> ChangeSource:
        if self.entity.changes is not ChangeSource.AUTO:
            return self.entity.changes
        if self.table.change_tracking:
            return ChangeSource.TRACKING
        return ChangeSource.MODIFIEDON if _MODIFIED in self.table.columns else ChangeSource.KEYS

    def _tracked(self, watermark: Watermark) -> Manifest:
        size = self.settings.page_size
        if watermark.delta_link is not None and not self.client.is_own(watermark.delta_link):
            # The organisation got another address. Its link would be refused there; its rows are the same.
            self.log("The watermark's link leads to an earlier address of the organisation, so all keys are compared.")
        elif watermark.delta_link is not None:
            try:
                return self._delta(read_tracked(self.client, self.table, watermark.delta_link, page_size=size))
            except REFUSED_LINK as refused:
                # Reading all keys answers the same question.
                self.log(f"The watermark's link is refused, so all keys are compared: {refused}")
        return self._scanned(read_tracked(self.client, self.table, page_size=size), None)

    def _delta(self, reader: FeedReader) -> Manifest:
        feed = self._read_feed(reader)
        self.log(f"Change tracking reports {feed.changed:,} changed rows and {feed.gone:,} deleted ones.")
        slices = self._fetch(feed)
        watermark = self._watermark(delta_link=_unless_copied(slices, feed.delta_link))
        return self._manifest(slices, watermark=watermark, pages_of_deletions=feed.pages, seen_at=feed.ended_at)

    def _scanned(self, reader: FeedReader, newest: datetime | None) -> Manifest:
        """The keys of the whole table: fetch what is missing or older here, sweep what is missing there."""
        feed = self._read_feed(reader)
        keys = feed.changed
        slices = self._fetch(feed, whole=keys)
        self.log(f"Compared the keys of all {keys:,} rows.")
        watermark = self._watermark(
            delta_link=_unless_copied(slices, feed.delta_link),
            modified_up_to=newest,
            keys_checked_at=_unless_copied(slices, self.run.begun_at),
            keys=keys,
        )
        return self._manifest(slices, watermark=watermark, pages_of_all_keys=feed.pages, seen_at=feed.ended_at)

    def _modified(self, watermark: Watermark) -> Manifest:
        """Rows modified since the watermark, with an overlap: a slow transaction may commit an earlier `modifiedon`."""
        newest = self._newest() or watermark.modified_up_to
        since = watermark.modified_up_to
        condition = (
            between(_MODIFIED, since - timedelta(seconds=self.settings.overlap_seconds), None) if since else None
        )
        reader = read_keys(self.client, self.table, filter=condition, page_size=self.settings.page_size)
        feed = self._read_feed(reader)
        self.log(f"{feed.changed:,} rows were modified since {since}.")
        slices = self._fetch(feed)
        checked = _unless_copied(slices, watermark.keys_checked_at)
        advanced = self._watermark(modified_up_to=newest, keys_checked_at=checked, keys=watermark.keys)
        return self._manifest(slices, watermark=advanced, seen_at=feed.ended_at)

    def _keys_are_due(self, watermark: Watermark) -> bool:
        """Deletions show only in the keys of the whole table: always where that is cheap, else after some hours."""
        if watermark.keys_checked_at is None or (watermark.keys or 0) <= self.settings.key_check_rows:
            return True
        due = watermark.keys_checked_at + timedelta(hours=self.settings.key_check_hours)
        return self.run.begun_at >= due

    def _read_feed(self, reader: FeedReader) -> StagedFeed:
        return read_feed(reader, self.entity.entity, self.folder)

    def _fetch(self, feed: StagedFeed, *, whole: int | None = None) -> list[Slice]:
        """Slices for those keys that are missing here or older; windows of the whole table where that is most of it.

        `whole` is how many rows the table has, where the feed tells.
        """
        few = size_of_windows(0, self.settings.rows_per_slice)
        # Asked for before the comparison, as nothing of the database may be held while Dynamics is asked.
        total = self._total() if whole is None and feed.changed > few else whole
        with keys_to_fetch(self.database, self.entity, feed.keys()) as lacking:
            if total is None or lacking.count <= few or 2 * lacking.count <= total:
                size = size_of_chunks(lacking.count, self.settings.ids_per_slice)
                return self._slices_of_ids(lacking.count, size, lacking.chunks(size))
        return self._table_slices()

    # --- named by a person -------------------------------------------------------------------------

    def _window(self) -> list[Slice]:
        start, end = self.request.window_start, self.request.window_end
        if start is None or end is None or _MODIFIED not in self.table.columns:
            message = f"{self.entity.entity} has no modifiedon, so that no window of it can be read"
            raise RunParameterError(message, not_done="Nothing was read", next_step="Run it in mode full")
        path = select_path(
            self.table.set_name,
            [self.table.primary_id],
            filter=between(_MODIFIED, start, end),
            top=1,
            count=True,
        )
        rows = int(self._get(path, "@odata.count"))
        self.log(f"The window holds {'at least ' if rows >= _COUNT_LIMIT else ''}{rows:,} rows.")
        return windows_between(_MODIFIED, start, end, PLACES if rows >= _COUNT_LIMIT else 1)

    def _named_ids(self) -> list[Slice]:
        named = self.request.mode is Mode.IDS
        ids = list(self.request.ids) if named else open_record_keys(self.database, self.entity)
        self.log(f"Reading {len(ids):,} named records.")
        size = size_of_chunks(len(ids), self.settings.ids_per_slice)
        parts = (ids[start : start + size] for start in range(0, len(ids), size))
        return self._slices_of_ids(len(ids), size, (_without_versions(part) for part in parts))

    def _slices_of_ids(self, count: int, size: int, chunks: Iterable[pa.Table]) -> list[Slice]:
        """`chunks` (id, version) say which rows to fetch, and how new they must be; null where nobody knows."""
        slices = chunks_of_ids(count, size)
        for piece, wanted in zip(slices, chunks, strict=True):
            self.folder.write_table(f"{piece.folder}/{IDS_FILE}", wanted)
        return slices

    def _watermark(self, **words: Any) -> Watermark:
        """What the next run begins from, if this one succeeds."""
        return Watermark(begun_at=self.run.begun_at, organization_checked_at=self.run.begun_at, **words)

    def _manifest(
        self,
        slices: list[Slice],
        *,
        watermark: Watermark | None = None,
        pages_of_all_keys: int | None = None,
        pages_of_deletions: int | None = None,
        seen_at: datetime | None = None,
    ) -> Manifest:
        return Manifest(
            self.run,
            self.request.mode,
            self.plan,
            tuple(slices),
            self.settings.page_size,
            watermark,
            pages_of_all_keys,
            self.request.allow_deletions,
            seen_at or self.run.begun_at,
            self.entity.digest,
            pages_of_deletions,
        )


def _unless_copied(slices: Sequence[Slice], value: T) -> T | None:
    """Return the value, or None if the feed led to a copy of the whole table.

    Rows that are fetched by their ids are held against the versions that the feed named. Windows are not, so that the
    next run has to compare all keys, as after a first copy.
    """
    return None if any(piece.kind is SliceKind.WINDOW for piece in slices) else value


def _without_versions(ids: Sequence[str]) -> pa.Table:
    return pa.table({"id": pa.array(ids, pa.string()), "version": pa.nulls(len(ids), pa.int64())})
