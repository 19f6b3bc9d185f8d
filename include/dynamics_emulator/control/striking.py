"""The faults that refuse a request in the API's place, or that spoil an answer as a whole."""

from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime

from dynamics_emulator.api.messages import ApiRequest, ApiResponse, error_response
from dynamics_emulator.control.faults import Fault
from dynamics_emulator.errors import DataverseError
from dynamics_emulator.organisation import Organisation
from dynamics_emulator.signin.tokens import unauthorized

_STATUS_FAULTS = {
    Fault.STATUS_500: (500, "0x80040216", "An unexpected error occurred."),
    Fault.STATUS_502: (502, "0x8006088a", "Bad gateway."),
    Fault.STATUS_503: (503, "0x8006088a", "The service is unavailable."),
    Fault.STATUS_504: (504, "0x8006088a", "The gateway timed out."),
}
_PAGE = b"<!DOCTYPE html><html><head><title>Sign in to your account</title></head><body>Please wait.</body></html>"


def require_no_fault(organisation: Organisation, request: ApiRequest) -> None:
    """Raise the refusal of a fault that strikes this request, or that of an organisation which is closed."""
    if organisation.closed_until is not None and organisation.clock.now() < organisation.closed_until:
        raise _closed(organisation)
    refusal = _refusal(organisation, request.url, in_batch=False)
    if refusal:
        raise refusal


def struck_part(organisation: Organisation, part: ApiRequest) -> ApiResponse | None:
    """The refusal of a fault that strikes this part of a batch in place of carrying it out; reads are left alone."""
    faults = organisation.faults
    if not faults.are_on or part.method == "GET":
        return None
    address = f"{part.method} {part.url}"
    if faults.strikes(Fault.TOKEN_EXPIRED_401, address, spared=part.token_is_new, in_batch=True):
        return error_response(unauthorized(), annotated=False)
    refusal = _refusal(organisation, address, in_batch=True)
    return error_response(refusal, annotated=part.wants_details) if refusal else None


def spoil_batch(organisation: Organisation, request: ApiRequest, found: ApiResponse) -> ApiResponse:
    """The answer to a batch that wrote, or what a fault makes of it."""
    struck = organisation.faults.strikes(Fault.TRUNCATED_JSON, f"{request.method} {request.url}", in_batch=True)
    return _cut(found) if struck else found


def _refusal(organisation: Organisation, address: str, *, in_batch: bool) -> DataverseError | None:
    faults, seconds = organisation.faults, organisation.settings.retry_after_seconds
    for fault, (status, code, text) in _STATUS_FAULTS.items():
        if faults.strikes(fault, address, in_batch=in_batch):
            return DataverseError(status, code, text)
    if faults.strikes(Fault.STATUS_429, address, in_batch=in_batch):
        return _throttled(organisation, str(seconds))
    if faults.strikes(Fault.RETRY_AFTER_DATE, address, in_batch=in_batch):
        moment = organisation.clock.now() + timedelta(seconds=seconds)
        return _throttled(organisation, format_datetime(moment, usegmt=True))
    return None


def spoil(organisation: Organisation, request: ApiRequest, found: ApiResponse) -> ApiResponse:
    """The answer, or what a fault makes of it."""
    faults = organisation.faults
    if faults.strikes(Fault.HTML_200, request.url):
        return ApiResponse(200, {"Content-Type": "text/html; charset=utf-8"}, _PAGE)
    if found.body and faults.strikes(Fault.TRUNCATED_JSON, request.url):
        return _cut(found)
    return found


def _cut(found: ApiResponse) -> ApiResponse:
    return replace(found, body=found.body[: max(1, len(found.body) * 2 // 3)])


def _closed(organisation: Organisation) -> DataverseError:
    text = "The organization is in administration mode."
    return DataverseError(organisation.settings.administration_mode_status, "0x8006088a", text)


def _throttled(organisation: Organisation, retry_after: str) -> DataverseError:
    settings = organisation.settings
    text = (
        f"Number of requests exceeded the limit of {settings.request_limit} over time window of "
        f"{settings.limit_window_seconds} seconds."
    )
    return DataverseError(429, "0x80072322", text, {"Retry-After": retry_after})
