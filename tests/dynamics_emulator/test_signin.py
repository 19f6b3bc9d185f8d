"""The token endpoint: its answers, each of its refusals, and what the Web API makes of tokens."""

import hashlib
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from dynamics_emulator.identity import (
    APPLICATION_USER_ID,
    CLIENT_ID,
    CLIENT_SECRET,
    EXPIRED_CLIENT_ID,
    STRANGER_CLIENT_ID,
    TENANT_ID,
)
from dynamics_emulator.signin.certificates import Identity, make_client_identity
from dynamics_emulator.signin.directory import Registration
from dynamics_emulator.signin.refusals import REFUSALS, Refusal
from dynamics_emulator.testing import RunningEmulator, running_emulator
from dynamics_emulator.testing_client import Client, connect, open_session, sign_in

_NOBODY = "00000000-0000-4000-8000-00000000dead"
_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
Ask = Callable[..., requests.Response]


@pytest.fixture
def session(emulator: RunningEmulator) -> Iterator[requests.Session]:
    """A session without a token."""
    with open_session(emulator) as opened:
        yield opened


@pytest.fixture
def ask(emulator: RunningEmulator, session: requests.Session) -> Ask:
    """Posts a token request; None takes a parameter out of the good form."""

    def post(tenant: str = TENANT_ID, **changed: str | None) -> requests.Response:
        form = {
            "grant_type": "client_credentials",
            "client_id": CLIENT_ID,
            "client_secret": emulator.client_secret,
            "scope": emulator.scope,
            **changed,
        }
        kept = {name: value for name, value in form.items() if value is not None}
        return session.post(f"{emulator.url}/{tenant}/oauth2/v2.0/token", data=kept, timeout=5)

    return post


@pytest.fixture(scope="module")
def other() -> Identity:
    """A key and certificate that nobody has registered."""
    return make_client_identity("other")


def _digest(pem: str, algorithm: str) -> bytes:
    der = x509.load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.DER)
    return hashlib.new(algorithm, der, usedforsecurity=False).digest()


def _claims(emulator: RunningEmulator, **changed: object) -> dict[str, object]:
    now = datetime.now(UTC)
    claims = {
        "aud": f"{emulator.authority}/oauth2/v2.0/token",
        "iss": CLIENT_ID,
        "sub": CLIENT_ID,
        "nbf": now,
        "exp": now + timedelta(seconds=600),
        "jti": str(uuid.uuid4()),
        **changed,
    }
    return {name: value for name, value in claims.items() if value is not None}


def _assertion(
    emulator: RunningEmulator, claims: Mapping[str, object], key: str | None = None, algorithm: str = "PS256"
) -> dict[str, str | None]:
    thumbprint = jwt.utils.base64url_encode(_digest(emulator.certificate_pem, "sha256")).decode()
    signed = jwt.encode(
        dict(claims), key or emulator.private_key_pem, algorithm=algorithm, headers={"x5t#S256": thumbprint}
    )
    return {"client_secret": None, "client_assertion": signed, "client_assertion_type": _ASSERTION_TYPE}


def _require_refusal(answer: requests.Response, name: str) -> None:
    """Compare an answer with the refusal of this name, and its shape with what Entra sends."""
    expected = REFUSALS[name]
    body = answer.json()
    found = (answer.status_code, body["error"], body["error_codes"])
    assert found == (expected.status, expected.error, [expected.number])
    assert body["error_description"].startswith(f"AADSTS{expected.number}: ")
    assert body["error_uri"] == f"https://login.microsoftonline.com/error?code={expected.number}"
    for member, label in (("trace_id", "Trace ID"), ("correlation_id", "Correlation ID"), ("timestamp", "Timestamp")):
        assert f"{label}: {body[member]}" in body["error_description"]
    datetime.strptime(body["timestamp"], "%Y-%m-%d %H:%M:%SZ").replace(tzinfo=UTC)
    assert body.keys() == {
        "error",
        "error_description",
        "error_codes",
        "timestamp",
        "trace_id",
        "correlation_id",
        "error_uri",
    }


def test_secret_gives_a_token_that_lives_60_to_90_minutes(ask: Ask) -> None:
    answers = [ask().json() for _ in range(5)]

    assert all(answer.keys() == {"token_type", "expires_in", "ext_expires_in", "access_token"} for answer in answers)
    lives = {answer["expires_in"] for answer in answers}
    assert all(3600 <= life <= 5400 for life in lives)
    assert len(lives) > 1


