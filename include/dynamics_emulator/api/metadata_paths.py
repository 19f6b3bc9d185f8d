"""Finds metadata by their path: entity sets, keys, casts and navigation properties."""

from functools import lru_cache

from dynamics_emulator.errors import DataverseError, unknown_segment
from dynamics_emulator.odata.paths import Segment, named_keys
from dynamics_emulator.schema.described import CRM, Described
from dynamics_emulator.schema.entity_metadata import describe_entities
from dynamics_emulator.schema.model import Schema
from dynamics_emulator.schema.option_metadata import describe_global_options
from dynamics_emulator.schema.relationship_metadata import describe_relationships

METADATA_SETS = frozenset({"EntityDefinitions", "RelationshipDefinitions", "GlobalOptionSetDefinitions"})
_DERIVED = frozenset({"Attributes", "RelationshipDefinitions", "GlobalOptionSetDefinitions"})
"""Lists whose items have types of their own, which a cast must name."""


def find_metadata(schema: Schema, segments: list[Segment]) -> tuple[list[Described] | Described, bool]:
    """What a path leads to, and whether the path says of which type it is. Raises a 404 for other paths."""
    first = segments[0]
    found: list[Described] | Described = _keyed(list(described(schema, first.name)), first)
    cast = first.name not in _DERIVED
    for segment in segments[1:]:
        if segment.name.startswith(f"{CRM}."):
            found = _cast(found, segment.name.removeprefix(f"{CRM}."))
            cast = True
        else:
            found = _behind(found, segment, cast=cast)
            cast = segment.name not in _DERIVED
        found = _keyed(found, segment)
    return found, cast


class _Held:
    """A schema as a cache key: schemas never change, so the object itself tells them apart."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    def __hash__(self) -> int:
        return id(self.schema)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held) and other.schema is self.schema


def described(schema: Schema, name: str) -> tuple[Described, ...]:
    """All items of one of the metadata sets."""
    return _described(_Held(schema), name)


@lru_cache(maxsize=12)
def _described(held: _Held, name: str) -> tuple[Described, ...]:
    match name:
        case "EntityDefinitions":
            return tuple(describe_entities(held.schema))
        case "RelationshipDefinitions":
            return tuple(describe_relationships(held.schema))
        case _:
            return tuple(describe_global_options(held.schema))


def _keyed(found: list[Described] | Described, segment: Segment) -> list[Described] | Described:
    if segment.key is None:
        return found
    if not isinstance(found, list):
        raise unknown_segment(segment.name)
    named = named_keys(segment.key) or {"MetadataId": segment.key.strip("'").lower()}
    for item in found:
        if all(str(item.properties.get(name)) == value for name, value in named.items()):
            return item
    raise _missing(segment, named)


def _missing(segment: Segment, named: dict[str, str]) -> DataverseError:
    name, value = next(iter(named.items()))
    match segment.name:
        case "EntityDefinitions":
            return DataverseError(404, "0x80060888", f"Could not find an entity with name '{value}' ({name}).")
        case "Attributes":
            return DataverseError(404, "0x80060888", f"Could not find an attribute with name '{value}' ({name}).")
        case other:
            return DataverseError(404, "0x80060888", f"Could not find '{value}' ({name}) in {other}.")


def _cast(found: list[Described] | Described, cast: str) -> list[Described] | Described:
    if cast == "EnumAttributeMetadata":
        raise unknown_segment(segment=f"{CRM}.{cast}")
    if isinstance(found, list):
        return [item for item in found if item.type_name == cast]
    if found.type_name != cast:
        raise unknown_segment(segment=f"{CRM}.{cast}")
    return found


def _behind(found: list[Described] | Described, segment: Segment, *, cast: bool) -> list[Described] | Described:
    if isinstance(found, list) or not cast or found.navigations.get(segment.name) is None:
        raise unknown_segment(segment.name)
    behind: list[Described] | Described = found.navigations[segment.name]
    return behind
