"""Running emulators and clients that speak to them over real TLS."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dynamics_emulator.clock import Clock
from dynamics_emulator.organisation import Organisation, open_organisation
from dynamics_emulator.sample.seeding import fill
from dynamics_emulator.schema.profiles import Profile
from dynamics_emulator.settings import Settings
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


@pytest.fixture(scope="session", params=list(Profile))
def sample_organisation(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Organisation]:
    """A filled organisation of each profile, not served. Tests only read from it."""
    folder = tmp_path_factory.mktemp("organisation")
    organisation = open_organisation(folder, seed=7, settings=Settings(), clock=Clock(), profile=request.param)
    fill(organisation, 1500, 7)
    yield organisation
    organisation.close()


@pytest.fixture
def open_folder(tmp_path: Path) -> Iterator[Callable[..., Organisation]]:
    """Opens the organisation in a folder of this name, or makes an empty one; it is closed after the test."""
    opened: list[Organisation] = []

    def open_it(name: str = "dynamics") -> Organisation:
        opened.append(open_organisation(tmp_path / name, seed=7, settings=Settings(), clock=Clock()))
        return opened[-1]

    yield open_it
    for organisation in opened:
        organisation.close()
