"""For tests: a real emulator, with real TLS, in this process.

>>> with running_emulator(rows=0) as emulator:
...     emulator.url
'https://localhost:...'
"""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from dynamics_emulator.control.actions import Control
from dynamics_emulator.control.people import AddedApplication
from dynamics_emulator.identity import CLIENT_ID, CLIENT_SECRET, TENANT_ID
from dynamics_emulator.organisation import Organisation
from dynamics_emulator.sample.oddities import Oddities
from dynamics_emulator.sample.seeding import fill
from dynamics_emulator.schema.profiles import Profile
from dynamics_emulator.serving import Emulation, bind, make_server, open_emulation
from dynamics_emulator.settings import Settings
from dynamics_emulator.signin.certificates import open_key_ring
from dynamics_emulator.signin.entra import Entra
from dynamics_emulator.storage.database import Database

_START_SECONDS = 30


@dataclass(frozen=True)
class RunningEmulator:
    """A served organisation, and all that a client needs to connect to it."""

    url: str
    authority: str
    tenant_id: str
    client_id: str
    client_secret: str
    ca_file: Path
    certificate_pem: str
    private_key_pem: str
    control: Control
    database: Database
    organisation: Organisation
    entra: Entra

    @property
    def api(self) -> str:
        """The root of the Web API, without a slash at its end."""
        return f"{self.url}/api/data/v9.2"

    @property
    def scope(self) -> str:
        """The scope to ask a token for."""
        return f"{self.url}/.default"

    def as_application(self, added: AddedApplication) -> "RunningEmulator":
        """The same emulator, to be signed in to as another application."""
        return replace(self, client_id=added.client_id, client_secret=added.client_secret)


@contextmanager
def running_emulator(
    folder: Path | None = None,
    rows: int = 0,
    seed: int = 7,
    profile: Profile | str | None = None,
    oddities: Oddities | str = Oddities.GENTLE,
    **settings: object,
) -> Iterator[RunningEmulator]:
    """Serve an organisation on a free loopback port until the block ends.

    Without ``folder`` the data live in a temporary one, which is cleared away in the background afterwards. ``rows``
    is roughly how many sample rows an empty organisation is filled with; 0 leaves it empty. ``profile`` is what kind
    of tenant a new one is. ``settings`` are the fields of :class:`dynamics_emulator.settings.Settings`.
    """
    chosen = Settings.model_validate(settings)
    with ExitStack() as stack:
        place = folder or Path(stack.enter_context(TemporaryDirectory(prefix="dynamics-")))
        _lay_keys(place / "keys")
        kind = None if profile is None else Profile(profile)
        emulation = open_emulation(place, seed=seed, settings=chosen, profile=kind)
        stack.callback(emulation.organisation.close)
        if rows:
            fill(emulation.organisation, rows, seed, Oddities(oddities))
        port = stack.enter_context(_served(emulation))
        try:
            yield _describe(emulation, port)
        finally:
            if folder is None:
                # A server takes a fifth of a second to end. What nobody can come back to need not be waited for.
                threading.Thread(target=stack.pop_all().close, name="dynamics-emulator-end").start()


def _lay_keys(folder: Path) -> None:
    """Give a new organisation the keys of this process: making an RSA key for each would be most of its start."""
    if not folder.exists():
        folder.mkdir(parents=True)
        for name, content in _process_keys().items():
            (folder / name).write_bytes(content)


@cache
def _process_keys() -> dict[str, bytes]:
    with TemporaryDirectory(prefix="dynamics-keys-") as name:
        open_key_ring(Path(name))
        return {path.name: path.read_bytes() for path in Path(name).iterdir()}


@contextmanager
def _served(emulation: Emulation) -> Iterator[int]:
    listener = bind(0)
    server = make_server(emulation.application, emulation.keys)
    thread = threading.Thread(target=server.run, args=([listener],), name="dynamics-emulator", daemon=True)
    thread.start()
    try:
        if not server.ready.wait(_START_SECONDS):
            message = "the emulator did not start"
            raise RuntimeError(message)
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def _describe(emulation: Emulation, port: int) -> RunningEmulator:
    url = f"https://localhost:{port}"
    return RunningEmulator(
        url=url,
        authority=f"{url}/{TENANT_ID}",
        tenant_id=TENANT_ID,
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        ca_file=emulation.keys.ca_file,
        certificate_pem=emulation.keys.client.certificate_pem,
        private_key_pem=emulation.keys.client.private_key_pem,
        control=Control(emulation.organisation),
        database=emulation.organisation.database,
        organisation=emulation.organisation,
        entra=emulation.entra,
    )
