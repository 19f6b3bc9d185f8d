"""Client assertions: the signed statement with which an application proves that it holds its certificate."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from dynamics_emulator.signin import refusals
from dynamics_emulator.signin.directory import Registration

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_LEEWAY = timedelta(minutes=5)
_ALGORITHMS = {"PS256": "x5t#S256", "RS256": "x5t"}
"""The header that names the certificate for each algorithm; either is taken, as Entra does."""


@dataclass
class AssertionDesk:
    """Checks client assertions, and remembers the ids of those it has seen."""

    _seen: dict[str, datetime] = field(default_factory=dict)

    def check(
        self, application: Registration, form: Mapping[str, str], audiences: tuple[str, ...], *, once: bool
    ) -> None:
        """Raise SignInError unless the assertion in a token request is the application's own.

        ``once`` refuses an assertion whose ``jti`` was seen before. Time is the system's, for the client that signed
        it knows no other.
        """
        if form.get("client_assertion_type") != ASSERTION_TYPE:
            raise refusals.MISSING_PARAMETER.raised(detail="client_assertion_type")
        claims = _verified(application, form["client_assertion"])
        now = datetime.now(UTC)
        _check_claims(application, claims, audiences, now)
        if once:
            self._remember(str(claims.get("jti", "")), now)

    def _remember(self, name: str, now: datetime) -> None:
        self._seen = {known: end for known, end in self._seen.items() if end > now}
        if name in self._seen:
            raise refusals.ASSERTION_REPLAYED.raised(detail="The claim 'jti' is not new.")
        self._seen[name] = now + timedelta(hours=1)


def _verified(application: Registration, assertion: str) -> dict[str, Any]:
    try:
        header = jwt.get_unverified_header(assertion)
    except jwt.PyJWTError as problem:
        raise refusals.ASSERTION_FORMAT.raised(detail="JWT format is not proper.") from problem
    if header.get("alg") not in _ALGORITHMS:
        raise refusals.BAD_ASSERTION.raised(detail=f"The algorithm '{header.get('alg')}' is not supported.")
    certificate = _matching_certificate(application, header)
    if certificate.not_valid_after_utc <= datetime.now(UTC):
        raise refusals.BAD_ASSERTION.raised(detail="The key was expired.")
    return _decoded(assertion, certificate)


def _decoded(assertion: str, certificate: x509.Certificate) -> dict[str, Any]:
    key = certificate.public_key()
    if not isinstance(key, rsa.RSAPublicKey):
        raise refusals.BAD_ASSERTION.raised(detail="The key of the certificate is no RSA key.")
    # Claims are checked one by one afterwards, as each has a refusal of its own.
    unchecked: Any = {f"verify_{claim}": False for claim in ("exp", "nbf", "iat", "aud", "iss", "sub", "jti")}
    try:
        found: dict[str, Any] = jwt.decode(assertion, key, algorithms=list(_ALGORITHMS), options=unchecked)
    except jwt.PyJWTError as problem:
        raise refusals.BAD_ASSERTION.raised(detail="The signature was not valid.") from problem
    return found


def _matching_certificate(application: Registration, header: Mapping[str, Any]) -> x509.Certificate:
    named = {_plain(header[name]) for name in _ALGORITHMS.values() if name in header}
    for pem in application.certificates:
        certificate = x509.load_pem_x509_certificate(pem.encode())
        der = certificate.public_bytes(Encoding.DER)
        # SHA-1 is what the header x5t means.
        digests = (hashlib.sha256(der).digest(), hashlib.sha1(der, usedforsecurity=False).digest())
        if any(_encoded(digest) in named for digest in digests):
            return certificate
    raise refusals.BAD_ASSERTION.raised(detail="The key was not found.")


def _check_claims(
    application: Registration, claims: Mapping[str, Any], audiences: tuple[str, ...], now: datetime
) -> None:
    missing = [name for name in ("aud", "exp", "iss", "sub") if name not in claims]
    if missing:
        raise refusals.ASSERTION_FORMAT.raised(detail=f"The claim '{missing[0]}' is missing.")
    start, end = (_instant(claims.get(name)) for name in ("nbf", "exp"))
    if (start and start > now + _LEEWAY) or end is None or end < now - _LEEWAY:
        raise refusals.ASSERTION_TIME.raised(detail=f"Current time: {now:%Y-%m-%dT%H:%M:%SZ}.")
    if claims["aud"] not in audiences:
        raise refusals.ASSERTION_AUDIENCE.raised(detail="Please use the address of the token endpoint.")
    if claims["sub"] != claims["iss"]:
        raise refusals.ASSERTION_SUBJECT.raised()
    if str(claims["iss"]).lower() != application.client_id.lower():
        raise refusals.ASSERTION_CLIENT.raised()


def _instant(claim: object) -> datetime | None:
    return datetime.fromtimestamp(claim, UTC) if isinstance(claim, int | float) else None


def _plain(thumbprint: object) -> str:
    """A thumbprint without padding: msal's is padded, which the standard does not ask for."""
    return str(thumbprint).rstrip("=")


def _encoded(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
