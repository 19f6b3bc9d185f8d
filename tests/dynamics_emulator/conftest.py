"""Running emulators and clients that speak to them over real TLS."""

from collections.abc import Iterator

import pytest

from dynamics_emulator.testing import RunningEmulator, running_emulator
from dynamics_emulator.testing_client import Client, connect


@pytest.fixture
def emulator() -> Iterator[RunningEmulator]:
    """An empty organisation of its own for each test."""
    with running_emulator() as running:
        yield running


@pytest.fixture
def client(emulator: RunningEmulator) -> Iterator[Client]:
    """A client of the empty organisation."""
    connected = connect(emulator)
    with connected.session:
        yield connected


@pytest.fixture(scope="session")
def sample() -> Iterator[Client]:
    """A client of a filled organisation. Tests only read from it."""
    with running_emulator(rows=800) as running:
        connected = connect(running)
        with connected.session:
            yield connected
