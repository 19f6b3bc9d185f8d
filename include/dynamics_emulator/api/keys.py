"""Keys in parentheses: a row's primary key, or the columns of an alternate key."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from dynamics_emulator.api.messages import ExactNumber
from dynamics_emulator.api.values import Values, stored_value
from dynamics_emulator.errors import (
    DataverseError,
    bad_query,
    key_ambiguous,
    key_missing,
    key_not_defined,
    key_not_ready,
    key_taken,
    row_missing,
    unrecognized_path,
)
from dynamics_emulator.odata.literals import guid_text
from dynamics_emulator.odata.options import split_outside
from dynamics_emulator.odata.paths import parse_reference
from dynamics_emulator.organisation import Organisation
from dynamics_emulator.schema.model import TEXT_TYPES, AlternateKey, KeyStatus, Table
from dynamics_emulator.storage.layout import quote

_PAIR = re.compile(r"\s*([A-Za-z_]\w*)\s*=\s*(.+)", re.DOTALL)
_NUMBER = re.compile(r"-?\d+")
_FRACTION = re.compile(r"-?\d+\.\d+")


@dataclass(frozen=True)
class RowKey:
    """What the text in the parentheses names. ``row_id`` is None when no row has the alternate key."""

    text: str
    row_id: str | None
    alternate: AlternateKey | None = None
    values: Values = field(default_factory=dict)

    def required(self, table: Table) -> str:
        """The row's primary key. Raises a 404 (0x80060891) when no row has the alternate key."""
        if self.row_id is None:
            raise key_missing(table.name)
        return self.row_id


def locate(organisation: Organisation, table: Table, text: str) -> RowKey:
    """Read a key and look an alternate one up.

    Raises a 400 when the columns are no key of the table (0x80060890), when the key's index is not active, or when a
    value does not fit its column.
    """
    named = _named_values(text)
    if not named:
        return RowKey(text, _guid(text))
    if set(named) == {table.primary_id} and not table.key_is_owner:
        return RowKey(text, _guid(named[table.primary_id]))
    key = _defined_key(table, named)
    if key.status is not KeyStatus.ACTIVE:
        raise key_not_ready(key.name, key.status.value)
    values = _key_values(table, named)
    return RowKey(text, find_by_key(organisation, table, key, values), key, values)


def find_reference(organisation: Organisation, reference: str) -> tuple[Table, str]:
    """The table and primary key of an existing row that a bind or ``@odata.id`` names. Raises a 404 for none."""
    segment = parse_reference(reference)
    table = organisation.table_of_set(segment.name)
    if table is None:
        raise unrecognized_path()
    return table, locate_stored(organisation, table, segment.key or "")


def locate_stored(organisation: Organisation, table: Table, text: str) -> str:
    """The primary key of the existing row that a key names. Raises a 404 when there is none."""
    row_id = locate(organisation, table, text).required(table)
    query = f"SELECT 1 FROM {quote(table.name)} WHERE {quote(table.primary_id)} = ?"
    if organisation.database.connection.execute(query, (row_id,)).fetchone() is None:
        raise row_missing(table.name, row_id)
    return row_id


def find_by_key(organisation: Organisation, table: Table, key: AlternateKey, values: Values) -> str | None:
    """The primary key of the row with these key values, or None. Raises a 400 (0x8006089d) for several rows."""
    found = _rows_with(organisation, table, key, values)
    if len(found) > 1:
        raise key_ambiguous(table.name, ", ".join(key.columns))
    return found[0] if found else None


def require_unique(organisation: Organisation, table: Table, row: Values, row_id: str, written: Values) -> None:
    """Refuse a row whose key values another row has (0x80060892).

    ``row`` is the row as it will be, ``written`` the part of it that this write sets. A key with an empty column binds
    nothing, and neither does a key whose index is not active.
    """
    for key in table.keys:
        if key.status is not KeyStatus.ACTIVE or not any(name in written for name in key.columns):
            continue
        values = {name: row.get(name) for name in key.columns}
        if None in values.values():
            continue
        if any(other != row_id for other in _rows_with(organisation, table, key, values)):
            display = ", ".join(table.columns[name].display for name in key.columns)
            raise key_taken(key.display or key.name, display, organisation.settings.duplicate_alternate_key_status)


def _rows_with(organisation: Organisation, table: Table, key: AlternateKey, values: Values) -> list[str]:
    # NOCASE is also what the index of a key uses, see storage/layout.py.
    conditions = " AND ".join(f"{quote(name)} = ?{_collation(table, name)}" for name in key.columns)
    query = f"SELECT {quote(table.primary_id)} FROM {quote(table.name)} WHERE {conditions} LIMIT 2"
    found = organisation.database.connection.execute(query, [values[name] for name in key.columns])
    return [str(row_id) for (row_id,) in found]


def _collation(table: Table, name: str) -> str:
    return " COLLATE NOCASE" if table.columns[name].type in TEXT_TYPES else ""


def _defined_key(table: Table, named: Mapping[str, str]) -> AlternateKey:
    columns = {table.properties[name].name for name in named if name in table.properties}
    if len(columns) == len(named):
        for key in table.keys:
            if set(key.columns) == columns:
                return key
    raise key_not_defined(table.name)


def _key_values(table: Table, named: Mapping[str, str]) -> Values:
    values: Values = {}
    for name, literal in named.items():
        column = table.properties[name]
        try:
            values[column.name] = stored_value(table, column, _literal(literal))
        except DataverseError as problem:
            message = f"The value of the key property '{name}' is not valid for its type."
            raise bad_query(message) from problem
    return values


def _literal(text: str) -> object:
    if text.startswith("'"):
        return _unquoted(text)
    if text in ("true", "false"):
        return text == "true"
    if _NUMBER.fullmatch(text):
        return int(text)
    return ExactNumber(text) if _FRACTION.fullmatch(text) else text


def _unquoted(text: str) -> str:
    return text[1:-1].replace("''", "'") if len(text) > 1 and text[0] == text[-1] == "'" else text


def _named_values(text: str) -> dict[str, str]:
    """``name=literal`` pairs of a key; empty when the key is a bare value."""
    if "=" not in text:
        return {}
    pairs = [_PAIR.fullmatch(part) for part in split_outside(text, ",")]
    return {pair[1]: pair[2].strip() for pair in pairs if pair} if pairs and all(pairs) else {}


def _guid(text: str) -> str:
    try:
        return guid_text(_unquoted(text.strip()))
    except ValueError as problem:
        message = f"Unrecognized 'Edm.Guid' literal '{text}' in the key of the URL."
        raise bad_query(message) from problem
