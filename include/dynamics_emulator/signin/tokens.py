"""Access tokens: signed when Entra gives them, checked when the Web API gets them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import jwt
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from dynamics_emulator.errors import DataverseError

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

    def issue(self, content: TokenContent, now: datetime, seconds: int) -> str:
        """A token that lives ``seconds`` from ``now``."""
        claims = {
            "aud": content.audience,
            "appid": content.client_id,
            "iat": int(now.timestamp()),
            "exp": int((now + timedelta(seconds=seconds)).timestamp()),
        }
        return jwt.encode(claims, self._private, algorithm=_ALGORITHM)

    def check(self, header: str | None, now: datetime) -> TokenContent:
        """The content of a bearer header. Raises a 401 when it is missing, foreign, altered or expired."""
        scheme, _, token = (header or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise unauthorized()
        options: dict[str, bool] = {"verify_exp": False, "verify_aud": False, "verify_iat": False}
        try:
            claims = jwt.decode(token, self._public, algorithms=[_ALGORITHM], options=options)  # type: ignore[arg-type] # pyjwt's own TypedDict
        except jwt.PyJWTError as problem:
            raise unauthorized() from problem
        # The emulated clock decides, not the system's.
        if datetime.fromtimestamp(claims["exp"], UTC) <= now:
            raise unauthorized()
        return TokenContent(str(claims["appid"]), str(claims["aud"]))


def unauthorized() -> DataverseError:
    """The answer to a request without a usable token: it has no body, only a challenge."""
    header = {"WWW-Authenticate": 'Bearer error="invalid_token", error_description="The token is not valid."'}
    return DataverseError(401, "", "", header)
