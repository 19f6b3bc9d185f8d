"""What the mirror of Dynamics lacks, compared with the keys and versions that Dynamics names."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from dynamics_sync.entity import Entity
from dynamics_sync.store.bulk import ingest, temporary_table
from dynamics_sync.store.column_types import guid_type
from dynamics_sync.store.database import MarketingDatabase
from dynamics_sync.store.schema import DELETED_AT, VERSION, mirror_table

#: Made once, so that statements about it are compiled once. PostgreSQL needs no index: it joins by hashing.
_NAMED = temporary_table("sync_keys", sa.Column("id", guid_type()), sa.Column("version", sa.BigInteger))
sa.Index("sync_keys_id", _NAMED.c.id).ddl_if(dialect="sqlite")

_LACKING = temporary_table("sync_lacking", sa.Column("id", guid_type()), sa.Column("version", sa.BigInteger))

_KEYS = pa.schema([("id", pa.string()), ("version", pa.int64())])


@dataclass(frozen=True, slots=True)
class Lacking:
    """The keys that are named and not held, held older, or held as deleted; each id once, in no order.

    Their version is the highest that was named; null where one was named without, which is taken for newer than
    whatever is held.
    """

    connection: sa.Connection
    count: int

    def chunks(self, size: int) -> Iterator[pa.Table]:
        """Yield the keys (id string, version int64), so many at a time; no more of them are in memory."""
        result = self.connection.execution_options(yield_per=size).execute(sa.select(_LACKING))
        for rows in result.partitions():
            ids, versions = zip(*rows, strict=True)
            yield pa.Table.from_arrays([pa.array(ids, pa.string()), pa.array(versions, pa.int64())], schema=_KEYS)


@contextmanager
def keys_to_fetch(db: MarketingDatabase, entity: Entity, pages: Iterable[pa.Table]) -> Iterator[Lacking]:
    """Compare keys (id string, version int64), given page by page, with what is held; give what has to be fetched."""
    held = mirror_table(entity)
    with db.reading() as connection:
        named = ingest_keys(connection, pages)
        up_to_date = sa.exists().where(
            held.c[entity.key.column] == named.c.id,
            held.c[VERSION] >= named.c.version,
            held.c[DELETED_AT].is_(None),
        )
        has_version = sa.func.count(named.c.version) == sa.func.count()
        newest = sa.case((has_version, sa.func.max(named.c.version)))
        query = sa.select(named.c.id, newest).where(~up_to_date).group_by(named.c.id)
        # Kept, so that their number and they themselves are of one moment.
        _LACKING.create(connection, checkfirst=False)
        connection.execute(_LACKING.insert().from_select(["id", "version"], query))
        count = connection.execute(sa.select(sa.func.count()).select_from(_LACKING)).scalar_one()
        yield Lacking(connection, count)


def ingest_keys(connection: sa.Connection, pages: Iterable[pa.Table]) -> sa.Table:
    """Bring pages of keys (id string, version int64) into a temporary table; one that is named twice is there twice."""
    ingest(connection, _NAMED, (_in_lower_case(page.select(_KEYS.names).cast(_KEYS)) for page in pages))
    return _NAMED


def _in_lower_case(keys: pa.Table) -> pa.Table:
    return keys.set_column(0, _KEYS.field("id"), pc.ascii_lower(keys["id"]))
