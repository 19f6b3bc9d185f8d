"""Which attempt at a run a try of begin belongs to: one that an earlier try began and did not plan, or a new one.

What the marketing database and staging say is all that is needed, so nothing else has to outlive a killed task.
"""

from datetime import datetime

from dynamics_sync.entity import Entity
from dynamics_sync.forward.manifest import FILE as MANIFEST
from dynamics_sync.forward.manifest import remove_staging
from dynamics_sync.services import Services
from dynamics_sync.store.database import MarketingDatabase
from dynamics_sync.store.runs import RunIdentity, earlier_attempt, new_run_key


def attempt_at_run(
    database: MarketingDatabase, services: Services, entity: Entity, run_id: str, now: datetime
) -> RunIdentity:
    """Return the attempt to go on with, whose staged feed is read on, or a new one.

    An attempt that was planned is over when begin is run again: its staging is removed.
    """
    earlier = earlier_attempt(database, entity, run_id)
    if earlier is None:
        return new_run(entity.entity, run_id, now)
    run, has_results = earlier
    folder = services.folder(entity, run.run_key)
    if not has_results and not folder.exists(MANIFEST):
        return run
    remove_staging(folder)
    return new_run(entity.entity, run_id, now)


def new_run(entity: str, run_id: str, begun_at: datetime) -> RunIdentity:
    """Name a run of an entity that begins at that instant."""
    return RunIdentity(entity=entity, run_id=run_id, run_key=new_run_key(run_id, begun_at), begun_at=begun_at)
