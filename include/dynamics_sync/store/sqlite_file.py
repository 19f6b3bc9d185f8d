"""Many rows into a table of SQLite, through a file: a driver for Arrow fills it, SQLite reads it as a second database.

Python's sqlite3 takes every value as an object of its own, which is most of what a large copy costs. The driver for
Arrow (ADBC) takes columns, but brings its own SQLite library, and two libraries on one file break each other's locks
(https://www.sqlite.org/howtocorrupt.html, section 2.2.1). So the file that it fills is another one.
"""

import os
import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa
import sqlalchemy as sa

from dynamics_sync.errors import MarketingDatabaseRefused

#: Under which name SQLite knows the file.
SCHEMA = "sync_incoming_file"
_TABLE = "rows"


def fill_through_file(
    connection: sa.Connection, table: sa.Table, pages: Iterable[pa.Table], as_kept: Callable[[pa.Array], pa.Array]
) -> int:
    """Add the rows of the pages to a lasting table, in a transaction that holds the write lock; return how many.

    The pages have the same columns, which bear the names of the table's; `as_kept` writes a column as SQLite keeps it.
    Once in a transaction: `forget_file`, at its end, detaches the file and removes it.
    Raises MarketingDatabaseRefused if the file cannot be filled.
    """
    path = _file_of(connection.engine.url)
    _make_empty(path)
    names = _write(path, pages, as_kept)
    if not names:
        return 0
    connection.exec_driver_sql(f"ATTACH DATABASE ? AS {SCHEMA}", (str(path),))
    preparer = connection.dialect.identifier_preparer
    columns = ", ".join(preparer.format_column(table.c[name]) for name in names)
    rows = f"SELECT {columns} FROM {SCHEMA}.{_TABLE} ORDER BY rowid"
    return connection.exec_driver_sql(f"INSERT INTO {preparer.format_table(table)} ({columns}) {rows}").rowcount


def forget_file(connection: sqlite3.Connection, url: sa.URL) -> None:
    """Detach the file, after the transaction, and remove it; it need not be there."""
    attached = connection.execute("SELECT 1 FROM pragma_database_list WHERE name = ?", (SCHEMA,)).fetchone()
    if attached:
        connection.execute(f"DETACH DATABASE {SCHEMA}")
        _file_of(url).unlink(missing_ok=True)


def _file_of(url: sa.URL) -> Path:
    """Beside the database: its rows are as confidential, and what a killed task left is replaced by the next one."""
    return Path(f"{url.database}-incoming")


def _make_empty(path: Path) -> None:
    path.unlink(missing_ok=True)
    # SQLite would make the file readable for every user of the machine.
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _write(path: Path, pages: Iterable[pa.Table], as_kept: Callable[[pa.Array], pa.Array]) -> list[str]:
    """Fill the file; return the names of its columns, none if there was no page."""
    # Imported here, as only databases of this kind need it.
    from adbc_driver_sqlite import dbapi  # noqa: PLC0415 - see above

    names: list[str] = []
    try:
        with dbapi.connect(str(path), autocommit=True) as driver, driver.cursor() as cursor:
            # Nobody reads the file should the task be killed, so that it need not be safe on the disk.
            cursor.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")
            for page in pages:
                names = page.column_names
                kept = [as_kept(column.combine_chunks()) for column in page.columns]
                cursor.adbc_ingest(_TABLE, pa.Table.from_arrays(kept, names=names), mode="create_append")
    except dbapi.Error as error:
        # Its text is SQLite's, which may quote a value.
        message = f"the file {path.name} beside the marketing database could not be filled ({type(error).__name__})"
        raise MarketingDatabaseRefused(message, not_done="Nothing was stored") from None
    return names
