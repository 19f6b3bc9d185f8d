"""Ports of the local installation: the usual one if it is free, else the next."""

import errno
import socket
from collections.abc import Callable

from dynamics_demo.problems import DemoError

#: Both are tried, as `localhost` may mean either.
_LOOPBACK = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))

#: The machine has no IPv6, for example; then nobody can listen there either.
_NO_SUCH_ADDRESS = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


def is_free(port: int) -> bool:
    """Say whether a server could listen on this port of the loopback addresses."""
    return all(_can_bind(family, address, port) for family, address in _LOOPBACK)


def _can_bind(family: socket.AddressFamily, address: str, port: int) -> bool:
    try:
        probe = socket.socket(family, socket.SOCK_STREAM)
    except OSError:
        return True  # This machine has no such address family, so nobody listens there.
    with probe:
        # As servers do: a connection that is still closing does not make the port taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
            probe.listen(1)
        except OSError as error:
            return error.errno in _NO_SUCH_ADDRESS
    return True


def choose_port(
    preferred: int,
    taken: frozenset[int] = frozenset(),
    *,
    free: Callable[[int], bool] = is_free,
    tries: int = 200,
) -> int:
    """Return `preferred`, or the next port above it that is free and not in `taken`."""
    for port in range(preferred, min(preferred + tries, 65_536)):
        if port not in taken and free(port):
            return port
    message = f"No free port was found from {preferred} on. Close a program that listens there and try again."
    raise DemoError(message)
