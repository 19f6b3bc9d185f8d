"""The local Dynamics that the benchmarks of the forward side copy from: served by a process of its own, and warm."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests

from bench.emulator_process import Client, EmulatorProcess, emulator_process
from bench.leads import organisation_of

_BLOCK = 1 << 24


@contextmanager
def local_dynamics(leads: int) -> Iterator[EmulatorProcess]:
    """Serve an organisation with so many leads until the block ends.

    Answers go out without gzip: Microsoft's machines pay for it and not ours, on whose cores it would hide the rest.
    """
    folder = organisation_of(leads)
    with emulator_process(folder, 1, "--control-port", "0") as emulator:
        change_settings(emulator, gzip_level=0)
        with (folder / "organisation.sqlite").open("rb") as file:
            while file.read(_BLOCK):
                pass
        Client(emulator).send("GET", "leads?$select=leadid")
        yield emulator


def change_settings(emulator: EmulatorProcess, **settings: object) -> None:
    """Change settings of a served organisation."""
    with _session() as session:
        session.post(f"{_control(emulator)}/settings", json=settings, timeout=10).raise_for_status()


def status(emulator: EmulatorProcess) -> dict[str, Any]:
    """What the control API tells: `requests` so far, `last_requests`, and more."""
    with _session() as session:
        return dict(session.get(f"{_control(emulator)}/status", timeout=60).json())


def _control(emulator: EmulatorProcess) -> str:
    return str(emulator.connection["control_url"])


def _session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    return session
