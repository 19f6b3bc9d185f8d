"""Describes option sets the way the metadata entity sets show them."""

from typing import Any

from dynamics_emulator.schema.described import CRM, Described, is_custom, label, managed, metadata_id
from dynamics_emulator.schema.model import Column, ColumnType, Option, Schema, Table

BASE = "OptionSetMetadataBase"


def describe_options(table: Table, column: Column) -> Described:
    """The option set of a column."""
    name = column.global_option_set or f"{table.name}_{column.name}"
    properties: dict[str, Any] = {
        "MetadataId": metadata_id("options", name),
        "Name": name,
        "IsGlobal": column.global_option_set is not None,
        "IsCustomOptionSet": is_custom(column.global_option_set or column.name),
        "IsCustomizable": managed(value=True, name="iscustomizable", changeable=False),
        "IsManaged": not is_custom(column.name),
        "OptionSetType": "Picklist" if column.type is ColumnType.MULTI_SELECT else str(column.type),
        "DisplayName": label(column.display, column.translations),
        "Description": label(""),
        "ExternalTypeName": None,
        "IntroducedVersion": None,
        "HasChanged": None,
    }
    if column.type is ColumnType.BOOLEAN:
        by_value = {option.value: _option(column, option) for option in column.options}
        values: dict[str, Any] = {"TrueOption": by_value.get(1), "FalseOption": by_value.get(0)}
        return Described("BooleanOptionSetMetadata", {**properties, **values}, {}, frozenset(values), BASE)
    options = [_option(column, option) for option in column.options]
    own: dict[str, Any] = {"Options": options, "ParentOptionSetName": None}
    return Described("OptionSetMetadata", {**properties, **own}, {}, frozenset(own), BASE)


def _option(column: Column, option: Option) -> dict[str, Any]:
    described: dict[str, Any] = {
        "Value": option.value,
        "Label": label(option.label, option.translations),
        "Description": label(""),
        "Color": None,
        "IsManaged": True,
        "ExternalValue": "",
        "ParentValues": [],
        "Tag": None,
        "MetadataId": None,
        "HasChanged": None,
    }
    if column.type is ColumnType.STATUS:
        described |= {"@odata.type": f"#{CRM}.StatusOptionMetadata", "State": option.state, "TransitionData": None}
    elif column.type is ColumnType.STATE:
        own = {"DefaultStatus": option.default_status, "InvariantName": option.label}
        described |= {"@odata.type": f"#{CRM}.StateOptionMetadata", **own}
    return described


def describe_global_options(schema: Schema) -> list[Described]:
    """The global option sets, each once."""
    found: dict[str, Described] = {}
    for table in schema.tables.values():
        for column in table.columns.values():
            if column.global_option_set:
                found.setdefault(column.global_option_set, describe_options(table, column))
    return list(found.values())
