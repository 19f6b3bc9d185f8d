"""Sign-in with unmodified msal, and what is refused."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from dynamics_emulator.identity import CLIENT_ID, EXPIRED_CLIENT_ID, STRANGER_CLIENT_ID
from dynamics_emulator.signin.certificates import make_client_identity
from dynamics_emulator.signin.entra import Registration
from dynamics_emulator.testing import RunningEmulator, running_emulator
from dynamics_emulator.testing_client import Client, connect, open_session, sign_in


@pytest.fixture
def session(emulator: RunningEmulator) -> Iterator[requests.Session]:
    """A session without a token."""
    with open_session(emulator) as opened:
        yield opened


def _thumbprint(pem: str) -> str:
    der = x509.load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.DER)
    return hashlib.sha1(der, usedforsecurity=False).hexdigest()


def test_secret_gives_a_token_that_lives_60_to_90_minutes(emulator: RunningEmulator, session: requests.Session) -> None:
    lives = {sign_in(emulator, session)["expires_in"] for _ in range(5)}

    assert all(3600 <= life <= 5400 for life in lives)
    assert len(lives) > 1


def test_certificate_signs_in_by_sha256(emulator: RunningEmulator, session: requests.Session) -> None:
    credential = {"private_key": emulator.private_key_pem, "public_certificate": emulator.certificate_pem}

    assert "access_token" in sign_in(emulator, session, client_credential=credential)


def test_certificate_signs_in_by_thumbprint_alone(emulator: RunningEmulator, session: requests.Session) -> None:
    credential = {"private_key": emulator.private_key_pem, "thumbprint": _thumbprint(emulator.certificate_pem)}

    assert "access_token" in sign_in(emulator, session, client_credential=credential)


@pytest.mark.parametrize(
    ("changed", "number", "error"),
    [
        ({"client_credential": "wrong"}, 7000215, "invalid_client"),
        ({"client_id": "00000000-0000-4000-8000-00000000dead"}, 700016, "unauthorized_client"),
        ({"client_id": EXPIRED_CLIENT_ID}, 7000222, "invalid_client"),
    ],
)
def test_refused_credentials(
    emulator: RunningEmulator, session: requests.Session, changed: dict[str, str], number: int, error: str
) -> None:
    refusal = sign_in(emulator, session, **changed)

    assert refusal["error"] == error
    assert refusal["error_codes"] == [number]
    assert refusal["error_description"].startswith(f"AADSTS{number}: ")


def test_unknown_tenant(emulator: RunningEmulator, session: requests.Session) -> None:
    address = f"{emulator.url}/00000000-0000-4000-8000-00000000dead/v2.0/.well-known/openid-configuration"
    answer = session.get(address, timeout=5)

    assert answer.status_code == 400
    assert answer.json()["error_codes"] == [90002]


@pytest.mark.parametrize("expired", [True, False])
def test_certificate_that_is_expired_or_not_registered(
    emulator: RunningEmulator, session: requests.Session, *, expired: bool
) -> None:
    identity = make_client_identity("other", expired=expired)
    if expired:
        emulator.entra.register(Registration(CLIENT_ID, certificates=(identity.certificate_pem,)))
    credential = {"private_key": identity.private_key_pem, "public_certificate": identity.certificate_pem}

    refusal = sign_in(emulator, session, client_credential=credential)

    assert refusal["error_codes"] == [700027]


def test_assertion_signed_with_another_key(emulator: RunningEmulator, session: requests.Session) -> None:
    other = make_client_identity("other")
    credential = {"private_key": other.private_key_pem, "thumbprint": _thumbprint(emulator.certificate_pem)}

    assert sign_in(emulator, session, client_credential=credential)["error_codes"] == [700027]


def test_request_without_a_token_is_401(emulator: RunningEmulator, session: requests.Session) -> None:
    answer = session.get(f"{emulator.api}/WhoAmI", timeout=5)

    assert answer.status_code == 401
    assert "WWW-Authenticate" in answer.headers
    assert answer.content == b""


def test_token_of_another_service_is_401(client: Client) -> None:
    with running_emulator() as other, open_session(other) as session:
        foreign = sign_in(other, session)["access_token"]

    assert client.get("WhoAmI", headers={"Authorization": f"Bearer {foreign}"}).status_code == 401


def test_expired_token_is_401() -> None:
    with running_emulator(token_lifetime_seconds=30) as emulator:
        client = connect(emulator)
        assert client.get("WhoAmI").status_code == 200
        emulator.control.advance_clock(31)

        assert client.get("WhoAmI").status_code == 401
        client.session.close()


@pytest.mark.parametrize("status", [401, 403])
def test_application_that_is_no_user(status: Any) -> None:
    with running_emulator(unknown_user_status=status) as emulator:
        client = connect(replace(emulator, client_id=STRANGER_CLIENT_ID))

        assert client.error("GET", "WhoAmI") == (status, "0x80072560")
        client.session.close()
