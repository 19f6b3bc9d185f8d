"""What the queries of all views need: which columns a table has today, and texts that can stand in a definition."""

from collections.abc import Mapping

import sqlalchemy as sa

TEXT = "TEXT"


def column_kinds(connection: sa.Connection, table: str) -> Mapping[str, str]:
    """Return the table's columns in order, each with what it holds, without length or scale; empty without a table."""
    inspector = sa.inspect(connection)
    if not inspector.has_table(table):
        return {}
    return {column["name"]: _kind(connection, column["type"]) for column in inspector.get_columns(table)}


def text(value: str | None) -> sa.ColumnElement[str]:
    """Write a text into the query: a view's definition cannot have bound values."""
    return sa.cast(sa.null() if value is None else sa.literal(value, literal_execute=True), sa.Text)


def number(value: int) -> sa.ColumnElement[int]:
    """Write a number into the query, see `text`."""
    return sa.literal_column(str(value), sa.BigInteger)


def _kind(connection: sa.Connection, held: sa.types.TypeEngine[object]) -> str:
    """Return one word for texts of any length, CHAR apart: that is what SQLite keeps a GUID in."""
    if isinstance(held, sa.String) and not isinstance(held, sa.CHAR):
        return TEXT
    return held.compile(connection.dialect).partition("(")[0]
