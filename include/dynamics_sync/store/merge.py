"""Load one slice: pages of rows in, counts out, in one transaction that can be repeated.

A row applies only if it is not older than what is held, and if its run began after the row was found deleted. Rows may
therefore come late, twice or out of order. An equal version applies too: it fills columns that are new in the
catalogue, and options whose label changed, neither of which moves the version.

What is merged by version is the mirror of Dynamics. For an entity that goes both ways that is its base, and the same
transaction brings what changed from there to the marketing table, field by field (see `three_way`).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, lru_cache, partial

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from dynamics_sync.entity import Column, ColumnKind, Entity
from dynamics_sync.store.bulk import ingest, temporary_table
from dynamics_sync.store.column_types import Instant
from dynamics_sync.store.database import MarketingDatabase, NotBesideOthers, beside_others, take_lock
from dynamics_sync.store.new_rows import insert_rows, new_keys
from dynamics_sync.store.own_writes import take_own_writes
from dynamics_sync.store.quarantine import RejectedRow, resolve_loaded, set_aside
from dynamics_sync.store.runs import Counts, RunIdentity, record_slice, recorded_slice
from dynamics_sync.store.schema import (
    DELETED_AT,
    READ_AT,
    UPDATED_AT,
    VERSION,
    WRITTEN_AT,
    mirror_table,
    rows_schema,
)
from dynamics_sync.store.three_way import ThreeWayMerge

__all__ = ["RejectedRow", "load_slice"]

#: Column of the temporary table that counts its rows in the order in which they came, over all pages.
_POSITION = "sync_position"


def load_slice(
    db: MarketingDatabase,
    entity: Entity,
    run: RunIdentity,
    slice_number: int,
    pages: Iterable[pa.Table],
    rejected: Iterable[Sequence[RejectedRow]],
    *,
    read: int,
    filtered: int,
    absent: frozenset[str] = frozenset(),
    keys: Iterable[pa.Table] | None = None,
) -> Counts:
    """Merge the rows of `pages` (see `rows_schema`) into the entity's table, and put those of `rejected` aside.

    Rows that are all new, and of which none is put aside, are inserted beside those of other slices; what is held is
    changed by one load at a time. `pages`, `rejected` and `keys` can be iterated several times; `keys` brings the keys
    and versions of the pages, which are read whole for them otherwise. One page at a time is held in memory. `read` is
    the number of rows that Dynamics gave, `filtered` how many of them were left out on purpose.
    `absent` holds logical names of fields that the organisation does not have: their columns stay as they are, and are
    null in new rows. A slice that was loaded before is not loaded again: its counts are returned. The run must have
    been begun, and the entity's table ensured.
    Raises CountsDoNotAddUp before anything is committed if a row is not accounted for.
    """

    def load(connection: sa.Connection, bring: Callable[[datetime], Merged]) -> Counts:
        now = db.now()
        aside = 0
        for page in () if is_whole else rejected:
            set_aside(connection, entity, run, page, now)
            aside += len(page)
        merged = bring(now)
        counts = Counts(read, merged.inserted, merged.updated, merged.unchanged, filtered, aside)
        counts.check()
        record_slice(connection, run, slice_number, counts, now)
        return counts

    # Looked at before a lock is held, and not again if there is nothing: the pages may come from an object store.
    is_whole = not any(rejected)
    with suppress(NotBesideOthers), db.writing() as connection, beside_others():
        # A version that is put aside, and a version of the record that comes through elsewhere, must see each other.
        take_lock(connection, entity_lock(entity), shared=is_whole)
        earlier = recorded_slice(connection, run.run_key, slice_number)
        if earlier is not None:
            return earlier
        named = new_keys(connection, entity, _ConformedPages(entity, (), pages if keys is None else keys))
        if named is None:
            raise NotBesideOthers
        return load(connection, partial(_insert_new, connection, entity, run, named, pages, absent))
    with db.writing() as connection:
        take_lock(connection, entity_lock(entity))
        earlier = recorded_slice(connection, run.run_key, slice_number)
        if earlier is not None:
            return earlier
        return load(connection, partial(merge_rows, connection, entity, run, pages, absent=absent))


@dataclass(frozen=True, slots=True)
class Merged:
    """How many rows were new, had another value, and changed nothing. Rows that came twice are unchanged."""

    inserted: int
    updated: int
    unchanged: int


def _insert_new(
    connection: sa.Connection,
    entity: Entity,
    run: RunIdentity,
    named: sa.Table,
    pages: Iterable[pa.Table],
    absent: frozenset[str],
    now: datetime,
) -> Merged:
    columns = _columns(entity, absent)
    conformed = _ConformedPages(entity, columns, pages)
    return Merged(insert_rows(connection, entity, run, columns, named, conformed, now), 0, 0)


def merge_rows(
    connection: sa.Connection,
    entity: Entity,
    run: RunIdentity,
    pages: Iterable[pa.Table],
    now: datetime,
    *,
    absent: frozenset[str] = frozenset(),
) -> Merged:
    """Merge rows of Dynamics (see `rows_schema`) in a transaction that holds the entity's lock.

    Open quarantine rows of records that came through, or were overtaken, are closed.
    """
    fields = [field for field in entity.mapped_fields if field.name not in absent]
    columns = _columns(entity, absent)
    incoming = _ingest_rows(connection, entity, columns, pages)
    repeated = _drop_repeated(connection, incoming, incoming.c[entity.key.column])
    merge = _Merge(entity, columns, incoming, run, now)
    if entity.is_two_way:
        take_own_writes(connection, entity, fields, incoming, run, now)
    three_way = ThreeWayMerge(entity, fields, incoming, merge.applies, run, now) if entity.is_two_way else None
    # Each figure has a statement of its own, so that their sum can be wrong when a row goes missing.
    unchanged = repeated + merge.count_unchanged(connection)
    if three_way is not None:
        three_way.before_base(connection)
    updated, inserted = merge.update(connection), merge.insert(connection)
    if three_way is not None:
        three_way.after_base(connection)
    resolve_loaded(connection, entity, incoming, now)
    incoming.drop(connection)
    return Merged(inserted, updated, unchanged)


def entity_lock(entity: Entity) -> str:
    """Return the name of the lock under which the rows of the entity's table change."""
    return f"dynamics_sync:{entity.table}"


