"""The simulated web servers of an organisation, and the cookie that binds a caller to one of them."""

import hashlib
import itertools
from collections.abc import Sequence
from http.cookies import CookieError, SimpleCookie

_NAMES = ("ARRAffinity", "ARRAffinitySameSite")


class WebServers:
    """Chooses the server of each request."""

    def __init__(self, farm: str) -> None:
        self._farm = farm
        self._turns = itertools.count()

    def choose(self, cookie_header: str, count: int, *, affinity: bool) -> int:
        """The number of the server, below ``count``: the one that the cookie names, or else the next in turn."""
        if affinity:
            named = _affinity(cookie_header)
            for number in range(count):
                if named and named == self._mark(number):
                    return number
        return next(self._turns) % count

    def cookies(self, number: int) -> Sequence[str]:
        """``Set-Cookie`` values that bind a caller to a server; the second is for requests from other sites."""
        mark = self._mark(number)
        return (
            f"{_NAMES[0]}={mark};Path=/;HttpOnly;Secure",
            f"{_NAMES[1]}={mark};Path=/;HttpOnly;SameSite=None;Secure",
        )

    def _mark(self, number: int) -> str:
        return hashlib.sha256(f"{self._farm}:{number}".encode()).hexdigest()


def _affinity(header: str) -> str:
    try:
        found = SimpleCookie(header)
    except CookieError:
        return ""
    return next((found[name].value for name in _NAMES if name in found), "")
