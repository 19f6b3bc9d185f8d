"""Describes relationships the way the metadata entity sets show them."""

from collections.abc import Iterable

from dynamics_emulator.schema.described import Described, metadata_id
from dynamics_emulator.schema.model import Schema, Table


def describe_relationships(schema: Schema) -> list[Described]:
    """All relationships of all tables."""
    found = [item for table in schema.tables.values() for item in many_to_one(schema, table)]
    return found + many_to_many(schema)


def many_to_one(schema: Schema, table: Table) -> Iterable[Described]:
    named = {
        (link.child, link.column, link.parent): link.name
        for links in schema.collections.values()
        for link in links.values()
    }
    for column in table.columns.values():
        for target in column.targets:
            name = named.get((table.name, column.name, target), f"{target}_{table.name}_{column.name}")
            parent = schema.tables.get(target)
            properties = {
                "MetadataId": metadata_id("relationship", name),
                "SchemaName": name,
                "RelationshipType": "OneToManyRelationship",
                "IsCustomRelationship": "_" in table.name,
                "ReferencingEntity": table.name,
                "ReferencingAttribute": column.name,
                "ReferencingEntityNavigationPropertyName": column.navigation_for(target),
                "ReferencedEntity": target,
                "ReferencedAttribute": parent.primary_id if parent else f"{target}id",
                "ReferencedEntityNavigationPropertyName": name,
            }
            yield Described("OneToManyRelationshipMetadata", properties)


def many_to_many(schema: Schema) -> list[Described]:
    """The N:N relationships; there is one, between teams and users."""
    if "teammembership" not in schema.tables:
        return []
    name = "teammembership_association"
    properties = {
        "MetadataId": metadata_id("relationship", name),
        "SchemaName": name,
        "RelationshipType": "ManyToManyRelationship",
        "IntersectEntityName": "teammembership",
        "Entity1LogicalName": "team",
        "Entity1IntersectAttribute": "teamid",
        "Entity1NavigationPropertyName": name,
        "Entity2LogicalName": "systemuser",
        "Entity2IntersectAttribute": "systemuserid",
        "Entity2NavigationPropertyName": name,
    }
    return [Described("ManyToManyRelationshipMetadata", properties)]
