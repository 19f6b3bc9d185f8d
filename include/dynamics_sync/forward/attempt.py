"""Which attempt at a run a try of begin belongs to: one that an earlier try began and did not plan, or a new one.

What the marketing database and staging say is all that is needed, so nothing else has to outlive a killed task.
Wherever they leave a doubt the attempt is a new one, under a key of its own: nothing that was staged before can then be
taken for a part of the new plan.
"""

from datetime import datetime, timedelta

from dynamics_sync.entity import Entity
from dynamics_sync.forward.manifest import FILE as MANIFEST
from dynamics_sync.forward.manifest import remove_staging
from dynamics_sync.forward.staged_feed import has_staged_pages
from dynamics_sync.services import Services
from dynamics_sync.staging import names_a_run
from dynamics_sync.store.runs import EarlierAttempt, RunIdentity, new_run_key


def may_go_on(services: Services, entity: Entity, earlier: EarlierAttempt, now: datetime) -> bool:
    """Say whether begin goes on with an attempt: it has staged a part of the feed, and was not planned.

    Not with one that is old: housekeeping removes its staging (`staging_days`), perhaps at this moment.
    """
    is_old = now - earlier.run.begun_at > timedelta(days=services.settings.staging_days) / 2
    if earlier.has_results or is_old or not names_a_run(earlier.run.run_key):
        return False
    folder = services.folder(entity, earlier.run.run_key)
    return has_staged_pages(folder) and not folder.exists(MANIFEST)


def remove_attempt(services: Services, entity: Entity, run: RunIdentity) -> None:
    """Remove what an attempt staged, once a new one stands in its place in `sync_run`."""
    # The key comes out of a table that people may edit, and names a folder that is removed with all that is in it.
    if names_a_run(run.run_key):
        remove_staging(services.folder(entity, run.run_key))


def new_run(entity: str, run_id: str, begun_at: datetime) -> RunIdentity:
    """Name a run of an entity that begins at that instant."""
    return RunIdentity(entity=entity, run_id=run_id, run_key=new_run_key(run_id, begun_at), begun_at=begun_at)
