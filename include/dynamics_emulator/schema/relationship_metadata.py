"""Describes relationships the way the metadata entity sets show them."""

from collections.abc import Iterable, Mapping
from typing import Any

from dynamics_emulator.schema.described import Described, is_custom, label, managed, metadata_id
from dynamics_emulator.schema.links import ManyToMany
from dynamics_emulator.schema.model import Column, OnDelete, Schema, Table

BASE = "RelationshipMetadataBase"
_COMMON: Mapping[str, object] = {
    "HasChanged": None,
    "IntroducedVersion": "1.0",
    "IsValidForAdvancedFind": True,
    "SecurityTypes": "Append",
}
_SHARED = frozenset(
    {"MetadataId", "SchemaName", "RelationshipType", "IsCustomRelationship", "IsCustomizable", "IsManaged", *_COMMON}
)


def describe_relationships(schema: Schema) -> list[Described]:
    """All relationships of all tables."""
    return one_to_many(schema) + many_to_many(schema)


def one_to_many(schema: Schema) -> list[Described]:
    """The 1:N relationships, one for each target of each lookup."""
    named = {
        (link.child, link.column, link.parent): link.name
        for links in schema.collections.values()
        for link in links.values()
    }
    return [item for table in schema.tables.values() for item in _of_table(schema, table, named)]


def _of_table(schema: Schema, table: Table, named: Mapping[tuple[str, str, str], str]) -> Iterable[Described]:
    for column in table.columns.values():
        for target in column.targets:
            name = named.get((table.name, column.name, target), f"{target}_{table.name}_{column.name}")
            parent = schema.tables.get(target)
            properties = {
                **_properties(name, "OneToManyRelationship", custom=is_custom(table.name) or is_custom(column.name)),
                "ReferencingEntity": table.name,
                "ReferencingAttribute": column.name,
                "ReferencingEntityNavigationPropertyName": column.navigation_for(target),
                "ReferencedEntity": target,
                "ReferencedAttribute": parent.primary_id if parent else f"{target}id",
                "ReferencedEntityNavigationPropertyName": name,
                "CascadeConfiguration": _cascades(column),
                "AssociatedMenuConfiguration": _menu(),
                "EntityKey": None,
                "IsHierarchical": False,
                "RelationshipBehavior": 1,
            }
            own = frozenset(properties) - _SHARED
            yield Described("OneToManyRelationshipMetadata", properties, {}, own, BASE)


def _properties(name: str, kind: str, *, custom: bool) -> dict[str, Any]:
    return {
        "MetadataId": metadata_id("relationship", name),
        "SchemaName": name,
        "RelationshipType": kind,
        "IsCustomRelationship": custom,
        "IsCustomizable": managed(value=True, name="iscustomizable"),
        "IsManaged": not custom,
        **_COMMON,
    }


def _cascades(column: Column) -> dict[str, str]:
    other = "Cascade" if column.on_delete is OnDelete.CASCADE else "NoCascade"
    names = ("Assign", "Share", "Unshare", "Reparent", "Merge", "RollupView", "Archive")
    return {**dict.fromkeys(names, other), "Delete": str(column.on_delete)}


def _menu() -> dict[str, Any]:
    return {"Behavior": "UseCollectionName", "Group": "Details", "Label": label(""), "Order": 10000}


def many_to_many(schema: Schema) -> list[Described]:
    """The N:N relationships."""
    return [_describe_many_to_many(relationship) for relationship in schema.many_to_many]


def _describe_many_to_many(relationship: ManyToMany) -> Described:
    first, second = relationship.first, relationship.second
    properties = {
        **_properties(relationship.name, "ManyToManyRelationship", custom=is_custom(relationship.intersect)),
        "IntersectEntityName": relationship.intersect,
        "Entity1LogicalName": first.table,
        "Entity1IntersectAttribute": first.column,
        "Entity1NavigationPropertyName": first.navigation,
        "Entity1AssociatedMenuConfiguration": _menu(),
        "Entity2LogicalName": second.table,
        "Entity2IntersectAttribute": second.column,
        "Entity2NavigationPropertyName": second.navigation,
        "Entity2AssociatedMenuConfiguration": _menu(),
    }
    own = frozenset(properties) - _SHARED
    return Described("ManyToManyRelationshipMetadata", properties, {}, own, BASE)
