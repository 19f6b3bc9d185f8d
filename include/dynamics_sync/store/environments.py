"""Which Dynamics organisation the rows came from; a copied or refreshed one is noticed before anything is read."""

from collections.abc import Mapping

import sqlalchemy as sa

from dynamics_sync.errors import EnvironmentChanged
from dynamics_sync.store.database import MarketingDatabase, take_lock
from dynamics_sync.store.sync_tables import SYNC_ENVIRONMENT, ensure_sync_tables

#: What identifies an organisation; each is a column of sync_environment.
IDENTITY_FIELDS = ("organization_id", "environment_id", "unique_name", "tenant_id", "url_name")


def check_environment(db: MarketingDatabase, identity: Mapping[str, str], *, is_first: bool = True) -> None:
    """Compare the organisation with the recorded one; if none is, it is recorded where this `is_first` to meet it.

    `identity` has the keys of IDENTITY_FIELDS; a missing one counts as an empty text.
    Raises EnvironmentChanged, naming the fields that differ.
    """
    ensure_sync_tables(db)
    current = {name: identity.get(name) or "" for name in IDENTITY_FIELDS}
    with db.writing() as connection:
        take_lock(connection, "dynamics_sync:environment")
        query = sa.select(*(SYNC_ENVIRONMENT.c[name] for name in IDENTITY_FIELDS))
        recorded = connection.execute(query).one_or_none()
        if recorded is None and not is_first:
            message = "the marketing database does not know which Dynamics organisation its rows came from"
            step = "Run the DAG of an entity first; it records the organisation"
            raise EnvironmentChanged(message, not_done="Nothing was written to it", next_step=step)
        if recorded is None:
            connection.execute(SYNC_ENVIRONMENT.insert().values(**current, recorded_at=db.now()))
            return
    differing = [name for name in IDENTITY_FIELDS if recorded._mapping[name] != current[name]]
    if differing:
        message = f"the connection leads to another Dynamics organisation than before: {', '.join(differing)} differ"
        raise EnvironmentChanged(message, not_done="Nothing was read from it or written to it")
