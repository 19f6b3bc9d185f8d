"""The sign-in service: the discovery document and the answers of the token endpoint."""

import random
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from dynamics_emulator.clock import Clock
from dynamics_emulator.identity import TENANT_ID
from dynamics_emulator.settings import SettingsHolder
from dynamics_emulator.signin import refusals
from dynamics_emulator.signin.assertions import AssertionDesk
from dynamics_emulator.signin.directory import Directory, Registration
from dynamics_emulator.signin.refusals import SignInError
from dynamics_emulator.signin.tokens import TokenContent, TokenDesk

_TENANT = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}|(?:[\w-]+\.)+[\w-]+", re.IGNORECASE)
_LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
_CLOUD = ".dynamics.com"


@dataclass
class Entra:
    """One tenant with its registered applications."""

    desk: TokenDesk
    clock: Clock
    settings: SettingsHolder
    random: random.Random
    client_certificate_pem: str
    directory: Directory = field(default_factory=Directory)
    assertions: AssertionDesk = field(default_factory=AssertionDesk)

    def __post_init__(self) -> None:
        self.directory.register_demo(self.client_certificate_pem)

    def register(self, registration: Registration) -> None:
        """Add an application, or replace the one with this id."""
        self.directory.register(registration)

    def discovery(self, tenant: str, host: str) -> dict[str, object]:
        """The OpenID configuration. Raises SignInError for an unknown tenant."""
        _require_tenant(tenant)
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
        _require_tenant(tenant)
        resource = _resource(form.get("scope", ""))
        forced = self.directory.take_forced()
        if forced:
            name = form.get("client_id", "")
            raise forced.raised(client=name, tenant=tenant, resource=resource, detail="The refusal was forced.")
        _require_form(form)
        application = self._application(form["client_id"], tenant)
        self._check_credential(application, form, endpoint)
        _require_resource(form["scope"], resource, tenant, endpoint)
        seconds = self._lifetime()
        content = TokenContent(application.client_id, resource)
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

    def _application(self, client_id: str, tenant: str) -> Registration:
        application = self.directory.applications.get(client_id.lower())
        if application is None:
            raise refusals.UNKNOWN_APPLICATION.raised(client=client_id, tenant=tenant)
        if application.disabled:
            raise refusals.DISABLED_APPLICATION.raised(client=client_id)
        if not application.service_principal:
            raise refusals.MISSING_SERVICE_PRINCIPAL.raised(client=client_id, tenant=tenant)
        return application

    def _check_credential(self, application: Registration, form: Mapping[str, str], endpoint: str) -> None:
        secret, asserts = form.get("client_secret"), "client_assertion" in form
        if secret is None and not asserts:
            raise refusals.MISSING_CREDENTIAL.raised()
        if application.public:
            raise refusals.PUBLIC_CLIENT.raised()
        if asserts:
            audiences = (endpoint, f"{endpoint.removesuffix('/oauth2/v2.0/token')}/v2.0")
            once = self.settings.current.assertion_replay_refused
            self.assertions.check(application, form, audiences, once=once)
        elif secret not in application.secrets:
            raise refusals.WRONG_SECRET.raised(client=application.client_id)
        elif application.secret_expired:
            raise refusals.EXPIRED_SECRET.raised(client=application.client_id)

    def _lifetime(self) -> int:
        return self.settings.current.token_lifetime_seconds or self.random.randint(60 * 60, 90 * 60)


def _require_tenant(tenant: str) -> None:
    if not _TENANT.fullmatch(tenant):
        raise refusals.BAD_TENANT.raised(tenant=tenant)
    if tenant.lower() != TENANT_ID:
        raise refusals.UNKNOWN_TENANT.raised(tenant=tenant)


def _require_form(form: Mapping[str, str]) -> None:
    for name in ("grant_type", "client_id", "scope"):
        if not form.get(name):
            raise refusals.MISSING_PARAMETER.raised(detail=name)
    if form["grant_type"] != "client_credentials":
        raise refusals.UNSUPPORTED_GRANT.raised(detail=form["grant_type"])


def _resource(scope: str) -> str:
    """The host that a scope asks for, as the audience of a token; empty when it has none."""
    parts = urlsplit(scope.split(" ", maxsplit=1)[0])
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme and parts.netloc else ""


def _require_resource(scope: str, resource: str, tenant: str, endpoint: str) -> None:
    if " " in scope.strip() or not resource:
        raise refusals.INVALID_SCOPE.raised(resource=scope)
    if not scope.endswith("/.default"):
        raise refusals.SCOPE_WITHOUT_DEFAULT.raised(resource=scope)
    host = urlsplit(resource).hostname or ""
    # The organisation answers under the host of this request, and tests may name it as it is called in the cloud.
    if host not in {*_LOCAL_HOSTS, urlsplit(endpoint).hostname} and not host.endswith(_CLOUD):
        raise refusals.UNKNOWN_RESOURCE.raised(resource=resource, tenant=tenant)
