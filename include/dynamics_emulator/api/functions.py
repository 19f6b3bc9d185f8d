"""Unbound functions and the service document."""

import re

from dynamics_emulator.api.access import require_read
from dynamics_emulator.api.messages import ApiRequest, ApiResponse, json_response
from dynamics_emulator.errors import DataverseError, bad_query
from dynamics_emulator.identity import ROOT_BUSINESS_UNIT_ID
from dynamics_emulator.odata.expression import prepare
from dynamics_emulator.odata.options import refuse_unbuilt
from dynamics_emulator.organisation import Organisation

_METADATA_SETS = ("EntityDefinitions", "RelationshipDefinitions", "GlobalOptionSetDefinitions")


def service_document(organisation: Organisation, request: ApiRequest) -> ApiResponse:
    """All entity sets."""
    refuse_unbuilt(request.options)
    names = sorted([*organisation.schema.sets, *_METADATA_SETS])
    entries = [{"name": name, "kind": "EntitySet", "url": name} for name in names]
    return json_response({"@odata.context": f"{request.base}/$metadata", "value": entries})


def who_am_i(organisation: Organisation, request: ApiRequest) -> ApiResponse:
    """The caller, its business unit and the organisation."""
    return json_response(
        {
            "@odata.context": f"{request.base}/$metadata#Microsoft.Dynamics.CRM.WhoAmIResponse",
            "BusinessUnitId": _business_unit(organisation, request.caller.user_id),
            "UserId": request.caller.user_id,
            "OrganizationId": organisation.identity.organization_id,
        }
    )


def _business_unit(organisation: Organisation, user_id: str) -> str:
    query = "SELECT businessunitid FROM systemuser WHERE systemuserid = ?"
    found = organisation.database.connection.execute(query, (user_id,)).fetchone()
    return str(found[0]) if found and found[0] else ROOT_BUSINESS_UNIT_ID


def retrieve_version(organisation: Organisation, request: ApiRequest) -> ApiResponse:
    """The platform's version."""
    context = f"{request.base}/$metadata#Microsoft.Dynamics.CRM.RetrieveVersionResponse"
    return json_response({"@odata.context": context, "Version": organisation.identity.version})


def retrieve_current_organization(organisation: Organisation, request: ApiRequest) -> ApiResponse:
    """What identifies the organisation, and its endpoints."""
    identity = organisation.identity
    host = request.base.partition("/api/")[0]
    detail = {
        "OrganizationId": identity.organization_id,
        "FriendlyName": identity.friendly_name,
        "OrganizationVersion": identity.version,
        "EnvironmentId": identity.environment_id,
        "DatacenterId": "7e57ab1e-0000-4000-8000-000000000006",
        "Geo": identity.geo,
        "TenantId": identity.tenant_id,
        "UrlName": identity.url_name,
        "UniqueName": identity.unique_name,
        "State": "Enabled",
        "Endpoints": {
            "Count": 1,
            "IsReadOnly": False,
            "Keys": ["WebApplication"],
            "Values": [f"{host}/"],
        },
    }
    context = f"{request.base}/$metadata#Microsoft.Dynamics.CRM.RetrieveCurrentOrganizationResponse"
    return json_response({"@odata.context": context, "Detail": detail})


def retrieve_total_record_count(organisation: Organisation, request: ApiRequest) -> ApiResponse:
    """Row counts of the named tables: above 5,000 too, unlike ``$count``."""
    names = re.findall(r"'((?:[^']|'')*)'", prepare(request.path, request.options.aliases))
    if not names:
        message = "The parameter EntityNames is missing."
        raise bad_query(message)
    counts = []
    for name in names:
        table = organisation.schema.tables.get(name)
        if table is None:
            message = f"The entity with a name = '{name}' was not found in the MetadataCache."
            raise DataverseError(404, "0x80060888", message)
        require_read(organisation, table, request.caller)
        counts.append(organisation.database.count(name))
    context = f"{request.base}/$metadata#Microsoft.Dynamics.CRM.RetrieveTotalRecordCountResponse"
    collection = {"Count": len(names), "IsReadOnly": False, "Keys": names, "Values": counts}
    return json_response({"@odata.context": context, "EntityRecordCountCollection": collection})
