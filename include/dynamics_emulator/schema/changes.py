"""Changes that administrators make to a schema. Each is kept as JSON, so that it can be applied again."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import reduce
from types import MappingProxyType
from typing import Any

from dynamics_emulator.schema import option_changes
from dynamics_emulator.schema.declared import read_column, read_key, read_many_to_many, read_table
from dynamics_emulator.schema.links import ManyToMany
from dynamics_emulator.schema.model import Column, KeyStatus, Schema, Table
from dynamics_emulator.schema.protected import require_free_column, require_own_table
from dynamics_emulator.schema.source import build_schema

Change = Mapping[str, Any]
"""``kind``, ``table``, mostly ``column`` (a logical name), and what the kind needs."""


def apply_changes(schema: Schema, changes: Iterable[Change]) -> Schema:
    """The schema after several changes, in their order."""
    return reduce(apply_change, changes, schema)


def apply_change(schema: Schema, change: Change) -> Schema:
    """The schema after one change.

    Raises KeyError when the table, column or key does not exist, ValueError for an unknown kind, or for something that
    exists already or that the platform needs. A dropped column keeps its stored values, so that nothing but the
    metadata changes.
    """
    kind = change["kind"]
    if kind in _SCHEMA_CHANGES:
        return _SCHEMA_CHANGES[kind](schema, change)
    table = schema.table(change["table"])
    if kind in _REPLACING:
        require_free_column(table, change["column"])
    if kind in _TABLE_CHANGES:
        return _with_table(schema, _TABLE_CHANGES[kind](table, change))
    if kind in _COLUMN_CHANGES:
        column = _COLUMN_CHANGES[kind](table.columns[change["column"]], change)
        return _with_table(schema, _with_columns(table, {**table.columns, column.name: column}))
    message = f"unknown schema change {kind!r}"
    raise ValueError(message)


def _with_table(schema: Schema, table: Table) -> Schema:
    tables = [table if other.name == table.name else other for other in schema.tables.values()]
    return build_schema(tables, schema.many_to_many)


def _with_columns(table: Table, columns: Mapping[str, Column]) -> Table:
    return replace(table, columns=MappingProxyType(dict(columns)))


def _add_table(schema: Schema, change: Change) -> Schema:
    if change["table"] in schema.tables:
        message = f"the table {change['table']} exists"
        raise ValueError(message)
    table = read_table(change["table"], change["declared"])
    return build_schema([*schema.tables.values(), table], schema.many_to_many)


def _drop_table(schema: Schema, change: Change) -> Schema:
    require_own_table(schema.table(change["table"]))
    gone = change["table"]

    def stays(relationship: ManyToMany) -> bool:
        return gone not in (relationship.intersect, relationship.first.table, relationship.second.table)

    kept = [table for table in schema.tables.values() if table.name != gone]
    return build_schema(kept, tuple(filter(stays, schema.many_to_many)))


def _add_many_to_many(schema: Schema, change: Change) -> Schema:
    found = read_many_to_many(change["declared"])
    for name in (found.intersect, found.first.table, found.second.table):
        schema.table(name)
    return build_schema(schema.tables.values(), (*schema.many_to_many, found))


def _drop_column(table: Table, change: Change) -> Table:
    gone = table.columns[change["column"]].name
    columns = {name: column for name, column in table.columns.items() if name != gone}
    keys = tuple(key for key in table.keys if gone not in key.columns)
    return replace(_with_columns(table, columns), keys=keys)


def _rename_column(table: Table, change: Change) -> Table:
    old, new = table.columns[change["column"]], str(change["to"])
    if new in table.columns:
        message = f"{table.name} has a column {new}"
        raise ValueError(message)
    renamed = replace(old, name=new, schema_name=new)
    columns = {column.name: column for column in (renamed if item is old else item for item in table.columns.values())}
    keys = tuple(
        replace(key, columns=tuple(new if name == old.name else name for name in key.columns)) for key in table.keys
    )
    primary_name = new if table.primary_name == old.name else table.primary_name
    return replace(_with_columns(table, columns), keys=keys, primary_name=primary_name)


def _add_column(table: Table, change: Change) -> Table:
    column = read_column({"name": change["column"], **change["declared"]})
    if column.name in table.columns:
        message = f"{table.name} has a column {column.name}"
        raise ValueError(message)
    return _with_columns(table, {**table.columns, column.name: column})


def _retype_column(table: Table, change: Change) -> Table:
    old = table.columns[change["column"]]
    column = read_column({"name": old.name, "display": old.display, **change["declared"]})
    return _with_columns(table, {**table.columns, old.name: column})


def _add_key(table: Table, change: Change) -> Table:
    key = read_key(change["declared"])
    for name in key.columns:
        table.columns[name]
    if any(other.name == key.name for other in table.keys):
        message = f"{table.name} has a key {key.name}"
        raise ValueError(message)
    return replace(table, keys=(*table.keys, key))


def _remove_key(table: Table, change: Change) -> Table:
    kept = tuple(key for key in table.keys if key.name != change["key"])
    if len(kept) == len(table.keys):
        raise KeyError(change["key"])
    return replace(table, keys=kept)


def _set_key_status(table: Table, change: Change) -> Table:
    status = KeyStatus(change["status"])
    if all(key.name != change["key"] for key in table.keys):
        raise KeyError(change["key"])
    keys = tuple(replace(key, status=status) if key.name == change["key"] else key for key in table.keys)
    return replace(table, keys=keys)


def _set_table(table: Table, change: Change) -> Table:
    """Facts of the table itself: ``tracked``, ``optimistic``, ``display``, ``plural`` and ``translations``."""
    facts = {name: change[name] for name in ("tracked", "optimistic", "display", "plural") if name in change}
    if "translations" in change:
        facts["translations"] = tuple((int(code), text) for code, text in change["translations"].items())
    return replace(table, **facts)


_FACTS = {
    "display": "display",
    "required": "required",
    "length": "max_length",
    "min": "minimum",
    "max": "maximum",
    "precision": "precision",
    "format": "format",
}


def _set_column(column: Column, change: Change) -> Column:
    """Facts of the column, by the words of ``tables.json``; also ``navigation`` and ``translations``."""
    facts = {field: change[word] for word, field in _FACTS.items() if word in change}
    if "navigation" in change:
        facts["navigation"] = tuple(change["navigation"])
    if "translations" in change:
        facts["translations"] = tuple((int(code), text) for code, text in change["translations"].items())
    return replace(column, **facts)


def _set_length(column: Column, change: Change) -> Column:
    return replace(column, max_length=int(change["length"]))


_REPLACING = frozenset({"drop", "rename", "retype"})
"""Changes after which a column of the old name and type is not there any more."""
_SCHEMA_CHANGES: Mapping[str, Callable[[Schema, Change], Schema]] = {
    "add_table": _add_table,
    "drop_table": _drop_table,
    "add_many_to_many": _add_many_to_many,
}
_TABLE_CHANGES: Mapping[str, Callable[[Table, Change], Table]] = {
    "drop": _drop_column,
    "rename": _rename_column,
    "add": _add_column,
    "retype": _retype_column,
    "add_key": _add_key,
    "remove_key": _remove_key,
    "key_status": _set_key_status,
    "set_table": _set_table,
}
_COLUMN_CHANGES: Mapping[str, Callable[[Column, Change], Column]] = {
    "shorten": _set_length,
    "set": _set_column,
    "add_option": option_changes.add_option,
    "remove_option": option_changes.remove_option,
    "relabel_option": option_changes.relabel_option,
    "replace_options": option_changes.replace_options,
}
