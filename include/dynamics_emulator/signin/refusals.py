"""What the sign-in service refuses, by name: AADSTS number, OAuth error word, HTTP status and text.

Numbers and texts follow https://learn.microsoft.com/entra/identity-platform/reference-error-codes and answers that
others have published. Where no answer of the client credentials flow was found, the status follows from the error word:
401 for ``invalid_client``, 400 otherwise.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


@dataclass
class SignInError(Exception):
    """A refusal of the token endpoint: AADSTS number, OAuth error word and HTTP status."""

    number: int
    error: str
    status: int
    text: str
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__(self.text)


@dataclass(frozen=True)
class Refusal:
    """One kind of refusal; ``text`` has places for ``client``, ``tenant``, ``resource`` and ``detail``."""

    name: str
    number: int
    error: str
    status: int
    text: str
    retry_after: int | None = None

    def raised(self, client: str = "", tenant: str = "", resource: str = "", detail: str = "") -> SignInError:
        """The error to raise, with its text filled in."""
        text = self.text.format(client=client, tenant=tenant, resource=resource, detail=detail)
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return SignInError(self.number, self.error, self.status, text, headers)


WRONG_SECRET = Refusal(
    "wrong-secret",
    7000215,
    "invalid_client",
    401,
    "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the "
    "client secret ID, for a secret added to app '{client}'.",
)
EXPIRED_SECRET = Refusal(
    "expired-secret",
    7000222,
    "invalid_client",
    401,
    "The provided client secret keys for app '{client}' are expired. Visit the Azure portal to create new keys for "
    "your app: https://aka.ms/NewClientSecret, or consider using certificate credentials for added security: "
    "https://aka.ms/certCreds.",
)
MISSING_CREDENTIAL = Refusal(
    "missing-credential",
    7000216,
    "invalid_client",
    401,
    "'client_assertion', 'client_secret' or 'request' is required for the 'client_credentials' grant type.",
)
PUBLIC_CLIENT = Refusal(
    "public-client",
    700025,
    "invalid_client",
    401,
    "Client is public so neither 'client_assertion' nor 'client_secret' should be presented.",
)
UNKNOWN_APPLICATION = Refusal(
    "unknown-application",
    700016,
    "unauthorized_client",
    400,
    "Application with identifier '{client}' was not found in the directory '{tenant}'. This can happen if the "
    "application has not been installed by the administrator of the tenant or consented to by any user in the tenant. "
    "You may have sent your authentication request to the wrong tenant.",
)
DISABLED_APPLICATION = Refusal(
    "disabled-application", 7000112, "unauthorized_client", 400, "Application '{client}' is disabled."
)
MISSING_SERVICE_PRINCIPAL = Refusal(
    "missing-service-principal",
    7000229,
    "invalid_client",
    401,
    "The client application {client} is missing service principal in the tenant {tenant}. See instructions here: "
    "https://go.microsoft.com/fwlink/?linkid=2225119",
)
NOT_ASSIGNED = Refusal(
    "not-assigned",
    501051,
    "invalid_grant",
    400,
    "Application '{client}' is not assigned to a role for the application '{resource}'.",
)
UNKNOWN_TENANT = Refusal(
    "unknown-tenant",
    90002,
    "invalid_request",
    400,
    "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the correct "
    "cloud. Check with your subscription administrator, this may happen if there are no active subscriptions for the "
    "tenant.",
)
BAD_TENANT = Refusal(
    "bad-tenant",
    900023,
    "invalid_request",
    400,
    "Specified tenant identifier '{tenant}' is neither a valid DNS name, nor a valid external domain.",
)
BAD_ASSERTION = Refusal(
    "bad-assertion",
    700027,
    "invalid_client",
    401,
    "The certificate with identifier used to sign the client assertion is not registered on application, or the "
    "signature is not valid. {detail}",
)
ASSERTION_TIME = Refusal(
    "assertion-time",
    700024,
    "invalid_client",
    401,
    "Client assertion is not within its valid time range. {detail}",
)
ASSERTION_AUDIENCE = Refusal(
    "assertion-audience",
    700023,
    "invalid_client",
    401,
    "Client assertion audience claim does not match Realm issuer. {detail}",
)
ASSERTION_CLIENT = Refusal(
    "assertion-client",
    700021,
    "invalid_client",
    401,
    "Client assertion application identifier doesn't match 'client_id' parameter. {detail}",
)
ASSERTION_SUBJECT = Refusal(
    "assertion-subject",
    50048,
    "invalid_client",
    401,
    "Subject must match Issuer claim in the client assertion. {detail}",
)
ASSERTION_FORMAT = Refusal(
    "assertion-format", 50027, "invalid_request", 400, "JWT token is invalid or malformed. {detail}"
)
ASSERTION_REPLAYED = Refusal(
    "assertion-replayed", 50013, "invalid_client", 401, "Client assertion has been used before. {detail}"
)
INVALID_SCOPE = Refusal(
    "invalid-scope",
    70011,
    "invalid_scope",
    400,
    "The provided request must include a 'scope' input parameter. The provided value for the input parameter 'scope' "
    "is not valid. The scope {resource} is not valid.",
)
SCOPE_WITHOUT_DEFAULT = Refusal(
    "scope-without-default",
    1002012,
    "invalid_scope",
    400,
    "The provided value for scope {resource} is not valid. Client credential flows must have a scope value with "
    "/.default suffixed to the resource identifier (application ID URI).",
)
UNKNOWN_RESOURCE = Refusal(
    "unknown-resource",
    500011,
    "invalid_resource",
    400,
    "The resource principal named {resource} was not found in the tenant named {tenant}. This can happen if the "
    "application has not been installed by the administrator of the tenant or consented to by any user in the tenant. "
    "You might have sent your authentication request to the wrong tenant.",
)
MISSING_PARAMETER = Refusal(
    "missing-parameter",
    900144,
    "invalid_request",
    400,
    "The request body must contain the following parameter: '{detail}'.",
)
UNSUPPORTED_GRANT = Refusal(
    "unsupported-grant",
    70003,
    "unsupported_grant_type",
    400,
    "The app requested an unsupported grant type '{detail}'.",
)
CONDITIONAL_ACCESS = Refusal(
    "conditional-access",
    53003,
    "invalid_grant",
    400,
    "Access has been blocked by Conditional Access policies. The access policy does not allow token issuance.",
)
REQUEST_LOOP = Refusal(
    "request-loop",
    50196,
    "invalid_grant",
    400,
    "The server terminated an operation because it encountered a client request loop. Please contact your app vendor.",
)
OLD_TLS = Refusal(
    "old-tls",
    1002016,
    "invalid_request",
    400,
    "You are using TLS version 1.0, 1.1 and/or 3DES cipher which are deprecated to improve the security posture of "
    "Azure AD. Your TenantID is: {tenant}.",
)
TOO_MANY_REQUESTS = Refusal(
    "too-many-requests",
    90055,
    "temporarily_unavailable",
    429,
    "There are too many incoming requests.",
    retry_after=5,
)
SERVER_ERROR = Refusal(
    "server-error", 90036, "server_error", 500, "An unexpected, non-retryable error stemmed from the directory service."
)
TEMPORARILY_UNAVAILABLE = Refusal(
    "temporarily-unavailable",
    90033,
    "temporarily_unavailable",
    503,
    "A transient error has occurred. Please try again.",
)

_ALL = [value for value in list(globals().values()) if isinstance(value, Refusal)]
REFUSALS: Mapping[str, Refusal] = MappingProxyType({refusal.name: refusal for refusal in _ALL})
"""Every refusal by its name."""


def find_refusal(name: str | int) -> Refusal:
    """The refusal of this name, or of this AADSTS number. Raises KeyError for any other."""
    for refusal in _ALL:
        if str(name).removeprefix("AADSTS") in (refusal.name, str(refusal.number)):
            return refusal
    raise KeyError(name)
