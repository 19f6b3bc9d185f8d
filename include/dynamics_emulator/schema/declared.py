"""Reads ``tables.json``: the tables, columns, keys and N:N relationships that the shipped column list lacks."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from dynamics_emulator.schema.links import ManyToMany, Side
from dynamics_emulator.schema.model import (
    AlternateKey,
    Column,
    ColumnType,
    KeyStatus,
    OnDelete,
    Option,
    Table,
)
from dynamics_emulator.schema.shared_columns import shared_columns

YES_NO = (Option(0, "No"), Option(1, "Yes"))
_DIGITS = {ColumnType.MONEY: 4, ColumnType.DECIMAL: 10, ColumnType.DOUBLE: 5}
_WITH_MARKETO = frozenset({"lead", "contact"})


@cache
def _declared() -> dict[str, Any]:
    text = files("dynamics_emulator").joinpath("tables.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def declared_tables() -> list[Table]:
    """The tables that the shipped list does not have."""
    return [read_table(name, entry) for name, entry in _declared().items() if not name.startswith("_")]


def added_columns(table: str) -> list[Column]:
    """Columns that Marketo's solution, and the organisation itself, add to a standard table."""
    raw = list(_declared()["_marketo_columns"]) if table in _WITH_MARKETO else []
    return [read_column(entry) for entry in [*raw, *_declared()["_added_columns"].get(table, [])]]


def standard_names(table: str) -> tuple[str, str, str]:
    """Schema name, display name and plural of a standard table."""
    schema_name, display, plural = _declared()["_standard_names"][table]
    return schema_name, display, plural


def added_keys(table: str) -> tuple[AlternateKey, ...]:
    """Alternate keys of a standard table."""
    return tuple(read_key(entry) for entry in _declared()["_keys"].get(table, []))


def amend_deletion(table: str, column: Column) -> Column:
    """A lookup of a standard table with what a deletion of its target does."""
    for behaviour, names in _declared()["_on_delete"].items():
        if f"{table}.{column.name}" in names:
            return replace(column, on_delete=OnDelete(behaviour))
    return column


def declared_many_to_many() -> tuple[ManyToMany, ...]:
    """The N:N relationships of a new organisation."""
    return tuple(read_many_to_many(entry) for entry in _declared()["_many_to_many"])


def read_table(name: str, entry: Mapping[str, Any]) -> Table:
    """A table from its declaration. Its key is ``<name>id`` unless ``primary_id`` says otherwise."""
    primary_id = entry.get("primary_id") or f"{name}id"
    columns = [
        Column(primary_id, ColumnType.UNIQUEIDENTIFIER, entry["display"], required="SystemRequired", updatable=False),
        *(read_column(raw) for raw in entry["columns"]),
    ]
    states = tuple(Option(value, text, default_status=status) for value, text, status in entry.get("states", ()))
    statuses = tuple(Option(value, text, state=state) for value, text, state in entry.get("statuses", ()))
    for part in entry.get("parts", ()):
        columns += shared_columns(part, states, statuses)
    return Table(
        name=name,
        set_name=entry["set_name"],
        primary_id=primary_id,
        primary_name=entry.get("primary_name"),
        ownership=entry["ownership"],
        columns=MappingProxyType({column.name: column for column in columns}),
        keys=tuple(read_key(raw) for raw in entry.get("keys", ())),
        tracked=entry.get("tracked", True),
        optimistic=not entry.get("intersect", False),
        intersect=entry.get("intersect", False),
        schema_name=entry["schema_name"],
        display=entry["display"],
        plural=entry["plural"],
    )


def read_column(raw: Mapping[str, Any]) -> Column:
    """A column from its declaration.

    Raises KeyError when name or type is missing, ValueError for an unknown type or behaviour.
    """
    kind = ColumnType(raw["type"])
    writable = not raw.get("read_only", False)
    targets = tuple(raw.get("targets", ()))
    return Column(
        name=raw["name"],
        type=kind,
        display=raw.get("display") or raw["name"],
        max_length=raw.get("length") or _default_length(kind),
        required=raw.get("required", "None"),
        targets=targets,
        navigation=tuple(raw.get("navigation") or _navigation(raw["name"], targets)),
        options=_options(kind, raw.get("options", {})),
        creatable=raw.get("create", writable),
        updatable=raw.get("update", writable),
        format=raw.get("format") or ("DateAndTime" if kind is ColumnType.DATE_TIME else None),
        behavior=raw.get("behavior", "UserLocal") if kind is ColumnType.DATE_TIME else None,
        minimum=raw.get("min"),
        maximum=raw.get("max"),
        precision=raw.get("precision", _DIGITS.get(kind)),
        schema_name=raw.get("schema_name", ""),
        global_option_set=raw.get("global"),
        on_delete=OnDelete(raw.get("on_delete", OnDelete.REMOVE_LINK)),
    )


def _navigation(name: str, targets: tuple[str, ...]) -> Iterable[str]:
    if len(targets) == 1:
        return (name,)
    return (f"{name}_{target}" for target in targets)


def _default_length(kind: ColumnType) -> int | None:
    return {ColumnType.STRING: 100, ColumnType.MEMO: 2000}.get(kind)


def _options(kind: ColumnType, raw: Mapping[str, str]) -> tuple[Option, ...]:
    if kind is ColumnType.BOOLEAN and not raw:
        return YES_NO
    return tuple(Option(int(value), text) for value, text in raw.items())


def read_key(raw: Mapping[str, Any]) -> AlternateKey:
    """An alternate key from its declaration. Raises KeyError without a name or columns."""
    status = KeyStatus(raw.get("status", KeyStatus.ACTIVE))
    return AlternateKey(raw["name"], tuple(raw["columns"]), raw.get("display", ""), status)


def read_many_to_many(raw: Mapping[str, Any]) -> ManyToMany:
    """An N:N relationship from its declaration; its sides are table, column of the intersect table, navigation."""
    return ManyToMany(raw["name"], raw["intersect"], Side(*raw["first"]), Side(*raw["second"]))
