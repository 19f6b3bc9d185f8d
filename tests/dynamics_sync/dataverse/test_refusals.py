"""Each status and each Dataverse code becomes one error of the tree."""

import json
from email.utils import formatdate
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from dynamics_sync import errors
from dynamics_sync.dataverse.codes import CODES, STATUSES
from dynamics_sync.dataverse.refusals import normal_code, raise_for, refusal_of, retry_after
from dynamics_sync.dataverse.wire import Answer, Request

LISTED = json.loads((Path(__file__).parent / "error_codes.json").read_text())
RECORD = "leads(3b9f1c77-51a4-4e0e-8a7b-0c2d4e6f8a10)"
SECRET = "Okafor-Lee-4711"

# What a write of one record makes of each code. Reads are told apart in a test of their own.
EXPECTED = {
    "ExpiredVersionStamp": errors.ChangeTrackingExpired,
    "ChangeTrackingNotEnabledForEntity": errors.ChangeTrackingOff,
    "ObjectDoesNotExist": errors.RecordNotFound,
    "RecordNotFoundByEntityKey": errors.RecordNotFound,
    "DuplicateRecord": errors.VersionConflict,
    "ConcurrencyVersionMismatch": errors.VersionConflict,
    "ConcurrencyVersionNotProvided": errors.RequestRefused,
    "OptimisticConcurrencyNotEnabled": errors.RequestRefused,
    "EntityKeyNotDefined": errors.RequestRefused,
    "InvalidEntityKeyOperation": errors.RequestRefused,
    "MultipleRecordsFoundByEntityKey": errors.RecordRefused,
    "DuplicateRecordsFound": errors.RecordRefused,
    "DuplicateRecordEntityKey": errors.RecordRefused,
    "PrivilegeDenied": errors.PrivilegeMissing,
    "PrincipalPrivilegeDenied": errors.RecordRefused,
    "AccessDenied": errors.PrivilegeMissing,
    "unManagedIdsAccessDenied": errors.PrivilegeMissing,
    "AttributePermissionReadIsMissing": errors.PrivilegeMissing,
    "CannotActOnBehalfOfAnotherUser": errors.PrivilegeMissing,
    "MergeSecurityError": errors.PrivilegeMissing,
    "CannotQualifyLead": errors.PrivilegeMissing,
    "UserNotMemberOfOrg": errors.NotAMember,
    "InvalidAuth": errors.TokenRefused,
    "ThrottlingBurstRequestLimitExceededError": errors.Throttled,
    "ThrottlingTimeExceededError": errors.Throttled,
    "ThrottlingConcurrencyLimitExceededError": errors.Throttled,
    "QueryBuilderNoEntity": errors.TableMissing,
    "QueryBuilderNoAttribute": errors.ColumnMissing,
    "UnExpected": errors.ServiceUnavailable,
    "AggregateQueryRecordLimitExceeded": errors.RequestRefused,
    "RequestLengthTooLarge": errors.RequestRefused,
    "OverRetrievalUpperLimitWithoutPagingCookie": errors.RequestRefused,
    "QueryBuilderInvalidPagingCookie": errors.RequestRefused,
    "TooManyConditionsInQuery": errors.RequestRefused,
    "TooManyLinkEntitiesInQuery": errors.RequestRefused,
    "EntityInstantiationFailed": errors.RequestRefused,
    "BadRequest": errors.RequestRefused,
    "CrmHttpError": errors.RequestRefused,
    "MailboxTrackingFolderMappingCannotBeUpdated": errors.RequestRefused,
    "ReportViewerError": errors.RequestRefused,
    **dict.fromkeys(
        [
            "InvalidArgument", "StringLengthTooLong", "PicklistValueOutOfRange", "CrmSQLCharLengthTooLong",
            "CrmSQLUniqueIndexOrConstraintViolation", "CannotUpdateObjectBecauseItIsInactive",
            "CannotDeleteDueToAssociation", "IsvAborted", "IsvUnExpected", "InvalidOperation",
            "MergeEntityNotActiveError", "MergeEntitiesIdenticalError", "MergeCyclicalParentingError",
            "InvalidStateTransition", "InvalidStateCodeStatusCode", "LeadAlreadyInOpenState",
            "LeadAlreadyInClosedState", "RecurringSeriesCompleted",
        ],
        errors.RecordRefused,
    ),
}  # fmt: skip


