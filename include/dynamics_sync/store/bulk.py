"""The bulk path: many rows of Arrow into a table, in the transaction that merges them.

On PostgreSQL it is psycopg's COPY, whose binary format pgpq writes from Arrow. On SQLite it is `executemany` for
temporary tables, and a file between the two for the many rows of a first copy (see `sqlite_file`).
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pgpq
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from dynamics_sync.store.column_types import is_guid
from dynamics_sync.store.sqlite_file import fill_through_file

#: Rows that are turned into bytes or Python objects at once; it bounds the memory that they take.
_CHUNK_ROWS = 10_000

_NIL = "00000000-0000-0000-0000-000000000000"
#: Where the hexadecimal digits of a GUID stand in its text, and what each character means; no digit means 255.
_DIGITS_AT = [position for position, character in enumerate(_NIL) if character != "-"]
_HYPHENS_AT = [position for position, character in enumerate(_NIL) if character == "-"]
_DIGIT_VALUES = np.full(256, 255, np.uint8)
for _character in "0123456789abcdefABCDEF":
    _DIGIT_VALUES[ord(_character)] = int(_character, 16)


def temporary_table(name: str, *columns: sa.Column[Any]) -> sa.Table:
    """Return a table that only its transaction sees; `ingest` creates it."""
    return sa.Table(name, sa.MetaData(), *columns, prefixes=["TEMPORARY"], postgresql_on_commit="DROP")


def ingest(connection: sa.Connection, table: sa.Table, pages: Iterable[pa.Table]) -> None:
    """Create the temporary table and fill it page by page; the pages' columns bear the names of the table's."""
    table.create(connection, checkfirst=False)
    if connection.dialect.name == "sqlite":
        for page in pages:
            _insert_many(connection, table, page)
    else:
        append(connection, table, pages)
        # A new table has no statistics, and the planner would take a nested loop for any size. It asks how many rows
        # there are and how many keys; to look at all columns would take longer than to fill them.
        name = connection.dialect.identifier_preparer.format_table(table)
        keys = ", ".join(connection.dialect.identifier_preparer.format_column(column) for column in table.primary_key)
        connection.execute(sa.text(f"ANALYZE {name}{f' ({keys})' if keys else ''}"))


def append(connection: sa.Connection, table: sa.Table, pages: Iterable[pa.Table]) -> int:
    """Add rows to a table page by page, whose columns bear the names of the table's; return how many were added.

    In a transaction that writes; on SQLite once in it, and to a lasting table.
    """
    if connection.dialect.name == "sqlite":
        return fill_through_file(connection, table, pages, _sqlite_values)
    return sum(_copy(connection, table, page) for page in pages)


def _copy(connection: sa.Connection, table: sa.Table, rows: pa.Table) -> int:
    driver: psycopg.Connection[Any] | None = connection.connection.driver_connection
    if driver is None:
        message = "the connection is closed"
        raise ValueError(message)
    wire = _as_on_the_wire(table, rows)
    encoder = pgpq.ArrowToPostgresBinaryEncoder(wire.schema)
    statement = f"COPY {_quoted(connection, table, rows)} FROM STDIN (FORMAT BINARY)"
    with driver.cursor() as cursor:
        with cursor.copy(statement) as copy:
            copy.write(encoder.write_header())
            for batch in wire.to_batches(max_chunksize=_CHUNK_ROWS):
                copy.write(encoder.write_batch(batch))
            copy.write(encoder.finish())
        return cursor.rowcount


def _as_on_the_wire(table: sa.Table, rows: pa.Table) -> pa.Table:
    """GUIDs are text to us and 16 bytes to PostgreSQL; its binary format has no other conversion to offer."""
    for position, name in enumerate(rows.column_names):
        if is_guid(table.c[name].type):
            values = pa.chunked_array([guid_bytes(chunk) for chunk in rows[name].chunks], pa.binary(16))
            rows = rows.set_column(position, name, values)
    return rows


def guid_bytes(texts: "pa.Array[Any]") -> "pa.Array[Any]":
    """Return GUIDs as their 16 bytes; nulls stay. Raises ValueError for what is none, without its text."""
    try:
        fixed = pc.fill_null(texts, _NIL).cast(pa.binary()).cast(pa.binary(len(_NIL)))
    except pa.ArrowInvalid:
        raise _no_guid() from None
    characters = np.frombuffer(fixed.buffers()[1], np.uint8)[fixed.offset * len(_NIL) :]
    characters = characters[: len(fixed) * len(_NIL)].reshape(-1, len(_NIL))
    digits = _DIGIT_VALUES[characters[:, _DIGITS_AT]]
    if (digits > 15).any() or (characters[:, _HYPHENS_AT] != ord("-")).any():
        raise _no_guid()
    packed = (digits[:, 0::2] << 4) | digits[:, 1::2]
    validity = pa.concat_arrays([pc.is_valid(texts)]).buffers()[1] if texts.null_count else None
    return pa.Array.from_buffers(pa.binary(16), len(fixed), [validity, pa.py_buffer(packed.tobytes())])


def _no_guid() -> ValueError:
    message = "a value is no GUID"
    return ValueError(message)


def _insert_many(connection: sa.Connection, table: sa.Table, rows: pa.Table) -> None:
    places = ", ".join("?" * rows.num_columns)
    statement = f"INSERT INTO {_quoted(connection, table, rows)} VALUES ({places})"
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


def _quoted(connection: sa.Connection, table: sa.Table, rows: pa.Table) -> str:
    """The table and those of its columns that the rows have, in their order."""
    preparer = connection.dialect.identifier_preparer
    columns = ", ".join(preparer.format_column(table.c[name]) for name in rows.column_names)
    return f"{preparer.format_table(table)} ({columns})"
