"""A small client for tests: a requests session that is signed in with unmodified msal."""

import email
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.message import Message
from typing import Any

import msal
import requests

from dynamics_emulator.testing import RunningEmulator


@dataclass(frozen=True)
class Call:
    """A request within a batch."""

    method: str
    path: str
    body: object = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """The call as a part of a multipart body."""
        head = {**self.headers, **({} if self.body is None else {"Content-Type": "application/json"})}
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        body = "" if self.body is None else json.dumps(self.body)
        mime = "Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
        return f"{mime}{self.method} {self.path} HTTP/1.1\r\n{lines}\r\n{body}"


@dataclass(frozen=True)
class PartAnswer:
    """What one call of a batch was answered; ``body`` is None where there is none."""

    status: int
    headers: Message
    body: Any

    @property
    def refusal(self) -> tuple[int, str]:
        """Status and code of a refusal."""
        return self.status, self.body["error"]["code"]


@dataclass(frozen=True)
class Client:
    """A signed-in requests session; paths are relative to the API's root unless they are whole addresses."""

    emulator: RunningEmulator
    session: requests.Session

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request and return the answer, whatever its status."""
        url = path if path.startswith("https://") else f"{self.emulator.api}/{path}"
        prefer = options.pop("prefer", None)
        headers = {**options.pop("headers", {}), **({"Prefer": prefer} if prefer else {})}
        return self.session.request(method, url, headers=headers, timeout=20, **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        """GET."""
        return self.call("GET", path, **options)

    def rows(self, path: str, **options: Any) -> list[dict[str, Any]]:
        """The rows of one page."""
        answer = self.get(path, **options)
        _require_success(answer)
        found: list[dict[str, Any]] = answer.json()["value"]
        return found

    def pages(self, path: str, **options: Any) -> list[dict[str, Any]]:
        """All pages of a read, as the parsed bodies."""
        found = []
        link: str | None = path
        while link:
            body = self.get(link, **options).json()
            found.append(body)
            link = body.get("@odata.nextLink")
        return found

    def create(self, set_name: str, **values: Any) -> str:
        """Create a row and return its address."""
        answer = self.call("POST", set_name, json=values)
        _require_success(answer)
        return answer.headers["OData-EntityId"]

    def send_batch(self, calls: Sequence[Call], prefer: str | None = "odata.continue-on-error") -> requests.Response:
        """Send calls as one ``$batch`` without change sets."""
        body = "".join(f"--batch\r\n{call.text()}\r\n" for call in calls) + "--batch--\r\n"
        headers = {"Content-Type": "multipart/mixed; boundary=batch"}
        return self.call("POST", "$batch", data=body.encode(), headers=headers, prefer=prefer)

    def batch(self, *calls: Call, prefer: str | None = "odata.continue-on-error") -> list[PartAnswer]:
        """Send calls as one ``$batch``; the answers in their order."""
        return part_answers(self.send_batch(calls, prefer))

    def error(self, method: str, path: str, **options: Any) -> tuple[int, str]:
        """Status and code of a refusal."""
        answer = self.call(method, path, **options)
        return answer.status_code, answer.json()["error"]["code"]


def part_answers(answer: requests.Response) -> list[PartAnswer]:
    """The answers within the answer to a batch. Raises AssertionError when its closing boundary is missing."""
    if not answer.content.rstrip().endswith(b"--"):
        message = f"the answer is not whole: {answer.status_code}, {len(answer.content)} bytes"
        raise AssertionError(message)
    head = f"Content-Type: {answer.headers['Content-Type']}\r\n\r\n".encode()
    parts = [part for part in email.message_from_bytes(head + answer.content).walk() if not part.is_multipart()]
    return [_part_answer(part.get_payload(decode=True)) for part in parts]


def _part_answer(content: Any) -> PartAnswer:
    line, _, rest = content.lstrip().partition(b"\r\n")
    head, _, body = rest.partition(b"\r\n\r\n")
    body = body.strip()
    return PartAnswer(int(line.split()[1]), email.message_from_bytes(head), json.loads(body) if body else None)


def _require_success(answer: requests.Response) -> None:
    if not answer.ok:
        message = f"{answer.status_code}: {answer.text}"
        raise AssertionError(message)


def open_session(emulator: RunningEmulator) -> requests.Session:
    """A session that trusts the emulator's authority and nothing in the environment."""
    session = requests.Session()
    session.trust_env = False
    session.verify = str(emulator.ca_file)
    return session


def sign_in(emulator: RunningEmulator, session: requests.Session, **changed: Any) -> dict[str, Any]:
    """Ask for a token with unmodified msal; returns msal's answer."""
    chosen = {"client_id": emulator.client_id, "client_credential": emulator.client_secret, **changed}
    application = msal.ConfidentialClientApplication(
        authority=emulator.authority, instance_discovery=False, http_client=session, **chosen
    )
    found: dict[str, Any] = application.acquire_token_for_client(scopes=[emulator.scope])
    return found


def connect(emulator: RunningEmulator) -> Client:
    """A signed-in client."""
    session = open_session(emulator)
    token = sign_in(emulator, session)["access_token"]
    session.headers["Authorization"] = f"Bearer {token}"
    return Client(emulator, session)
