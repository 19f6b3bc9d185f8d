"""How a lookup is written: through a navigation property, which only the organisation can name.

The name is not derivable from the column's (`slaid` of a lead is written as `sla_lead_sla`), and a column that can
point at several tables has one property for each.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import msgspec

from dynamics_sync.dataverse.client import DataverseClient
from dynamics_sync.dataverse.metadata import TableMetadata
from dynamics_sync.dataverse.query import equals, select_path
from dynamics_sync.dataverse.wire import Request, decode
from dynamics_sync.errors import ColumnMissing

# Relationships of owners name this table, which no address leads to: an owner is a user or a team.
_OWNER = "owner"
_OWNERS = ("systemuser", "team")


class _Relationship(msgspec.Struct, rename="pascal"):
    column: str = msgspec.field(name="ReferencingAttribute")
    target: str = msgspec.field(name="ReferencedEntity")
    navigation: str | None = msgspec.field(default=None, name="ReferencingEntityNavigationPropertyName")


class _Relationships(msgspec.Struct):
    value: list[_Relationship]


class _Definition(msgspec.Struct, rename="pascal"):
    logical_name: str
    entity_set_name: str | None = None  # some of the organisation's own tables have no address


class _Definitions(msgspec.Struct):
    value: list[_Definition]


_RELATIONSHIPS = msgspec.json.Decoder(_Relationships)
_DEFINITIONS = msgspec.json.Decoder(_Definitions)
_SET_NAMES_REQUEST = Request(select_path("EntityDefinitions", ("LogicalName", "EntitySetName")))


@dataclass(frozen=True)
class Bindings:
    """The navigation properties of some lookup columns of `table`.

    `navigations` is keyed by column, then by target table (both logical names) and never empty below; `set_names` gives
    the entity set of each target.
    """

    table: str
    navigations: Mapping[str, Mapping[str, str]] = field(repr=False)
    set_names: Mapping[str, str] = field(repr=False)

    def targets(self, column: str) -> tuple[str, ...]:
        """Return the logical names of the tables that a column can be bound to, in order of the alphabet.

        Raises ColumnMissing.
        """
        return tuple(sorted(self._of(column)))

    def bind(self, column: str, target_table: str, record_id: str) -> tuple[str, str]:
        """Return member and value of a body that let a column point at a row, given by its GUID.

        Raises ColumnMissing when the column cannot point at that table.
        """
        navigation = self._of(column).get(target_table)
        if navigation is None:
            what = f"Column {column} of table {self.table} cannot point at table {target_table}"
            raise _missing(what)
        return f"{navigation}@odata.bind", f"/{self.set_names[target_table]}({record_id})"

    def clear(self, column: str) -> tuple[str, None]:
        """Return member and value of a body that empty a column, whichever table it points at.

        One of several navigation properties does that for all of them. Raises ColumnMissing.
        """
        navigations = self._of(column)
        return f"{navigations[min(navigations)]}@odata.bind", None

    def _of(self, column: str) -> Mapping[str, str]:
        if found := self.navigations.get(column):
            return found
        what = f"Column {column} of table {self.table} has no relationship through which it could be written"
        raise _missing(what)


def read_bindings(client: DataverseClient, table: TableMetadata, columns: Iterable[str]) -> Bindings:
    """Read with one `$batch` how lookup columns (logical names) of a table are written.

    Raises ColumnMissing for a column without a relationship to a table that can be addressed.
    """
    wanted = tuple(dict.fromkeys(columns))
    if not wanted:
        return Bindings(table.name, MappingProxyType({}), MappingProxyType({}))
    relationships, definitions = client.batch([_relationships_of(table.name), _SET_NAMES_REQUEST])
    named = {item.logical_name: item.entity_set_name for item in decode(definitions, _DEFINITIONS).value}
    set_names = {name: set_name for name, set_name in named.items() if set_name}
    navigations = _navigations(table, decode(relationships, _RELATIONSHIPS).value, set_names)
    found = Bindings(
        table.name,
        MappingProxyType({name: MappingProxyType(navigations[name]) for name in wanted if name in navigations}),
        MappingProxyType(set_names),
    )
    for name in wanted:
        found.targets(name)
    return found


def _relationships_of(table: str) -> Request:
    members = ("ReferencingAttribute", "ReferencingEntityNavigationPropertyName", "ReferencedEntity")
    source = "RelationshipDefinitions/Microsoft.Dynamics.CRM.OneToManyRelationshipMetadata"
    return Request(select_path(source, members, filter=equals("ReferencingEntity", table)))


def _navigations(
    table: TableMetadata, relationships: Iterable[_Relationship], set_names: Mapping[str, str]
) -> dict[str, dict[str, str]]:
    """By column and target; without those that no address or no property leads to."""
    found: dict[str, dict[str, str]] = {}
    for item in relationships:
        if item.navigation is None:
            continue
        for target in _targets(table, item):
            if target in set_names:
                found.setdefault(item.column, {})[target] = item.navigation
    return found


def _targets(table: TableMetadata, relationship: _Relationship) -> tuple[str, ...]:
    if relationship.target != _OWNER:
        return (relationship.target,)
    column = table.columns.get(relationship.column)
    listed = column.targets if column else ()
    return tuple(target for target in listed if target != _OWNER) or _OWNERS


def _missing(what: str) -> ColumnMissing:
    step = "Take the column out of the catalogue, or correct the table that the row names for it"
    return ColumnMissing(what, not_done="Nothing was written to it", next_step=step)
