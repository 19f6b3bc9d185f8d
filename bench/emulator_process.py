"""An emulator in a process of its own, what it costs, and a client that is signed in to it."""

import http.client
import json
import os
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import psutil

_API = "/api/data/v9.2/"
_SIGN_IN_AGAIN_BELOW = 300
_IDLE_SECONDS = 3


@dataclass(frozen=True)
class Cost:
    """What one stretch of work took: milliseconds of the server's CPU, and of the clock on the wall."""

    cpu: float
    wall: float


@dataclass(frozen=True)
class EmulatorProcess:
    """A served emulator; ``seconds`` passed until it answered, the filling of its tables included."""

    process: psutil.Process
    connection: Mapping[str, Any]
    seconds: float

    def cpu_milliseconds(self) -> float:
        """CPU time that the server has used so far, of user and system."""
        times = self.process.cpu_times()
        return (times.user + times.system) * 1000

    def megabytes(self) -> float:
        """Memory of the server that is not shared with the page cache of its data file."""
        return float(self.process.memory_full_info().uss) / 2**20


@contextmanager
def emulator_process(folder: Path, rows: int, *arguments: str) -> Iterator[EmulatorProcess]:
    """Start an emulator over a folder, fill the folder if it is empty, and end the process after the block.

    ``arguments`` are more words for its command line.

    Raises RuntimeError when the process ends before it answers.
    """
    folder.mkdir(parents=True, exist_ok=True)
    about = folder / "connection.json"
    about.unlink(missing_ok=True)
    command = [sys.executable, "-m", "dynamics_emulator", "serve", "--folder", str(folder), "--port", "0"]
    command += ["--rows", str(rows), *arguments]
    started = time.perf_counter()
    child = subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [*command, "--rows", str(rows), *arguments],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        while not about.exists():
            if child.poll() is not None:
                message = f"the emulator ended with code {child.returncode} before it answered"
                raise RuntimeError(message)
            time.sleep(0.05)
        seconds = time.perf_counter() - started
        yield EmulatorProcess(psutil.Process(child.pid), json.loads(about.read_text(encoding="utf-8")), seconds)
    finally:
        child.terminate()
        child.wait(30)


class Client:
    """One kept connection. It asks for answers without gzip, whose cost would hide all others."""

    def __init__(self, emulator: EmulatorProcess) -> None:
        self._about = emulator.connection
        address = urlsplit(self._about["url"])
        trust = ssl.create_default_context(cafile=self._about["ca_file"])
        self._wire = http.client.HTTPSConnection(str(address.hostname), address.port, context=trust, timeout=600)
        self._token, self._until = "", 0.0
        self._used = 0.0

    def send(self, method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
        """The body of an answer; underscores in header names become hyphens.

        ``path`` is a whole link, or what follows the root of the API. Raises RuntimeError for a refusal.
        """
        target = path.partition(self._about["url"])[2] if path.startswith("https:") else _API + path
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named |= {"Authorization": f"Bearer {self._bearer()}", "Accept-Encoding": "identity"}
        return self._exchange(method, target, body, named)

    def _bearer(self) -> str:
        if time.monotonic() > self._until:
            form = urlencode(
                {
                    "client_id": self._about["client_id"],
                    "client_secret": self._about["client_secret"],
                    "grant_type": "client_credentials",
                    "scope": f"{self._about['url']}/.default",
                }
            )
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            target = f"/{self._about['tenant_id']}/oauth2/v2.0/token"
            found = json.loads(self._exchange("POST", target, form.encode(), kind))
            self._token = found["access_token"]
            self._until = time.monotonic() + found["expires_in"] - _SIGN_IN_AGAIN_BELOW
        return self._token

    def _exchange(self, method: str, target: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        if time.monotonic() - self._used > _IDLE_SECONDS:
            # The server ends an idle connection after five seconds.
            self._wire.close()
        self._wire.request(method, target, body or None, dict(headers))
        answer = self._wire.getresponse()
        content = answer.read()
        self._used = time.monotonic()
        if answer.status >= 400:
            message = f"{method} {target.partition('?')[0]}: {answer.status} {content[:300]!r}"
            raise RuntimeError(message)
        return content
