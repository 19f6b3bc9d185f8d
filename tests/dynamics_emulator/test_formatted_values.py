"""Formatted values: what SQLite prints by itself is what the Python functions for odd values would print."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dynamics_emulator.clock import wire_time
from dynamics_emulator.odata.formatted import formatted_value
from dynamics_emulator.schema.model import Column, ColumnType
from dynamics_emulator.storage import functions
from dynamics_emulator.storage.database import SqlValue
from dynamics_emulator.storage.engine import sqlite3

Sqlite = sqlite3.Connection


@pytest.fixture(scope="module")
def connection() -> Iterator[Sqlite]:
    opened = sqlite3.connect(":memory:", isolation_level=None)
    functions.register(opened)
    opened.execute("CREATE TABLE transactioncurrency (transactioncurrencyid TEXT PRIMARY KEY, currencysymbol TEXT)")
    opened.execute("INSERT INTO transactioncurrency VALUES ('eur', '€')")
    yield opened
    opened.close()


def shown(connection: Sqlite, kind: ColumnType, value: SqlValue) -> str | None:
    """The formatted value of one stored value, in a row with a currency."""
    sql = formatted_value(Column("x", kind, "X"), "t")
    row = "(SELECT ? AS x, 'eur' AS transactioncurrencyid) t"
    (found,) = connection.execute(f"SELECT {sql} FROM {row}", (value,)).fetchone()
    return None if found is None else str(json.loads(found))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(moment=st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 12, 31)))  # noqa: DTZ001 - hypothesis wants them so
@example(moment=datetime(2024, 2, 29, 0, 0, 0))  # noqa: DTZ001
@example(moment=datetime(1753, 1, 1, 12, 0, 59))  # noqa: DTZ001
def test_instants_and_dates(connection: Sqlite, moment: datetime) -> None:
    text = wire_time(moment.replace(microsecond=0, tzinfo=UTC)).rjust(20, "0")
    assert shown(connection, ColumnType.DATE_TIME, text) == functions.show_time(text)
    assert shown(connection, ColumnType.DATE_TIME, text[:10]) == functions.show_time(text[:10])


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ("2026-03-01T08:15:00Z", "3/1/2026 8:15 AM"),
        ("2026-03-01T00:05:00Z", "3/1/2026 12:05 AM"),
        ("2026-11-30T12:00:00Z", "11/30/2026 12:00 PM"),
        ("2026-11-30", "11/30/2026"),
        ("2026-02-30", "2026-02-30"),
        ("2026-02-30T08:15:00Z", "2026-02-30T08:15:00Z"),
        ("2026-03-01T24:15:00Z", "2026-03-01T24:15:00Z"),
        ("0000-01-01", "0000-01-01"),
        ("now", "now"),
        ('say "when"', 'say "when"'),
        (None, None),
    ],
)
def test_odd_instants_are_shown_as_they_are(connection: Sqlite, stored: str | None, expected: str | None) -> None:
    assert shown(connection, ColumnType.DATE_TIME, stored) == expected


@settings(max_examples=300, deadline=None, derandomize=True)
@given(cents=st.integers(0, 10**11), extra=st.sampled_from(["00", "05", "50", "99"]), sign=st.sampled_from(["", "-"]))
@example(cents=0, extra="00", sign="-")
@example(cents=99999999999, extra="99", sign="")
def test_money(connection: Sqlite, cents: int, extra: str, sign: str) -> None:
    text = f"{sign}{cents // 100}.{cents % 100:02d}{extra}"
    assert shown(connection, ColumnType.MONEY, text) == f"€{functions.show_number(text, 2)}"


@pytest.mark.parametrize("stored", ["12", "0012.5000", "1e5", "abc", "1.2.3400", "999999999999.9999", "", None])
def test_odd_money_is_shown_by_python(connection: Sqlite, stored: str | None) -> None:
    expected = None if stored is None else f"€{functions.show_number(stored, 2)}"
    assert shown(connection, ColumnType.MONEY, stored) == expected


@settings(max_examples=300, deadline=None, derandomize=True)
@given(value=st.integers(-(2**63), 2**63 - 1) | st.integers(-9999, 9999) | st.sampled_from([1.5, "many", "7"]))
@example(value=2**53)
@example(value=2**53 - 1)
@example(value=-(2**53))
def test_integers(connection: Sqlite, value: float | str) -> None:
    assert shown(connection, ColumnType.INTEGER, value) == functions.show_number(value, 0)
