"""``RetrieveMetadataChanges``: one query over tables, columns, keys and relationships, whole or since a stamp."""

from datetime import timedelta
from typing import Any

from dynamics_emulator.api.messages import ApiRequest, ApiResponse, json_response
from dynamics_emulator.api.metadata_paths import described
from dynamics_emulator.errors import DataverseError
from dynamics_emulator.odata.metadata_query import EntityQuery, MetadataQuery
from dynamics_emulator.odata.options import split_outside
from dynamics_emulator.odata.tracking import STAMP_FORMAT, expired_up_to, parse_token
from dynamics_emulator.organisation import Organisation, kept_changes
from dynamics_emulator.reshaping import publish_changes
from dynamics_emulator.schema.described import CRM, Described, metadata_id


def retrieve_metadata_changes(organisation: Organisation, request: ApiRequest) -> ApiResponse:
    """Answer an EntityQueryExpression.

    With a ClientVersionStamp only the tables that changed since, and what was deleted; an old stamp is refused with
    0x80044352, as an old delta token is.
    """
    arguments = _arguments(request)
    query = EntityQuery.read(arguments.get("Query", "null"))
    since = _version(organisation, arguments.get("ClientVersionStamp"))
    changes = [change for change in kept_changes(organisation.database) if change.get("version", 0) > since]
    changed = {change["table"] for change in changes} if since else None
    found = [
        _entity(item, query, changed=changed is not None)
        for item in described(organisation.schema, "EntityDefinitions")
        if query.fits(item) and (changed is None or item.properties["LogicalName"] in changed)
    ]
    return json_response(
        {
            "@odata.context": f"{request.base}/$metadata#Microsoft.Dynamics.CRM.RetrieveMetadataChangesResponse",
            "ServerVersionStamp": _stamp(organisation),
            "DeletedMetadata": _deleted(changes if since else []),
            "EntityMetadata": found,
        }
    )


def publish_all(organisation: Organisation, request: ApiRequest) -> ApiResponse:
    """The actions ``PublishAllXml`` and ``PublishXml``: what waited for publication is now known to everybody."""
    if request.method != "POST":
        message = "The action must be called with POST."
        raise DataverseError(405, "0x80060888", message)
    publish_changes(organisation)
    return ApiResponse(204)


def _arguments(request: ApiRequest) -> dict[str, str]:
    _, _, inside = request.path.partition("(")
    pairs = [part.partition("=") for part in split_outside(inside.rstrip(")"), ",")]
    values = {name.strip(): value.strip() for name, _, value in pairs}
    return {
        name: request.options.aliases.get(value, "null") if value.startswith("@") else value
        for name, value in values.items()
    }


def _version(organisation: Organisation, stamp: str | None) -> int:
    """The version in a client's stamp; 0 without one. Raises the refusal of an old one."""
    text = (stamp or "null").strip("'\"")
    if text in ("", "null"):
        return 0
    token = parse_token(text)
    settings, now = organisation.settings, organisation.clock.now()
    aged = now - token.issued > timedelta(days=settings.metadata_stamp_life_days)
    if aged or token.version <= expired_up_to(organisation.database, "metadata"):
        message = "Version stamp associated with the client has expired. Please perform a full sync."
        raise DataverseError(settings.expired_token_status, "0x80044352", message)
    return token.version


def _stamp(organisation: Organisation) -> str:
    return f"{organisation.database.current_version()}!{organisation.clock.now().strftime(STAMP_FORMAT)}"


def _deleted(changes: list[dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, list[str]] = {}
    for change in changes:
        match change["kind"]:
            case "drop" | "rename":
                found.setdefault("Attribute", []).append(metadata_id(change["table"], change["column"]))
            case "drop_table":
                found.setdefault("Entity", []).append(metadata_id(change["table"]))
            case "remove_key":
                found.setdefault("EntityKey", []).append(metadata_id("key", change["table"], change["key"]))
            case _:
                pass
    values = [{"Count": len(ids), "IsReadOnly": False, "Items": ids} for ids in found.values()]
    return {"Count": len(found), "IsReadOnly": False, "Keys": list(found), "Values": values}


def _entity(item: Described, query: EntityQuery, *, changed: bool) -> dict[str, Any]:
    shown = {**query.shown(item), "HasChanged": True if changed else None}
    for name, parts in item.navigations.items():
        if query.wants(name):
            inner = query.behind(name)
            shown[name] = [_part(part, inner) for part in parts if inner.fits(part)]
    return shown


def _part(item: Described, query: MetadataQuery) -> dict[str, Any]:
    shown = {"@odata.type": f"#{CRM}.Complex{item.type_name}", **query.shown(item)}
    for name, options in item.navigations.items():
        if query.wants(name) and options is not None:
            shown[name] = {"@odata.type": f"#{CRM}.Complex{options.type_name}", **options.properties}
    return shown
