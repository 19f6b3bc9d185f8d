"""What is copied in bulk arrives as it was, value by value, also at the edges of each type."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dynamics_sync.store.bulk import append, guid_bytes, ingest, temporary_table
from dynamics_sync.store.column_types import ExactNumber, Instant, guid_type
from dynamics_sync.store.database import MarketingDatabase

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
MONEY = st.decimals(-(10**14), 10**14, places=4, allow_nan=False)
KINDS: dict[str, tuple[sa.types.TypeEngine[Any], pa.DataType, st.SearchStrategy[Any]]] = {
    "text": (sa.Text(), pa.string(), TEXTS),
    "number": (ExactNumber(19, 4), pa.decimal128(19, 4), MONEY),
    "exact": (ExactNumber(38, 10), pa.decimal128(38, 10), st.decimals(-(10**4), 10**4, places=10, allow_nan=False)),
    "whole": (sa.BigInteger(), pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "float": (sa.Double(), pa.float64(), st.floats(allow_nan=False, allow_infinity=False)),
    "flag": (sa.Boolean(), pa.bool_(), st.booleans()),
    "day": (sa.Date(), pa.date32(), st.dates()),
    "instant": (Instant(), pa.timestamp("us", "UTC"), st.datetimes(timezones=st.just(UTC))),
    "guid": (guid_type(), pa.string(), st.uuids().map(str)),
}
ROWS = st.lists(
    st.fixed_dictionaries({name: st.none() | values for name, (_, _, values) in KINDS.items()}), max_size=30
)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(guids=st.lists(st.none() | st.uuids()), start=st.integers(0, 5), upper=st.booleans())
def test_guids_become_their_bytes(guids: list[UUID | None], start: int, upper: bool) -> None:
    texts = [None if guid is None else str(guid).upper() if upper else str(guid) for guid in guids]
    found = guid_bytes(pa.array(texts, pa.string()).slice(start))
    assert found.type == pa.binary(16)
    assert found.to_pylist() == [None if guid is None else guid.bytes for guid in guids[start:]]


@pytest.mark.parametrize("text", ["", "no", "0" * 36, "g" + "0" * 7 + "-0000-0000-0000-000000000000", "é" * 18])
def test_what_is_no_guid_is_refused_without_its_text(text: str) -> None:
    with pytest.raises(ValueError, match=r"^a value is no GUID$"):
        guid_bytes(pa.array([None, text]))


@settings(deadline=None, derandomize=True, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, cut=st.integers(0, 10), is_lasting=st.booleans())
def test_each_type_arrives_as_it_was(
    db: MarketingDatabase, rows: list[dict[str, Any]], cut: int, is_lasting: bool
) -> None:
    if db.dialect_name == "sqlite":
        # It keeps numbers as doubles; what would change is set aside before.
        rows = [{**row, "number": Decimal("1.5000"), "exact": Decimal("0.5000000000")} for row in rows]
    schema = pa.schema([("position", pa.int64()), *((name, kind[1]) for name, kind in KINDS.items())])
    whole = pa.Table.from_pylist([{"position": n, **row} for n, row in enumerate(rows)], schema=schema)
    # A table that was cut, and one of several pieces.
    pages = [whole.slice(0, cut), pa.concat_tables([whole.slice(cut, 3), whole.slice(cut + 3)])]
    columns = [sa.Column("position", sa.BigInteger), *(sa.Column(name, kind[0]) for name, kind in KINDS.items())]
    table = sa.Table("sync_kept", sa.MetaData(), *columns) if is_lasting else temporary_table("sync_bulk", *columns)
    with db.writing() as connection:
        if is_lasting:
            table.create(connection)
            assert append(connection, table, pages) == len(rows)
        else:
            ingest(connection, table, pages)
        found = [dict(row) for row in connection.execute(sa.select(table).order_by("position")).mappings()]
        table.drop(connection)
    assert found == [{"position": n, **row} for n, row in enumerate(rows)]


def test_the_edges_of_instants_and_dates(db: MarketingDatabase) -> None:
    instants = [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)]
    rows = pa.table(
        {"position": [0, 1], "instant": pa.array(instants, pa.timestamp("us", "UTC")), "day": [date.min, date.max]}
    )
    columns = [sa.Column("position", sa.BigInteger), sa.Column("instant", Instant), sa.Column("day", sa.Date)]
    table = temporary_table("sync_bulk", *columns)
    with db.writing() as connection:
        ingest(connection, table, [rows])
        found = connection.execute(sa.select(table).order_by("position")).all()
    assert [tuple(row) for row in found] == [(0, instants[0], date.min), (1, instants[1], date.max)]
