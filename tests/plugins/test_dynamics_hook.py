"""The hook: what the connection may hold, and what it makes of it."""

import json

import pytest
import requests

from dynamics_emulator.testing import running_emulator
from dynamics_hook import BearerForHost, ConnectionExtras, DynamicsHook, read_extras
from dynamics_sync import errors
from dynamics_sync.dataverse.client import DataverseClient
from dynamics_sync.dataverse.session import open_session
from dynamics_sync.provider import get_provider_info

SECRET = "s3cr3t-of-client"


@pytest.fixture
def hook(monkeypatch):
    """Return a function from connection fields to hook; the connection comes from the environment, as in Airflow."""

    def build(extra: dict | None = None, **fields) -> DynamicsHook:
        given = {
            "conn_type": "dynamics", "host": "acme.crm4.dynamics.com", "login": "client-1", "password": SECRET,
            "extra": {"tenant_id": "tenant-1"} | (extra or {}),
        } | fields  # fmt: skip
        monkeypatch.setenv("AIRFLOW_CONN_DYNAMICS_DEFAULT", json.dumps(given))
        return DynamicsHook()

    return build


def test_the_client_has_the_connections_host(hook) -> None:
    assert hook().get_client().api_url == "https://acme.crm4.dynamics.com/api/data/v9.2"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"host": "https://acme.crm4.dynamics.com/"}, "https://acme.crm4.dynamics.com"),
        ({"host": "localhost", "port": 8443}, "https://localhost:8443"),
        ({"host": "https://localhost", "port": 8443}, "https://localhost:8443"),
        ({"host": "https://localhost:8443"}, "https://localhost:8443"),
    ],
)
def test_host_and_port(hook, fields, expected) -> None:
    assert hook(**fields).get_client().api_url == f"{expected}/api/data/v9.2"


@pytest.mark.parametrize(
    ("extra", "fields", "said"),
    [
        ({"tenant_id": None}, {}, "tenant_id is missing"),
        ({"tenant_id": ""}, {}, "tenant_id is missing"),
        ({"tennant_id": "x"}, {}, "tennant_id is unknown, did you mean tenant_id?"),
        ({"zzz": "x"}, {}, "zzz is unknown"),
        ({"api_version": "9.2"}, {}, "api_version"),
        ({"ca_file": "/does/not/exist.pem"}, {}, "ca_file"),
        ({"certificate": "/does/not/exist.pem"}, {}, "certificate"),
        ({"api_host": "http://x"}, {}, "https address"),
        ({}, {"login": ""}, "no login"),
        ({}, {"host": ""}, "https address"),
        ({}, {"host": "http://acme.crm4.dynamics.com"}, "https address"),
    ],
)
def test_a_wrong_setting_is_named(hook, extra, fields, said) -> None:
    with pytest.raises(errors.ConnectionSettingsError) as caught:
        hook(extra, **fields).get_client()
    assert said in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_wrong_value_is_not_repeated() -> None:
    with pytest.raises(errors.ConnectionSettingsError) as caught:
        read_extras({"tenant_id": "t", "private_key": {"pasted": SECRET}})
    assert "private_key" in str(caught.value)
    assert SECRET not in str(caught.value)


def test_without_any_proof_the_test_says_so(hook) -> None:
    assert hook(password="").test_connection() == (
        False,
        "DS-102 The connection has neither a client secret nor a certificate with its private key. No token was issued"
        " and Dynamics was not called. Correct the connection under Admin > Connections and press Test.",
    )


def test_a_failed_test_is_told_and_not_raised(hook) -> None:
    passed, text = hook({"tennant_id": "x"}).test_connection()
    assert not passed
    assert "did you mean tenant_id?" in text


def test_the_session_holds_no_token_and_trusts_no_environment(hook) -> None:
    made = hook()
    session = made.get_conn(headers={"X-Given": "1"})
    assert made.base_url == "https://acme.crm4.dynamics.com/api/data/v9.2"
    assert "Authorization" not in session.headers
    assert session.headers["X-Given"] == "1"
    assert session.trust_env is False
    assert isinstance(session.auth, BearerForHost)


@pytest.mark.parametrize(
    ("url", "signed"),
    [
        ("https://acme.crm4.dynamics.com/api/data/v9.2/WhoAmI", True),
        ("https://acme.api.crm4.dynamics.com/api/data/v9.2/WhoAmI", True),
        ("https://acme.crm4.dynamics.com/elsewhere", False),
        ("https://evil.example/api/data/v9.2/WhoAmI", False),
        ("http://acme.crm4.dynamics.com/api/data/v9.2/WhoAmI", False),
    ],
)
def test_only_calls_of_the_own_host_are_signed(url, signed) -> None:
    session = open_session()
    second_form = frozenset({"acme.api.crm4.dynamics.com"})
    session.auth = BearerForHost(DataverseClient("acme.crm4.dynamics.com", session, Held(), allowed_hosts=second_form))
    prepared = session.prepare_request(requests.Request("GET", url))
    assert ("Authorization" in prepared.headers) is signed


class Held:
    """A TokenProvider that never signs in."""

    def token(self) -> str:
        return "t"

    renew = token


def test_a_certificate_may_be_a_file(hook, tmp_path) -> None:
    """The file is read at once, so that a missing one is noticed before anything is sent."""
    path = tmp_path / "client.pem"
    path.write_text("-----BEGIN CERTIFICATE-----\nx\n")
    made = hook({"certificate": str(path), "private_key": "-----BEGIN PRIVATE KEY-----\n"}, password="")
    passed, text = made.test_connection()
    assert not passed
    assert "cannot be read" in text


def test_the_connection_form_offers_every_extra() -> None:
    (described,) = get_provider_info()["connection-types"]
    assert described["hook-class-name"] == f"{DynamicsHook.__module__}.{DynamicsHook.__name__}"
    assert described["connection-type"] == DynamicsHook.conn_type
    assert described["hook-name"] == DynamicsHook.hook_name
    assert set(described["conn-fields"]) == set(ConnectionExtras.model_fields)


def test_airflow_finds_the_connection_type() -> None:
    from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime  # noqa: PLC0415 (slow to import)

    assert ProvidersManagerTaskRuntime().hooks["dynamics"].hook_name == "Dynamics 365"


def connection_of(emulator) -> dict:
    extra = {"tenant_id": emulator.tenant_id, "authority": emulator.authority, "ca_file": str(emulator.ca_file)}
    return {"host": emulator.url, "login": emulator.client_id, "password": emulator.client_secret, "extra": extra}


@pytest.fixture(scope="module")
def emulator():
    with running_emulator(rows=0) as running:
        yield running


def test_a_good_connection_passes_its_test(hook, emulator) -> None:
    passed, text = hook(**connection_of(emulator)).test_connection()
    assert passed, text
    assert text.startswith("Connected to ")
    assert "as application user" in text


def test_a_wrong_secret_fails_the_test_with_the_next_step(hook, emulator) -> None:
    passed, text = hook(**connection_of(emulator) | {"password": SECRET}).test_connection()
    assert not passed
    assert "AADSTS7000215" in text
    assert "client secret" in text
    assert SECRET not in text


def test_operators_made_for_http_hooks_work(hook, emulator) -> None:
    answer = hook(**connection_of(emulator)).run("WhoAmI")
    assert answer.json()["UserId"]
