"""A run that finds no changes asks Dynamics one thing: what changed since the watermark.

Day and night most runs find nothing. Which organisation this is, and what its table looks like, is asked where there is
something to copy, and now and then: a copied environment is noticed before anything of it is stored, and within the
hour where nothing changes.
"""

from dataclasses import dataclass
from datetime import timedelta

from dynamics_sync.dataverse.client import DataverseClient
from dynamics_sync.dataverse.feed import read_changes
from dynamics_sync.entity import ChangeSource, Entity
from dynamics_sync.errors import ChangeTrackingExpired, RecordNotFound, RequestRefused, TableMissing
from dynamics_sync.forward.manifest import Manifest
from dynamics_sync.forward.request import Mode, RunRequest
from dynamics_sync.forward.staged_feed import StagedFeed, read_feed
from dynamics_sync.settings import Settings
from dynamics_sync.staging import StagingFolder
from dynamics_sync.store.database import MarketingDatabase
from dynamics_sync.store.runs import RunIdentity, is_recorded
from dynamics_sync.translation.fields import ReadPlan
from dynamics_sync.watermark import Watermark

_TRACKED = (ChangeSource.AUTO, ChangeSource.TRACKING)

#: What Dynamics can have against its own link. Whoever reads it again says what follows from that.
REFUSED_LINK = (ChangeTrackingExpired, RequestRefused, RecordNotFound, TableMissing)


@dataclass(frozen=True, slots=True)
class Quiet:
    """What is known of a run before Dynamics is asked for anything."""

    entity: Entity
    request: RunRequest
    run: RunIdentity
    watermark: Watermark | None
    settings: Settings
    client: DataverseClient
    database: MarketingDatabase
    folder: StagingFolder

    def plan_run(self) -> Manifest | None:
        """Write and return the manifest of a run that has nothing to copy; None where there is, or may be.

        What was read of the feed is staged, so that nobody reads it a second time.
        """
        watermark = self.watermark
        if watermark is None or watermark.delta_link is None or not self._may_be_quiet(watermark):
            return None
        size = self.settings.page_size
        reader = read_changes(self.client, self.entity.key.name, watermark.delta_link, page_size=size)
        try:
            feed = read_feed(reader, self.entity.entity, self.folder)
        except REFUSED_LINK:
            return None
        if feed.changed or feed.gone:
            return None
        manifest = self._manifest(watermark, feed)
        manifest.write(self.folder)
        return manifest

    def _may_be_quiet(self, watermark: Watermark) -> bool:
        checked, link = watermark.organization_checked_at, watermark.delta_link
        if self.request.mode is not Mode.CHANGES or self.entity.changes not in _TRACKED or checked is None:
            return False
        until = checked + timedelta(minutes=self.settings.organization_check_minutes)
        is_own = link is not None and self.client.is_own(link)
        return self.database.now() < until and is_own and is_recorded(self.database, self.entity, watermark.begun_at)

    def _manifest(self, watermark: Watermark, feed: StagedFeed) -> Manifest:
        return Manifest(
            self.run,
            self.request.mode,
            ReadPlan(self.entity.entity, set_name="", key=self.entity.key.name, fields=()),
            slices=(),
            page_size=self.settings.page_size,
            watermark=watermark.model_copy(update={"begun_at": self.run.begun_at, "delta_link": feed.delta_link}),
            pages_of_all_keys=None,
            allow_deletions=False,
            seen_at=feed.ended_at,
            catalogue=self.entity.digest,
        )
