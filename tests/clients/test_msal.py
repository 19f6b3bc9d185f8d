"""Microsoft's sign-in libraries, unmodified: ``msal`` with secret and certificate, and ``azure-identity`` above it."""

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import msal
import pytest
import requests
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import CertificateCredential, ClientSecretCredential
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from dynamics_emulator.identity import CLIENT_ID, CLIENT_SECRET, STRANGER_CLIENT_ID, TENANT_ID
from dynamics_emulator.signin.refusals import REFUSALS, Refusal
from dynamics_emulator.testing import RunningEmulator, running_emulator
from dynamics_emulator.testing_client import open_session

_ANSWERED = [refusal for refusal in REFUSALS.values() if refusal.status < 500]
_BROKEN = [refusal for refusal in REFUSALS.values() if refusal.status >= 500]
MakeApplication = Callable[..., msal.ConfidentialClientApplication]


@pytest.fixture(scope="module")
def emulator() -> Iterator[RunningEmulator]:
    """An empty organisation: these tests look at its sign-in only."""
    with running_emulator() as running:
        yield running


@pytest.fixture(autouse=True)
def _no_forced_refusal_left(emulator: RunningEmulator) -> Iterator[None]:
    yield
    emulator.control.clear_sign_in_errors()


@pytest.fixture
def asked() -> list[str]:
    """The token requests that went over the wire."""
    return []


@pytest.fixture
def session(emulator: RunningEmulator, asked: list[str]) -> Iterator[requests.Session]:
    """A session that notes its token requests."""

    def note(answer: requests.Response, **_: Any) -> None:
        if answer.request.method == "POST":
            asked.append(str(answer.request.body))

    with open_session(emulator) as opened:
        opened.hooks["response"].append(note)
        yield opened


@pytest.fixture
def application(emulator: RunningEmulator, session: requests.Session) -> MakeApplication:
    """Makes a new application object of msal, as a new process would."""

    def make(**changed: Any) -> msal.ConfidentialClientApplication:
        about = {
            "client_id": CLIENT_ID,
            "client_credential": CLIENT_SECRET,
            "authority": emulator.authority,
            "instance_discovery": False,
            "http_client": session,
            **changed,
        }
        return msal.ConfidentialClientApplication(**about)

    return make


def _token(emulator: RunningEmulator, application: msal.ConfidentialClientApplication) -> dict[str, Any]:
    found: dict[str, Any] = application.acquire_token_for_client(scopes=[emulator.scope])
    return found


def _thumbprint(pem: str) -> str:
    der = x509.load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.DER)
    return hashlib.sha1(der, usedforsecurity=False).hexdigest()


def _user(emulator: RunningEmulator, session: requests.Session, token: str) -> int:
    headers = {"Authorization": f"Bearer {token}"}
    return session.get(f"{emulator.api}/WhoAmI", headers=headers, timeout=5).status_code


@pytest.mark.parametrize("kind", ["secret", "certificate", "thumbprint"])
def test_sign_in(
    emulator: RunningEmulator, application: MakeApplication, session: requests.Session, asked: list[str], kind: str
) -> None:
    key = {"private_key": emulator.private_key_pem}
    credential = {
        "secret": CLIENT_SECRET,
        # Signed with PS256 under x5t#S256 and x5c, and with RS256 under x5t.
        "certificate": {**key, "public_certificate": emulator.certificate_pem},
        "thumbprint": {**key, "thumbprint": _thumbprint(emulator.certificate_pem)},
    }[kind]

    found = _token(emulator, application(client_credential=credential))

    assert found["token_type"] == "Bearer"
    assert _user(emulator, session, found["access_token"]) == 200
    assert ("client_assertion=" in asked[0]) is (kind != "secret")


def test_oidc_authority(emulator: RunningEmulator, application: MakeApplication) -> None:
    found = application(authority=None, oidc_authority=f"{emulator.authority}/v2.0")

    assert "access_token" in _token(emulator, found)


def test_plain_http_is_refused_by_msal_itself(application: MakeApplication) -> None:
    with pytest.raises(ValueError, match="https"):
        application(authority=f"http://localhost:1/{TENANT_ID}")


def test_the_second_token_comes_from_the_cache(
    emulator: RunningEmulator, application: MakeApplication, asked: list[str]
) -> None:
    app = application()

    first, second = _token(emulator, app), _token(emulator, app)

    assert (first["token_source"], second["token_source"]) == ("identity_provider", "cache")
    assert first["access_token"] == second["access_token"]
    assert len(asked) == 1


def test_a_token_that_is_about_to_end_is_asked_for_anew(application: MakeApplication, asked: list[str]) -> None:
    with running_emulator(token_lifetime_seconds=200) as brief, open_session(brief) as session:
        app = application(authority=brief.authority, http_client=session)

        sources = [_token(brief, app)["token_source"] for _ in range(2)]

    # msal drops a token five minutes before its end.
    assert sources == ["identity_provider", "identity_provider"]
    assert asked == []


