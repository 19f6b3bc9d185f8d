"""Reads the shipped column list into a :class:`Schema`.

The list is derived from microsoft/CDM (CC BY 4.0); ``columns.json`` names its source and the changes made.
"""

import json
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from dynamics_emulator.schema.additions import amend
from dynamics_emulator.schema.declared import (
    YES_NO,
    added_columns,
    added_keys,
    declared_many_to_many,
    declared_tables,
    standard_names,
)
from dynamics_emulator.schema.links import ManyToMany
from dynamics_emulator.schema.model import Collection, Column, ColumnType, Option, Schema, Table

_DATE_ONLY = {
    ("contact", "birthdate"),
    ("contact", "anniversary"),
    ("opportunity", "actualclosedate"),
    ("opportunity", "estimatedclosedate"),
    ("opportunity", "finaldecisiondate"),
}
_UNTRACKED = {"connection", "teammembership"}
_PRINCIPALS = {"systemuser", "team"}


@cache
def default_schema() -> Schema:
    """The schema of a new organisation: the shipped list, Marketo's columns, and the tables declared beside it."""
    raw = json.loads(files("dynamics_emulator").joinpath("columns.json").read_text(encoding="utf-8"))
    tables = [_read_table(name, entry) for name, entry in raw.items() if not name.startswith("_")]
    return build_schema([*tables, *declared_tables()], declared_many_to_many())


def build_schema(tables: Iterable[Table], many_to_many: tuple[ManyToMany, ...] = ()) -> Schema:
    """Put tables together and derive their collection-valued navigation properties."""
    by_name = {table.name: table for table in tables}
    found: dict[str, dict[str, Collection]] = {name: {} for name in by_name}
    for table in by_name.values():
        for column in table.columns.values():
            for target in column.targets:
                if target in by_name:
                    name = collection_name(table.name, column, target)
                    found[target][name] = Collection(name, target, table.name, column.name)
    frozen = {name: MappingProxyType(entries) for name, entries in found.items()}
    return Schema(MappingProxyType(by_name), MappingProxyType(frozen), many_to_many)


_COLLECTION_NAMES = {
    ("contact", "parentcustomerid", "account"): "contact_customer_accounts",
    ("contact", "parentcustomerid", "contact"): "contact_customer_contacts",
    ("opportunity", "customerid", "account"): "opportunity_customer_accounts",
    ("opportunity", "customerid", "contact"): "opportunity_customer_contacts",
    ("lead", "customerid", "account"): "lead_customer_accounts",
    ("lead", "customerid", "contact"): "lead_customer_contacts",
    ("lead", "parentaccountid", "account"): "lead_parent_account",
    ("lead", "parentcontactid", "contact"): "lead_parent_contact",
    ("account", "parentaccountid", "account"): "account_parent_account",
    ("account", "primarycontactid", "contact"): "account_primary_contact",
    ("opportunity", "parentaccountid", "account"): "opportunity_parent_account",
    ("opportunity", "parentcontactid", "contact"): "opportunity_parent_contact",
    ("lead", "masterid", "lead"): "lead_master_lead",
    ("account", "masterid", "account"): "account_master_account",
    ("contact", "masterid", "contact"): "contact_master_contact",
    ("lead", "qualifyingopportunityid", "opportunity"): "lead_qualifying_opportunity",
    ("account", "originatingleadid", "lead"): "account_originating_lead",
    ("contact", "originatingleadid", "lead"): "contact_originating_lead",
    ("opportunity", "originatingleadid", "lead"): "opportunity_originating_lead",
    ("lead", "campaignid", "campaign"): "campaign_leads",
    ("opportunity", "campaignid", "campaign"): "campaign_opportunities",
}


def collection_name(child: str, column: Column, target: str) -> str:
    """Name of the 1:N relationship, which is also the parent's collection property."""
    known = _COLLECTION_NAMES.get((child, column.name, target))
    if known:
        return known
    if column.name in ("record1id", "record2id"):
        return f"{target}_connections{column.name[6]}"
    return f"{target}_{child}_{column.name}"


def _read_table(name: str, entry: dict[str, Any]) -> Table:
    schema_name, display, plural = standard_names(name)
    columns = {raw["name"]: amend(name, _read_column(name, raw)) for raw in entry["columns"]}
    columns.update({column.name: column for column in added_columns(name)})
    return Table(
        name=name,
        set_name=entry["set_name"],
        primary_id=entry["primary_id"],
        primary_name=entry["primary_name"],
        ownership=entry["ownership"],
        columns=MappingProxyType(columns),
        keys=added_keys(name),
        tracked=name not in _UNTRACKED,
        optimistic=not entry.get("intersect", False),
        intersect=bool(entry.get("intersect")),
        activity=bool(entry.get("is_activity")),
        schema_name=schema_name,
        display=display,
        plural=plural,
        key_is_owner=name in _PRINCIPALS,
    )


def _read_column(table: str, raw: dict[str, Any]) -> Column:
    kind = ColumnType(raw["type"])
    writable = not raw["read_only"]
    return Column(
        name=raw["name"],
        type=kind,
        display=raw.get("display") or raw["name"],
        max_length=raw["max_length"],
        required=raw["required"],
        targets=tuple(raw["targets"] or ()),
        navigation=tuple(raw.get("navigation") or ()),
        options=_read_options(kind, raw["options"]),
        creatable=_flag(declared=raw.get("valid_for_create"), writable=writable),
        updatable=_flag(declared=raw.get("valid_for_update"), writable=writable),
        format=raw.get("format"),
        behavior=_behavior(table, raw, kind),
        minimum=raw.get("min"),
        maximum=raw.get("max"),
        precision=_precision(kind),
        schema_name=raw["name"],
    )


def _flag(*, declared: bool | None, writable: bool) -> bool:
    return writable if declared is None else declared


def _precision(kind: ColumnType) -> int | None:
    match kind:
        case ColumnType.MONEY:
            return 4
        case ColumnType.DECIMAL:
            return 10
        case ColumnType.DOUBLE:
            return 5
        case _:
            return None


def _behavior(table: str, raw: dict[str, Any], kind: ColumnType) -> str | None:
    if kind is not ColumnType.DATE_TIME:
        return None
    declared: str | None = raw.get("datetime_behavior")
    return declared or ("DateOnly" if (table, raw["name"]) in _DATE_ONLY else "UserLocal")


def _read_options(kind: ColumnType, raw: list[dict[str, Any]] | None) -> tuple[Option, ...]:
    if kind is ColumnType.BOOLEAN and not raw:
        return YES_NO
    return tuple(
        Option(item["value"], item["label"], item.get("state"), item.get("default_status")) for item in raw or ()
    )
