"""Changes that an administrator makes to a running organisation's schema. Each is kept as JSON and applied again."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from dynamics_emulator.schema.model import Column, Option, Schema, Table
from dynamics_emulator.schema.source import build_schema


def apply_change(schema: Schema, change: Mapping[str, Any]) -> Schema:
    """The schema after one change; ``change["kind"]`` is drop, rename, shorten, remove_option or relabel_option.

    Raises KeyError when the table or column does not exist, ValueError for an unknown kind. A dropped column keeps its
    stored values, so that nothing but the metadata changes.
    """
    table = schema.table(change["table"])
    column = table.columns[change["column"]]
    columns = dict(table.columns)
    match change["kind"]:
        case "drop":
            del columns[column.name]
        case "rename":
            columns = _renamed(columns, column, change["to"])
        case "shorten":
            columns[column.name] = replace(column, max_length=int(change["length"]))
        case "remove_option":
            columns[column.name] = _without_option(column, int(change["value"]))
        case "relabel_option":
            columns[column.name] = _relabelled(column, int(change["value"]), str(change["label"]))
        case other:
            message = f"unknown schema change {other!r}"
            raise ValueError(message)
    return _with_table(schema, replace(table, columns=MappingProxyType(columns)))


def _with_table(schema: Schema, table: Table) -> Schema:
    return build_schema([table if other.name == table.name else other for other in schema.tables.values()])


def _renamed(columns: dict[str, Column], column: Column, name: str) -> dict[str, Column]:
    renamed = replace(column, name=name, schema_name=name)
    return {
        key if key != column.name else name: value if key != column.name else renamed for key, value in columns.items()
    }


def _without_option(column: Column, value: int) -> Column:
    return replace(column, options=tuple(option for option in column.options if option.value != value))


def _relabelled(column: Column, value: int, label: str) -> Column:
    options = tuple(
        Option(option.value, label, option.state, option.default_status) if option.value == value else option
        for option in column.options
    )
    return replace(column, options=options)
