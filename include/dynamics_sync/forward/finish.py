"""finish: apply deletions, check that the counts add up, and only then advance the watermark."""

import pyarrow as pa

from dynamics_sync.entity import Entity
from dynamics_sync.forward.manifest import Log, Manifest
from dynamics_sync.forward.staged_feed import staged_deletions, staged_keys
from dynamics_sync.settings import Settings
from dynamics_sync.staging import StagingFolder
from dynamics_sync.store.database import MarketingDatabase
from dynamics_sync.store.deletions import Breaker, mark_absent, mark_deleted
from dynamics_sync.store.runs import Counts, check_slices, finish_run
from dynamics_sync.watermark import WatermarkStore


def finish_slices(
    manifest: Manifest,
    folder: StagingFolder,
    entity: Entity,
    database: MarketingDatabase,
    watermarks: WatermarkStore,
    settings: Settings,
    *,
    log: Log,
) -> Counts:
    """End a run whose slices are all loaded; repeating it changes nothing.

    Raises DeletionBreaker before anything is marked, CountsDoNotAddUp before the watermark moves.
    """
    breaker = Breaker(
        share=settings.deletion_breaker_share,
        at_least=settings.deletion_breaker_at_least,
        open=manifest.allow_deletions,
    )
    check_slices(database, manifest.run, len(manifest.slices))
    deleted = 0
    run, seen_at, absent = manifest.run, manifest.seen_at, frozenset(manifest.plan.absent)
    if manifest.pages_of_all_keys is not None:
        pages = staged_keys(folder, manifest.pages_of_all_keys)
        deleted = mark_absent(database, entity, run, pages, breaker, seen_at=seen_at, absent=absent)
    elif manifest.pages_of_deletions is not None:
        ids = staged_deletions(folder, manifest.pages_of_deletions)["id"].combine_chunks()
        deleted = mark_deleted(database, entity, run, _one_array(ids), breaker, seen_at=seen_at, absent=absent)
    counts = finish_run(database, manifest.run, deleted)
    if manifest.watermark is not None:
        watermarks.advance(manifest.watermark, log=log)
    log(
        f"{entity.title}: read {counts.read:,}, inserted {counts.inserted:,}, updated {counts.updated:,}, unchanged "
        f"{counts.unchanged:,}, rejected {counts.rejected:,}, deleted {deleted:,}."
    )
    if counts.rejected:
        log(f"{counts.rejected:,} rows were set aside: select * from sync_quarantine where resolved_at is null")
    return counts


def _one_array(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
