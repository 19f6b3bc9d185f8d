"""Token requests as they come over HTTP."""

import base64
import binascii
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote_plus


def read_form(body: bytes, authorization: str | None) -> Mapping[str, str]:
    """The parameters of a token request; the client's id and secret may come as HTTP Basic instead."""
    form = dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))
    scheme, _, encoded = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return form
    try:
        name, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return form
    # RFC 6749 has both encoded as in a form before they are joined.
    return {"client_id": unquote_plus(name), "client_secret": unquote_plus(secret), **form}
