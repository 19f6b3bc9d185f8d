"""What every Web API request passes: sign-in, limits, faults that answer in its place, and the common headers."""

import time
import uuid
from dataclasses import replace

from dynamics_emulator.api.impersonation import application_caller, wants_fresh_rights
from dynamics_emulator.api.limits import Account, ProtectionLimits
from dynamics_emulator.api.messages import ApiRequest, ApiResponse, Caller, error_response
from dynamics_emulator.api.router import answer
from dynamics_emulator.api.servers import WebServers
from dynamics_emulator.control.faults import Fault
from dynamics_emulator.control.striking import require_no_fault, spoil
from dynamics_emulator.errors import DataverseError
from dynamics_emulator.organisation import Organisation
from dynamics_emulator.signin.tokens import TokenDesk, unauthorized


class Gateway:
    """Answers Web API requests of one organisation."""

    def __init__(self, organisation: Organisation, desk: TokenDesk) -> None:
        self._organisation = organisation
        self._desk = desk
        self._limits = ProtectionLimits()
        self._servers = WebServers(organisation.identity.organization_id)

    def answer(self, request: ApiRequest) -> ApiResponse:
        """The answer with all its headers; a refusal is an answer too."""
        account = ("", self._server(request))
        try:
            self._require_length(request)
            is_new = self._organisation.faults.is_first_use(request.headers.get("authorization", ""))
            caller = self._caller(request, spared=is_new)
            account = (caller.user_id, account[1])
            found = self._limited(replace(request, caller=caller, token_is_new=is_new), account)
        except DataverseError as error:
            found = error_response(error, annotated=request.wants_details)
        return self._completed(found, account)

    def _server(self, request: ApiRequest) -> int:
        settings = self._organisation.settings
        cookies = request.headers.get("cookie", "")
        return self._servers.choose(cookies, settings.servers, affinity=settings.affinity_cookie)

    def _require_length(self, request: ApiRequest) -> None:
        settings = self._organisation.settings
        if len(request.body) > settings.body_limit_bytes:
            message = "Request message length is too large."
            raise DataverseError(413, "0x8004418a", message)
        if len(request.url) > settings.url_limit:
            message = f"The length of the URL exceeds the limit of {settings.url_limit} characters."
            raise DataverseError(settings.url_too_long_status, "0x8006088a", message)

    def _caller(self, request: ApiRequest, *, spared: bool) -> Caller:
        organisation = self._organisation
        if organisation.faults.strikes(Fault.TOKEN_EXPIRED_401, request.url, spared=spared):
            raise unauthorized()
        content = self._desk.check(request.headers.get("authorization"), organisation.clock.now())
        hosts = {f"https://{host}" for host in organisation.settings.alias_hosts}
        if request.base.partition("/api/")[0] not in {content.audience, *hosts}:
            raise unauthorized()
        return application_caller(organisation, content.client_id, fresh=wants_fresh_rights(request))

    def _limited(self, request: ApiRequest, account: Account) -> ApiResponse:
        organisation = self._organisation
        self._limits.enter(account, organisation.clock.now(), organisation.settings)
        started = time.perf_counter()
        try:
            require_no_fault(organisation, request)
            return spoil(organisation, request, answer(organisation, request))
        finally:
            spent = (time.perf_counter() - started) * 1000
            self._limits.leave(account, organisation.clock.now(), spent)

    def _completed(self, found: ApiResponse, account: Account) -> ApiResponse:
        settings = self._organisation.settings
        requests, seconds = self._limits.remaining(account, settings)
        headers = {
            "OData-Version": "4.0",
            "x-ms-service-request-id": str(uuid.uuid4()),
            "REQ_ID": str(uuid.uuid4()),
            "x-ms-ratelimit-burst-remaining-xrm-requests": str(requests),
            "x-ms-ratelimit-time-remaining-xrm-requests": f"{seconds:,.2f}",
            "x-ms-dop-hint": str(settings.parallelism_hint),
            "Cache-Control": "no-cache",
        }
        cookies = tuple(self._servers.cookies(account[1])) if settings.affinity_cookie else ()
        return replace(found, headers={**headers, **found.headers}, cookies=cookies)