def _ingest_rows(
    connection: sa.Connection, entity: Entity, columns: Sequence[Column], pages: Iterable[pa.Table]
) -> sa.Table:
    incoming = _incoming_table(mirror_table(entity), entity.key.column, tuple(column.name for column in columns))
    ingest(connection, incoming, _numbered(_ConformedPages(entity, columns, pages)))
    return incoming


@lru_cache(maxsize=64)
def _incoming_table(held: sa.Table, key: str, names: tuple[str, ...]) -> sa.Table:
    """Return the temporary table for rows of such columns; the same one again, so that statements are compiled once."""
    # The primary key begins with the record's own: its index finds repeated rows, and the row to merge.
    return temporary_table(
        "sync_incoming",
        sa.Column(key, held.c[key].type, primary_key=True),
        sa.Column(VERSION, sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column(_POSITION, sa.BigInteger, primary_key=True, autoincrement=False),
        *(sa.Column(name, held.c[name].type) for name in names),
    )


def _columns(entity: Entity, absent: frozenset[str]) -> tuple[Column, ...]:
    return tuple(column for field in entity.mapped_fields if field.name not in absent for column in field.columns)


@dataclass(frozen=True, slots=True)
class _ConformedPages:
    """The pages in the schema of the columns; GUIDs in lower case, in which both databases keep them."""

    entity: Entity
    columns: Sequence[Column]
    pages: Iterable[pa.Table]

    def __iter__(self) -> Iterator[pa.Table]:
        key = self.entity.key.column
        names = {key, VERSION, *(column.name for column in self.columns)}
        schema = pa.schema([field for field in rows_schema(self.entity) if field.name in names])
        guids = {key, *(column.name for column in self.columns if column.kind is ColumnKind.GUID)}
        return (_conform(page, schema, guids) for page in self.pages)


def _conform(page: pa.Table, schema: pa.Schema, guids: set[str]) -> pa.Table:
    ordered = page.select(schema.names).cast(schema)
    for position, name in enumerate(schema.names):
        if name in guids:
            ordered = ordered.set_column(position, schema.field(position), pc.ascii_lower(ordered[name]))
    return ordered


def _numbered(pages: Iterable[pa.Table]) -> Iterator[pa.Table]:
    first = 0
    for page in pages:
        following = first + page.num_rows
        yield page.append_column(_POSITION, pa.array(range(first, following), pa.int64()))
        first = following


def _drop_repeated(connection: sa.Connection, incoming: sa.Table, key: sa.Column[str]) -> int:
    """Leave each key once: its highest version, and of equal versions the last row. Return how many rows went."""
    other = incoming.alias("later")
    is_later = sa.or_(
        other.c[VERSION] > incoming.c[VERSION],
        sa.and_(other.c[VERSION] == incoming.c[VERSION], other.c[_POSITION] > incoming.c[_POSITION]),
    )
    is_repeated = sa.exists().where(other.c[key.name] == key, is_later)
    return connection.execute(incoming.delete().where(is_repeated)).rowcount


@dataclass(frozen=True)
class _Merge:
    """The statements that bring the rows of `incoming`, each key once, into the mirror of the entity."""

    entity: Entity
    columns: tuple[Column, ...]
    incoming: sa.Table
    run: RunIdentity
    now: datetime

    @property
    def held(self) -> sa.Table:
        return mirror_table(self.entity)

    @cached_property
    def same_key(self) -> sa.ColumnElement[bool]:
        return self.held.c[self.entity.key.column] == self.incoming.c[self.entity.key.column]

    @cached_property
    def applies(self) -> sa.ColumnElement[bool]:
        held, incoming = self.held.c, self.incoming.c
        is_in_time = sa.or_(held[DELETED_AT].is_(None), held[DELETED_AT] < self.run.begun_at)
        return sa.and_(incoming[VERSION] >= held[VERSION], is_in_time)

    @cached_property
    def differs(self) -> sa.ColumnElement[bool]:
        names = (column.name for column in self.columns)
        differences = (self.held.c[name].is_distinct_from(self.incoming.c[name]) for name in names)
        return sa.or_(self.held.c[DELETED_AT].is_not(None), *differences)

    @cached_property
    def read_at(self) -> sa.ColumnElement[datetime]:
        """The instant for `crm_read_at`; it never goes back, as a run that began earlier may load later."""
        held, begun_at = self.held.c[READ_AT], sa.literal(self.run.begun_at, Instant())
        return sa.case((held > begun_at, held), else_=begun_at)

    def count_unchanged(self, connection: sa.Connection) -> int:
        """Count the rows that `update` and `insert` will leave out, or of which they take the version only."""
        both = sa.join(self.incoming, self.held, self.same_key)
        query = sa.select(sa.func.count()).select_from(both).where(~sa.and_(self.applies, self.differs))
        return int(connection.execute(query).scalar_one())

    def update(self, connection: sa.Connection) -> int:
        """Write what applies into the rows that are held; return how many of them got another value."""
        held, incoming = self.held, self.incoming.c
        version = {VERSION: incoming[VERSION], READ_AT: self.read_at}
        values = {column.name: incoming[column.name] for column in self.columns}
        alive = {DELETED_AT: None, UPDATED_AT: self.now}
        change = held.update().where(self.same_key, self.applies, self.differs)
        updated = connection.execute(change.values({**values, **version, **alive})).rowcount
        # What is left has the same values under a higher version: it must be known, or an older row would apply later.
        is_newer = incoming[VERSION] > held.c[VERSION]
        connection.execute(held.update().where(self.same_key, self.applies, is_newer).values(version))
        return updated

    def insert(self, connection: sa.Connection) -> int:
        """Add the rows whose key is not held; return how many."""
        is_held = sa.exists().where(self.same_key).select_from(self.held)
        names = [self.entity.key.column, VERSION, *(column.name for column in self.columns)]
        moments = {READ_AT: self.run.begun_at, UPDATED_AT: self.now}
        if self.entity.is_two_way:
            moments[WRITTEN_AT] = self.now
        instants = (sa.literal(instant, Instant()) for instant in moments.values())
        rows = sa.select(*(self.incoming.c[name] for name in names), *instants).where(~is_held)
        statement = self.held.insert().from_select([*names, *moments], rows)
        # Without the option SQLAlchemy forgets the number of an INSERT's rows.
        return connection.execute(statement.execution_options(preserve_rowcount=True)).rowcount
