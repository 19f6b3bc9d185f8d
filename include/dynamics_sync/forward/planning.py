"""How begin comes to its plan: tables that are there, something to do, and the organisation that it was before."""

import logging
from dataclasses import asdict

from dynamics_sync.dataverse.client import DataverseClient
from dynamics_sync.dataverse.metadata import read_table
from dynamics_sync.dataverse.organization import read_organization
from dynamics_sync.entity import Entity
from dynamics_sync.forward.begin import Begin
from dynamics_sync.forward.manifest import Manifest
from dynamics_sync.forward.quiet import Quiet
from dynamics_sync.forward.request import RunRequest
from dynamics_sync.services import Services
from dynamics_sync.store.database import MarketingDatabase
from dynamics_sync.store.environments import check_environment
from dynamics_sync.store.runs import RunIdentity
from dynamics_sync.store.schema import ensure_tables, has_table
from dynamics_sync.store.views import ensure_views
from dynamics_sync.translation.fields import plan_reading

log = logging.getLogger(__name__)


def plan_run(
    entity: Entity,
    request: RunRequest,
    run: RunIdentity,
    services: Services,
    client: DataverseClient,
    database: MarketingDatabase,
) -> Manifest:
    """Make or extend the tables, read the feed, cut it into slices; return the manifest, which is staged then."""
    folder = services.folder(entity, run.run_key)
    is_new = not has_table(database, entity)
    for change in ensure_tables(database, entity):
        log.info("%s", change)
    ensure_views(database)
    # Changes since a watermark are not enough to fill a table that was just made.
    watermark = None if is_new else services.watermark(entity).read()
    quiet = Quiet(entity, request, run, watermark, services.settings, client, database, folder)
    if manifest := quiet.plan_run():
        log.info("Change tracking reports nothing new.")
        return manifest
    # Before all else: nothing of a foreign organisation may reach the tables.
    check_environment(database, asdict(read_organization(client)))
    table = read_table(client, entity.entity)
    plan = plan_reading(entity, table)
    if plan.absent:
        log.info("Not in this organisation, so left as they are: %s.", ", ".join(plan.absent))
    return Begin(
        entity=entity,
        request=request,
        run=run,
        table=table,
        plan=plan,
        watermark=watermark,
        settings=services.settings,
        client=client,
        database=database,
        folder=folder,
        log=log.info,
    ).plan_run()
