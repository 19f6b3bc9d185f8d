"""What the mirror of Dynamics lacks, compared with the keys and versions that Dynamics names."""

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from dynamics_sync.entity import Entity
from dynamics_sync.store.bulk import ingest, temporary_table, unique_rows
from dynamics_sync.store.column_types import guid_type
from dynamics_sync.store.database import MarketingDatabase
from dynamics_sync.store.schema import DELETED_AT, VERSION, mirror_table

#: Made once, so that statements about it are compiled once.
_NAMED = temporary_table(
    "sync_keys", sa.Column("id", guid_type(), primary_key=True), sa.Column("version", sa.BigInteger)
)
_KEYS = pa.schema([("id", pa.string()), ("version", pa.int64())])


def keys_to_fetch(db: MarketingDatabase, entity: Entity, keys: pa.Table) -> pa.Table:
    """Return the rows of `keys` (id string, version int64) that are not held, held older, or held as deleted.

    An id without a version is taken for newer than what is held. Ids come back once each, in no order.
    """
    held = mirror_table(entity)
    with db.reading() as connection:
        named = ingest_keys(connection, keys)
        up_to_date = sa.exists().where(
            held.c[entity.key.column] == named.c.id,
            held.c[VERSION] >= named.c.version,
            held.c[DELETED_AT].is_(None),
        )
        rows = connection.execute(sa.select(named.c.id, named.c.version).where(~up_to_date)).all()
        ids, versions = zip(*rows, strict=True) if rows else ((), ())
        return pa.Table.from_arrays([pa.array(ids, pa.string()), pa.array(versions, pa.int64())], schema=_KEYS)


def ingest_keys(connection: sa.Connection, keys: pa.Table) -> sa.Table:
    """Bring keys (id string, version int64) into a temporary table, each id once."""
    named = _NAMED
    rows = keys.select(_KEYS.names).cast(_KEYS)
    rows = rows.set_column(0, _KEYS.field("id"), pc.ascii_lower(rows["id"]))
    ingest(connection, named, [unique_rows(rows, "id", "version")])
    return named
