"""Describes tables and columns the way the metadata entity sets show them."""

from collections.abc import Iterable
from typing import Any

from dynamics_emulator.schema.described import Described, label, managed, metadata_id
from dynamics_emulator.schema.model import Column, ColumnType, Schema, Table
from dynamics_emulator.schema.option_metadata import describe_options
from dynamics_emulator.schema.relationship_metadata import many_to_many, many_to_one

_STANDARD_CODES = {"account": 1, "contact": 2, "opportunity": 3, "lead": 4, "systemuser": 8, "team": 9}
_TYPED = {
    ColumnType.UNIQUEIDENTIFIER: "UniqueIdentifier",
    ColumnType.OWNER: "Lookup",
    ColumnType.CUSTOMER: "Lookup",
}
_ENUMS = frozenset({ColumnType.PICKLIST, ColumnType.MULTI_SELECT, ColumnType.STATE, ColumnType.STATUS})


def describe_entities(schema: Schema) -> list[Described]:
    """All tables."""
    return [describe_entity(schema, table) for table in schema.tables.values()]


def describe_entity(schema: Schema, table: Table) -> Described:
    """One table with its columns, keys and relationships."""
    custom = "_" in table.name
    properties = {
        "MetadataId": metadata_id(table.name),
        "LogicalName": table.name,
        "SchemaName": table.schema_name,
        "LogicalCollectionName": f"{table.name}s",
        "EntitySetName": table.set_name,
        "CollectionSchemaName": f"{table.schema_name}s",
        "PrimaryIdAttribute": table.primary_id,
        "PrimaryNameAttribute": table.primary_name,
        "OwnershipType": table.ownership,
        "ObjectTypeCode": _STANDARD_CODES.get(table.name, 10000 + len(table.name)),
        "IsIntersect": table.intersect,
        "IsActivity": table.activity,
        "IsCustomEntity": custom,
        "IsManaged": not custom,
        "TableType": "Standard",
        "ChangeTrackingEnabled": table.tracked,
        "CanChangeTrackingBeEnabled": managed(not table.intersect, "canchangetrackingbeenabled"),
        "IsOptimisticConcurrencyEnabled": not table.intersect,
        "IsAvailableOffline": True,
        "DisplayName": label(table.schema_name),
        "DisplayCollectionName": label(f"{table.schema_name}s"),
        "Description": label(""),
    }
    navigations = {
        "Attributes": list(describe_columns(table)),
        "Keys": [],
        "ManyToOneRelationships": list(many_to_one(schema, table)),
        "OneToManyRelationships": [
            item
            for other in schema.tables.values()
            for item in many_to_one(schema, other)
            if item.properties["ReferencedEntity"] == table.name
        ],
        "ManyToManyRelationships": [item for item in many_to_many(schema) if table.name in _sides(item)],
    }
    return Described("EntityMetadata", properties, navigations)


def _sides(item: Described) -> tuple[str, str]:
    return item.properties["Entity1LogicalName"], item.properties["Entity2LogicalName"]


def describe_columns(table: Table) -> Iterable[Described]:
    """The columns of a table and the shadows that stand beside some of them."""
    for column in table.columns.values():
        yield describe_column(table, column)
        yield from _shadows(table, column)


def describe_column(table: Table, column: Column) -> Described:
    """One column, with what its type adds."""
    own = _own_properties(column)
    kind = f"{_TYPED.get(column.type, column.type)}AttributeMetadata"
    properties = {**_common(table, column), **own}
    navigations: dict[str, Any] = {}
    if column.type in _ENUMS or column.type is ColumnType.BOOLEAN:
        options = describe_options(table, column)
        navigations = {"OptionSet": options, "GlobalOptionSet": options if column.global_option_set else None}
    return Described(kind, properties, navigations, frozenset(own))


def _common(table: Table, column: Column) -> dict[str, Any]:
    multi = column.type is ColumnType.MULTI_SELECT
    return {
        "MetadataId": metadata_id(table.name, column.name),
        "LogicalName": column.name,
        "SchemaName": column.schema_name or column.name,
        "EntityLogicalName": table.name,
        "AttributeType": "Virtual" if multi else str(column.type),
        "AttributeTypeName": {"Value": f"{column.type}Type"},
        "AttributeOf": None,
        "DisplayName": label(column.display),
        "Description": label(""),
        "IsPrimaryId": column.name == table.primary_id,
        "IsPrimaryName": column.name == table.primary_name,
        "IsValidODataAttribute": True,
        "IsValidForRead": True,
        "IsValidForCreate": column.creatable,
        "IsValidForUpdate": column.updatable,
        "IsCustomAttribute": "_" in column.name and column.name.split("_")[0] in ("mkt", "new", "acme"),
        "IsLogical": False,
        "RequiredLevel": managed(column.required, "canmodifyrequirementlevelsettings"),
    }


def _own_properties(column: Column) -> dict[str, Any]:  # noqa: PLR0911 - a return for each type
    match column.type:
        case ColumnType.STRING | ColumnType.MEMO:
            kind = column.format or ("TextArea" if column.type is ColumnType.MEMO else "Text")
            return {"MaxLength": column.max_length, "Format": kind, "FormatName": {"Value": kind}}
        case ColumnType.INTEGER | ColumnType.BIG_INT:
            return {"MinValue": _whole(column.minimum), "MaxValue": _whole(column.maximum), "Format": "None"}
        case ColumnType.DOUBLE | ColumnType.DECIMAL | ColumnType.MONEY:
            own = {"MinValue": column.minimum, "MaxValue": column.maximum, "Precision": column.precision}
            return own | ({"IsBaseCurrency": column.name.endswith("_base")} if column.type is ColumnType.MONEY else {})
        case ColumnType.DATE_TIME:
            shown = column.format or ("DateOnly" if column.is_date_only else "DateAndTime")
            return {"DateTimeBehavior": {"Value": column.behavior}, "Format": shown}
        case ColumnType.LOOKUP | ColumnType.OWNER | ColumnType.CUSTOMER:
            return {"Targets": list(column.targets), "Format": "None"}
        case ColumnType.BOOLEAN:
            return {"DefaultValue": False}
        case ColumnType.UNIQUEIDENTIFIER:
            return {}
        case _:
            return {"DefaultFormValue": -1}


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _shadows(table: Table, column: Column) -> Iterable[Described]:
    """``xname`` and ``xtype`` columns: they exist in the metadata and nowhere else."""
    suffixes = []
    if column.is_lookup or column.type in _ENUMS or column.type is ColumnType.BOOLEAN:
        suffixes.append("name")
    if column.is_polymorphic:
        suffixes.append("type")
    for suffix in suffixes:
        name = f"{column.name}{suffix}"
        if name not in table.columns:
            shadow = Column(name, ColumnType.STRING, name, creatable=False, updatable=False, max_length=100)
            kind = "EntityName" if suffix == "type" else "String" if column.is_lookup else "Virtual"
            properties = {
                **_common(table, shadow),
                "AttributeOf": column.name,
                "AttributeType": kind,
                "AttributeTypeName": {"Value": f"{kind}Type"},
                "IsValidODataAttribute": False,
            }
            own = _own_properties(shadow) if kind == "String" else {}
            typed = "StringAttributeMetadata" if kind == "String" else f"{kind}AttributeMetadata"
            yield Described(typed, {**properties, **own}, {}, frozenset(own))
