"""How the organisation lies in SQLite: one SQL table a Dataverse table, one SQL column a Dataverse column.

Values are stored in the form in which they go over the wire, so that a page can be printed without conversion: GUIDs
in lower case, instants as ``2026-03-01T08:15:00Z``, decimals and money as text with all their digits. Booleans are 0
and 1. A polymorphic lookup has a second column that names the table it points at.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache

from dynamics_emulator.schema.links import ManyToMany
from dynamics_emulator.schema.model import TEXT_TYPES, AlternateKey, Column, ColumnType, Schema, Table

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
_LINKED = frozenset({"account", "contact", "lead", "opportunity", "acme_event", "acme_eventattendance"})
"""Tables whose rows are deleted in practice: lookups at them are indexed, to clear them quickly."""

BOOKKEEPING = (
    'CREATE TABLE IF NOT EXISTS "_state" (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID',
    'CREATE TABLE IF NOT EXISTS "_deleted" (version INTEGER PRIMARY KEY, table_name TEXT NOT NULL, id TEXT NOT NULL)',
    'CREATE INDEX IF NOT EXISTS "_deleted_by_table" ON "_deleted" (table_name, version)',
    'CREATE INDEX IF NOT EXISTS "_deleted_by_id" ON "_deleted" (table_name, id, version)',
    'CREATE TABLE IF NOT EXISTS "_schema_change" (number INTEGER PRIMARY KEY, change TEXT NOT NULL)',
    'CREATE TABLE IF NOT EXISTS "_schema_pending" (number INTEGER PRIMARY KEY, change TEXT NOT NULL)',
)


@lru_cache(maxsize=4096)
def quote(name: str) -> str:
    """An SQL identifier. Names come from the schema, never from a request."""
    return '"' + name.replace('"', '""') + '"'


def quote_text(text: str) -> str:
    """An SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def statements(schema: Schema, existing: Mapping[str, frozenset[str]]) -> Iterable[str]:
    """All statements that bring the stored tables to this schema: missing tables, columns and indexes.

    ``existing`` are the stored columns by table. Nothing that is stored is taken away.
    """
    for table in schema.tables.values():
        if table.name not in existing:
            yield _create_table(table)
        else:
            yield from _add_columns(table, existing[table.name])
        yield from _create_indexes(table)
    for relationship in schema.many_to_many:
        yield from _link_indexes(relationship)


def clear_column(table: str, column: str, existing: frozenset[str], indexes: Iterable[str]) -> Iterable[str]:
    """Statements that remove what is stored under a column's name, so that a new column of that name starts empty.

    ``indexes`` are those that the column is part of: SQLite drops no column that an index needs.
    """
    yield from (f"DROP INDEX {quote(name)}" for name in indexes)
    for name in (column, f"{column}__type"):
        if name in existing:
            yield f"ALTER TABLE {quote(table)} DROP COLUMN {quote(name)}"


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


def _add_columns(table: Table, existing: frozenset[str]) -> Iterable[str]:
    for column in table.columns.values():
        for name, kind in stored_columns(column):
            if name not in existing:
                yield f"ALTER TABLE {quote(table.name)} ADD COLUMN {quote(name)} {kind}"


def _create_indexes(table: Table) -> Iterable[str]:
    for name in _INDEXED:
        if name in table.columns:
            yield _index(table, name, where="")
    for column in table.columns.values():
        if column.is_lookup and _LINKED.intersection(column.targets):
            yield _index(table, column.name, where=f" WHERE {quote(column.name)} IS NOT NULL")
    for key in table.keys:
        yield _key_index(table, key)


def _index(table: Table, column: str, where: str) -> str:
    name = quote(f"{table.name}:{column}")
    return f"CREATE INDEX IF NOT EXISTS {name} ON {quote(table.name)} ({quote(column)}){where}"


def _key_index(table: Table, key: AlternateKey) -> str:
    # Not unique: rows may break a key behind the API's back, and Dataverse compares keys without case.
    columns = ", ".join(
        quote(name) + (" COLLATE NOCASE" if table.columns[name].type in TEXT_TYPES else "") for name in key.columns
    )
    return f"CREATE INDEX IF NOT EXISTS {quote(f'{table.name}:{key.name}')} ON {quote(table.name)} ({columns})"


def _link_indexes(relationship: ManyToMany) -> Iterable[str]:
    table = relationship.intersect
    for mine, theirs in ((relationship.first, relationship.second), (relationship.second, relationship.first)):
        name = quote(f"{table}:{mine.column}")
        columns = f"{quote(mine.column)}, {quote(theirs.column)}"
        yield f"CREATE INDEX IF NOT EXISTS {name} ON {quote(table)} ({columns})"
