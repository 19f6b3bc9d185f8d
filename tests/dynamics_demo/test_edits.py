"""What the demo does on both sides before changes are written to Dynamics is what it says it did."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from dynamics_demo.dynamics import DynamicsApi
from dynamics_demo.edits import Edits, Value, edit_both_sides
from dynamics_demo.entities import Entity, read_entities
from dynamics_demo.installation import Marketing
from dynamics_demo.marketing import MarketingDatabase
from dynamics_demo.problems import DemoError
from dynamics_emulator.testing import running_emulator

ENTITIES = {
    entity.name: entity
    for entity in read_entities(Path(__file__).resolve().parents[2] / "include" / "entities")
    if entity.is_two_way
}
STAMP = "2026-03-01 08:15:00"
COLUMNS = ("first_name", "last_name", "email", "job_title", "city", "home_phone")


@pytest.fixture(scope="module")
def dynamics() -> Iterator[DynamicsApi]:
    with running_emulator(rows=1500) as running:
        words = ("url", "authority", "tenant_id", "client_id", "client_secret", "ca_file")
        yield DynamicsApi({word: str(getattr(running, word)) for word in words})


@pytest.fixture(params=["lead", "contact"])
def entity(request: pytest.FixtureRequest) -> Entity:
    return ENTITIES[request.param]


@pytest.fixture
def marketing(tmp_path: Path, dynamics: DynamicsApi, entity: Entity) -> MarketingDatabase:
    """A database in which the table holds the keys, and so does its base."""
    file = tmp_path / "marketing.db"
    keys = [(row[entity.key].lower(),) for row in dynamics.rows(entity.name, (entity.key,))]
    with closing(sqlite3.connect(file)) as database, database:
        for table in (entity.table, f"{entity.table}_base"):
            key = f"{entity.key_column} DEFAULT (lower(hex(randomblob(16))))"
            database.execute(f"CREATE TABLE {table} ({key}, {', '.join(COLUMNS)}, crm_deleted_at)")
            database.executemany(f"INSERT INTO {table} ({entity.key_column}) VALUES (?)", keys)
    return MarketingDatabase(Marketing.SQLITE, file, tmp_path)


def written_here(marketing: MarketingDatabase, entity: Entity) -> set[Value]:
    """All values of the table."""
    rows = marketing.rows(f"SELECT * FROM {entity.table}")
    return {Value(row[entity.key_column], column, row[column]) for row in rows for column in COLUMNS if row[column]}


def there(dynamics: DynamicsApi, entity: Entity) -> Mapping[str, Mapping[str, Any]]:
    properties = (entity.key, "jobtitle", "telephone1", "emailaddress1", "versionnumber")
    return {row[entity.key].lower(): row for row in dynamics.rows(entity.name, properties)}


def test_both_sides_are_edited_as_told(dynamics: DynamicsApi, marketing: MarketingDatabase, entity: Entity) -> None:
    before = there(dynamics, entity)
    done = edit_both_sides(entity, dynamics, marketing, STAMP, frozenset())
    after = there(dynamics, entity)
    moved = {key for key in after if after[key]["versionnumber"] != before[key]["versionnumber"]}
    assert after.keys() == before.keys()
    assert {key for key in moved if after[key]["jobtitle"] == f"Seller {STAMP}"} == done.contested
    assert {key for key in moved if after[key]["telephone1"] == f"Line {STAMP}"} == moved - done.contested
    assert moved - done.contested < done.edited
    assert marketing.deleted_here(entity) == {done.deleted}
    assert done.born not in before
    check_values(marketing, entity, done, after[done.linked]["emailaddress1"])


def check_values(marketing: MarketingDatabase, entity: Entity, done: Edits, address: str) -> None:
    """What must be written is what stands here, but for what loses, and the address that is there already."""
    here = written_here(marketing, entity)
    contested = {value for value in here if value.key in done.contested}
    assert {value.column for value in contested} == {"job_title"}
    assert contested <= done.values if entity.wins == "marketing" else not contested & done.values
    plain = done.edited | done.contested | {done.born}
    assert {value for value in here if value.key in plain} - contested == {
        value for value in done.values - contested if value.key != done.linked
    }
    assert {value for value in done.values if value.key == done.linked} == {
        Value(done.linked, "home_phone", f"Line {STAMP}")
    }
    matching = {(value.column, value.text) for value in here if value.key not in plain}
    assert matching == {("email", address), ("home_phone", f"Line {STAMP}")}


def test_rows_that_are_spared_are_left_alone(
    dynamics: DynamicsApi, marketing: MarketingDatabase, entity: Entity
) -> None:
    done = edit_both_sides(entity, dynamics, marketing, STAMP, frozenset())
    touched = done.edited | done.contested | {done.linked, done.deleted}
    again = edit_both_sides(entity, dynamics, marketing, "2026-03-01 08:16:00", touched)
    assert not touched & (again.edited | again.contested | {again.linked, again.deleted})


def test_too_few_rows_are_told(dynamics: DynamicsApi, marketing: MarketingDatabase, entity: Entity) -> None:
    with pytest.raises(DemoError, match="too few"):
        edit_both_sides(entity, dynamics, marketing, STAMP, frozenset(there(dynamics, entity)))


def test_a_row_that_is_missing_here_is_told(
    dynamics: DynamicsApi, marketing: MarketingDatabase, entity: Entity
) -> None:
    assert marketing.write(f"DELETE FROM {entity.table}") > 0
    with pytest.raises(DemoError, match=f"{entity.table} has no row"):
        edit_both_sides(entity, dynamics, marketing, STAMP, frozenset())


def test_nothing_is_deleted_where_nothing_was_copied(tmp_path: Path, entity: Entity) -> None:
    empty = MarketingDatabase(Marketing.SQLITE, tmp_path / "none.db", tmp_path)
    assert empty.deleted_here(entity) == frozenset()
    assert not (tmp_path / "none.db").exists()
