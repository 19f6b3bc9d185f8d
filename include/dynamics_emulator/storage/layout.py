"""How the organisation lies in SQLite: one SQL table a Dataverse table, one SQL column a Dataverse column.

Values are stored in the form in which they go over the wire, so that a page can be printed without conversion: GUIDs
in lower case, instants as ``2026-03-01T08:15:00Z``, decimals and money as text with all their digits. Booleans are 0
and 1. A polymorphic lookup has a second column that names the table it points at.
"""

from collections.abc import Iterable

from dynamics_emulator.schema.model import Column, ColumnType, Schema, Table

_INTEGERS = frozenset(
    {
        ColumnType.INTEGER,
        ColumnType.BIG_INT,
        ColumnType.BOOLEAN,
        ColumnType.PICKLIST,
        ColumnType.STATE,
        ColumnType.STATUS,
    }
)
_INDEXED = ("versionnumber", "modifiedon", "createdon")
_LINKED = frozenset({"account", "contact", "lead", "opportunity"})
"""Tables whose rows are deleted in practice: lookups at them are indexed, to clear them quickly."""

BOOKKEEPING = (
    'CREATE TABLE IF NOT EXISTS "_state" (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID',
    'CREATE TABLE IF NOT EXISTS "_deleted" (version INTEGER PRIMARY KEY, table_name TEXT NOT NULL, id TEXT NOT NULL)',
    'CREATE INDEX IF NOT EXISTS "_deleted_by_table" ON "_deleted" (table_name, version)',
    'CREATE TABLE IF NOT EXISTS "_schema_change" (number INTEGER PRIMARY KEY, change TEXT NOT NULL)',
)


def quote(name: str) -> str:
    """An SQL identifier. Names come from the schema, never from a request."""
    return '"' + name.replace('"', '""') + '"'


def quote_text(text: str) -> str:
    """An SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def statements(schema: Schema) -> Iterable[str]:
    """All statements that build an empty organisation; each may be repeated."""
    yield from BOOKKEEPING
    for table in schema.tables.values():
        yield _create_table(table)
        yield from _create_indexes(table)


def stored_columns(column: Column) -> list[tuple[str, str]]:
    """Name and SQL type of what is stored for one Dataverse column."""
    stored = [(column.name, _sql_type(column))]
    if column.is_polymorphic:
        stored.append((column.type_column, "TEXT"))
    return stored


def _sql_type(column: Column) -> str:
    if column.type in _INTEGERS:
        return "INTEGER"
    return "REAL" if column.type is ColumnType.DOUBLE else "TEXT"


def _create_table(table: Table) -> str:
    parts = []
    for column in table.columns.values():
        for name, kind in stored_columns(column):
            key = " PRIMARY KEY NOT NULL" if name == table.primary_id else ""
            parts.append(f"{quote(name)} {kind}{key}")
    # Pages are read in the order of the key, so the rows lie in that order too.
    return f"CREATE TABLE IF NOT EXISTS {quote(table.name)} ({', '.join(parts)}) WITHOUT ROWID"


def _create_indexes(table: Table) -> Iterable[str]:
    for name in _INDEXED:
        if name in table.columns:
            yield _index(table, name, where="")
    for column in table.columns.values():
        if column.is_lookup and _LINKED.intersection(column.targets):
            yield _index(table, column.name, where=f" WHERE {quote(column.name)} IS NOT NULL")


def _index(table: Table, column: str, where: str) -> str:
    name = quote(f"{table.name}:{column}")
    return f"CREATE INDEX IF NOT EXISTS {name} ON {quote(table.name)} ({quote(column)}){where}"
