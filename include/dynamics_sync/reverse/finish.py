"""record: check that the figures add up, and only then advance the watermark of the way back."""

from collections.abc import Callable

import sqlalchemy as sa

from dynamics_sync.entity import Entity
from dynamics_sync.reverse.manifest import CollectedEntity, PlannedEntity, ReverseRun
from dynamics_sync.store import plan
from dynamics_sync.store.conflicts import note_edits_of_deleted, settle_agreed
from dynamics_sync.store.database import MarketingDatabase
from dynamics_sync.store.refused import close_settled
from dynamics_sync.store.runs import Counts, check_slices, check_sum, finish_run, record_slice, recorded_slice
from dynamics_sync.store.sync_tables import SYNC_PLAN
from dynamics_sync.watermark import ReverseWatermark, ReverseWatermarkStore

#: The slice of `sync_slice` that counts what was in no batch: held back, or left for the next run from the start.
OUTSIDE_BATCHES = 0


def finish_entity(
    entity: Entity,
    run: ReverseRun,
    collected: CollectedEntity,
    planned: PlannedEntity | None,
    database: MarketingDatabase,
    watermarks: ReverseWatermarkStore,
    *,
    log: Callable[[str], None],
) -> Counts:
    """End the run of one entity; repeating it changes nothing. Raises CountsDoNotAddUp before the watermark moves."""
    identity = run.of(entity)
    now = database.now()
    with database.writing() as connection:
        if recorded_slice(connection, identity.run_key, OUTSIDE_BATCHES) is None:
            # A dry run leaves all of its plan to the next run.
            in_no_batch = sa.true() if run.request.dry_run else SYNC_PLAN.c.batch == 0
            left = plan.count_records(connection, identity, in_no_batch)
            held = collected.held_back
            record_slice(
                connection, identity, OUTSIDE_BATCHES, Counts(read=left + held, filtered=held, postponed=left), now
            )
        if not run.request.dry_run:
            settle_agreed(connection, entity, now)
            note_edits_of_deleted(connection, entity, identity, now, absent=_absent(entity, planned))
            close_settled(connection, entity, now)
        deleted = plan.count_records(connection, identity, plan.is_deletion(), SYNC_PLAN.c.state == plan.WRITTEN)
    batches, records = (planned.batches, planned.records) if planned else (0, 0)
    check_slices(database, identity, 1 + (0 if run.request.dry_run else batches))
    check_sum(database, identity, at_least=records + collected.held_back - deleted)
    counts = finish_run(database, identity, deleted)
    log(
        f"{entity.title}: {counts.read:,} records differed: created {counts.inserted:,}, updated {counts.updated:,}, "
        f"equal after all {counts.unchanged:,}, held back {counts.filtered:,}, refused {counts.rejected:,}, "
        f"left for the next run {counts.postponed:,}; deleted {deleted:,}."
    )
    if run.moves_watermark and not counts.postponed:
        held_mark = watermarks.read()
        compared = collected.collected_at if collected.is_complete or held_mark is None else held_mark.compared_at
        watermarks.advance(
            ReverseWatermark(begun_at=run.begun_at, collected_at=collected.collected_at, compared_at=compared), log=log
        )
    return counts


def _absent(entity: Entity, planned: PlannedEntity | None) -> frozenset[str]:
    """The fields that the organisation does not have; those that it may not have, where nobody asked it."""
    if planned is not None:
        return frozenset(planned.reading.absent)
    return frozenset(field.name for field in entity.mapped_fields if field.spec.optional)
