"""The bulk path: many rows of Arrow into a temporary table, in the transaction that merges them.

The drivers that SQLAlchemy uses do the work: psycopg's COPY, and `executemany` of Python's sqlite3. A second driver
such as ADBC would save half a second for 50,000 rows, but would bring a second SQLite library into the process, and two
of them on one file break each other's locks (https://www.sqlite.org/howtocorrupt.html, section 2.2.1).
"""

from collections.abc import Iterable, Iterator
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

#: Rows that are turned into text or Python objects at once; it bounds the memory that they take.
_CHUNK_ROWS = 10_000

#: Name of the column that `unique_rows` adds for itself.
_POSITION = "sync_position"

#: What COPY's text format writes differently, the backslash first.
_COPY_ESCAPES = (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"))


def temporary_table(name: str, *columns: sa.Column[Any]) -> sa.Table:
    """Return a table that only its transaction sees; `ingest` creates it."""
    return sa.Table(name, sa.MetaData(), *columns, prefixes=["TEMPORARY"], postgresql_on_commit="DROP")


def ingest(connection: sa.Connection, table: sa.Table, pages: Iterable[pa.Table]) -> None:
    """Create the temporary table and fill it page by page; the pages' columns bear the names of the table's."""
    table.create(connection, checkfirst=False)
    names = [column.name for column in table.columns]
    fill = _copy if connection.dialect.name == "postgresql" else _insert_many
    for page in pages:
        fill(connection, table, page.select(names))
    if connection.dialect.name == "postgresql":
        # A new table has no statistics, and the planner would take a nested loop for any size.
        connection.execute(sa.text(f"ANALYZE {_quoted(connection, table)}"))


def unique_rows(rows: pa.Table, key: str, version: str) -> pa.Table:
    """Return each key once: the row of its highest version, and of equal versions the last."""
    if pc.count_distinct(rows[key], mode="all").as_py() == rows.num_rows:
        return rows
    numbered = rows.append_column(_POSITION, pa.array(range(rows.num_rows), pa.int64()))
    # Nulls come last: a row without a version is taken for the newest, as `keys_to_fetch` does.
    ordered = numbered.sort_by([(key, "ascending"), (version, "ascending"), (_POSITION, "ascending")])
    last = ordered.group_by(key, use_threads=False).aggregate([(_POSITION, "last")])
    return rows.take(last[f"{_POSITION}_last"])


def _copy(connection: sa.Connection, table: sa.Table, rows: pa.Table) -> None:
    driver: psycopg.Connection[Any] | None = connection.connection.driver_connection
    if driver is None:
        message = "the connection is closed"
        raise ValueError(message)
    with driver.cursor() as cursor, cursor.copy(f"COPY {_quoted(connection, table)} FROM STDIN") as copy:
        for batch in rows.to_batches(max_chunksize=_CHUNK_ROWS):
            copy.write(_copy_text(batch))


def _copy_text(batch: pa.RecordBatch) -> str:
    """Write the rows in COPY's text format (https://www.postgresql.org/docs/current/sql-copy.html)."""
    cells = [_copy_cells(array) for array in batch.columns]
    options = pc.JoinOptions(null_handling="replace", null_replacement="\\N")
    lines = pc.call_function("binary_join_element_wise", [*cells, pa.scalar("\t")], options)
    return "\n".join([*lines.to_pylist(), ""])


def _copy_cells(array: "pa.Array[Any]") -> "pa.Array[Any]":
    texts: pa.Array[Any] = array.cast(pa.string())
    if not pa.types.is_string(array.type):
        return texts
    for character, escape in _COPY_ESCAPES:
        texts = pc.replace_substring(texts, character, escape)
    return texts


def _insert_many(connection: sa.Connection, table: sa.Table, rows: pa.Table) -> None:
    places = ", ".join("?" * rows.num_columns)
    statement = f"INSERT INTO {_quoted(connection, table)} VALUES ({places})"
    for batch in rows.to_batches(max_chunksize=_CHUNK_ROWS):
        if batch.num_rows:  # A table put together of several may have an empty piece; no rows would mean no parameters.
            connection.exec_driver_sql(statement, list(_sqlite_rows(batch)))


def _sqlite_rows(batch: pa.RecordBatch) -> Iterator[tuple[object, ...]]:
    return zip(*(_sqlite_values(array).to_pylist() for array in batch.columns), strict=True)


def _sqlite_values(array: "pa.Array[Any]") -> "pa.Array[Any]":
    """Write values as SQLAlchemy reads them from SQLite: instants and dates as text, numbers as doubles."""
    if pa.types.is_timestamp(array.type):
        return array.cast(pa.timestamp("us")).cast(pa.string())
    if pa.types.is_date(array.type):
        return array.cast(pa.string())
    if pa.types.is_decimal(array.type):
        # By way of text, as the direct cast divides, and is off by one unit in the last place now and then.
        return array.cast(pa.string()).cast(pa.float64())
    return array


def _quoted(connection: sa.Connection, table: sa.Table) -> str:
    return connection.dialect.identifier_preparer.format_table(table)
