"""Changes the schema of a running organisation: what is stored, what is kept, and what is answered from now on."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from dynamics_emulator.odata.tracking import expire_tokens
from dynamics_emulator.organisation import Organisation
from dynamics_emulator.schema.changes import apply_change
from dynamics_emulator.sdk_messages import found_messages
from dynamics_emulator.security.founding import found_roles
from dynamics_emulator.storage.database import Database
from dynamics_emulator.storage.layout import clear_column, quote

_EMPTYING = frozenset({"add", "retype"})
"""Changes that make a new column: whatever was stored under its name is gone."""


def change_schema(organisation: Organisation, change: Mapping[str, Any], *, published: bool = True) -> None:
    """Apply a change at once, or keep it for the next publication.

    Raises as :func:`dynamics_emulator.schema.changes.apply_change` does; nothing is changed then.
    """
    database = organisation.database
    changed = apply_change(organisation.schema, change)
    if not published:
        with database.transaction() as connection:
            connection.execute('INSERT INTO "_schema_pending" (change) VALUES (?)', (json.dumps(dict(change)),))
        return
    with database.transaction() as connection:
        for statement in _statements(database, change):
            connection.execute(statement)
        database.create(changed)
        found_roles(database, changed)
        found_messages(database, changed)
        text = json.dumps({**change, "version": database.next_version()})
        connection.execute('INSERT INTO "_schema_change" (change) VALUES (?)', (text,))
    organisation.schema = changed
    if organisation.settings.metadata_change_expires_tokens:
        expire_tokens(database, change["table"])


def publish_changes(organisation: Organisation) -> int:
    """Apply the changes that wait for publication, in their order; returns how many there were."""
    database = organisation.database
    with database.transaction() as connection:
        rows = connection.execute('SELECT change FROM "_schema_pending" ORDER BY number').fetchall()
        connection.execute('DELETE FROM "_schema_pending"')
        for (text,) in rows:
            change_schema(organisation, json.loads(text))
    return len(rows)


def _statements(database: Database, change: Mapping[str, Any]) -> Iterable[str]:
    kind, table = change["kind"], change["table"]
    if kind == "rename":
        # A dropped column of the new name may have left its values behind.
        yield from _clear(database, table, change["to"])
        yield f"ALTER TABLE {quote(table)} RENAME COLUMN {quote(change['column'])} TO {quote(change['to'])}"
    elif kind in _EMPTYING:
        yield from _clear(database, table, change["column"])


def _clear(database: Database, table: str, column: str) -> Iterable[str]:
    return clear_column(table, column, database.stored_columns()[table], database.indexes_on(table, column))
