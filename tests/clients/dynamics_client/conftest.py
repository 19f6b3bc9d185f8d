"""dynamics-client, a client of the community."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from dynamics_emulator.testing import RunningEmulator, running_emulator

# A Wednesday, so that yesterday and tomorrow lie in the same week, month and year.
NOON = datetime(2026, 6, 17, 12, tzinfo=UTC)


with warnings.catch_warnings():
    # authlib, which it signs in with, tells on import that it is on its way to another version of httpx. The package is
    # imported here first, before any test imports it.
    from authlib.deprecate import AuthlibDeprecationWarning

    warnings.simplefilter("ignore", AuthlibDeprecationWarning)
    from dynamics import DynamicsClient


@dataclass(frozen=True)
class Community:
    """The client, and short ways to its calls."""

    client: DynamicsClient

    def create(self, table: str, **values: Any) -> dict[str, Any]:
        """A new row as the server shows it."""
        self.client.reset_query()
        self.client.table = table
        made: dict[str, Any] = self.client.post(values).data
        return made

    def find(self, table: str, *conditions: str, **options: Any) -> list[dict[str, Any]]:
        """The rows of the first page that fit all conditions; ``options`` are the client's properties."""
        self.client.reset_query()
        self.client.table = table
        self.client.filter = list(conditions)
        for name, value in options.items():
            setattr(self.client, name, value)
        found: list[dict[str, Any]] = self.client.get(not_found_ok=True).data
        return found


@pytest.fixture(scope="module")
def emulator() -> Iterator[RunningEmulator]:
    """An organisation whose clock stands still."""
    with running_emulator() as running:
        running.control.stop_clock(NOON)
        yield running


@pytest.fixture
def community(emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[Community]:
    """The client, signed in by its first request."""
    monkeypatch.setenv("SSL_CERT_FILE", str(emulator.ca_file))
    token_url = f"{emulator.authority}/oauth2/v2.0/token"
    secret = (emulator.client_id, emulator.client_secret)
    client = DynamicsClient(emulator.api, token_url, *secret, scope=emulator.scope, cache_token=False)
    yield Community(client)
    # It has no way to close its connections.
    client._oauth_client.close()
