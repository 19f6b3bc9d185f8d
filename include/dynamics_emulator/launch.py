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
from dynamics_emulator.control.overview import TableCounts
from dynamics_emulator.folder import ANOTHER_FOLDER, NotStartedError, hold, told
from dynamics_emulator.sample.oddities import Oddities
from dynamics_emulator.sample.seeding import DEFAULT_ROWS, fill
from dynamics_emulator.schema.profiles import Profile
from dynamics_emulator.serving import Emulation, bind, make_server, open_emulation
from dynamics_emulator.settings import Settings

_SAID_EVERY_SECONDS = 5.0
_DEFAULT_SEED = 7


@dataclass(frozen=True)
class Launch:
    """What is to be served, and where; without a control port there is no control API.

    ``rows``, ``seed`` and ``profile`` are None where nobody asked for any.
    """

    folder: Path
    port: int
    control_port: int | None
    rows: int | None = None
    seed: int | None = None
    profile: Profile | None = None
    oddities: Oddities = Oddities.GENTLE


def serve(launch: Launch) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Raises NotStartedError when a port is taken, with nothing left behind, and when the folder cannot be served: it is
    served already, is no folder, or holds another profile or something that is no organisation.
    """
    with ExitStack() as stack:
        # The ports come first: a port that is taken must not leave half an organisation behind.
        listener = stack.enter_context(_listen(launch.port, "--port (with make: PORT=)"))
        control = None if launch.control_port is None else stack.enter_context(_listen_for_control(launch.control_port))
        stack.enter_context(hold(launch.folder))
        emulation = stack.enter_context(_opened(launch))
        _fill(emulation, launch)
        control_url = stack.enter_context(_control_server(emulation, control)) if control else None
        emulation.page.control_url = control_url
        _announce(launch.folder, connection_to(_url("https", listener), _keys(launch.folder), control_url))
        server = make_server(emulation.application, emulation.keys)
        # uvicorn stops by itself and then raises the signal once more; that second one is not to kill us.
        signal.signal(signal.SIGTERM, lambda *_: None)
        signal.signal(signal.SIGINT, lambda *_: None)
        server.run([listener])


def _listen(port: int, option: str) -> socket.socket:
    try:
        return bind(port)
    except OSError as problem:
        message = f"The emulator could not listen on port {port} ({problem.strerror}). Name another with {option}."
        raise NotStartedError(message) from problem


def _listen_for_control(port: int) -> socket.socket:
    return _listen(port, "--control-port (with make: CONTROL_PORT=)")


@contextmanager
def _opened(launch: Launch) -> Iterator[Emulation]:
    seed = _DEFAULT_SEED if launch.seed is None else launch.seed
    with told(launch.folder):
        emulation = open_emulation(launch.folder, seed=seed, settings=Settings(), profile=launch.profile)
    try:
        yield emulation
    finally:
        emulation.organisation.close()


def _url(scheme: str, listener: socket.socket) -> str:
    return f"{scheme}://localhost:{listener.getsockname()[1]}"


def _keys(folder: Path) -> str:
    return str((folder / "keys").resolve())


def _fill(emulation: Emulation, launch: Launch) -> None:
    organisation = emulation.organisation
    rows = DEFAULT_ROWS if launch.rows is None else launch.rows
    seed = _DEFAULT_SEED if launch.seed is None else launch.seed
    if rows:
        progress = Progress()
        fill(organisation, rows, seed, launch.oddities, progress.report)
        progress.end()
    say_what_is_held(launch, organisation.database.read_state("seeded"))
    counts = TableCounts(organisation).read()
    print(f"The organisation has {sum(counts.values()):,} rows in {len(counts)} tables.")


def say_what_is_held(launch: Launch, held: str | None) -> None:
    """Say that the sample of a folder is not what was asked for, naming only what was."""
    if held is None:
        print("The organisation is empty: it has no sample, only the rows that each organisation begins with.")
        return
    rows = None if launch.rows is None else f"{launch.rows} rows"
    seed = None if launch.seed is None else f"seed {launch.seed}"
    missed = [asked for asked in (rows, seed) if asked and asked not in held.split(", ")]
    if missed:
        print(f"This folder keeps its sample of {held}; {' and '.join(missed)} cannot be had here.")
        print(f"{ANOTHER_FOLDER}, or remove this one (make clean removes .local).")


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
            unit = "second" if round(seconds) == 1 else "seconds"
            self.stream.write(f"The organisation was filled in {seconds:.0f} {unit}.\n")
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
