"""Programs that others wrote, aimed at a running emulator over real TLS and signed in as their users do it.

Each module has an organisation of its own with some sample rows. Tests make the rows that they count or change, and
know them by a text of their own.
"""

from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest

from dynamics_emulator.testing import RunningEmulator, running_emulator
from dynamics_emulator.testing_client import Client, connect


@pytest.fixture(scope="module")
def emulator() -> Iterator[RunningEmulator]:
    """A small filled organisation."""
    with running_emulator(rows=300) as running:
        yield running


@pytest.fixture(scope="module")
def client(emulator: RunningEmulator) -> Iterator[Client]:
    """Plain requests to the same organisation, to look at it from the other side."""
    connected = connect(emulator)
    with connected.session:
        yield connected


@pytest.fixture
def mark() -> str:
    """A text that no other row carries."""
    return f"Mark{uuid4().hex}"


@pytest.fixture
def change_setting(emulator: RunningEmulator) -> Iterator[Callable[..., None]]:
    """Change settings of the emulator for one test."""
    before = emulator.organisation.settings

    def change(**changes: object) -> None:
        emulator.control.change_settings(**changes)

    yield change
    emulator.control.change_settings(**before.model_dump())