@pytest.mark.parametrize(("secret", "status"), [(CLIENT_SECRET, 200), ("wrong", 401)])
def test_secret_may_come_as_http_basic(
    emulator: RunningEmulator, session: requests.Session, secret: str, status: int
) -> None:
    form = {"grant_type": "client_credentials", "scope": emulator.scope}
    address = f"{emulator.authority}/oauth2/v2.0/token"

    assert session.post(address, data=form, auth=(CLIENT_ID, secret), timeout=5).status_code == status


def test_a_token_says_for_whom_it_is(emulator: RunningEmulator, ask: Ask, client: Client) -> None:
    token = jwt.decode(ask().json()["access_token"], options={"verify_signature": False})

    assert (token["aud"], token["appid"], token["tid"]) == (emulator.url, CLIENT_ID, TENANT_ID)
    assert token["iat"] == token["nbf"] < token["exp"]
    user = client.get(f"systemusers({APPLICATION_USER_ID})?$select=azureactivedirectoryobjectid").json()
    assert user["azureactivedirectoryobjectid"] == token["oid"]


@pytest.mark.parametrize(
    ("changed", "refusal"),
    [
        ({"client_secret": "wrong"}, "wrong-secret"),
        ({"client_id": EXPIRED_CLIENT_ID}, "expired-secret"),
        ({"client_secret": None}, "missing-credential"),
        ({"client_id": _NOBODY}, "unknown-application"),
        ({"tenant": _NOBODY}, "unknown-tenant"),
        ({"tenant": "not a tenant"}, "bad-tenant"),
        ({"tenant": "contoso.example"}, "unknown-tenant"),
        ({"grant_type": "password"}, "unsupported-grant"),
        ({"grant_type": None}, "missing-parameter"),
        ({"client_id": None}, "missing-parameter"),
        ({"scope": None}, "missing-parameter"),
        ({"scope": "openid"}, "invalid-scope"),
        ({"scope": "https://a.crm4.dynamics.com/.default openid"}, "invalid-scope"),
        ({"scope": "https://localhost/user_impersonation"}, "scope-without-default"),
        ({"scope": "https://elsewhere.example/.default"}, "unknown-resource"),
        ({"client_secret": None, "client_assertion": "x"}, "missing-parameter"),
        (
            {"client_secret": None, "client_assertion": "x", "client_assertion_type": _ASSERTION_TYPE},
            "assertion-format",
        ),
    ],
)
def test_refused_requests(ask: Ask, changed: dict[str, Any], refusal: str) -> None:
    _require_refusal(ask(**changed), refusal)


@pytest.mark.parametrize(
    ("changed", "refusal"),
    [
        ({"disabled": True}, "disabled-application"),
        ({"service_principal": False}, "missing-service-principal"),
        ({"public": True}, "public-client"),
        ({"secret_expired": True}, "expired-secret"),
        ({"secrets": ("another",)}, "wrong-secret"),
    ],
)
def test_refused_applications(emulator: RunningEmulator, ask: Ask, changed: dict[str, Any], refusal: str) -> None:
    emulator.control.change_application(**changed)

    _require_refusal(ask(), refusal)


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=lambda refusal: refusal.name)
def test_each_refusal_can_be_forced(emulator: RunningEmulator, ask: Ask, refusal: Refusal) -> None:
    emulator.control.sign_in_error(refusal.name)
    emulator.control.sign_in_error(refusal.number, times=2)

    answers = [ask() for _ in range(4)]

    for answer in answers[:3]:
        _require_refusal(answer, refusal.name)
    assert answers[0].headers.get("Retry-After") == (str(refusal.retry_after) if refusal.retry_after else None)
    assert answers[3].status_code == 200


def test_forced_refusals_can_be_taken_back(emulator: RunningEmulator, ask: Ask) -> None:
    emulator.control.sign_in_error("AADSTS53003", times=100)
    emulator.control.clear_sign_in_errors()

    assert ask().status_code == 200


def test_an_unknown_refusal_cannot_be_forced(emulator: RunningEmulator) -> None:
    with pytest.raises(KeyError):
        emulator.control.sign_in_error("AADSTS1")


def test_no_two_refusals_share_a_number() -> None:
    assert len({refusal.number for refusal in REFUSALS.values()}) == len(REFUSALS)


def test_unknown_tenant_is_refused_by_the_discovery_document_too(
    emulator: RunningEmulator, session: requests.Session
) -> None:
    answer = session.get(f"{emulator.url}/{_NOBODY}/v2.0/.well-known/openid-configuration", timeout=5)

    _require_refusal(answer, "unknown-tenant")


