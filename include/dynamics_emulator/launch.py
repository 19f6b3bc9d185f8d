"""Serves an organisation until a signal ends it: first the ports, then the sample, then both servers."""

import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TextIO

from dynamics_emulator.connecting import Connection, connection_to, recipes
from dynamics_emulator.control.actions import Control
from dynamics_emulator.control.http import build_control_application
from dynamics_emulator.sample.oddities import Oddities
from dynamics_emulator.sample.seeding import fill
from dynamics_emulator.schema.profiles import Profile
from dynamics_emulator.serving import Emulation, bind, make_server, open_emulation
from dynamics_emulator.settings import Settings

_SAID_EVERY_SECONDS = 5.0


@dataclass(frozen=True)
class Launch:
    """What is to be served, and where; without a control port there is no control API."""

    folder: Path
    port: int
    control_port: int | None
    rows: int
    seed: int
    profile: Profile | None = None
    oddities: Oddities = Oddities.GENTLE


def serve(launch: Launch) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Raises OSError when a port is taken, with nothing left behind, and ValueError when the folder holds an organisation
    of another profile.
    """
    with ExitStack() as stack:
        # The ports come first: a port that is taken must not leave half an organisation behind.
        listener = stack.enter_context(bind(launch.port))
        control = None if launch.control_port is None else stack.enter_context(bind(launch.control_port))
        emulation = open_emulation(launch.folder, seed=launch.seed, settings=Settings(), profile=launch.profile)
        stack.callback(emulation.organisation.close)
        _fill(emulation, launch)
        control_url = stack.enter_context(_control_server(emulation, control)) if control else None
        emulation.page.control_url = control_url
        _announce(launch.folder, connection_to(_url("https", listener), _keys(launch.folder), control_url))
        server = make_server(emulation.application, emulation.keys)
        # uvicorn stops by itself and then raises the signal once more; that second one is not to kill us.
        signal.signal(signal.SIGTERM, lambda *_: None)
        signal.signal(signal.SIGINT, lambda *_: None)
        server.run([listener])


def _url(scheme: str, listener: socket.socket) -> str:
    return f"{scheme}://localhost:{listener.getsockname()[1]}"


def _keys(folder: Path) -> str:
    return str((folder / "keys").resolve())


def _fill(emulation: Emulation, launch: Launch) -> None:
    if launch.rows:
        progress = Progress()
        fill(emulation.organisation, launch.rows, launch.seed, launch.oddities, progress.report)
        progress.end()
        asked, held = f"{launch.rows} rows, seed {launch.seed}", emulation.organisation.database.read_state("seeded")
        if held != asked:
            print(f"This folder holds a sample of {held} and keeps it; name another --folder for one of {asked}.")


@dataclass
class Progress:
    """Says how far a filling has come: in place on a terminal, else with a line every few seconds."""

    stream: TextIO = field(default_factory=lambda: sys.stdout)
    _begun: float = field(default_factory=time.monotonic)
    _said: float = float("-inf")

    def report(self, made: int, total: int) -> None:
        """So many of so many rows are there."""
        now = time.monotonic()
        if self.stream.isatty():
            self.stream.write(f"\r\033[KFilling the organisation: {made:,} of {total:,} rows")
        elif now - self._said >= _SAID_EVERY_SECONDS:
            self._said = now
            self.stream.write(f"Filling the organisation: {made:,} of {total:,} rows\n")
        self.stream.flush()

    def end(self) -> None:
        """Leave the line, if one was begun."""
        seconds = time.monotonic() - self._begun
        if self.stream.isatty():
            self.stream.write("\r\033[K")
        if seconds >= 1:
            self.stream.write(f"The organisation was filled in {seconds:.0f} seconds.\n")
        self.stream.flush()


@contextmanager
def _control_server(emulation: Emulation, listener: socket.socket) -> Iterator[str]:
    server = make_server(build_control_application(Control(emulation.organisation)), None)
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    try:
        yield _url("http", listener)
    finally:
        server.should_exit = True
        thread.join()


def _announce(folder: Path, connection: Connection) -> None:
    # Readers wait for this file, so it appears whole or not at all.
    draft = folder / "connection.json.new"
    draft.write_text(connection.json(), encoding="utf-8")
    draft.replace(folder / "connection.json")
    for name, value in asdict(connection).items():
        print(f"{name.replace('_', ' '):>24}: {value if value is not None else 'off'}")
    for recipe in recipes(connection):
        print(f"\n{recipe.title}: {recipe.text}\n")
        print("\n".join(f"    {line}" for line in recipe.code.splitlines()))
    print(f"\nAll of it stands in {(folder / 'connection.json').resolve()} too.")
    print("These credentials are published with the emulator and protect nothing. Stop with Ctrl-C.", flush=True)
