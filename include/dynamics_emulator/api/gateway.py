"""What every Web API request passes: sign-in, limits, faults that answer in its place, and the common headers."""

import time
import uuid
from dataclasses import replace
from datetime import timedelta
from email.utils import format_datetime

from dynamics_emulator.api.limits import ProtectionLimits
from dynamics_emulator.api.messages import ApiRequest, ApiResponse, Caller, error_response
from dynamics_emulator.api.router import answer
from dynamics_emulator.control.faults import Fault
from dynamics_emulator.errors import DataverseError
from dynamics_emulator.organisation import Organisation
from dynamics_emulator.signin.tokens import TokenDesk, unauthorized

_STATUS_FAULTS = {
    Fault.STATUS_500: (500, "0x80040216", "An unexpected error occurred."),
    Fault.STATUS_502: (502, "0x8006088a", "Bad gateway."),
    Fault.STATUS_503: (503, "0x8006088a", "The service is unavailable."),
    Fault.STATUS_504: (504, "0x8006088a", "The gateway timed out."),
}
_PAGE = b"<!DOCTYPE html><html><head><title>Sign in to your account</title></head><body>Please wait.</body></html>"


class Gateway:
    """Answers Web API requests of one organisation."""

    def __init__(self, organisation: Organisation, desk: TokenDesk) -> None:
        self._organisation = organisation
        self._desk = desk
        self._limits = ProtectionLimits()
        self._affinity = uuid.UUID(int=organisation.random.getrandbits(128)).hex

    def answer(self, request: ApiRequest) -> ApiResponse:
        """The answer with all its headers; a refusal is an answer too."""
        user_id = ""
        try:
            self._require_length(request)
            caller = self._caller(request)
            user_id = caller.user_id
            found = self._limited(replace(request, caller=caller))
        except DataverseError as error:
            found = error_response(error, annotated=False)
        return self._completed(found, user_id)

    def _require_length(self, request: ApiRequest) -> None:
        settings = self._organisation.settings
        if len(request.url) > settings.url_limit:
            message = f"The length of the URL exceeds the limit of {settings.url_limit} characters."
            raise DataverseError(settings.url_too_long_status, "0x8006088a", message)

    def _caller(self, request: ApiRequest) -> Caller:
        organisation = self._organisation
        if organisation.faults.strikes(Fault.TOKEN_EXPIRED_401, request.url):
            raise unauthorized()
        content = self._desk.check(request.headers.get("authorization"), organisation.clock.now())
        if content.audience != request.base.partition("/api/")[0]:
            raise unauthorized()
        user_id = organisation.user_of(content.client_id)
        if user_id is None:
            status = organisation.settings.unknown_user_status
            raise DataverseError(status, "0x80072560", "The user is not a member of the organization.")
        return Caller(user_id, content.client_id)

    def _limited(self, request: ApiRequest) -> ApiResponse:
        organisation, user_id = self._organisation, request.caller.user_id
        self._limits.enter(user_id, organisation.clock.now(), organisation.settings)
        started = time.perf_counter()
        try:
            self._require_no_fault(request)
            found = answer(organisation, request)
            return self._spoiled(request, found)
        finally:
            spent = (time.perf_counter() - started) * 1000
            self._limits.leave(user_id, organisation.clock.now(), spent)

    def _require_no_fault(self, request: ApiRequest) -> None:
        organisation = self._organisation
        faults, seconds = organisation.faults, organisation.settings.retry_after_seconds
        for fault, (status, code, text) in _STATUS_FAULTS.items():
            if faults.strikes(fault, request.url):
                raise DataverseError(status, code, text)
        if faults.strikes(Fault.STATUS_429, request.url):
            raise _throttled(organisation, str(seconds))
        if faults.strikes(Fault.RETRY_AFTER_DATE, request.url):
            until = organisation.clock.now() + timedelta(seconds=seconds)
            raise _throttled(organisation, format_datetime(until, usegmt=True))

    def _spoiled(self, request: ApiRequest, found: ApiResponse) -> ApiResponse:
        faults = self._organisation.faults
        if faults.strikes(Fault.HTML_200, request.url):
            return ApiResponse(200, {"Content-Type": "text/html; charset=utf-8"}, _PAGE)
        if found.body and faults.strikes(Fault.TRUNCATED_JSON, request.url):
            return replace(found, body=found.body[: max(1, len(found.body) * 2 // 3)])
        return found

    def _completed(self, found: ApiResponse, user_id: str) -> ApiResponse:
        settings = self._organisation.settings
        requests, seconds = self._limits.remaining(user_id, settings)
        headers = {
            "OData-Version": "4.0",
            "x-ms-service-request-id": str(uuid.uuid4()),
            "REQ_ID": str(uuid.uuid4()),
            "x-ms-ratelimit-burst-remaining-xrm-requests": str(requests),
            "x-ms-ratelimit-time-remaining-xrm-requests": f"{seconds:,.2f}",
            "x-ms-dop-hint": str(settings.parallelism_hint),
            "Cache-Control": "no-cache",
        }
        if settings.affinity_cookie:
            headers["Set-Cookie"] = f"ARRAffinity={self._affinity}; Path=/; HttpOnly; Secure"
        return replace(found, headers={**headers, **found.headers})


def _throttled(organisation: Organisation, retry_after: str) -> DataverseError:
    settings = organisation.settings
    text = (
        f"Number of requests exceeded the limit of {settings.request_limit} over time window of "
        f"{settings.limit_window_seconds} seconds."
    )
    return DataverseError(429, "0x80072322", text, {"Retry-After": retry_after})
