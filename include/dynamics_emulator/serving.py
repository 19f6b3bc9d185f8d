"""Runs an organisation behind a real TLS server."""

import logging
import socket
import threading
from dataclasses import dataclass
from pathlib import Path
from random import Random

import uvicorn
from starlette.types import ASGIApp

from dynamics_emulator.application import build_application
from dynamics_emulator.clock import Clock
from dynamics_emulator.control.front_page import FrontPage
from dynamics_emulator.organisation import Organisation, open_organisation
from dynamics_emulator.schema.profiles import Profile
from dynamics_emulator.settings import Settings
from dynamics_emulator.signin.certificates import KeyRing, open_key_ring
from dynamics_emulator.signin.entra import Entra
from dynamics_emulator.signin.tokens import TokenDesk

_LOOPBACK = "127.0.0.1"
_HEAD_LIMIT = 512 * 1024
"""Longer than the longest URL that Dataverse takes, so that the refusal is ours and not the server's."""


@dataclass(frozen=True)
class Emulation:
    """An open organisation with its keys and its sign-in service; not yet served."""

    organisation: Organisation
    keys: KeyRing
    entra: Entra
    page: FrontPage

    @property
    def application(self) -> ASGIApp:
        """The ASGI application."""
        return build_application(self.organisation, self.entra, self.page)


def open_emulation(
    folder: Path, *, seed: int, settings: Settings, clock: Clock | None = None, profile: Profile | None = None
) -> Emulation:
    """Open the organisation in a folder, or make an empty one of a profile, with keys of its own.

    Raises ValueError when the folder holds an organisation of another profile.
    """
    organisation = open_organisation(folder, seed=seed, settings=settings, clock=clock or Clock(), profile=profile)
    keys = open_key_ring(folder / "keys")
    entra = Entra(
        TokenDesk(keys.signing_key_pem),
        organisation.clock,
        organisation.settings_holder,
        Random(seed),
        keys.client.certificate_pem,
        organisation.directory,
    )
    return Emulation(organisation, keys, entra, FrontPage(organisation, folder / "keys"))


def bind(port: int) -> socket.socket:
    """A listening socket on the loopback address; port 0 takes a free one. Raises OSError when the port is taken."""
    # With its protocol named, asyncio switches off the delay of small packets: an answer would wait 40 ms for one.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((_LOOPBACK, port))
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener


class ReadyServer(uvicorn.Server):
    """A server that tells when it answers."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start as usual, then say so."""
        await super().startup(sockets)
        self.ready.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop once running requests are answered. Idle connections are cut: a TLS farewell could take long."""
        for connection in list(self.server_state.connections):
            cycle = getattr(connection, "cycle", None)
            transport = getattr(connection, "transport", None)
            if transport is not None and (cycle is None or cycle.response_complete):
                transport.abort()
        await super().shutdown(sockets)


def make_server(application: ASGIApp, keys: KeyRing | None) -> ReadyServer:
    """A server for an application; without keys it speaks plain HTTP."""
    config = uvicorn.Config(
        application,
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        log_level=logging.WARNING,
        ssl_keyfile=str(keys.server_key_file) if keys else None,
        ssl_certfile=str(keys.server_certificate_file) if keys else None,
        h11_max_incomplete_event_size=_HEAD_LIMIT,
        timeout_graceful_shutdown=2,
        server_header=False,
    )
    return ReadyServer(config)
