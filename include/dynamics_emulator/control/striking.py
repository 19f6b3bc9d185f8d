"""The faults that refuse a request in the API's place, or that spoil an answer as a whole."""

from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime

from dynamics_emulator.api.messages import ApiRequest, ApiResponse
from dynamics_emulator.control.faults import Fault
from dynamics_emulator.errors import DataverseError
from dynamics_emulator.organisation import Organisation

_STATUS_FAULTS = {
    Fault.STATUS_500: (500, "0x80040216", "An unexpected error occurred."),
    Fault.STATUS_502: (502, "0x8006088a", "Bad gateway."),
    Fault.STATUS_503: (503, "0x8006088a", "The service is unavailable."),
    Fault.STATUS_504: (504, "0x8006088a", "The gateway timed out."),
}
_PAGE = b"<!DOCTYPE html><html><head><title>Sign in to your account</title></head><body>Please wait.</body></html>"


def require_no_fault(organisation: Organisation, request: ApiRequest) -> None:
    """Raise the refusal of a fault that strikes this request, or that of an organisation which is closed."""
    faults, now = organisation.faults, organisation.clock.now()
    if organisation.closed_until is not None and now < organisation.closed_until:
        raise _closed(organisation)
    for fault, (status, code, text) in _STATUS_FAULTS.items():
        if faults.strikes(fault, request.url):
            raise DataverseError(status, code, text)
    seconds = organisation.settings.retry_after_seconds
    if faults.strikes(Fault.STATUS_429, request.url):
        raise _throttled(organisation, str(seconds))
    if faults.strikes(Fault.RETRY_AFTER_DATE, request.url):
        raise _throttled(organisation, format_datetime(now + timedelta(seconds=seconds), usegmt=True))


def spoil(organisation: Organisation, request: ApiRequest, found: ApiResponse) -> ApiResponse:
    """The answer, or what a fault makes of it."""
    faults = organisation.faults
    if faults.strikes(Fault.HTML_200, request.url):
        return ApiResponse(200, {"Content-Type": "text/html; charset=utf-8"}, _PAGE)
    if found.body and faults.strikes(Fault.TRUNCATED_JSON, request.url):
        return replace(found, body=found.body[: max(1, len(found.body) * 2 // 3)])
    return found


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
