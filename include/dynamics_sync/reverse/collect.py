"""collect: ask the marketing database what differs from its base. Dynamics is not called."""

from datetime import datetime, timedelta

from dynamics_sync.entity import Entity
from dynamics_sync.errors import FirstCopyMissing
from dynamics_sync.reverse.manifest import CollectedEntity, ReverseRun
from dynamics_sync.reverse.request import ReverseMode
from dynamics_sync.settings import Settings
from dynamics_sync.store.changes import Scope, collect_changes, database_instant
from dynamics_sync.store.database import MarketingDatabase
from dynamics_sync.store.runs import Way, is_recorded
from dynamics_sync.watermark import ReverseWatermark


def collect_entity(
    entity: Entity,
    run: ReverseRun,
    database: MarketingDatabase,
    watermark: ReverseWatermark | None,
    settings: Settings,
) -> CollectedEntity:
    """Write the differences of an entity into `sync_plan`.

    Raises FirstCopyMissing if the entity was never copied: all rows would look as if they were new.
    """
    if not is_recorded(database, entity):
        message = f"{entity.entity} was never copied from Dynamics into this marketing database"
        raise FirstCopyMissing(message, not_done="Nothing was planned for it")
    # Before the rows are looked at: what changes meanwhile is looked at again.
    now = database_instant(database)
    since = _since(entity, run, database, watermark, settings, now)
    scope = Scope(since, retry_refused=run.request.mode is ReverseMode.QUARANTINE)
    found = collect_changes(database, entity, run.of(entity), scope)
    return CollectedEntity(entity.entity, found.records, found.held_back, now, since is None, entity.digest)


def _since(
    entity: Entity,
    run: ReverseRun,
    database: MarketingDatabase,
    watermark: ReverseWatermark | None,
    settings: Settings,
    now: datetime,
) -> datetime | None:
    """From which `updated_at` on rows are looked at; None for all of them."""
    if run.request.mode is ReverseMode.QUARANTINE:
        return now  # Nothing but what stands in quarantine.
    if run.request.mode is ReverseMode.FULL or watermark is None:
        return None
    if not is_recorded(database, entity, watermark.begun_at, direction=Way.TO_DYNAMICS):
        return None  # Another database, or one that was restored to an earlier state.
    if now >= watermark.compared_at + timedelta(hours=settings.full_comparison_hours):
        return None
    # A transaction that took long may have committed rows that it had stamped before.
    return watermark.collected_at - timedelta(seconds=settings.overlap_seconds)
