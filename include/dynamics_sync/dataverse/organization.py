"""Which organisation the connection leads to, and as whom."""

import json
from dataclasses import dataclass

import msgspec

from dynamics_sync.dataverse.client import DataverseClient
from dynamics_sync.dataverse.query import function_path
from dynamics_sync.dataverse.wire import Request, decode
from dynamics_sync.errors import UnexpectedAnswer


@dataclass(frozen=True)
class Organization:
    """The five properties that together tell one environment from its copy."""

    organization_id: str
    environment_id: str
    unique_name: str
    tenant_id: str
    url_name: str
    friendly_name: str = ""
    version: str = ""


@dataclass(frozen=True)
class Caller:
    """The application user that the token belongs to."""

    user_id: str
    business_unit_id: str
    organization_id: str


class _Detail(msgspec.Struct, rename="pascal"):
    organization_id: str
    environment_id: str = ""
    unique_name: str = ""
    tenant_id: str = ""
    url_name: str = ""
    friendly_name: str = ""
    organization_version: str = ""


class _CurrentOrganization(msgspec.Struct, rename="pascal"):
    detail: _Detail


class _WhoAmI(msgspec.Struct, rename="pascal"):
    user_id: str
    business_unit_id: str
    organization_id: str


class _Counts(msgspec.Struct, rename="pascal"):
    keys: list[str]
    values: list[int]


class _RecordCounts(msgspec.Struct, rename="pascal"):
    entity_record_count_collection: _Counts


_CURRENT_ORGANIZATION = msgspec.json.Decoder(_CurrentOrganization)
_WHO_AM_I = msgspec.json.Decoder(_WhoAmI)
_RECORD_COUNTS = msgspec.json.Decoder(_RecordCounts)


def read_organization(client: DataverseClient) -> Organization:
    """Return the identity of the organisation that the connection leads to."""
    access = {"@p1": "Microsoft.Dynamics.CRM.EndpointAccessType'Default'"}
    request = Request(function_path("RetrieveCurrentOrganization(AccessType=@p1)", access))
    detail = decode(client.send(request), _CURRENT_ORGANIZATION).detail
    return Organization(
        organization_id=detail.organization_id,
        environment_id=detail.environment_id,
        unique_name=detail.unique_name,
        tenant_id=detail.tenant_id,
        url_name=detail.url_name,
        friendly_name=detail.friendly_name,
        version=detail.organization_version,
    )


def who_am_i(client: DataverseClient) -> Caller:
    """Return the application user that Dynamics knows the connection as."""
    found = decode(client.send(Request("WhoAmI")), _WHO_AM_I)
    return Caller(found.user_id, found.business_unit_id, found.organization_id)


def total_record_count(client: DataverseClient, name: str) -> int:
    """Return how many rows a table has (logical name). It is a snapshot of Dynamics, up to 24 hours old."""
    request = Request(function_path("RetrieveTotalRecordCount(EntityNames=@p1)", {"@p1": json.dumps([name])}))
    counts = decode(client.send(request), _RECORD_COUNTS).entity_record_count_collection
    try:
        return dict(zip(counts.keys, counts.values, strict=True))[name]
    except (KeyError, ValueError):
        what = f"RetrieveTotalRecordCount gave no number for table {name}"
        raise UnexpectedAnswer(what, not_done="The rows were not counted") from None
