"""Inserts many rows at once, for generators and for founding an organisation. No rule of the API is applied."""

from collections.abc import Mapping, Sequence

from dynamics_emulator.schema.model import Table
from dynamics_emulator.storage.database import Database, SqlValue
from dynamics_emulator.storage.layout import quote


def insert_rows(database: Database, table: Table, rows: Sequence[Mapping[str, SqlValue]]) -> None:
    """Insert stored rows, giving each the next row version; only inside a transaction.

    A column is filled if any row names it; rows that lack it get NULL.
    """
    if not rows:
        return
    names = list(dict.fromkeys(name for row in rows for name in row if name != "versionnumber"))
    first = database.reserve_versions(len(rows))
    columns = ", ".join(quote(name) for name in [*names, "versionnumber"])
    places = ", ".join("?" for _ in range(len(names) + 1))
    values = ([*(row.get(name) for name in names), first + at] for at, row in enumerate(rows))
    database.connection.executemany(f"INSERT INTO {quote(table.name)} ({columns}) VALUES ({places})", values)
