"""What three clients put on the wire, byte for byte: their habits differ, and Dataverse takes them all.

The requests were seen with PowerPlatform-Dataverse-Client 1.1.0, airbyte-source-microsoft-dataverse 1.0.2 and
dynamics-web-api 2.5.0. They are sent over a plain connection, so that no library tidies them up.
"""

import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

import pytest

from dynamics_emulator.testing import RunningEmulator, running_emulator
from dynamics_emulator.testing_client import connect, open_session, sign_in


@dataclass(frozen=True)
class Answer:
    """An answer as it came."""

    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        """The parsed body."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Wire:
    """A plain connection that sends what it is given, and a token for it."""

    emulator: RunningEmulator
    token: str

    def send(self, method: str, target: str, body: str = "", **headers: str) -> Answer:
        """Send one request; ``_`` in the name of a header stands for ``-``."""
        parts = urlsplit(self.emulator.url)
        context = ssl.create_default_context(cafile=self.emulator.ca_file)
        connection = HTTPSConnection(str(parts.hostname), parts.port, timeout=20, context=context)
        connection.putrequest(method, target, skip_accept_encoding=True)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if body:
            sent["Content-Length"] = str(len(body.encode()))
        for name, value in {"Authorization": f"Bearer {self.token}", **sent}.items():
            connection.putheader(name, value)
        connection.endheaders(body.encode() or None)
        answer = connection.getresponse()
        found = Answer(answer.status, answer.headers, answer.read())
        connection.close()
        return found

    def target(self, link: str) -> str:
        """A link without scheme and host, as it is put on the request line."""
        assert link.startswith(self.emulator.api)
        return link.removeprefix(self.emulator.url)


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    """An organisation with twelve leads."""
    with running_emulator() as emulator:
        with open_session(emulator) as session:
            token = sign_in(emulator, session)["access_token"]
        client = connect(emulator)
        with client.session:
            for number in range(12):
                client.create("leads", lastname=f"L{number:02}", jobtitle="Head of R&D")
        yield Wire(emulator, token)
