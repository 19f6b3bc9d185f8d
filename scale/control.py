"""The control API of the local Dynamics, as far as the scale demo needs it."""

from collections.abc import Mapping

import requests

_TIMEOUT = 60


def send_plainly(about: Mapping[str, str]) -> None:
    """Let answers go out without gzip: Microsoft's machines pay for it, and not those that the demo shares."""
    with _session() as session:
        settings = {"gzip_level": 0}
        session.post(f"{about['control_url']}/settings", json=settings, timeout=_TIMEOUT).raise_for_status()


def requests_so_far(about: Mapping[str, str]) -> int:
    """How many requests the local Dynamics has answered."""
    with _session() as session:
        return int(session.get(f"{about['control_url']}/status", timeout=_TIMEOUT).json()["requests"])


def _session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    return session