def clock() -> float:
    return 1_000_000.0


def answer(
    status: int, body: bytes = b"", *, method: str = "PATCH", path: str = RECORD, headers: dict[str, str] | None = None
) -> Answer:
    found = CaseInsensitiveDict({"Content-Type": "application/json", **(headers or {})})
    return Answer(status, found, body, Request(path, method=method))


def envelope(code: str, message: str = SECRET) -> bytes:
    return json.dumps({"error": {"code": code, "message": message}}).encode()


def test_every_listed_code_is_mapped_and_expected() -> None:
    assert set(EXPECTED) == set(LISTED)
    assert {entry["hex"] for entry in LISTED.values()} <= set(CODES)
    assert {"0x80060888", "0x80048d19", "0x80072492"} <= set(CODES)


@pytest.mark.parametrize("name", sorted(LISTED))
@pytest.mark.parametrize("form", ["hex", "int"])
def test_a_code_decides_in_both_of_its_forms(name: str, form: str) -> None:
    error = refusal_of(answer(400, envelope(str(LISTED[name][form]))), clock)
    assert type(error) is EXPECTED[name]
    assert error.dataverse_code == LISTED[name]["hex"]
    assert name in str(error)
    assert LISTED[name]["hex"] in str(error)
    assert SECRET not in str(error)


@pytest.mark.parametrize("name", sorted(name for name, error in EXPECTED.items() if error is errors.RecordRefused))
def test_a_read_has_no_record_to_set_aside(name: str) -> None:
    error = refusal_of(answer(400, envelope(LISTED[name]["hex"]), method="GET", path="leads"), clock)
    assert type(error) is errors.RequestRefused


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (302, errors.UnexpectedAnswer),
        (400, errors.RequestRefused),
        (401, errors.TokenRefused),
        (403, errors.PrivilegeMissing),
        (404, errors.RecordNotFound),
        (405, errors.RequestRefused),
        (408, errors.ServiceUnavailable),
        (410, errors.RequestRefused),
        (412, errors.VersionConflict),
        (413, errors.RequestRefused),
        (418, errors.RequestRefused),
        (429, errors.Throttled),
        (500, errors.ServiceUnavailable),
        (502, errors.ServiceUnavailable),
        (503, errors.ServiceUnavailable),
        (504, errors.ServiceUnavailable),
        (507, errors.ServiceUnavailable),
    ],
)
@pytest.mark.parametrize("body", [b"", b"<html>", envelope("0x81234567"), envelope("")])
def test_without_a_known_code_the_status_decides(status: int, expected: type[errors.SyncError], body: bytes) -> None:
    error = refusal_of(answer(status, body), clock)
    assert type(error) is expected
    assert f"answered {status}" in str(error)
    assert error.http_status == status


def test_every_documented_status_is_mapped_on_purpose() -> None:
    assert {400, 401, 403, 404, 405, 412, 413, 429, 500, 502, 503, 504} <= set(STATUSES)


def test_a_collection_that_is_not_found_is_a_missing_table() -> None:
    assert type(refusal_of(answer(404, method="GET", path="leadz?$select=a"), clock)) is errors.TableMissing


@pytest.mark.parametrize("code", ["", "0x80040220", "0x80060888", "0x80048516", "0x81234567"])
def test_a_401_is_about_the_token_under_whatever_code(code: str) -> None:
    assert type(refusal_of(answer(401, envelope(code)), clock)) is errors.TokenRefused
    assert type(refusal_of(answer(401, envelope("0x80072560")), clock)) is errors.NotAMember


def test_duplicate_detection_is_the_same_under_both_statuses_that_microsoft_prints() -> None:
    found = [type(refusal_of(answer(status, envelope("0x80040333")), clock)) for status in (412, 500)]
    assert found == [errors.RecordRefused] * 2


