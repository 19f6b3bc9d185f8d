"""Faults of the local Dynamics that are on while the sync copies, and off while people and the judge use it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import requests

from dynamics_demo.console import say
from dynamics_demo.problems import DemoError

_TIMEOUT = 10
#: Rows on a page while faults strike; more than the sync ever names in one address.
_PAGE_SIZE = 1_000
#: Each fault strikes this one of its requests for certain.
_CERTAIN = 2
#: What stands in the address of requests that write, and of some that read.
_BATCH = "$batch"


@dataclass(frozen=True, slots=True)
class Trouble:
    """Which faults strike, by the names of the local Dynamics, and which share of the requests they hit."""

    faults: tuple[str, ...] = ()
    probability: float = 0.05

    @contextmanager
    def troubling(self, dynamics: Mapping[str, str], *, writing: bool = False) -> Iterator[None]:
        """Keep the faults on until the block ends; `dynamics` is the connection.json.

        With `writing` they strike writes for certain, and single parts of batches where they can.
        Raises DemoError if the local Dynamics has no control API or does not know a fault.
        """
        if not self.faults:
            yield
            return
        address = dynamics.get("control_url")
        if not address:
            message = "The local Dynamics runs without a control API, so it can have no faults. Run `make stop` first."
            raise DemoError(message)
        # With pages of the usual size a sample has no second page, and faults of links would never strike.
        _call("POST", f"{address}/settings", {"page_size": _PAGE_SIZE})
        for fault in self.faults:
            _call("POST", f"{address}/faults", {"name": fault, "probability": self.probability})
            # Some can strike a few requests only, and a small share of these may be none.
            _call("POST", f"{address}/faults", {"name": fault, "at": [_CERTAIN]})
            if writing:
                # There are few requests that write, and they shall not get away.
                _call("POST", f"{address}/faults", {"name": fault, "match": _BATCH, "at": [1, 3]})
                _call("POST", f"{address}/faults", {"name": fault, "in_batch": True, "at": [1]}, accept=400)
        try:
            yield
            for fault in _call("GET", f"{address}/faults")["faults"]:
                say(f"  {fault['name']} struck {fault['hits']:,} of {fault['met']:,} requests that it could strike.")
        finally:
            _call("DELETE", f"{address}/faults")


def _call(method: str, address: str, body: Mapping[str, object] | None = None, *, accept: int = 0) -> dict[str, Any]:
    with requests.Session() as session:
        session.trust_env = False
        answer = session.request(method, address, json=body, timeout=_TIMEOUT)
    if not answer.ok and answer.status_code != accept:
        message = f"The control API of the local Dynamics answered {answer.status_code}: {answer.text[:300]}"
        raise DemoError(message)
    found: dict[str, Any] = answer.json()
    return found