@pytest.mark.parametrize("refusal", _ANSWERED, ids=lambda refusal: refusal.name)
def test_each_refusal_reaches_the_caller(
    emulator: RunningEmulator, application: MakeApplication, refusal: Refusal
) -> None:
    emulator.control.sign_in_error(refusal.name)

    found = _token(emulator, application())

    assert found["error"] == refusal.error
    assert found["error_codes"] == [refusal.number]
    assert found["error_description"].startswith(f"AADSTS{refusal.number}: ")


@pytest.mark.parametrize("refusal", _BROKEN, ids=lambda refusal: refusal.name)
def test_a_broken_service_is_an_exception(
    emulator: RunningEmulator, application: MakeApplication, refusal: Refusal
) -> None:
    emulator.control.sign_in_error(refusal.name)

    with pytest.raises(msal.exceptions.MsalServiceError, match=str(refusal.status)):
        _token(emulator, application())


@pytest.mark.parametrize(
    ("changed", "number"),
    [
        ({"client_credential": "wrong"}, 7000215),
        ({"client_id": "00000000-0000-4000-8000-00000000dead"}, 700016),
    ],
)
def test_wrong_credentials(
    emulator: RunningEmulator, application: MakeApplication, changed: dict[str, str], number: int
) -> None:
    assert _token(emulator, application(**changed))["error_codes"] == [number]


def test_an_unknown_tenant_stops_the_construction(emulator: RunningEmulator, application: MakeApplication) -> None:
    with pytest.raises(ValueError, match="Unable to get authority configuration"):
        application(authority=f"{emulator.url}/00000000-0000-4000-8000-00000000dead")


def test_a_stranger_gets_a_token_that_dataverse_refuses(
    emulator: RunningEmulator, application: MakeApplication, session: requests.Session
) -> None:
    found = _token(emulator, application(client_id=STRANGER_CLIENT_ID))

    assert _user(emulator, session, found["access_token"]) == 403


def test_a_400_is_remembered_until_a_new_application_object_asks(
    emulator: RunningEmulator, application: MakeApplication, asked: list[str]
) -> None:
    app = application()
    emulator.control.change_application(disabled=True)
    refused = _token(emulator, app)
    emulator.control.change_application(disabled=False)

    again, cured = _token(emulator, app), _token(emulator, application())

    assert refused["error_codes"] == again["error_codes"] == [7000112]
    assert "access_token" in cured
    assert len(asked) == 2


def test_a_401_is_not_remembered(emulator: RunningEmulator, application: MakeApplication, asked: list[str]) -> None:
    app = application()
    emulator.control.sign_in_error("expired-secret")

    found = [_token(emulator, app) for _ in range(2)]

    assert found[0]["error_codes"] == [7000222]
    assert "access_token" in found[1]
    assert len(asked) == 2


@pytest.mark.parametrize("refusal", _BROKEN, ids=lambda refusal: refusal.name)
def test_a_5xx_is_remembered_until_a_new_application_object_asks(
    emulator: RunningEmulator, application: MakeApplication, asked: list[str], refusal: Refusal
) -> None:
    app = application()
    emulator.control.sign_in_error(refusal.name)

    for _ in range(2):
        with pytest.raises(msal.exceptions.MsalServiceError):
            _token(emulator, app)

    assert len(asked) == 1
    assert "access_token" in _token(emulator, application())


def test_a_429_is_remembered_for_its_retry_after(
    emulator: RunningEmulator, application: MakeApplication, asked: list[str]
) -> None:
    app = application()
    emulator.control.sign_in_error("too-many-requests")

    found = [_token(emulator, app) for _ in range(2)]

    assert [answer["error_codes"] for answer in found] == [[90055], [90055]]
    assert len(asked) == 1


def _azure_options(emulator: RunningEmulator) -> dict[str, Any]:
    return {
        "authority": emulator.url,
        "disable_instance_discovery": True,
        "connection_verify": str(emulator.ca_file),
    }


def test_azure_identity_with_a_secret(emulator: RunningEmulator, session: requests.Session) -> None:
    with ClientSecretCredential(TENANT_ID, CLIENT_ID, CLIENT_SECRET, **_azure_options(emulator)) as credential:
        first, second = (credential.get_token(emulator.scope) for _ in range(2))

    assert first.token == second.token
    assert _user(emulator, session, first.token) == 200


def test_azure_identity_with_a_certificate(emulator: RunningEmulator, session: requests.Session) -> None:
    data = (emulator.private_key_pem + emulator.certificate_pem).encode()
    options = _azure_options(emulator)

    with CertificateCredential(TENANT_ID, CLIENT_ID, certificate_data=data, **options) as credential:
        token = credential.get_token(emulator.scope).token

    assert _user(emulator, session, token) == 200


def test_azure_identity_names_the_refusal(emulator: RunningEmulator) -> None:
    with (
        ClientSecretCredential(TENANT_ID, CLIENT_ID, "wrong", **_azure_options(emulator)) as credential,
        pytest.raises(ClientAuthenticationError, match="AADSTS7000215"),
    ):
        credential.get_token(emulator.scope)
