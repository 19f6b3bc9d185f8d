"""Access tokens: signed when Entra gives them, checked when the Web API gets them."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import jwt
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from dynamics_emulator.errors import DataverseError
from dynamics_emulator.identity import TENANT_ID
from dynamics_emulator.signin.directory import object_id

_ALGORITHM = "ES256"


@dataclass(frozen=True)
class TokenContent:
    """Whom a token was given to, and the host whose API it is for."""

    client_id: str
    audience: str


class TokenDesk:
    """Signs and checks tokens with one key."""

    def __init__(self, signing_key_pem: str) -> None:
        self._private = signing_key_pem
        # An EC key: the file is written by this package alone.
        self._public = load_pem_private_key(signing_key_pem.encode(), None).public_key()
        self._checked: dict[str, tuple[TokenContent, float]] = {}

    def issue(self, content: TokenContent, now: datetime, seconds: int) -> str:
        """A token that lives ``seconds`` from ``now``."""
        begin, end = (int(moment.timestamp()) for moment in (now, now + timedelta(seconds=seconds)))
        claims = {
            "aud": content.audience,
            "iss": f"https://sts.windows.net/{TENANT_ID}/",
            "iat": begin,
            "nbf": begin,
            "exp": end,
            "appid": content.client_id,
            "idp": f"https://sts.windows.net/{TENANT_ID}/",
            "oid": object_id(content.client_id),
            "sub": object_id(content.client_id),
            "tid": TENANT_ID,
            "uti": uuid.uuid4().hex,
            "ver": "1.0",
        }
        return jwt.encode(claims, self._private, algorithm=_ALGORITHM)

    def check(self, header: str | None, now: datetime) -> TokenContent:
        """The content of a bearer header. Raises a 401 when it is missing, foreign, altered or expired."""
        scheme, _, token = (header or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise unauthorized()
        content, end = self._checked.get(token) or self._verified(token)
        # The emulated clock decides, not the system's.
        if datetime.fromtimestamp(end, UTC) <= now:
            raise unauthorized()
        return content

    def _verified(self, token: str) -> tuple[TokenContent, float]:
        options: dict[str, bool] = {f"verify_{claim}": False for claim in ("exp", "nbf", "iat", "aud")}
        try:
            claims = jwt.decode(token, self._public, algorithms=[_ALGORITHM], options=options)  # type: ignore[arg-type] # pyjwt's own TypedDict
        except jwt.PyJWTError as problem:
            raise unauthorized() from problem
        found = TokenContent(str(claims["appid"]), str(claims["aud"])), float(claims["exp"])
        # A client sends the same token thousands of times; its signature need not be proven each time.
        if len(self._checked) >= 1000:
            self._checked.clear()
        self._checked[token] = found
        return found


def unauthorized() -> DataverseError:
    """The answer to a request without a usable token: it has no body, only a challenge."""
    header = {"WWW-Authenticate": 'Bearer error="invalid_token", error_description="The token is not valid."'}
    return DataverseError(401, "", "", header)
