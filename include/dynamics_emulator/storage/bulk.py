"""Inserts many rows at once, for generators and for founding an organisation. No rule of the API is applied."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from dynamics_emulator.schema.model import ColumnType, Table
from dynamics_emulator.storage.database import Database, SqlValue
from dynamics_emulator.storage.layout import quote


def insert_rows(database: Database, table: Table, rows: Sequence[Mapping[str, SqlValue]]) -> None:
    """Insert stored rows, giving each the next row version; only inside a transaction.

    A column is filled if any row names it; rows that lack it get NULL, and 0 in two-option columns: those are never
    blank.
    """
    if not rows:
        return
    flags = {column.name: 0 for column in table.columns.values() if column.type is ColumnType.BOOLEAN}
    names = dict.fromkeys(name for row in (*rows, flags) for name in row if name != "versionnumber")
    first = database.reserve_versions(len(rows))
    columns = {name: [row.get(name, flags.get(name)) for row in rows] for name in names}
    insert_columns(database, table, columns, range(first, first + len(rows)))


def insert_columns(
    database: Database, table: Table, columns: Mapping[str, Sequence[SqlValue]], versions: Iterable[int]
) -> None:
    """Insert rows that are given column by column, with row versions that were reserved before; in a transaction.

    Columns that are not given are NULL. No more versions are taken than there are rows.
    """
    names = ", ".join(quote(name) for name in [*columns, "versionnumber"])
    places = ", ".join("?" for _ in range(len(columns) + 1))
    statement = f"INSERT INTO {quote(table.name)} ({names}) VALUES ({places})"
    database.connection.executemany(statement, zip(*columns.values(), versions, strict=False))


@contextmanager
def without_indexes(database: Database) -> Iterator[None]:
    """Take away the indexes of all tables of the organisation, and build them when the block ends.

    Building an index at once is quicker than keeping it up row by row. If the process is killed inside, the indexes
    are built when the organisation is opened the next time.
    """
    query = "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL"
    taken = database.connection.execute(query).fetchall()
    with database.transaction() as connection:
        for name, _ in taken:
            connection.execute(f"DROP INDEX {quote(name)}")
    try:
        yield
    finally:
        for _, statement in taken:
            # One at a time, as the journal holds all that a transaction writes.
            with database.transaction() as connection:
                connection.execute(statement)
