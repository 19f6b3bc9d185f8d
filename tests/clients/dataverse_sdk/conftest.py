"""Microsoft's Python SDK, as its users set it up: with azure-identity, and a bundle of authorities to trust."""

import ssl
from collections.abc import AsyncIterator, Callable, Iterator

import aiohttp
import pytest
from azure.identity import ClientSecretCredential
from azure.identity.aio import ClientSecretCredential as AsyncClientSecretCredential
from PowerPlatform.Dataverse.aio import AsyncDataverseClient
from PowerPlatform.Dataverse.client import DataverseClient
from PowerPlatform.Dataverse.core.config import DataverseConfig

from dynamics_emulator.testing import RunningEmulator


def _secret_credential(emulator: RunningEmulator, **changed: str) -> ClientSecretCredential:
    """Microsoft's own credential, pointed at the emulator's sign-in; ``changed`` replaces the tenant or the secret."""
    return ClientSecretCredential(
        changed.get("tenant", emulator.tenant_id),
        emulator.client_id,
        changed.get("secret", emulator.client_secret),
        authority=emulator.url,
        disable_instance_discovery=True,
        connection_verify=str(emulator.ca_file),
    )


@pytest.fixture(scope="session")
def secret_credential() -> Callable[..., ClientSecretCredential]:
    """Makes credentials for tests that need more than the module's."""
    return _secret_credential


@pytest.fixture
def trusted(emulator: RunningEmulator, monkeypatch: pytest.MonkeyPatch) -> RunningEmulator:
    """The same emulator, with its authority in the variable that the SDK's requests session reads."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(emulator.ca_file))
    return emulator


# A lost connection would be a fault of the emulator, so nothing is tried twice.
SDK_CONFIG = DataverseConfig(http_retries=1)


@pytest.fixture(scope="module")
def credential(emulator: RunningEmulator) -> Iterator[ClientSecretCredential]:
    """One credential for a module, as it keeps the token that the SDK asks for before every request."""
    with _secret_credential(emulator) as made:
        yield made


@pytest.fixture
def sdk(trusted: RunningEmulator, credential: ClientSecretCredential) -> Iterator[DataverseClient]:
    """Microsoft's Python SDK."""
    with DataverseClient(trusted.url, credential, SDK_CONFIG) as connected:
        yield connected


class _TrustingClient(AsyncDataverseClient):
    """The SDK's async client with a session that trusts the emulator's authority.

    aiohttp reads what it trusts while it is imported, and the SDK has no argument for it.
    """

    def trust(self, emulator: RunningEmulator) -> None:
        context = ssl.create_default_context(cafile=emulator.ca_file)
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context))


@pytest.fixture
def anyio_backend() -> str:
    """The SDK's async client stands on asyncio."""
    return "asyncio"


@pytest.fixture
async def aio(emulator: RunningEmulator) -> AsyncIterator[AsyncDataverseClient]:
    """The async client of Microsoft's Python SDK."""
    credential = AsyncClientSecretCredential(
        emulator.tenant_id,
        emulator.client_id,
        emulator.client_secret,
        authority=emulator.url,
        disable_instance_discovery=True,
        connection_verify=str(emulator.ca_file),
    )
    connected = _TrustingClient(emulator.url, credential, SDK_CONFIG)
    connected.trust(emulator)
    async with credential, connected:
        yield connected
