"""The Dataverse codes and HTTP statuses that the sync knows, and the error that each becomes.

The names are Microsoft's own (SDK enum `ErrorCodes`). Codes that refuse the content of one record become
`RecordRefused`; where the same code answers a read, there is no record, and `refusals` makes it
`RequestRefused`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from dynamics_sync.errors import (
    ChangeTrackingExpired,
    ChangeTrackingOff,
    ColumnMissing,
    NotAMember,
    PrivilegeMissing,
    RecordNotFound,
    RecordRefused,
    RequestRefused,
    ServiceUnavailable,
    SyncError,
    TableMissing,
    Throttled,
    TokenRefused,
    VersionConflict,
)


@dataclass(frozen=True)
class KnownCode:
    """A code's name at Microsoft and the error that it becomes; None where only the HTTP status tells."""

    name: str
    error: type[SyncError] | None


CODES: Mapping[str, KnownCode] = MappingProxyType({
    "0x80044352": KnownCode("ExpiredVersionStamp", ChangeTrackingExpired),
    "0x80072491": KnownCode("ChangeTrackingNotEnabledForEntity", ChangeTrackingOff),
    "0x80072492": KnownCode("ChangeTrackingNotEnabledForIntersect", ChangeTrackingOff),
    "0x80040217": KnownCode("ObjectDoesNotExist", RecordNotFound),
    "0x80060891": KnownCode("RecordNotFoundByEntityKey", RecordNotFound),
    # A primary key that exists already: the first try of a create arrived, or somebody was faster.
    "0x80040237": KnownCode("DuplicateRecord", VersionConflict),
    "0x80060882": KnownCode("ConcurrencyVersionMismatch", VersionConflict),
    "0x80060883": KnownCode("ConcurrencyVersionNotProvided", RequestRefused),
    "0x8006088d": KnownCode("OptimisticConcurrencyNotEnabled", RequestRefused),
    "0x80060890": KnownCode("EntityKeyNotDefined", RequestRefused),
    "0x8006088f": KnownCode("InvalidEntityKeyOperation", RequestRefused),
    "0x80040333": KnownCode("DuplicateRecordsFound", RecordRefused),
    "0x80060892": KnownCode("DuplicateRecordEntityKey", RecordRefused),
    "0x8006089d": KnownCode("MultipleRecordsFoundByEntityKey", RecordRefused),
    "0x80073002": KnownCode("CrmSQLUniqueIndexOrConstraintViolation", RecordRefused),
    "0x80040220": KnownCode("PrivilegeDenied", PrivilegeMissing),
    "0x80048405": KnownCode("AccessDenied", PrivilegeMissing),
    "0x80048306": KnownCode("unManagedIdsAccessDenied", PrivilegeMissing),
    "0x8004f504": KnownCode("AttributePermissionReadIsMissing", PrivilegeMissing),
    "0x8004a110": KnownCode("CannotActOnBehalfOfAnotherUser", PrivilegeMissing),
    "0x80045301": KnownCode("MergeSecurityError", PrivilegeMissing),
    "0x80081018": KnownCode("CannotQualifyLead", PrivilegeMissing),
    # The record's new owner lacks rights, not the application user.
    "0x80040231": KnownCode("PrincipalPrivilegeDenied", RecordRefused),
    "0x80072560": KnownCode("UserNotMemberOfOrg", NotAMember),
    "0x80040225": KnownCode("SystemUserDisabled", NotAMember),
    "0x80048516": KnownCode("InvalidAuth", TokenRefused),
    "0x80072322": KnownCode("ThrottlingBurstRequestLimitExceededError", Throttled),
    "0x80072321": KnownCode("ThrottlingTimeExceededError", Throttled),
    "0x80072326": KnownCode("ThrottlingConcurrencyLimitExceededError", Throttled),
    "0x80041102": KnownCode("QueryBuilderNoEntity", TableMissing),
    "0x80041103": KnownCode("QueryBuilderNoAttribute", ColumnMissing),
    "0x80040216": KnownCode("UnExpected", ServiceUnavailable),
    "0x80044150": KnownCode("GenericSqlError", ServiceUnavailable),
    "0x80044151": KnownCode("SqlTimeout", ServiceUnavailable),
    "0x80040203": KnownCode("InvalidArgument", RecordRefused),
    "0x80044331": KnownCode("StringLengthTooLong", RecordRefused),
    "0x80073001": KnownCode("CrmSQLCharLengthTooLong", RecordRefused),
    "0x8004431a": KnownCode("PicklistValueOutOfRange", RecordRefused),
    "0x80040230": KnownCode("CannotUpdateObjectBecauseItIsInactive", RecordRefused),
    "0x80040227": KnownCode("CannotDeleteDueToAssociation", RecordRefused),
    "0x80040265": KnownCode("IsvAborted", RecordRefused),
    "0x80040224": KnownCode("IsvUnExpected", RecordRefused),
    "0x8004023b": KnownCode("InvalidOperation", RecordRefused),
    "0x80045304": KnownCode("MergeEntityNotActiveError", RecordRefused),
    "0x80045305": KnownCode("MergeEntitiesIdenticalError", RecordRefused),
    "0x80045300": KnownCode("MergeCyclicalParentingError", RecordRefused),
    "0x8004f00e": KnownCode("InvalidStateTransition", RecordRefused),
    "0x80048408": KnownCode("InvalidStateCodeStatusCode", RecordRefused),
    "0x80040518": KnownCode("LeadAlreadyInOpenState", RecordRefused),
    "0x80040519": KnownCode("LeadAlreadyInClosedState", RecordRefused),
    "0x8004e10b": KnownCode("RecurringSeriesCompleted", RecordRefused),
    "0x8004e023": KnownCode("AggregateQueryRecordLimitExceeded", RequestRefused),
    "0x8004418a": KnownCode("RequestLengthTooLarge", RequestRefused),
    "0x8004430a": KnownCode("OverRetrievalUpperLimitWithoutPagingCookie", RequestRefused),
    "0x8004112a": KnownCode("QueryBuilderInvalidPagingCookie", RequestRefused),
    "0x8004430c": KnownCode("TooManyConditionsInQuery", RequestRefused),
    "0x8004430d": KnownCode("TooManyLinkEntitiesInQuery", RequestRefused),
    "0x80040243": KnownCode("EntityInstantiationFailed", RequestRefused),
    "0x8006088c": KnownCode("MailboxTrackingFolderMappingCannotBeUpdated", RequestRefused),
    "0x8004832c": KnownCode("ReportViewerError", RequestRefused),
    # Generic codes: the status tells, and for the two OData codes the text.
    "0x8005f100": KnownCode("BadRequest", None),
    "0x8006088a": KnownCode("CrmHttpError", None),
    "0x80060888": KnownCode("ODataError", None),
    "0x80048d19": KnownCode("ODataPayloadError", None),
})  # fmt: skip

STATUSES: Mapping[int, type[SyncError]] = MappingProxyType({
    400: RequestRefused,
    401: TokenRefused,
    403: PrivilegeMissing,
    404: RecordNotFound,
    405: RequestRefused,
    408: ServiceUnavailable,
    412: VersionConflict,
    413: RequestRefused,
    429: Throttled,
    500: ServiceUnavailable,
    502: ServiceUnavailable,
    503: ServiceUnavailable,
    504: ServiceUnavailable,
})  # fmt: skip
