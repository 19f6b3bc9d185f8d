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
    Once in a transaction, after which `forget_file` detaches the file.
    Raises MarketingDatabaseRefused if the file cannot be made or filled.
    """
    path = _file_of(connection)
    _make_empty(path)
    try:
        names = _write(path, pages, as_kept, connection.exec_driver_sql("PRAGMA encoding").scalar_one())
        if not names:
            return 0
        connection.exec_driver_sql(f"ATTACH DATABASE ? AS {SCHEMA}", (str(path),))
    finally:
        # The file is open, and nobody needs its name any more. Only as long as the lock is held is it ours to remove.
        path.unlink(missing_ok=True)
    preparer = connection.dialect.identifier_preparer
    columns = ", ".join(preparer.format_column(table.c[name]) for name in names)
    rows = f"SELECT {columns} FROM {SCHEMA}.{_TABLE} ORDER BY rowid"
    return connection.exec_driver_sql(f"INSERT INTO {preparer.format_table(table)} ({columns}) {rows}").rowcount


def remove_leftover(connection: sa.Connection) -> None:
    """Remove what a killed task left, in a transaction that holds the write lock; on PostgreSQL there is nothing."""
    if connection.dialect.name == "sqlite":
        _file_of(connection).unlink(missing_ok=True)


def forget_file(connection: sqlite3.Connection) -> None:
    """Detach the file, after the transaction; there need not be one."""
    if connection.execute("SELECT 1 FROM pragma_database_list WHERE name = ?", (SCHEMA,)).fetchone():
        connection.execute(f"DETACH DATABASE {SCHEMA}")


def _file_of(connection: sa.Connection) -> Path:
    """Beside the database itself, as its log is: the rows are as confidential, and belong on no other disk."""
    return Path(f"{os.path.realpath(str(connection.engine.url.database))}-dynamics-sync")


def _make_empty(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
        # SQLite would make the file readable for every user of the machine.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except OSError as error:
        message = f"the file {path.name} cannot be made in the folder of the marketing database ({error.strerror})"
        raise MarketingDatabaseRefused(message, not_done="Nothing was stored") from None


def _write(path: Path, pages: Iterable[pa.Table], as_kept: Callable[[pa.Array], pa.Array], encoding: str) -> list[str]:
    """Fill the file; return the names of its columns, none if there was no page."""
    # Imported here, as only databases of this kind need it.
    from adbc_driver_sqlite import dbapi  # noqa: PLC0415 - see above

    names: list[str] = []
    try:
        with dbapi.connect(str(path), autocommit=True) as driver, driver.cursor() as cursor:
            # Nobody reads the file should the task be killed, so that it need not be safe on the disk.
            # The encoding must be that of the database that it is attached to.
            cursor.executescript(f"PRAGMA encoding = '{encoding}'; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF")
            for page in pages:
                names = page.column_names
                kept = [as_kept(column.combine_chunks()) for column in page.columns]
                cursor.adbc_ingest(_TABLE, pa.Table.from_arrays(kept, names=names), mode="create_append")
    except dbapi.Error as error:
        # Its text is SQLite's, which may quote a value.
        message = f"the file {path.name} beside the marketing database could not be filled ({type(error).__name__})"
        raise MarketingDatabaseRefused(message, not_done="Nothing was stored") from None
    return names