@pytest.mark.parametrize("audience", ["/oauth2/v2.0/token", "/v2.0"])
def test_a_good_assertion_signs_in(emulator: RunningEmulator, ask: Ask, audience: str) -> None:
    claims = _claims(emulator, aud=f"{emulator.authority}{audience}")

    assert ask(**_assertion(emulator, claims)).status_code == 200


@pytest.mark.parametrize(
    ("changed", "refusal"),
    [
        ({"aud": "https://elsewhere.example"}, "assertion-audience"),
        ({"iss": _NOBODY}, "assertion-subject"),
        ({"sub": _NOBODY}, "assertion-subject"),
        ({"iss": _NOBODY, "sub": _NOBODY}, "assertion-client"),
        ({"exp": datetime(2026, 1, 1, tzinfo=UTC)}, "assertion-time"),
        ({"nbf": datetime(2199, 1, 1, tzinfo=UTC)}, "assertion-time"),
        ({"exp": None}, "assertion-format"),
        ({"aud": None}, "assertion-format"),
    ],
)
def test_refused_claims(emulator: RunningEmulator, ask: Ask, changed: dict[str, Any], refusal: str) -> None:
    _require_refusal(ask(**_assertion(emulator, _claims(emulator, **changed))), refusal)


def test_assertion_signed_with_another_key(emulator: RunningEmulator, ask: Ask, other: Identity) -> None:
    signed = _assertion(emulator, _claims(emulator), key=other.private_key_pem)

    _require_refusal(ask(**signed), "bad-assertion")


def test_assertion_with_an_algorithm_that_entra_does_not_take(emulator: RunningEmulator, ask: Ask) -> None:
    signed = _assertion(emulator, _claims(emulator), key="x" * 32, algorithm="HS256")

    _require_refusal(ask(**signed), "bad-assertion")


def test_certificate_that_is_not_registered(
    emulator: RunningEmulator, session: requests.Session, other: Identity
) -> None:
    credential = {"private_key": other.private_key_pem, "public_certificate": other.certificate_pem}

    assert sign_in(emulator, session, client_credential=credential)["error_codes"] == [700027]


def test_certificate_that_has_expired(emulator: RunningEmulator, session: requests.Session) -> None:
    identity = make_client_identity("old", expired=True)
    emulator.entra.register(Registration(CLIENT_ID, certificates=(identity.certificate_pem,)))
    credential = {"private_key": identity.private_key_pem, "public_certificate": identity.certificate_pem}

    assert sign_in(emulator, session, client_credential=credential)["error_codes"] == [700027]


@pytest.mark.parametrize("refused", [False, True])
def test_an_assertion_may_be_used_once_or_again(emulator: RunningEmulator, ask: Ask, *, refused: bool) -> None:
    emulator.control.change_settings(assertion_replay_refused=refused)
    signed = _assertion(emulator, _claims(emulator))
    assert ask(**signed).status_code == 200

    again = ask(**signed)

    if refused:
        _require_refusal(again, "assertion-replayed")
    assert refused or again.status_code == 200


def test_request_without_a_token_is_401(emulator: RunningEmulator, session: requests.Session) -> None:
    answer = session.get(f"{emulator.api}/WhoAmI", timeout=5)

    assert answer.status_code == 401
    assert "WWW-Authenticate" in answer.headers
    assert answer.content == b""


def test_an_altered_token_is_401(client: Client) -> None:
    token = str(client.session.headers["Authorization"])
    head, payload, signature = token.split(".")
    altered = ".".join((head, payload[:-4] + ("AAAA" if payload[-4:] != "AAAA" else "BBBB"), signature))
    assert client.get("WhoAmI").status_code == 200

    assert client.get("WhoAmI", headers={"Authorization": altered}).status_code == 401


def test_token_for_another_host_is_401(client: Client, ask: Ask) -> None:
    token = ask(scope="https://acme.crm4.dynamics.com/.default").json()["access_token"]

    assert client.get("WhoAmI", headers={"Authorization": f"Bearer {token}"}).status_code == 401


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


def test_a_second_application_is_a_user_of_its_own(emulator: RunningEmulator, client: Client) -> None:
    second = connect(emulator.as_application(emulator.control.add_application()))
    with second.session:
        users = {user.get("WhoAmI").json()["UserId"] for user in (client, second)}

    assert len(users) == 2
