"""The sign-in service: applications, their credentials, and the answers of the token endpoint."""

import base64
import hashlib
import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlsplit

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from dynamics_emulator.clock import Clock
from dynamics_emulator.identity import (
    CLIENT_ID,
    CLIENT_SECRET,
    EXPIRED_CLIENT_ID,
    STRANGER_CLIENT_ID,
    TENANT_ID,
)
from dynamics_emulator.settings import SettingsHolder
from dynamics_emulator.signin.tokens import TokenContent, TokenDesk

_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@dataclass(frozen=True)
class Registration:
    """An application: its secrets, whether they have expired, and its certificates as PEM."""

    client_id: str
    secrets: tuple[str, ...] = ()
    secret_expired: bool = False
    certificates: tuple[str, ...] = ()


@dataclass
class SignInError(Exception):
    """A refusal of the token endpoint: AADSTS number, OAuth error word and HTTP status."""

    number: int
    error: str
    status: int
    text: str

    def __post_init__(self) -> None:
        super().__init__(self.text)


@dataclass
class Entra:
    """One tenant with its registered applications."""

    desk: TokenDesk
    clock: Clock
    settings: SettingsHolder
    random: random.Random
    client_certificate_pem: str
    applications: dict[str, Registration] = field(default_factory=dict)

    def __post_init__(self) -> None:
        certificates = (self.client_certificate_pem,)
        for registration in (
            Registration(CLIENT_ID, (CLIENT_SECRET,), certificates=certificates),
            Registration(EXPIRED_CLIENT_ID, (CLIENT_SECRET,), secret_expired=True),
            Registration(STRANGER_CLIENT_ID, (CLIENT_SECRET,), certificates=certificates),
        ):
            self.register(registration)

    def register(self, registration: Registration) -> None:
        """Add an application, or replace the one with this id."""
        self.applications[registration.client_id] = registration

    def discovery(self, tenant: str, host: str) -> dict[str, object]:
        """The OpenID configuration. Raises SignInError for an unknown tenant."""
        self._require_tenant(tenant)
        root = f"{host}/{tenant}"
        return {
            "token_endpoint": f"{root}/oauth2/v2.0/token",
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
            "jwks_uri": f"{root}/discovery/v2.0/keys",
            "response_modes_supported": ["query", "fragment", "form_post"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
            "issuer": f"{root}/v2.0",
            "authorization_endpoint": f"{root}/oauth2/v2.0/authorize",
            "device_authorization_endpoint": f"{root}/oauth2/v2.0/devicecode",
            "tenant_region_scope": "EU",
        }

    def token(self, tenant: str, form: Mapping[str, str], endpoint: str) -> dict[str, object]:
        """The answer to a token request. Raises SignInError when it is refused."""
        self._require_tenant(tenant)
        if form.get("grant_type") != "client_credentials":
            text = "The request must use the grant type client_credentials."
            raise SignInError(70003, "unsupported_grant_type", 400, text)
        application = self._application(form.get("client_id", ""))
        if "client_assertion" in form:
            self._check_assertion(application, form, endpoint)
        else:
            _check_secret(application, form.get("client_secret", ""))
        content = TokenContent(application.client_id, _audience(form.get("scope", "")))
        seconds = self._lifetime()
        return {
            "token_type": "Bearer",
            "expires_in": seconds,
            "ext_expires_in": seconds,
            "access_token": self.desk.issue(content, self.clock.now(), seconds),
        }

    def error_body(self, error: SignInError) -> dict[str, object]:
        """The JSON of a refusal."""
        now = self.clock.now()
        trace, correlation = str(uuid.uuid4()), str(uuid.uuid4())
        stamp = now.strftime("%Y-%m-%d %H:%M:%SZ")
        tail = f" Trace ID: {trace} Correlation ID: {correlation} Timestamp: {stamp}"
        return {
            "error": error.error,
            "error_description": f"AADSTS{error.number}: {error.text}{tail}",
            "error_codes": [error.number],
            "timestamp": stamp,
            "trace_id": trace,
            "correlation_id": correlation,
            "error_uri": f"https://login.microsoftonline.com/error?code={error.number}",
        }

    def _require_tenant(self, tenant: str) -> None:
        if tenant.lower() != TENANT_ID:
            text = f"Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID."
            raise SignInError(90002, "invalid_request", 400, text)

    def _application(self, client_id: str) -> Registration:
        application = self.applications.get(client_id.lower())
        if application is None:
            text = f"Application with identifier '{client_id}' was not found in the directory '{TENANT_ID}'."
            raise SignInError(700016, "unauthorized_client", 400, text)
        return application

    def _lifetime(self) -> int:
        return self.settings.current.token_lifetime_seconds or self.random.randint(60 * 60, 90 * 60)

    def _check_assertion(self, application: Registration, form: Mapping[str, str], endpoint: str) -> None:
        if form.get("client_assertion_type") != _ASSERTION_TYPE:
            raise _bad_assertion(reason="The client assertion type is not supported.")
        assertion = form["client_assertion"]
        certificate = _matching_certificate(application, assertion)
        if certificate.not_valid_after_utc <= datetime.now(UTC):
            raise _bad_assertion(reason="The certificate used to sign the client assertion has expired.")
        try:
            claims = jwt.decode(
                assertion,
                certificate.public_key(),  # type: ignore[arg-type] # registered certificates hold RSA keys
                algorithms=["PS256", "RS256"],
                audience=endpoint,
                issuer=application.client_id,
                options={"require": ["exp", "aud", "iss", "sub"]},
                leeway=300,
            )
        except jwt.PyJWTError as problem:
            raise _bad_assertion(
                reason="The signature or the claims of the client assertion are not valid."
            ) from problem
        if claims["sub"] != application.client_id:
            raise _bad_assertion(reason="The subject of the client assertion is not the client.")


def _check_secret(application: Registration, secret: str) -> None:
    if secret not in application.secrets:
        text = (
            "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, "
            f"not the client secret ID, for a secret added to app '{application.client_id}'."
        )
        raise SignInError(7000215, "invalid_client", 401, text)
    if application.secret_expired:
        text = f"The provided client secret keys for app '{application.client_id}' are expired."
        raise SignInError(7000222, "invalid_client", 401, text)


def _matching_certificate(application: Registration, assertion: str) -> x509.Certificate:
    try:
        header = jwt.get_unverified_header(assertion)
    except jwt.PyJWTError as problem:
        raise _bad_assertion(reason="The client assertion is no JSON web token.") from problem
    for pem in application.certificates:
        certificate = x509.load_pem_x509_certificate(pem.encode())
        der = certificate.public_bytes(Encoding.DER)
        thumbprints = {
            "x5t#S256": hashlib.sha256(der).digest(),
            # SHA-1 is what the header x5t means.
            "x5t": hashlib.sha1(der, usedforsecurity=False).digest(),
        }
        if any(_plain(header.get(name)) == _encoded(digest) for name, digest in thumbprints.items()):
            return certificate
    raise _bad_assertion(reason="The key was not found: the certificate is not registered for the application.")


def _plain(thumbprint: object) -> str:
    """A thumbprint without padding: msal's is padded, which the standard does not ask for."""
    return str(thumbprint).rstrip("=")


def _encoded(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _bad_assertion(reason: str) -> SignInError:
    text = f"Client assertion failed signature validation. {reason}"
    return SignInError(700027, "invalid_client", 401, text)


def _audience(scope: str) -> str:
    parts = urlsplit(scope.split(" ", maxsplit=1)[0])
    if not parts.scheme or not scope.endswith("/.default"):
        text = f"The provided value for the input parameter 'scope' is not valid. The scope {scope} is not valid."
        raise SignInError(70011, "invalid_scope", 400, text)
    return f"{parts.scheme}://{parts.netloc}"
