"""The names in addresses that tell of an organisation's schema, and of nobody's data."""

from collections.abc import Iterator

from dynamics_emulator.api.metadata_paths import METADATA_SETS
from dynamics_emulator.schema.model import ColumnType, Schema, Table
from dynamics_emulator.schema.operations import FUNCTIONS, actions

_OF_ADDRESSES = {
    *("api", "data", "v9.0", "v9.1", "v9.2", "$batch", "$metadata", "$count", "$ref", "$value"),
    *("RetrieveDuplicates", "DeleteMultiple"),
    *("Attributes", "Keys", "ManyToOneRelationships", "OneToManyRelationships", "ManyToManyRelationships"),
    *("OptionSet", "GlobalOptionSet", "OptionSetMetadata", "BooleanOptionSetMetadata"),
    *("OneToManyRelationshipMetadata", "ManyToManyRelationshipMetadata"),
    *(".well-known", "openid-configuration", "oauth2", "v2.0", "token"),
}
"""The fixed words of the Web API, of its metadata and of the sign-in."""


class PathNames:
    """The names of an organisation's schema, gathered anew only when it has changed."""

    def __init__(self) -> None:
        self._schema: Schema | None = None
        self._names: frozenset[str] = frozenset()

    def of(self, schema: Schema) -> frozenset[str]:
        """Names of sets, tables, columns, relationships, functions and actions, and the fixed words of addresses."""
        if schema is not self._schema:
            self._schema, self._names = schema, frozenset(_names(schema))
        return self._names


def _names(schema: Schema) -> Iterator[str]:
    yield from _OF_ADDRESSES | METADATA_SETS
    yield from (f"{kind}AttributeMetadata" for kind in ColumnType)
    yield from (operation.name for operation in (*FUNCTIONS, *actions(schema.tables)))
    for table in schema.tables.values():
        yield from _names_of(table)
        yield from schema.collections[table.name]
    for relationship in schema.many_to_many:
        yield from (relationship.first.navigation, relationship.second.navigation)


def _names_of(table: Table) -> Iterator[str]:
    yield from (table.name, table.set_name)
    yield from table.properties
    yield from table.navigations
