"""``EntityDefinitions``, ``RelationshipDefinitions`` and ``GlobalOptionSetDefinitions``. No paging, no row limit."""

from functools import lru_cache

from dynamics_emulator.api.messages import ApiRequest, ApiResponse, json_response
from dynamics_emulator.errors import DataverseError, method_not_allowed, unknown_segment
from dynamics_emulator.odata.memory_query import filtered, shown
from dynamics_emulator.odata.paths import Segment, named_keys
from dynamics_emulator.organisation import Organisation
from dynamics_emulator.schema.described import CRM, Described
from dynamics_emulator.schema.metadata import describe_entities
from dynamics_emulator.schema.model import Schema
from dynamics_emulator.schema.option_metadata import describe_global_options
from dynamics_emulator.schema.relationship_metadata import describe_relationships

METADATA_SETS = frozenset({"EntityDefinitions", "RelationshipDefinitions", "GlobalOptionSetDefinitions"})


def answer_metadata(organisation: Organisation, request: ApiRequest, segments: list[Segment]) -> ApiResponse:
    """Read metadata: a list, one item, or what lies behind its navigation properties, perhaps cast to a type."""
    if request.method != "GET":
        raise method_not_allowed(request.method)
    found: list[Described] | Described = list(_described(_Held(organisation.schema), segments[0].name))
    cast = ""
    found = _keyed(found, segments[0])
    for segment in segments[1:]:
        if segment.name.startswith(f"{CRM}."):
            cast = segment.name.removeprefix(f"{CRM}.")
            found = _cast(found, cast)
        else:
            found = _behind(found, segment)
            cast = ""
        found = _keyed(found, segment)
    return _printed(request, segments, found, cast)


class _Held:
    """A schema as a cache key: schemas never change, so the object itself tells them apart."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    def __hash__(self) -> int:
        return id(self.schema)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Held) and other.schema is self.schema


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
    if segment.key is None or not isinstance(found, list):
        return found
    named = named_keys(segment.key) or {"MetadataId": segment.key.strip("'").lower()}
    for item in found:
        if all(item.properties.get(name) == value for name, value in named.items()):
            return item
    message = f"Could not find metadata with the key {segment.key}."
    raise DataverseError(404, "0x80060888", message)


def _cast(found: list[Described] | Described, cast: str) -> list[Described] | Described:
    if cast == "EnumAttributeMetadata":
        raise unknown_segment(segment=f"{CRM}.{cast}")
    if isinstance(found, list):
        return [item for item in found if item.type_name == cast]
    if found.type_name != cast:
        raise unknown_segment(segment=f"{CRM}.{cast}")
    return found


def _behind(found: list[Described] | Described, segment: Segment) -> list[Described] | Described:
    if isinstance(found, list) or found.navigations.get(segment.name) is None:
        raise unknown_segment(segment.name)
    behind: list[Described] | Described = found.navigations[segment.name]
    return behind


def _printed(
    request: ApiRequest, segments: list[Segment], found: list[Described] | Described, cast: str
) -> ApiResponse:
    typed = bool(cast) or segments[-1].name in METADATA_SETS
    path = "/".join(segment.name if segment.key is None else f"{segment.name}({segment.key})" for segment in segments)
    context = f"{request.base}/$metadata#{path}"
    if isinstance(found, list):
        kept = filtered(found, request.options.get("$filter"), request.options.aliases)
        rows = [shown(item, request.options, cast=typed) for item in kept]
        return json_response({"@odata.context": context, "value": rows})
    return json_response({"@odata.context": f"{context}/$entity", **shown(found, request.options, cast=typed)})
