"""Sign-in with Microsoft Entra: an application's secret or certificate for a token."""

import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import urlsplit

import requests

from dynamics_sync.dataverse.network import network_error
from dynamics_sync.dataverse.session import open_session
from dynamics_sync.errors import (
    ConnectionSettingsError,
    IncompleteAnswer,
    ServiceUnavailable,
    SignInRefused,
    SyncError,
    UnknownHost,
)

MICROSOFT_AUTHORITY = "https://login.microsoftonline.com"
_MICROSOFT_HOSTS = frozenset(
    {"login.microsoftonline.com", "login.microsoftonline.us", "login.partner.microsoftonline.cn"}
)
_LONGEST_MARGIN = 300.0
_NOT_DONE = "No token was issued and Dynamics was not called"

_NEXT_STEPS: dict[int, str] = {
    7000215: "Put the value of a client secret (not its id) into the connection's password",
    7000222: "The client secret has expired: put a new one into the connection's password",
    700016: "Check the client id, and that the application is registered in this tenant",
    90002: "Check the tenant id of the connection",
    900023: "Check the tenant id of the connection",
    700027: "Upload the certificate to the application in Entra, or renew it if it has expired",
    7000216: "Give the connection a client secret, or a certificate with its private key",
    7000112: "Enable the application in Entra",
    500011: "Check the host of the connection: this tenant has no such Dynamics organisation",
    50034: "Check the client id of the connection",
    53003: "A Conditional Access policy blocks the application: ask the Entra administrator for an exception",
}
_TIMEOUT = (10, 30)
_TRANSIENT = frozenset({10001, 50196, 90033, 90034, 90055})
_AADSTS = re.compile(r"AADSTS(\d{4,7})")


class TokenProvider(Protocol):
    """Gives the bearer token for one organisation."""

    def token(self) -> str:
        """Return a valid token; it is cached and renewed before it ends."""
        ...

    def renew(self) -> str:
        """Return a new token, never one from a cache. Called after a 401."""
        ...


@dataclass(frozen=True)
class Credentials:
    """Who signs in. Either `client_secret`, or `private_key_pem` with `certificate_pem` or `thumbprint`.

    `authority` is the sign-in address of the tenant, without it Microsoft's public cloud; `ca_file` the path
    of a PEM file that certificates are checked against, without it those that Python ships with.
    """

    tenant_id: str
    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    certificate_pem: str | None = field(default=None, repr=False)
    private_key_pem: str | None = field(default=None, repr=False)
    thumbprint: str | None = None
    authority: str | None = None
    ca_file: str | None = None

    @property
    def authority_url(self) -> str:
        """The sign-in address of the tenant."""
        return (self.authority or f"{MICROSOFT_AUTHORITY}/{self.tenant_id}").rstrip("/")

    def proof(self) -> str | dict[str, str]:
        """Return what msal calls the client credential; raises ConnectionSettingsError when there is none."""
        if self.client_secret:
            return self.client_secret
        if self.private_key_pem and (self.certificate_pem or self.thumbprint):
            _check_key(self.private_key_pem, self.certificate_pem)
            certificate = {"public_certificate": self.certificate_pem} if self.certificate_pem else {}
            thumbprint = {"thumbprint": self.thumbprint} if self.thumbprint and not certificate else {}
            return {"private_key": self.private_key_pem, **certificate, **thumbprint}
        what = "The connection has neither a client secret nor a certificate with its private key"
        raise ConnectionSettingsError(what, not_done=_NOT_DONE)


def _check_key(private_key_pem: str, certificate_pem: str | None) -> None:
    """Raise ConnectionSettingsError for what msal would only find out with an error of another library."""
    # Imported here because only sign-in with a certificate needs it.
    from cryptography import x509  # noqa: PLC0415 (see above)
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415 (see above)
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415 (see above)

    try:
        key = load_pem_private_key(private_key_pem.encode(), password=None)
        certificate = x509.load_pem_x509_certificate(certificate_pem.encode()) if certificate_pem else None
    except (ValueError, TypeError):
        what = "The certificate or private key of the connection cannot be read, or the key is encrypted"
        raise ConnectionSettingsError(what, not_done=_NOT_DONE) from None
    if not isinstance(key, RSAPrivateKey) or (certificate and certificate.public_key() != key.public_key()):
        what = "The private key of the connection is no RSA key, or is not that of its certificate"
        raise ConnectionSettingsError(what, not_done=_NOT_DONE)


@dataclass(frozen=True)
class _Token:
    value: str = field(repr=False)
    renew_at: float = 0.0


class _EntraHttp:
    """What msal sends with. A client of one's own gets no time-out from msal, and msal hides the status of a 4xx."""

    def __init__(self, session: requests.Session) -> None:
        self._session = session
        self.last_status = 0

    def get(self, url: str, **options: Any) -> requests.Response:
        return self._ask("GET", url, options)

    def post(self, url: str, **options: Any) -> requests.Response:
        return self._ask("POST", url, options)

    def _ask(self, method: str, url: str, options: dict[str, Any]) -> requests.Response:
        self.last_status = 0
        response = self._session.request(method, url, timeout=_TIMEOUT, allow_redirects=False, **options)
        self.last_status = response.status_code
        return response


