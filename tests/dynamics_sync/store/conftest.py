"""A few words to fill and read a marketing database."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest
import sqlalchemy as sa

from dynamics_sync.catalogue import load_entity
from dynamics_sync.entity import Entity
from dynamics_sync.store.database import MarketingDatabase
from dynamics_sync.store.difference import keys_to_fetch
from dynamics_sync.store.merge import RejectedRow, load_slice
from dynamics_sync.store.runs import Counts, RunIdentity, begin_run
from dynamics_sync.store.schema import ensure_tables, entity_table, rows_schema

ENTITIES = Path(__file__).parent / "entities"
MIDNIGHT = datetime(2025, 3, 1, tzinfo=UTC)

Row = Mapping[str, Any]


@dataclass
class Clock:
    """A clock that stands still until a test moves it."""

    instant: datetime = MIDNIGHT

    def __call__(self) -> datetime:
        return self.instant

    def set(self, minutes: float) -> None:
        self.instant = MIDNIGHT + timedelta(minutes=minutes)


@dataclass
class Sandbox:
    """A marketing database with a table for one entity."""

    db: MarketingDatabase
    url: str
    clock: Clock
    entity: Entity
    runs: int = field(default=0)

    def begin(self, minutes: float = 0, entity: Entity | None = None) -> RunIdentity:
        """Begin a run at that many minutes past midnight, and set the clock to it."""
        self.runs += 1
        self.clock.set(minutes)
        name = (entity or self.entity).entity
        run = RunIdentity(name, f"run {self.runs}", f"attempt {self.runs}", self.clock())
        begin_run(self.db, run, "window")
        return run

    def to_fetch(self, *pages: pa.Table) -> list[dict[str, Any]]:
        """Return the keys that are lacking here, each with the version that was named."""
        with keys_to_fetch(self.db, self.entity, pages) as lacking:
            found = [row for chunk in lacking.chunks(2) for row in chunk.to_pylist()]
        assert len(found) == lacking.count
        return found

    def load(
        self,
        run: RunIdentity,
        rows: Sequence[Row],
        *,
        slice_number: int = 0,
        rejected: Sequence[RejectedRow] = (),
        filtered: int = 0,
        entity: Entity | None = None,
        page_size: int = 2,
        absent: frozenset[str] = frozenset(),
    ) -> Counts:
        entity = entity or self.entity
        read = len(rows) + len(rejected) + filtered
        pages = [rows_of(entity, rows[start : start + page_size]) for start in range(0, len(rows), page_size)]
        figures = {"read": read, "filtered": filtered}
        return load_slice(self.db, entity, run, slice_number, pages, [rejected], **figures, absent=absent)

    def held(self, entity: Entity | None = None) -> dict[str, dict[str, Any]]:
        """Return the rows of the entity's table by their key."""
        entity = entity or self.entity
        rows = self.query(sa.select(entity_table(entity)))
        return {row[entity.key.column]: row for row in rows}

    def query(self, statement: sa.Select[Any]) -> list[dict[str, Any]]:
        with self.db.reading() as connection:
            return [dict(row) for row in connection.execute(statement).mappings()]


def rows_of(entity: Entity, rows: Sequence[Row]) -> pa.Table:
    """Return the rows as Arrow; a column that a row leaves out is null."""
    schema = rows_schema(entity)
    return pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema=schema)


def entity_named(name: str) -> Entity:
    return load_entity(ENTITIES / f"{name}.yaml")


@pytest.fixture
def sample() -> Entity:
    return entity_named("sample")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def db(database_url: str, clock: Clock) -> Iterator[MarketingDatabase]:
    with MarketingDatabase.open(database_url, clock=clock) as database:
        yield database


@pytest.fixture
def sandbox(db: MarketingDatabase, database_url: str, clock: Clock, sample: Entity) -> Sandbox:
    return Words.sandbox(db, database_url, clock, sample)


class Words:
    """What tests need beside fixtures; they cannot import from each other."""

    @staticmethod
    def sandbox(db: MarketingDatabase, url: str, clock: Clock, entity: Entity) -> Sandbox:
        ensure_tables(db, entity)
        return Sandbox(db, url, clock, entity)

    rows_of = staticmethod(rows_of)

    @staticmethod
    def guid(number: int) -> str:
        return str(UUID(int=number))

    @staticmethod
    def row(number: int, version: int, **values: object) -> Row:
        return {"sample_id": Words.guid(number), "crm_version": version, **values}

    @staticmethod
    def rejected(number: int | None, version: int | None = 1, code: str = "DS-603") -> RejectedRow:
        key = None if number is None else Words.guid(number)
        return RejectedRow(key, code, "name", "21 characters, 20 fit", '{"name": "…"}', version)

    @staticmethod
    def keys(*numbers: int, version: int = 1) -> pa.Table:
        ids = [Words.guid(number) for number in numbers]
        return pa.table({"id": pa.array(ids, pa.string()), "version": pa.array([version] * len(ids), pa.int64())})

    @staticmethod
    def at(minutes: float) -> datetime:
        return MIDNIGHT + timedelta(minutes=minutes)

    @staticmethod
    def entity(name: str, **changes: object) -> Entity:
        """Return an entity of the folder `entities`, with other values for some of its words."""
        entity = entity_named(name)
        return Entity.model_validate({**entity.model_dump(), **changes}) if changes else entity


@pytest.fixture
def words() -> type[Words]:
    return Words
