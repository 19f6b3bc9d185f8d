"""``EntityDefinitions``, ``RelationshipDefinitions`` and ``GlobalOptionSetDefinitions``: never paged."""

from dynamics_emulator.api.messages import ApiRequest, ApiResponse, json_response
from dynamics_emulator.api.metadata_paths import find_metadata
from dynamics_emulator.api.metadata_writing import change_metadata
from dynamics_emulator.errors import bad_query
from dynamics_emulator.odata.memory_query import filtered, shown
from dynamics_emulator.odata.options import split_outside
from dynamics_emulator.odata.paths import Segment
from dynamics_emulator.organisation import Organisation
from dynamics_emulator.schema.described import Described

_REFUSED = ("$orderby", "$top", "$count", "$apply")


def answer_metadata(organisation: Organisation, request: ApiRequest, segments: list[Segment]) -> ApiResponse:
    """Read metadata: a list, one item, or what lies behind its navigation properties, perhaps cast to a type.

    Other methods than GET change columns and keys.
    """
    _require_supported(request, segments[0])
    found, cast = find_metadata(organisation.schema, segments)
    if request.method != "GET":
        return change_metadata(organisation, request, segments, None if isinstance(found, list) else found)
    return _printed(organisation, request, segments, found, cast=cast)


def _require_supported(request: ApiRequest, first: Segment) -> None:
    for name in _REFUSED:
        if request.options.get(name) is not None:
            message = f"The query parameter {name} is not supported"
            raise bad_query(message)
    if first.name == "GlobalOptionSetDefinitions" and request.options.get("$filter") is not None:
        message = "The query parameter $filter is not supported"
        raise bad_query(message)


def _printed(
    organisation: Organisation,
    request: ApiRequest,
    segments: list[Segment],
    found: list[Described] | Described,
    *,
    cast: bool,
) -> ApiResponse:
    path = "/".join(segment.name if segment.key is None else f"{segment.name}({segment.key})" for segment in segments)
    context = f"{request.base}/$metadata#{path}{_chosen(request)}"
    settings, options = organisation.settings, request.options
    if isinstance(found, list):
        kept = filtered(found, options.get("$filter"), options.aliases, settings, cast=cast)
        rows = [shown(item, options.values, settings, cast=cast) for item in kept]
        return json_response({"@odata.context": context, "value": rows})
    item = shown(found, options.values, settings, cast=cast)
    return json_response({"@odata.context": f"{context}/$entity", **item})


def _chosen(request: ApiRequest) -> str:
    names = split_outside(request.options.get("$select") or "", ",")
    return f"({','.join(names)})" if names else ""