class MsalTokenProvider:
    """Tokens for `resource` (`https://<host>`) by client credentials.

    The token ends at a random moment (Entra's choice), so only its own `expires_in` counts, minus a margin.
    """

    def __init__(
        self,
        credentials: Credentials,
        resource: str,
        *,
        clock: Callable[[], float] = time.time,
        session: requests.Session | None = None,
    ) -> None:
        self._credentials = credentials
        self._scope = f"{resource.rstrip('/')}/.default"
        self._clock = clock
        self._http = _EntraHttp(session or open_session(credentials.ca_file))
        self._lock = threading.Lock()
        self._held: _Token | None = None

    def token(self) -> str:
        """Return the held token, or a new one if it is about to end.

        Raises SignInRefused, ConnectionSettingsError, UnknownHost, NetworkFault or ServiceUnavailable.
        """
        with self._lock:
            if self._held is None or self._clock() >= self._held.renew_at:
                self._held = self._sign_in()
            return self._held.value

    def renew(self) -> str:
        """Return a new token and hold it; raises like `token`."""
        with self._lock:
            self._held = None
            self._held = self._sign_in()
            return self._held.value

    def _sign_in(self) -> _Token:
        proof = self._credentials.proof()
        asked_at = self._clock()
        try:
            answer = self._ask_msal(proof)
        except requests.RequestException as error:
            failure = network_error(error, "Sign-in", self._host, not_done=_NOT_DONE)
            if isinstance(failure, UnknownHost):
                # The host of the connection is not at fault: this is the one where people sign in.
                failure.step = "Check `authority` and `ca_file` of the connection, and the proxy or name server"
            raise failure from None
        except (ValueError, KeyError) as error:
            raise self._no_sign_in(error) from None
        if "access_token" not in answer:
            if self._http.last_status == 429:
                raise self._busy()
            raise _refused(_codes_of(answer), self._credentials)
        lifetime = float(answer["expires_in"])
        return _Token(answer["access_token"], asked_at + lifetime - min(_LONGEST_MARGIN, lifetime / 10))

    def _ask_msal(self, proof: str | dict[str, str]) -> dict[str, Any]:
        # Imported here because msal takes a quarter of a second, and DAG parsing loads the hook.
        import msal  # noqa: PLC0415 (see above)

        # A new application object each time: msal remembers a refusal for 60 s and would serve the old
        # token from its cache, so that neither a repaired secret nor a renewal would take effect.
        try:
            application = msal.ConfidentialClientApplication(
                self._credentials.client_id,
                client_credential=proof,
                authority=self._credentials.authority_url,
                instance_discovery=None if self._host in _MICROSOFT_HOSTS else False,
                http_client=self._http,
            )
            answer: dict[str, Any] = application.acquire_token_for_client(scopes=[self._scope])
        except msal.exceptions.MsalServiceError:
            raise self._busy() from None
        return answer

    def _busy(self) -> ServiceUnavailable:
        what = f"Sign-in: {self._host} answered {self._http.last_status}"
        return ServiceUnavailable(what, not_done=_NOT_DONE)

    @property
    def _host(self) -> str:
        return urlsplit(self._credentials.authority_url).hostname or ""

    def _no_sign_in(self, error: ValueError | KeyError) -> SyncError:
        """msal raises the same for an unknown tenant, a bad authority and an answer that it cannot read."""
        if self._http.last_status == 429:
            return self._busy()
        chain = [item for item in (error, error.__cause__, error.__context__) if item is not None]
        if codes := [int(code) for item in chain for code in _AADSTS.findall(str(item))]:
            return _refused(codes, self._credentials)
        if any(isinstance(item, json.JSONDecodeError) for item in chain):
            return IncompleteAnswer(f"Sign-in: the answer of {self._host} is no JSON", not_done=_NOT_DONE)
        what = f"{self._credentials.authority_url} is no sign-in address of a tenant"
        return SignInRefused(what, not_done=_NOT_DONE, next_step="Check tenant id and authority of the connection")


def _codes_of(answer: dict[str, Any]) -> list[int]:
    codes = [code for code in answer.get("error_codes") or [] if isinstance(code, int)]
    return codes or [int(code) for code in _AADSTS.findall(str(answer.get("error_description", "")))]


def _refused(codes: list[int], credentials: Credentials) -> SyncError:
    code = next((code for code in codes if code in _NEXT_STEPS), codes[0] if codes else 0)
    name = f"AADSTS{code}" if code else "an answer without a code"
    subject = f"Sign-in of application {credentials.client_id} in tenant {credentials.tenant_id}"
    if code in _TRANSIENT:
        return ServiceUnavailable(f"{subject}: Entra is busy ({name})", not_done=_NOT_DONE)
    what = f"{subject} was refused with {name}"
    return SignInRefused(what, not_done=_NOT_DONE, next_step=_NEXT_STEPS.get(code, ""))
