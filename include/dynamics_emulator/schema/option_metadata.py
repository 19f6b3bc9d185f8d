"""Describes option sets the way the metadata entity sets show them."""

from typing import Any

from dynamics_emulator.schema.described import CRM, Described, label, metadata_id
from dynamics_emulator.schema.model import Column, ColumnType, Option, Schema, Table


def describe_options(table: Table, column: Column) -> Described:
    """The option set of a column."""
    name = column.global_option_set or f"{table.name}_{column.name}"
    properties: dict[str, Any] = {
        "MetadataId": metadata_id("options", name),
        "Name": name,
        "IsGlobal": column.global_option_set is not None,
        "IsCustomOptionSet": False,
        "OptionSetType": str(column.type),
        "DisplayName": label(column.display),
    }
    if column.type is ColumnType.BOOLEAN:
        by_value = {option.value: _option(column, option) for option in column.options}
        return Described(
            "BooleanOptionSetMetadata",
            {**properties, "TrueOption": by_value.get(1), "FalseOption": by_value.get(0)},
        )
    options = [_option(column, option) for option in column.options]
    return Described("OptionSetMetadata", {**properties, "Options": options})


def _option(column: Column, option: Option) -> dict[str, Any]:
    described: dict[str, Any] = {
        "Value": option.value,
        "Label": label(option.label),
        "Description": label(""),
        "Color": None,
        "IsManaged": True,
        "ExternalValue": "",
        "MetadataId": None,
        "HasChanged": None,
    }
    if column.type is ColumnType.STATUS:
        described |= {"@odata.type": f"#{CRM}.StatusOptionMetadata", "State": option.state}
    elif column.type is ColumnType.STATE:
        described |= {"@odata.type": f"#{CRM}.StateOptionMetadata", "DefaultStatus": option.default_status}
    return described


def describe_global_options(schema: Schema) -> list[Described]:
    """The global option sets, each once."""
    found: dict[str, Described] = {}
    for table in schema.tables.values():
        for column in table.columns.values():
            if column.global_option_set:
                found.setdefault(column.global_option_set, describe_options(table, column))
    return list(found.values())
