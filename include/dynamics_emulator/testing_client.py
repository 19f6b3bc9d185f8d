"""A small client for tests: a requests session that is signed in with unmodified msal."""

from dataclasses import dataclass
from typing import Any

import msal
import requests

from dynamics_emulator.testing import RunningEmulator


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

    def error(self, method: str, path: str, **options: Any) -> tuple[int, str]:
        """Status and code of a refusal."""
        answer = self.call(method, path, **options)
        return answer.status_code, answer.json()["error"]["code"]


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
