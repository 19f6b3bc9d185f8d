"""From what Dynamics answers to one error of the tree.

The Dataverse code decides, then the HTTP status: Microsoft's pages disagree about the status of several
codes. The server's own text is never passed on, since it may quote values of a record (`maximum length of
'lastname'`, a plug-in's message). Only names that the schema defines are taken out of it: privileges,
columns, tables.
"""

import re
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from types import MappingProxyType

import msgspec

from dynamics_sync.dataverse.codes import CODES, STATUSES
from dynamics_sync.dataverse.wire import Answer, Request, incomplete, request_note
from dynamics_sync.errors import (
    ColumnMissing,
    NotAMember,
    PrivilegeMissing,
    RecordRefused,
    RequestRefused,
    ServiceUnavailable,
    SyncError,
    TableMissing,
    TokenRefused,
    TryAgain,
    UnexpectedAnswer,
)

_SECONDS = re.compile(r"\d{1,9}(\.\d+)?")
_RECORD = re.compile(r"\([^)]+\)")
_COLUMN = re.compile(r"(?:property named|undeclared property) '([A-Za-z_][\w.]{0,127})'")
_TYPE = re.compile(r"on type 'Microsoft\.Dynamics\.CRM\.([a-z_]\w{0,127})'", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"'([a-z_]\w{0,127})' attribute of the '([a-z_]\w{0,127})' entity")
_PRIVILEGE = re.compile(r"\bprv[A-Za-z]\w{1,127}")
_GENERIC_ODATA = "0x80060888"
_PAYLOAD = "0x80048d19"


class _Body(msgspec.Struct):
    code: str = ""
    message: str = ""


class _Envelope(msgspec.Struct):
    error: _Body


_ENVELOPE = msgspec.json.Decoder(_Envelope)


def raise_for(answer: Answer, clock: Callable[[], float]) -> None:
    """Raise the error that `answer` means; return when it is a success.

    `clock` gives seconds since 1970, to read a `Retry-After` that is a date.
    """
    if 200 <= answer.status < 300:
        if answer.content_type == "text/html":
            raise incomplete(answer)
        return
    if answer.status == 304 and answer.request.headers.get("If-None-Match", "null") != "null":
        return
    raise refusal_of(answer, clock)


def refusal_of(answer: Answer, clock: Callable[[], float]) -> SyncError:
    """Return the error for an answer that is no success, with its code and status on it."""
    code, text = read_envelope(answer.body)
    known = CODES.get(code)
    error = _class_of(answer, code, text)
    named = " ".join(part for part in (code, known.name if known else "") if part)
    what = f"{answer.request.label} was answered {answer.status}"
    what += (f" {named}" if named else "") + safe_details(code, text) + request_note(answer)
    not_done = _not_done(answer)
    if issubclass(error, TryAgain):
        seconds = retry_after(answer.headers.get("Retry-After"), clock)
        raised: SyncError = error(what, not_done=not_done, retry_after=seconds)
    else:
        raised = error(what, not_done=not_done)
    raised.dataverse_code, raised.http_status = code, answer.status
    return raised


def read_envelope(body: bytes) -> tuple[str, str]:
    """Return code and message of an error body; two empty texts when it is none."""
    try:
        error = _ENVELOPE.decode(body).error
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "", ""
    return normal_code(error.code), error.message


def normal_code(code: str) -> str:
    """Return a Dataverse code as `0x` and eight lower-case digits; it also comes as a signed integer."""
    try:
        number = int(code, 0)
    except ValueError:
        return ""
    return f"0x{number & 0xFFFFFFFF:08x}" if number else ""


def retry_after(value: str | None, clock: Callable[[], float]) -> float | None:
    """Return the seconds that a `Retry-After` asks for, in both of its forms; None if it says nothing."""
    if not value:
        return None
    # float() takes fewer characters for blanks than strip() does.
    text = value.strip()
    if _SECONDS.fullmatch(text):
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - clock())
    except (ValueError, OverflowError):
        return None


def _class_of(answer: Answer, code: str, text: str) -> type[SyncError]:
    request = answer.request
    error = CODES[code].error if code in CODES else None
    # A 401 is about the token under whatever code it comes; only the missing application user is another matter.
    if answer.status == 401 and error is not NotAMember:
        return TokenRefused
    if code in (_GENERIC_ODATA, _PAYLOAD):
        return _class_of_odata_text(request, text)
    # Some codes say nothing: then the status decides, as it does where there is no code at all.
    if error is None:
        return _class_of_status(answer)
    if error is RecordRefused and request.reads:
        return RequestRefused
    return error


def _class_of_status(answer: Answer) -> type[SyncError]:
    if answer.status == 404 and not _RECORD.search(answer.request.label):
        return TableMissing
    if answer.status in STATUSES:
        return STATUSES[answer.status]
    match answer.status // 100:
        case 4:
            return RequestRefused
        case 5:
            return ServiceUnavailable
        case _:
            return UnexpectedAnswer


def _class_of_odata_text(request: Request, text: str) -> type[SyncError]:
    """The two OData codes stand for anything that the OData layer refuses; only their text tells what."""
    if _COLUMN.search(text):
        return ColumnMissing
    if request.reads:
        return TableMissing if "Resource not found for the segment" in text else RequestRefused
    # The payload's structure is ours and would fail for each record; a literal that cannot be converted is
    # the row's.
    return RecordRefused if "convert" in text.lower() else RequestRefused


def safe_details(code: str, text: str) -> str:
    """Return what may be shown of the server's text: names that the schema defines, never values."""
    error = CODES[code].error if code in CODES else None
    if error in _DETAILS:
        return _DETAILS[error](text)
    if code in (_GENERIC_ODATA, _PAYLOAD):
        return _column_detail(text)
    if code in ("0x80044331", "0x80073001", "0x8004431a"):
        return _attribute_detail(text)
    return ""


def _column_detail(text: str) -> str:
    column, table = _COLUMN.search(text), _TYPE.search(text)
    owner = f" of table {table[1]}" if table else ""
    return f": column {column[1]}{owner}" if column else ""


def _attribute_detail(text: str) -> str:
    found = _ATTRIBUTE.search(text)
    return f": column {found[1]} of table {found[2]}" if found else ""


def _privilege_detail(text: str) -> str:
    found = _PRIVILEGE.search(text)
    return f": privilege {found[0]} is missing" if found else ""


def _not_done(answer: Answer) -> str:
    if answer.request.reads:
        return "Nothing was read by it"
    if answer.status >= 500:
        return "Whether it was written is not known"
    return "Nothing was written by it"


_DETAILS: Mapping[type[SyncError] | None, Callable[[str], str]] = MappingProxyType(
    {PrivilegeMissing: _privilege_detail, ColumnMissing: _column_detail}
)
