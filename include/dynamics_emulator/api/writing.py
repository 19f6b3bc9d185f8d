"""Creates, updates and deletes rows. Each write draws a new row version, whether or not a value differs."""

import uuid
from dataclasses import dataclass
from operator import itemgetter

from dynamics_emulator.api import rules
from dynamics_emulator.api.access import require_create, require_update
from dynamics_emulator.api.keys import require_unique
from dynamics_emulator.api.messages import Caller
from dynamics_emulator.api.values import Values
from dynamics_emulator.errors import duplicate_key, row_missing, version_mismatch, versions_not_enabled
from dynamics_emulator.organisation import Organisation
from dynamics_emulator.schema.model import Table
from dynamics_emulator.storage.layout import quote

_FIRST = itemgetter(0)


@dataclass(frozen=True)
class Precondition:
    """``If-Match`` and ``If-None-Match`` of a write; None where the header is absent."""

    if_match: str | None = None
    if_none_match: str | None = None

    @property
    def must_exist(self) -> bool:
        """Whether a missing row is an error."""
        return self.if_match is not None

    @property
    def must_be_new(self) -> bool:
        """Whether an existing row is an error."""
        return self.if_none_match == "*"

    def require_version(self, table: Table, version: object) -> None:
        """Refuse a stored version that ``If-Match`` does not name (412), and any on a table without versions (400)."""
        if self.if_match in (None, "*"):
            return
        if not table.optimistic:
            raise versions_not_enabled(table.name)
        named = [part.strip() for part in (self.if_match or "").split(",")]
        if f'W/"{version}"' not in named:
            raise version_mismatch()


def stored_row(organisation: Organisation, table: Table, row_id: str) -> Values | None:
    """The row as stored, or None."""
    query = f"SELECT * FROM {quote(table.name)} WHERE {quote(table.primary_id)} = ?"
    cursor = organisation.database.connection.execute(query, (row_id,))
    found = cursor.fetchone()
    if found is None:
        return None
    return dict(zip(map(_FIRST, cursor.description), found, strict=True))


def _is_stored(organisation: Organisation, table: Table, row_id: str) -> bool:
    """Whether there is such a row; naming the columns of a missing one would cost six times as much."""
    query = f"SELECT 1 FROM {quote(table.name)} WHERE {quote(table.primary_id)} = ?"
    return organisation.database.connection.execute(query, (row_id,)).fetchone() is not None


def create_row(organisation: Organisation, table: Table, caller: Caller, values: Values) -> str:
    """Insert a row and return its key. Raises a 412 when its key, or an alternate key, is taken."""
    row_id = str(values.get(table.primary_id) or new_id(organisation))
    if _is_stored(organisation, table, row_id):
        raise duplicate_key()
    row = rules.created(organisation, table, caller, {**values, table.primary_id: row_id})
    require_create(organisation, table, caller, row)
    require_unique(organisation, table, row, row_id, row)
    insert(organisation, table, row)
    return row_id


def update_row(organisation: Organisation, table: Table, caller: Caller, stored: Values, values: Values) -> None:
    """Write values over a stored row. Raises a 412 when an alternate key is taken."""
    require_update(organisation, table, caller, stored, values)
    row = rules.updated(organisation, table, caller, values, stored)
    row_id = str(stored[table.primary_id])
    require_unique(organisation, table, {**stored, **row}, row_id, row)
    overwrite(organisation, table, row_id, row)


def new_id(organisation: Organisation) -> str:
    """A key for a row that brings none."""
    return str(uuid.UUID(int=organisation.random.getrandbits(128), version=4))


def insert(organisation: Organisation, table: Table, row: Values) -> None:
    """Store a new row without any rule, and draw its version."""
    row = {**row, "versionnumber": organisation.database.next_version()}
    names = ", ".join(quote(name) for name in row)
    query = f"INSERT INTO {quote(table.name)} ({names}) VALUES ({', '.join('?' * len(row))})"
    organisation.database.connection.execute(query, list(row.values()))


def overwrite(organisation: Organisation, table: Table, row_id: str, row: Values) -> None:
    """Set stored columns without any rule, and draw a new version unless ``row`` brings one."""
    if "versionnumber" not in row:
        row = {**row, "versionnumber": organisation.database.next_version()}
    pairs = ", ".join(f"{quote(name)} = ?" for name in row)
    query = f"UPDATE {quote(table.name)} SET {pairs} WHERE {quote(table.primary_id)} = ?"
    organisation.database.connection.execute(query, [*row.values(), row_id])


def require_change(table: Table, row_id: str, stored: Values | None, precondition: Precondition) -> None:
    """Refuse an upsert whose condition does not hold: 404 for a missing row, 412 for a taken key or a stale version."""
    if stored is None:
        if precondition.must_exist:
            raise row_missing(table.name, row_id)
        return
    if precondition.must_be_new:
        raise duplicate_key()
    precondition.require_version(table, stored["versionnumber"])


def remove(organisation: Organisation, table: Table, row_id: str) -> None:
    """Take a row out and keep its key in the log of deletions."""
    query = f"DELETE FROM {quote(table.name)} WHERE {quote(table.primary_id)} = ?"
    organisation.database.connection.execute(query, (row_id,))
    log_deletion(organisation, table, row_id)


def log_deletion(organisation: Organisation, table: Table, row_id: str) -> None:
    """Let change tracking report a row as deleted."""
    database = organisation.database
    log = 'INSERT INTO "_deleted" (version, table_name, id) VALUES (?, ?, ?)'
    database.connection.execute(log, (database.next_version(), table.name, row_id))