@pytest.mark.parametrize(
    ("method", "text", "expected", "shown"),
    [
        ("GET", "Could not find a property named 'foo' on type 'Microsoft.Dynamics.CRM.lead'.", errors.ColumnMissing,
         "column foo of table lead"),
        ("GET", "URL was not parsed due to an ODataUnrecognizedPathException. Resource not found for the segment"
         " provided in the URL.", errors.TableMissing, ""),
        ("GET", "something else", errors.RequestRefused, ""),
        ("PATCH", "An undeclared property 'x' which only has property annotations", errors.ColumnMissing, "column x"),
        ("PATCH", f"Cannot convert the literal '{SECRET}' to the expected type", errors.RecordRefused, ""),
        ("PATCH", "something else", errors.RequestRefused, ""),
    ],
)  # fmt: skip
@pytest.mark.parametrize("code", ["0x80060888", "0x80048d19"])
def test_the_odata_codes_are_read_by_their_text(
    code: str, method: str, text: str, expected: type[errors.SyncError], shown: str
) -> None:
    error = refusal_of(answer(400, envelope(code, text), method=method), clock)
    assert type(error) is expected
    assert shown in str(error)
    assert SECRET not in str(error)


def test_the_missing_privilege_is_named_and_nothing_else_of_the_text() -> None:
    text = f"Principal user (Id=1, type=8, name={SECRET}) is missing prvReadLead privilege (Id=2) on OTC=4"
    error = refusal_of(answer(403, envelope("0x80040220", text), method="GET", path="leads"), clock)
    assert "prvReadLead" in str(error)
    assert SECRET not in str(error)


def test_the_column_that_is_too_long_is_named() -> None:
    text = (
        "A validation error occurred.  The length of the 'lastname' attribute of the 'lead' entity exceeded the"
        f" maximum allowed length of '50'. {SECRET}"
    )
    error = refusal_of(answer(400, envelope("0x80044331", text)), clock)
    assert "column lastname of table lead" in str(error)
    assert SECRET not in str(error)


def test_a_plug_ins_text_is_never_shown() -> None:
    text = f"property named 'prvX' missing prvReadLead {SECRET} 'lastname' attribute of the 'lead' entity"
    assert "prv" not in str(refusal_of(answer(400, envelope("0x80040265", text)), clock))


def test_a_message_names_request_and_id_but_no_query_and_no_key_value() -> None:
    path = f"leads(acme_extid='{SECRET}')?$filter=lastname eq '{SECRET}'"
    headers = {"x-ms-service-request-id": "11-22,33-44"}
    text = str(refusal_of(answer(400, path=path, headers=headers), clock))
    assert "PATCH leads(acme_extid=…)" in text
    assert "(request id 11-22)" in text
    assert SECRET not in text


@pytest.mark.parametrize(("method", "status", "said"), [
    ("GET", 400, "Nothing was read"), ("PATCH", 400, "Nothing was written"), ("PATCH", 503, "not known"),
])  # fmt: skip
def test_a_message_says_what_was_not_done(method: str, status: int, said: str) -> None:
    assert said in str(refusal_of(answer(status, method=method), clock))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("17", 17.0), (" 17 ", 17.0), ("0", 0.0), ("1.5", 1.5), (formatdate(1_000_030, usegmt=True), 30.0),
        (formatdate(900_000, usegmt=True), 0.0), ("soon", None), ("-5", None), ("nan", None), ("", None), (None, None),
    ],
)  # fmt: skip
def test_retry_after_is_read_in_both_forms(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, clock) == seconds


@given(st.text(max_size=40))
@example("0\x1f")
def test_no_retry_after_breaks_the_client(value: str) -> None:
    found = retry_after(value, clock)
    assert found is None or found >= 0


@given(st.binary(max_size=80), st.integers(300, 599))
def test_no_body_breaks_the_mapping(body: bytes, status: int) -> None:
    assert isinstance(refusal_of(answer(status, body), clock), errors.SyncError)


@pytest.mark.parametrize(("given_code", "normal"), [
    ("0x80060882", "0x80060882"), ("0X80060882", "0x80060882"), ("-2147088254", "0x80060882"), ("0x0", ""),
    ("", ""), ("x", ""),
])  # fmt: skip
def test_codes_are_brought_to_one_form(given_code: str, normal: str) -> None:
    assert normal_code(given_code) == normal


def test_not_modified_is_no_error_where_a_version_was_given() -> None:
    request = Request(RECORD, headers={"If-None-Match": 'W/"1"'})
    assert raise_for(Answer(304, CaseInsensitiveDict(), b"", request), clock) is None
    with pytest.raises(errors.UnexpectedAnswer):
        raise_for(answer(304), clock)
