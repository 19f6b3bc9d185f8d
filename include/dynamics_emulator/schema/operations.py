"""The functions and actions that ``$metadata`` declares."""

from collections.abc import Iterable
from dataclasses import dataclass

_GUID, _TEXT, _NUMBER, _FLAG = "Edm.Guid", "Edm.String", "Edm.Int32", "Edm.Boolean"
_BASE_ROW = "mscrm.crmbaseentity"


@dataclass(frozen=True)
class Operation:
    """A function or action: parameters as pairs of name and type; the first one is the row or rows of a bound one."""

    name: str
    parameters: tuple[tuple[str, str], ...] = ()
    returns: str | None = None
    bound: bool = False
    optional: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Structure:
    """A complex type that operations take or return: properties as pairs of name and type."""

    name: str
    properties: tuple[tuple[str, str], ...]
    open: bool = False


FUNCTIONS = (
    Operation("WhoAmI", returns="mscrm.WhoAmIResponse"),
    Operation("RetrieveVersion", returns="mscrm.RetrieveVersionResponse"),
    Operation(
        "RetrieveCurrentOrganization",
        (("AccessType", "mscrm.EndpointAccessType"),),
        "mscrm.RetrieveCurrentOrganizationResponse",
    ),
    Operation(
        "RetrieveTotalRecordCount",
        (("EntityNames", f"Collection({_TEXT})"),),
        "mscrm.RetrieveTotalRecordCountResponse",
    ),
    Operation(
        "RetrieveMetadataChanges",
        (("Query", "mscrm.EntityQueryExpression"), ("ClientVersionStamp", _TEXT)),
        "mscrm.RetrieveMetadataChangesResponse",
    ),
)
STRUCTURES = (
    Structure("WhoAmIResponse", (("BusinessUnitId", _GUID), ("UserId", _GUID), ("OrganizationId", _GUID))),
    Structure("RetrieveVersionResponse", (("Version", _TEXT),)),
    Structure("RetrieveCurrentOrganizationResponse", (("Detail", "mscrm.OrganizationDetail"),)),
    Structure(
        "OrganizationDetail",
        (
            ("OrganizationId", _GUID),
            ("FriendlyName", _TEXT),
            ("OrganizationVersion", _TEXT),
            ("EnvironmentId", _TEXT),
            ("DatacenterId", _GUID),
            ("Geo", _TEXT),
            ("TenantId", _TEXT),
            ("UrlName", _TEXT),
            ("UniqueName", _TEXT),
            ("State", "mscrm.OrganizationState"),
            ("Endpoints", "mscrm.EndpointCollection"),
        ),
    ),
    Structure(
        "EndpointCollection",
        (
            ("Count", _NUMBER),
            ("IsReadOnly", _FLAG),
            ("Keys", "Collection(mscrm.EndpointType)"),
            ("Values", f"Collection({_TEXT})"),
        ),
    ),
    Structure(
        "RetrieveTotalRecordCountResponse", (("EntityRecordCountCollection", "mscrm.EntityRecordCountCollection"),)
    ),
    Structure(
        "EntityRecordCountCollection",
        (
            ("Count", _NUMBER),
            ("IsReadOnly", _FLAG),
            ("Keys", f"Collection({_TEXT})"),
            ("Values", "Collection(Edm.Int64)"),
        ),
    ),
    Structure("EntityQueryExpression", (), open=True),
    Structure("ComplexEntityMetadata", (("MetadataId", _GUID), ("LogicalName", _TEXT)), open=True),
    Structure("DeletedMetadataCollection", (("Count", _NUMBER), ("IsReadOnly", _FLAG)), open=True),
    Structure(
        "RetrieveMetadataChangesResponse",
        (
            ("EntityMetadata", "Collection(mscrm.ComplexEntityMetadata)"),
            ("ServerVersionStamp", _TEXT),
            ("DeletedMetadata", "mscrm.DeletedMetadataCollection"),
        ),
    ),
    Structure("CreateMultipleResponse", (("Ids", f"Collection({_GUID})"),)),
    Structure("BulkDeleteResponse", (("JobId", _GUID),)),
    Structure("QueryExpression", (("EntityName", _TEXT),), open=True),
)
ENUMERATIONS = {
    "EndpointAccessType": ("Default", "Internet", "Intranet"),
    "EndpointType": ("OrganizationService", "OrganizationDataService", "WebApplication"),
    "OrganizationState": ("Enabled", "Disabled"),
}


def actions(tables: Iterable[str]) -> list[Operation]:
    """The actions of an organisation with these tables."""
    names = list(tables)
    found = [Operation("PublishAllXml"), Operation("PublishXml", (("ParameterXml", _TEXT),)), _bulk_delete()]
    found += [_merge()] if {"account", "contact", "lead"} & set(names) else []
    if "lead" in names:
        found.append(_qualify_lead())
    if "opportunityclose" in names:
        closing = (("Status", _NUMBER), ("OpportunityClose", "mscrm.opportunityclose"))
        found += [Operation(name, closing) for name in ("WinOpportunity", "LoseOpportunity")]
    for name in names:
        found += _multiples(name)
    return found


def _bulk_delete() -> Operation:
    parameters = (
        ("QuerySet", "Collection(mscrm.QueryExpression)"),
        ("JobName", _TEXT),
        ("SendEmailNotification", _FLAG),
        ("ToRecipients", f"Collection({_BASE_ROW})"),
        ("CCRecipients", f"Collection({_BASE_ROW})"),
        ("RecurrencePattern", _TEXT),
        ("StartDateTime", "Edm.DateTimeOffset"),
    )
    return Operation("BulkDelete", parameters, "mscrm.BulkDeleteResponse")


def _merge() -> Operation:
    parameters = (
        ("Target", _BASE_ROW),
        ("Subordinate", _BASE_ROW),
        ("UpdateContent", _BASE_ROW),
        ("PerformParentingChecks", _FLAG),
    )
    return Operation("Merge", parameters, optional=frozenset({"UpdateContent"}))


def _qualify_lead() -> Operation:
    parameters = (
        ("entity", "mscrm.lead"),
        ("CreateAccount", _FLAG),
        ("CreateContact", _FLAG),
        ("CreateOpportunity", _FLAG),
        ("Status", _NUMBER),
        ("OpportunityCurrencyId", "mscrm.transactioncurrency"),
        ("OpportunityCustomerId", _BASE_ROW),
        ("SourceCampaignId", "mscrm.campaign"),
        ("ProcessInstanceId", _BASE_ROW),
    )
    optional = frozenset({"OpportunityCurrencyId", "OpportunityCustomerId", "SourceCampaignId", "ProcessInstanceId"})
    return Operation("QualifyLead", parameters, f"Collection({_BASE_ROW})", bound=True, optional=optional)


def _multiples(table: str) -> list[Operation]:
    rows = f"Collection(mscrm.{table})"
    parameters = (("entityset", rows), ("Targets", rows))
    return [
        Operation("CreateMultiple", parameters, "mscrm.CreateMultipleResponse", bound=True),
        Operation("UpdateMultiple", parameters, bound=True),
        Operation("UpsertMultiple", parameters, bound=True),
    ]
