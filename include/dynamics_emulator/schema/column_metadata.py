"""Describes columns the way the metadata entity sets show them."""

from collections.abc import Iterable, Mapping
from typing import Any

from dynamics_emulator.schema.described import Described, is_custom, label, managed, metadata_id
from dynamics_emulator.schema.model import Column, ColumnType, Table
from dynamics_emulator.schema.option_metadata import describe_options

BASE = "AttributeMetadata"
_TYPED = {
    ColumnType.UNIQUEIDENTIFIER: "UniqueIdentifier",
    ColumnType.OWNER: "Lookup",
    ColumnType.CUSTOMER: "Lookup",
}
_ENUMS = frozenset({ColumnType.PICKLIST, ColumnType.MULTI_SELECT, ColumnType.STATE, ColumnType.STATUS})
_FACETS: Mapping[str, object] = {
    "DeprecatedVersion": None,
    "ExternalName": None,
    "HasChanged": None,
    "InheritsFrom": None,
    "IntroducedVersion": "1.0",
    "IsDataSourceSecret": False,
    "IsFilterable": False,
    "IsLogical": False,
    "IsRetrievable": True,
    "IsSearchable": False,
    "IsSecured": False,
    "IsValidForForm": True,
    "IsValidForGrid": True,
    "LinkedAttributeId": None,
    "SourceType": 0,
}
_MANAGED = {
    "CanModifyAdditionalSettings": True,
    "IsAuditEnabled": True,
    "IsCustomizable": True,
    "IsGlobalFilterEnabled": False,
    "IsRenameable": True,
    "IsSortableEnabled": False,
    "IsValidForAdvancedFind": True,
}


def describe_columns(table: Table) -> Iterable[Described]:
    """The columns of a table and the shadows that stand beside some of them."""
    for number, column in enumerate(table.columns.values(), start=1):
        yield _describe_column(table, column, number)
        yield from _shadows(table, column)


def _describe_column(table: Table, column: Column, number: int) -> Described:
    own = _own_properties(column)
    kind = f"{_TYPED.get(column.type, column.type)}AttributeMetadata"
    properties = {**_common(table, column), "ColumnNumber": number, **own}
    navigations: dict[str, Any] = {}
    if column.type in _ENUMS or column.type is ColumnType.BOOLEAN:
        options = describe_options(table, column)
        navigations = {"OptionSet": options, "GlobalOptionSet": options if column.global_option_set else None}
    return Described(kind, properties, navigations, frozenset(own), BASE)


def _common(table: Table, column: Column) -> dict[str, Any]:
    multi = column.type is ColumnType.MULTI_SELECT
    custom = is_custom(column.name)
    required = "SystemRequired" if column.name == table.primary_id else column.required
    return {
        "MetadataId": metadata_id(table.name, column.name),
        "LogicalName": column.name,
        "SchemaName": _schema_name(column),
        "EntityLogicalName": table.name,
        "AttributeType": "Virtual" if multi else str(column.type),
        "AttributeTypeName": {"Value": f"{column.type}Type"},
        "AttributeOf": None,
        "ColumnNumber": None,
        "DisplayName": label(column.display, column.translations),
        "Description": label(""),
        "IsPrimaryId": column.name == table.primary_id,
        "IsPrimaryName": column.name == table.primary_name,
        "IsValidODataAttribute": True,
        "IsValidForRead": True,
        "IsValidForCreate": column.creatable,
        "IsValidForUpdate": column.updatable,
        "IsCustomAttribute": custom,
        "IsManaged": not custom,
        "IsRequiredForForm": column.required == "ApplicationRequired",
        "RequiredLevel": managed(
            required, "canmodifyrequirementlevelsettings", changeable=required != "SystemRequired"
        ),
        **_FACETS,
        **{name: managed(value, name.lower()) for name, value in _MANAGED.items()},
    }


def _schema_name(column: Column) -> str:
    """A lookup's navigation property keeps the casing of its schema name."""
    if len(column.navigation) == 1 and column.navigation[0].lower() == column.name:
        return column.navigation[0]
    return column.schema_name or column.name


def _own_properties(column: Column) -> dict[str, Any]:
    match column.type:
        case ColumnType.STRING | ColumnType.MEMO:
            own = _text_properties(column)
        case ColumnType.INTEGER | ColumnType.BIG_INT | ColumnType.DOUBLE | ColumnType.DECIMAL | ColumnType.MONEY:
            own = _number_properties(column)
        case ColumnType.DATE_TIME:
            shown = column.format or ("DateOnly" if column.is_date_only else "DateAndTime")
            own = {
                "DateTimeBehavior": {"Value": column.behavior},
                "Format": shown,
                "ImeMode": "Inactive",
                "CanChangeDateTimeBehavior": managed(value=False, name="canchangedatetimebehavior"),
            }
        case ColumnType.LOOKUP | ColumnType.OWNER | ColumnType.CUSTOMER:
            own = {"Targets": list(column.targets), "Format": "None"}
        case ColumnType.BOOLEAN:
            own = {"DefaultValue": False, "FormulaDefinition": None}
        case ColumnType.UNIQUEIDENTIFIER:
            own = {}
        case _:
            own = {"DefaultFormValue": -1, "FormulaDefinition": None, "ParentPicklistLogicalName": None}
    return own


def _text_properties(column: Column) -> dict[str, Any]:
    shown = column.format or ("TextArea" if column.type is ColumnType.MEMO else "Text")
    own = {
        "MaxLength": column.max_length,
        "Format": shown,
        "FormatName": {"Value": shown},
        "ImeMode": "Auto",
        "IsLocalizable": False,
    }
    if column.type is ColumnType.STRING:
        return own | {"DatabaseLength": 2 * (column.max_length or 0), "YomiOf": None, "AutoNumberFormat": ""}
    return own


def _number_properties(column: Column) -> dict[str, Any]:
    match column.type:
        case ColumnType.INTEGER:
            return {"MinValue": _whole(column.minimum), "MaxValue": _whole(column.maximum), "Format": "None"}
        case ColumnType.BIG_INT:
            return {"MinValue": -(2**63), "MaxValue": 2**63 - 1}
        case ColumnType.MONEY:
            base = column.name.endswith("_base")
            calculated = f"{column.name}_base" if not base else None
            own = {"IsBaseCurrency": base, "PrecisionSource": 2, "CalculationOf": calculated, "ImeMode": "Disabled"}
            return {**_range(column), **own}
        case _:
            return {**_range(column), "ImeMode": "Disabled"}


def _range(column: Column) -> dict[str, Any]:
    return {"MinValue": column.minimum, "MaxValue": column.maximum, "Precision": column.precision}


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
            yield _shadow(table, column, name, suffix)


def _shadow(table: Table, column: Column, name: str, suffix: str) -> Described:
    shadow = Column(name, ColumnType.STRING, name, creatable=False, updatable=False, max_length=100)
    kind = "EntityName" if suffix == "type" else "String" if column.is_lookup else "Virtual"
    own = _own_properties(shadow) if kind == "String" else {}
    properties = {
        **_common(table, shadow),
        **own,
        "AttributeOf": column.name,
        "AttributeType": kind,
        "AttributeTypeName": {"Value": f"{kind}Type"},
        "IsLogical": True,
        "IsValidODataAttribute": False,
    }
    typed = "AttributeMetadata" if kind == "Virtual" else f"{kind}AttributeMetadata"
    return Described(typed, properties, {}, frozenset(own), BASE)
