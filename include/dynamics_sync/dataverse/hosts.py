"""Where the token may go: the organisation's host, and what may stand in for it."""

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from dynamics_sync.errors import ConnectionSettingsError, ForeignLink

_ORIGIN = re.compile(r"https://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d+)?")


class TrustedHosts:
    """The organisation's own host and its second form; every URL that is called is put together here."""

    def __init__(self, base_url: str, allowed_hosts: Iterable[str], api_root: str) -> None:
        """Take hosts with or without scheme; raises ConnectionSettingsError for what is no https address."""
        self.origin = origin_of(base_url)
        self._origins = frozenset({self.origin, *map(origin_of, allowed_hosts)})
        self._api_root = api_root

    @property
    def host(self) -> str:
        """The organisation's host, with its port where it is not 443."""
        return urlsplit(self.origin).netloc

    @property
    def api_url(self) -> str:
        """The address of the API root, without a slash at its end."""
        return f"{self.origin}{self._api_root}".rstrip("/")

    def path_url(self, path: str) -> str:
        """Return the URL of a path that is relative to the API root."""
        return f"{self.origin}{self._api_root}{path.lstrip('/')}"

    def link_url(self, link: str) -> str:
        """Return the URL of an absolute link that the server gave; raises ForeignLink.

        It is put together anew from the trusted origin, so that no other reading of an odd link (a backslash,
        a user name before the host) can lead elsewhere; path and query stay as they came.
        """
        try:
            parts = urlsplit(link)
            origin = _origin(parts.scheme, parts.hostname, parts.port)
        except ValueError:
            origin = ""
        if origin not in self._origins or not parts.path.startswith("/api/data/"):
            what = f"A link in an answer leads away from {self.host}"
            raise ForeignLink(what, not_done="The token was not sent there")
        return f"{origin}{parts.path}" + (f"?{parts.query}" if parts.query else "")


def origin_of(host: str) -> str:
    """Return `https://<host>[:port]` for a host with or without scheme; raises ConnectionSettingsError."""
    address = host.strip()
    try:
        parts = urlsplit(address if "://" in address else f"https://{address}")
        origin = _origin(parts.scheme, parts.hostname, parts.port)
        plain = not (parts.username or parts.query or parts.fragment) and parts.path in ("", "/")
    except ValueError:
        origin, plain = "", False
    if not plain or not _ORIGIN.fullmatch(origin):
        what = f"{_shown(address)} is no https address of a Dynamics organisation"
        raise ConnectionSettingsError(what, not_done="Nothing was sent")
    return origin


def _origin(scheme: str, hostname: str | None, port: int | None) -> str:
    host = f"[{hostname}]" if hostname and ":" in hostname else hostname or ""
    return f"{scheme.lower()}://{host}" + (f":{port}" if port not in (None, 443) else "")


def _shown(address: str) -> str:
    """An address may carry a password before its host; show nothing of such a one."""
    return "The host" if "@" in address or not address else address[:100]
