"""What a failed exchange means: the wrong host, or a passing fault of the network."""

import socket
import ssl
from collections.abc import Iterator

import requests

from dynamics_sync.errors import (
    ConnectionSettingsError,
    IncompleteAnswer,
    NetworkFault,
    ServiceUnavailable,
    SyncError,
    UnknownHost,
)

# Only these say that the name itself is wrong; EAI_AGAIN is a resolver that is away for a moment.
_NO_SUCH_NAME = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})


def network_error(error: requests.RequestException, subject: str, host: str, *, not_done: str) -> SyncError:
    """Return the error of the tree for a `requests` exception.

    The exception's own text is never used: it quotes the URL with its query, which may hold values of
    records.
    """
    reasons = list(_reasons(error))
    if any(isinstance(reason, ssl.SSLCertVerificationError) for reason in reasons):
        return UnknownHost(f"{subject}: the certificate of {host} is not trusted{_verdict(reasons)}", not_done=not_done)
    if any(isinstance(reason, socket.gaierror) and reason.errno in _NO_SUCH_NAME for reason in reasons):
        return UnknownHost(f"{subject}: there is no host {host}", not_done=not_done)
    if isinstance(error, requests.exceptions.ContentDecodingError):
        return IncompleteAnswer(f"{subject}: the compressed answer of {host} is damaged", not_done=not_done)
    if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidSchema):
        return ConnectionSettingsError(f"{subject}: {host} is no valid host", not_done=not_done)
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return ServiceUnavailable(f"{subject}: {host} answered {error.response.status_code}", not_done=not_done)
    return NetworkFault(f"{subject}: no complete answer from {host} ({_innermost(reasons)})", not_done=not_done)


def _reasons(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and everything that it wraps, by cause, context, `reason` or arguments."""
    waiting: list[BaseException] = [error]
    seen: set[int] = set()
    while waiting:
        current = waiting.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        inner = (current.__cause__, current.__context__, getattr(current, "reason", None), *current.args)
        waiting.extend(item for item in inner if isinstance(item, BaseException))


def _verdict(reasons: list[BaseException]) -> str:
    """OpenSSL's own words (`certificate has expired`); it fills them in only on a real handshake."""
    for reason in reasons:
        if words := getattr(reason, "verify_message", ""):
            return f" ({words})"
    return ""


def _innermost(reasons: list[BaseException]) -> str:
    for reason in reasons:
        if isinstance(reason, OSError) and not isinstance(reason, requests.RequestException):
            return type(reason).__name__
    return type(reasons[0]).__name__
