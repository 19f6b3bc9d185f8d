"""Changes to metadata through the Web API: columns and alternate keys. They are published at once."""

from collections.abc import Mapping
from typing import Any

from dynamics_emulator.api.messages import ApiRequest, ApiResponse
from dynamics_emulator.api.metadata_paths import find_metadata
from dynamics_emulator.errors import DataverseError, bad_query, method_not_allowed, unknown_segment
from dynamics_emulator.odata.paths import Segment
from dynamics_emulator.organisation import Organisation
from dynamics_emulator.reshaping import change_schema
from dynamics_emulator.schema.described import CRM, Described, is_custom, metadata_id
from dynamics_emulator.schema.model import ColumnType, Table

_TYPES = {
    f"{kind}AttributeMetadata".lower(): kind
    for kind in ColumnType
    if kind not in (ColumnType.LOOKUP, ColumnType.OWNER, ColumnType.CUSTOMER, ColumnType.STATE, ColumnType.STATUS)
}


def change_metadata(
    organisation: Organisation, request: ApiRequest, segments: list[Segment], found: Described | None
) -> ApiResponse:
    """POST a column or key of a table, PUT a column, or DELETE either.

    ``found`` is the item that the path leads to, if it names one. Raises a 405 for all else that metadata could take.
    """
    if len(segments) < 2 or segments[1].name not in ("Attributes", "Keys"):
        raise method_not_allowed(request.method)
    table = _table(organisation, segments[0])
    match request.method, segments[1].name, found:
        case "POST", "Attributes", None:
            return _add_column(organisation, request, segments, table)
        case "POST", "Keys", None:
            return _add_key(organisation, request, segments, table)
        case "PUT", "Attributes", Described():
            return _update_column(organisation, request, table, found)
        case "DELETE", _, Described():
            return _delete(organisation, table, found)
        case _:
            raise method_not_allowed(request.method)


def _table(organisation: Organisation, segment: Segment) -> Table:
    item, _ = find_metadata(organisation.schema, [segment])
    if isinstance(item, list):
        raise unknown_segment(segment.name)
    return organisation.schema.table(str(item.properties["LogicalName"]))


def _add_column(organisation: Organisation, request: ApiRequest, segments: list[Segment], table: Table) -> ApiResponse:
    body = request.json_body()
    name = _schema_name(body)
    kind = _TYPES.get(str(body.get("@odata.type", "")).removeprefix("#").removeprefix(f"{CRM}.").lower())
    if kind is None:
        message = f"A column of the type '{body.get('@odata.type')}' cannot be made here."
        raise bad_query(message)
    if name.lower() in table.columns:
        message = f"Attribute {name.lower()} for entity {table.schema_name} already exists."
        raise DataverseError(400, "0x80047013", message)
    declared = {"type": str(kind), "schema_name": name, **_facts(body), **_first_facts(body)}
    change_schema(organisation, {"kind": "add", "table": table.name, "column": name.lower(), "declared": declared})
    return _made(request, segments, metadata_id(table.name, name.lower()))


def _schema_name(body: Mapping[str, Any]) -> str:
    name = body.get("SchemaName")
    if not isinstance(name, str) or not is_custom(name) or not name.replace("_", "").isalnum():
        message = f"The schema name '{name}' does not begin with a publisher's prefix."
        raise bad_query(message)
    return name


def _facts(body: Mapping[str, Any]) -> dict[str, Any]:
    """What may also be changed later."""
    found = {
        "display": _label(body.get("DisplayName")),
        "required": (body.get("RequiredLevel") or {}).get("Value"),
        "length": body.get("MaxLength"),
        "min": _number(body.get("MinValue")),
        "max": _number(body.get("MaxValue")),
        "precision": body.get("Precision"),
        "format": body.get("Format") or (body.get("FormatName") or {}).get("Value"),
    }
    return {name: value for name, value in found.items() if value not in (None, "None") or name == "required"}


def _first_facts(body: Mapping[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if body.get("DateTimeBehavior"):
        facts["behavior"] = body["DateTimeBehavior"]["Value"]
    chosen = body.get("OptionSet") or {}
    options = [*(chosen.get("Options") or ()), chosen.get("FalseOption"), chosen.get("TrueOption")]
    labels = {str(option["Value"]): _label(option.get("Label")) or "" for option in options if option}
    return facts | ({"options": labels} if labels else {})


def _label(raw: Any) -> str | None:
    texts = (raw or {}).get("LocalizedLabels") or []
    return str(texts[0]["Label"]) if texts else None


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _update_column(organisation: Organisation, request: ApiRequest, table: Table, found: Described) -> ApiResponse:
    column = str(found.properties["LogicalName"])
    facts = {name: value for name, value in _facts(request.json_body()).items() if value is not None}
    change_schema(organisation, {"kind": "set", "table": table.name, "column": column, **facts})
    return ApiResponse(204)


def _add_key(organisation: Organisation, request: ApiRequest, segments: list[Segment], table: Table) -> ApiResponse:
    body = request.json_body()
    name, columns = _schema_name(body).lower(), [str(column).lower() for column in body.get("KeyAttributes") or ()]
    unknown = [column for column in columns if column not in table.columns]
    if unknown or not columns:
        reason = f"{table.name} has no column {', '.join(unknown)}" if unknown else "no columns are named"
        raise _bad_key(reason)
    if any(key.name == name or set(key.columns) == set(columns) for key in table.keys):
        reason = f"{table.name} has a key of this name or with these columns"
        raise _bad_key(reason)
    display = _label(body.get("DisplayName")) or name
    status = organisation.settings.new_key_status
    declared = {"name": name, "columns": columns, "display": display, "status": status}
    change_schema(organisation, {"kind": "add_key", "table": table.name, "declared": declared})
    return _made(request, segments, metadata_id("key", table.name, name))


def _bad_key(reason: str) -> DataverseError:
    return DataverseError(400, "0x8006088f", f"Invalid EntityKey Operation performed : {reason}")


def _delete(organisation: Organisation, table: Table, found: Described) -> ApiResponse:
    name = str(found.properties["LogicalName"])
    if found.type_name == "EntityKeyMetadata":
        change_schema(organisation, {"kind": "remove_key", "table": table.name, "key": name})
        return ApiResponse(204)
    column = table.columns.get(name)
    if column is None or not is_custom(name) or name in (table.primary_id, table.primary_name):
        message = f"The {name} attribute of {table.name} is part of the system and cannot be deleted."
        raise bad_query(message)
    change_schema(organisation, {"kind": "drop", "table": table.name, "column": name})
    return ApiResponse(204)


def _made(request: ApiRequest, segments: list[Segment], item: str) -> ApiResponse:
    """The address of what was made, below the table in the form in which the request named it."""
    owner, part = segments[0], segments[1].name
    address = f"{request.base}/{owner.name}({owner.key})/{part}({item})"
    return ApiResponse(204, {"OData-EntityId": address, "Location": address})
