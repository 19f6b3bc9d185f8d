"""Describes tables and their alternate keys the way the metadata entity sets show them."""

from collections.abc import Mapping
from typing import Any

from dynamics_emulator.schema.column_metadata import describe_columns
from dynamics_emulator.schema.described import Described, is_custom, label, managed, metadata_id
from dynamics_emulator.schema.model import AlternateKey, Schema, Table
from dynamics_emulator.schema.relationship_metadata import many_to_many, one_to_many

_STANDARD_CODES = {
    "account": 1,
    "contact": 2,
    "opportunity": 3,
    "lead": 4,
    "systemuser": 8,
    "team": 9,
    "businessunit": 10,
    "role": 1036,
    "organization": 1019,
    "connection": 3234,
    "connectionrole": 3231,
    "opportunityclose": 4208,
    "list": 4300,
    "campaign": 4400,
    "asyncoperation": 4700,
    "transactioncurrency": 9105,
}
_FIRST_CUSTOM_CODE = 10_000
_FACETS: Mapping[str, object] = {
    "ActivityTypeMask": 0,
    "AutoCreateAccessTeams": False,
    "DataProviderId": None,
    "DataSourceId": None,
    "EntityColor": None,
    "ExternalCollectionName": None,
    "ExternalName": None,
    "HasChanged": None,
    "HasEmailAddresses": False,
    "IntroducedVersion": "1.0",
    "IsAIRUpdated": True,
    "IsBPFEntity": False,
    "IsBusinessProcessEnabled": False,
    "IsChildEntity": False,
    "IsDocumentManagementEnabled": False,
    "IsEnabledForCharts": True,
    "IsEnabledForTrace": False,
    "IsImportable": True,
    "IsKnowledgeManagementEnabled": False,
    "IsLogicalEntity": False,
    "IsMSTeamsIntegrationEnabled": False,
    "IsPrivate": False,
    "IsQuickCreateEnabled": False,
    "IsReadingPaneEnabled": True,
    "IsSLAEnabled": False,
    "IsSolutionAware": False,
    "IsStateModelAware": True,
    "IsValidForAdvancedFind": True,
    "PrimaryImageAttribute": None,
    "RecurrenceBaseEntityLogicalName": None,
    "SyncToExternalSearchIndex": False,
    "TableType": "Standard",
    "UsesBusinessDataLabelTable": False,
}
_MANAGED_ON = (
    "CanBeInCustomEntityAssociation",
    "CanBeInManyToMany",
    "CanBePrimaryEntityInRelationship",
    "CanBeRelatedEntityInRelationship",
    "CanChangeHierarchicalRelationship",
    "CanCreateAttributes",
    "CanCreateCharts",
    "CanCreateForms",
    "CanCreateViews",
    "CanEnableSyncToExternalSearchIndex",
    "CanModifyAdditionalSettings",
    "IsConnectionsEnabled",
    "IsCustomizable",
    "IsDuplicateDetectionEnabled",
    "IsMappable",
    "IsRenameable",
)
_MANAGED_OFF = ("IsAuditEnabled", "IsMailMergeEnabled", "IsReadOnlyInMobileClient", "IsValidForQueue")


def describe_entities(schema: Schema) -> list[Described]:
    """All tables."""
    links = one_to_many(schema)
    crossings = many_to_many(schema)
    return [_describe_entity(schema, table, links, crossings) for table in schema.tables.values()]


def _describe_entity(schema: Schema, table: Table, links: list[Described], crossings: list[Described]) -> Described:
    navigations = {
        "Attributes": list(describe_columns(table)),
        "Keys": [_describe_key(table, key) for key in table.keys],
        "ManyToOneRelationships": [item for item in links if item.properties["ReferencingEntity"] == table.name],
        "OneToManyRelationships": [item for item in links if item.properties["ReferencedEntity"] == table.name],
        "ManyToManyRelationships": [item for item in crossings if table.name in _sides(item)],
    }
    return Described("EntityMetadata", _properties(schema, table), navigations)


def _sides(item: Described) -> tuple[str, str]:
    return item.properties["Entity1LogicalName"], item.properties["Entity2LogicalName"]


def _properties(schema: Schema, table: Table) -> dict[str, Any]:
    custom = is_custom(table.name)
    display, plural = table.display or table.schema_name, table.plural or f"{table.schema_name}s"
    properties: dict[str, Any] = {
        "MetadataId": metadata_id(table.name),
        "LogicalName": table.name,
        "SchemaName": table.schema_name,
        "LogicalCollectionName": f"{table.name}s" if custom else table.set_name,
        "EntitySetName": table.set_name,
        "CollectionSchemaName": f"{table.schema_name}s",
        "PrimaryIdAttribute": table.primary_id,
        "PrimaryNameAttribute": table.primary_name,
        "OwnershipType": table.ownership,
        "ObjectTypeCode": _type_code(schema, table),
        "IsIntersect": table.intersect,
        "IsActivity": table.activity,
        "HasActivities": not table.intersect and not table.activity,
        "HasNotes": not table.intersect,
        "IsCustomEntity": custom,
        "IsManaged": not custom,
        "ChangeTrackingEnabled": table.tracked,
        "IsOptimisticConcurrencyEnabled": table.optimistic,
        "IsAvailableOffline": not table.intersect,
        "DisplayName": label(display, table.translations),
        "DisplayCollectionName": label(plural),
        "Description": label(""),
        **_FACETS,
    }
    properties |= {name: managed(value=not table.intersect, name=name.lower()) for name in _MANAGED_ON}
    properties |= {name: managed(value=False, name=name.lower()) for name in _MANAGED_OFF}
    # Tracking cannot be switched off again, and intersect tables cannot have it.
    name = "CanChangeTrackingBeEnabled"
    properties[name] = managed(not table.intersect, name.lower(), changeable=not table.tracked)
    return properties


def _type_code(schema: Schema, table: Table) -> int:
    position = list(schema.tables).index(table.name)
    return _STANDARD_CODES.get(table.name, _FIRST_CUSTOM_CODE + position)


def _describe_key(table: Table, key: AlternateKey) -> Described:
    properties: dict[str, Any] = {
        "MetadataId": metadata_id("key", table.name, key.name),
        "LogicalName": key.name,
        "SchemaName": key.name,
        "DisplayName": label(key.display or key.name),
        "EntityLogicalName": table.name,
        "KeyAttributes": list(key.columns),
        "EntityKeyIndexStatus": str(key.status),
        "IsCustomizable": managed(value=True, name="iscustomizable"),
        "IsManaged": False,
        "IsSynchronous": False,
        "IsExportKey": False,
        "IsSecondaryKey": False,
        "IntroducedVersion": "1.0",
        "HasChanged": None,
    }
    return Described("EntityKeyMetadata", properties)
