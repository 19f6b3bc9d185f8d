"""Sign-in against a real TLS server that answers as Entra does, with the real msal."""

import base64
import datetime
import json
import socket
from urllib.parse import parse_qs

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from dynamics_sync import errors
from dynamics_sync.dataverse.auth import Credentials, MsalTokenProvider
from dynamics_sync.dataverse.session import open_session

TENANT = "11111111-2222-3333-4444-555555555555"
SECRET = "s3cr3t-Value~not.shown"
RESOURCE = "https://acme.crm4.dynamics.com"


@pytest.fixture
def entra(tls_server, authority, reply):
    """A server whose token endpoint issues `token-1`, `token-2`, … for an hour."""
    server = tls_server(authority.server_files("entra", days=5))
    issued = []

    class Issuing(reply):
        @property
        def content(self) -> bytes:
            # Built once for the length and once for the body; only the request count decides.
            number = sum(path.endswith("/token") for _, path, _, _ in server.asked)
            issued.append(number)
            return json.dumps({"token_type": "Bearer", "expires_in": 3600, "access_token": f"token-{number}"}).encode()

    root = f"{server.url}/{TENANT}"
    server.replies[f"/{TENANT}/v2.0/.well-known/openid-configuration"] = reply(
        body={
            "issuer": f"{root}/v2.0",
            "authorization_endpoint": f"{root}/oauth2/v2.0/authorize",
            "token_endpoint": f"{root}/oauth2/v2.0/token",
        }
    )
    server.replies[f"/{TENANT}/oauth2/v2.0/token"] = Issuing()
    return server


@pytest.fixture
def credentials(entra, authority):
    def build(**changed) -> Credentials:
        given = {"client_secret": SECRET, "authority": f"{entra.url}/{TENANT}", "ca_file": authority.ca_file}
        return Credentials(TENANT, "client-1", **(given | changed))

    return build


def forms(server) -> list[dict[str, list[str]]]:
    return [parse_qs(body.decode()) for _, path, _, body in server.asked if path.endswith("/token")]


def refuse(entra, reply, code: int, status: int = 401) -> None:
    description = f"AADSTS{code}: Something about {SECRET}. Trace ID: 1"
    body = {"error": "invalid_client", "error_description": description, "error_codes": [code]}
    entra.replies[f"/{TENANT}/oauth2/v2.0/token"] = reply(status, body)


def test_a_secret_buys_a_token_for_the_resource(entra, credentials) -> None:
    assert MsalTokenProvider(credentials(), RESOURCE).token() == "token-1"
    (form,) = forms(entra)
    assert form["scope"] == [f"{RESOURCE}/.default"]
    assert (form["client_id"], form["client_secret"]) == (["client-1"], [SECRET])


def test_the_token_is_held_until_shortly_before_its_end(credentials) -> None:
    now = [0.0]
    tokens = MsalTokenProvider(credentials(), RESOURCE, clock=lambda: now[0])
    found = []
    for now[0] in (0.0, 3299.0, 3300.0, 3301.0):
        found.append(tokens.token())
    assert found == ["token-1", "token-1", "token-2", "token-2"]


def test_a_renewal_never_comes_from_a_cache(credentials) -> None:
    tokens = MsalTokenProvider(credentials(), RESOURCE)
    assert [tokens.token(), tokens.renew(), tokens.token()] == ["token-1", "token-2", "token-2"]


@pytest.mark.parametrize(("lifetime", "still"), [(60, 53.0), ("4500", 4199.0)])
def test_any_lifetime_is_taken_as_it_is(entra, credentials, reply, lifetime, still) -> None:
    now = [0.0]
    body = {"token_type": "Bearer", "expires_in": lifetime, "access_token": "t"}
    entra.replies[f"/{TENANT}/oauth2/v2.0/token"] = reply(body=body)
    tokens = MsalTokenProvider(credentials(), RESOURCE, clock=lambda: now[0])
    for now[0] in (0.0, still, still + 2):
        tokens.token()
    assert len(forms(entra)) == 2


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (7000215, "client secret"), (7000222, "expired"), (700016, "client id"), (90002, "tenant id"),
        (700027, "certificate"), (7000112, "Enable"), (999999, "Check tenant"),
    ],
)  # fmt: skip
def test_a_refusal_names_code_and_next_step_and_no_secret(entra, credentials, reply, code, said) -> None:
    refuse(entra, reply, code)
    with pytest.raises(errors.SignInRefused) as caught:
        MsalTokenProvider(credentials(), RESOURCE).token()
    assert f"AADSTS{code}" in str(caught.value)
    assert said in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_repaired_registration_works_at_once(entra, credentials, reply) -> None:
    """msal remembers a 400 for a minute; we must not."""
    working = entra.replies[f"/{TENANT}/oauth2/v2.0/token"]
    refuse(entra, reply, 700016, status=400)
    tokens = MsalTokenProvider(credentials(), RESOURCE)
    with pytest.raises(errors.SignInRefused):
        tokens.token()
    entra.replies[f"/{TENANT}/oauth2/v2.0/token"] = working
    assert tokens.token() == "token-2"


def test_an_unknown_tenant_is_refused_by_the_discovery(entra, credentials, reply) -> None:
    body = {
        "error": "invalid_tenant",
        "error_description": "AADSTS90002: Tenant 'x' not found.",
        "error_codes": [90002],
    }
    entra.replies[f"/{TENANT}/v2.0/.well-known/openid-configuration"] = reply(400, body)
    with pytest.raises(errors.SignInRefused, match="tenant id"):
        MsalTokenProvider(credentials(), RESOURCE).token()


@pytest.mark.parametrize("authority_url", ["http://localhost:1/x", "https://localhost"])
def test_an_authority_that_is_no_address_of_a_tenant(credentials, authority_url) -> None:
    with pytest.raises(errors.SignInRefused, match="sign-in address"):
        MsalTokenProvider(credentials(authority=authority_url), RESOURCE).token()


@pytest.mark.parametrize(("code", "status"), [(90033, 400), (90055, 400), (700016, 429), (0, 503), (0, 500)])
def test_a_busy_entra_may_be_asked_again(entra, credentials, reply, code, status) -> None:
    refuse(entra, reply, code, status=status)
    with pytest.raises(errors.ServiceUnavailable):
        MsalTokenProvider(credentials(), RESOURCE).token()


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_discovery_may_be_asked_again(entra, credentials, reply, status) -> None:
    entra.replies[f"/{TENANT}/v2.0/.well-known/openid-configuration"] = reply(status, b"slow down")
    with pytest.raises(errors.ServiceUnavailable, match=str(status)):
        MsalTokenProvider(credentials(), RESOURCE).token()


def test_no_sign_in_waits_without_end(wire, reply) -> None:
    """msal passes no time-out to a session that it was given."""
    root = "https://login.example/tenant"
    discovery = {"issuer": root, "authorization_endpoint": f"{root}/a", "token_endpoint": f"{root}/token"}
    grant = {"token_type": "Bearer", "expires_in": 3600, "access_token": "t"}
    made = wire(lambda request: reply(body=grant if request.method == "POST" else discovery))
    session = open_session()
    session.mount("https://", made)
    given = Credentials("tenant", "client-1", client_secret=SECRET, authority=root)
    assert MsalTokenProvider(given, RESOURCE, session=session).token() == "t"
    assert made.timeouts == [(10, 30), (10, 30)]


def test_an_answer_that_is_no_json_is_no_sign_in(entra, credentials, reply) -> None:
    entra.replies[f"/{TENANT}/oauth2/v2.0/token"] = reply(200, b"<html>proxy</html>")
    with pytest.raises(errors.IncompleteAnswer):
        MsalTokenProvider(credentials(), RESOURCE).token()


def test_a_refused_connection_may_pass(credentials) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        closed = f"https://localhost:{held.getsockname()[1]}/{TENANT}"
        with pytest.raises(errors.NetworkFault, match="ConnectionRefusedError"):
            MsalTokenProvider(credentials(authority=closed), RESOURCE).token()


@pytest.fixture(scope="module")
def client_certificate() -> tuple[str, str]:
    """A self-signed certificate and its key, as PEM texts."""
    key = rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "client-1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    return certificate.decode(), pem_of(key)


NO_ENCRYPTION = serialization.NoEncryption()


def pem_of(key, encryption: serialization.KeySerializationEncryption = NO_ENCRYPTION) -> str:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption).decode()


def header_of(assertion: str) -> dict[str, object]:
    first = assertion.partition(".")[0]
    return json.loads(base64.urlsafe_b64decode(first + "=" * (-len(first) % 4)))


def test_a_certificate_signs_in(entra, credentials, client_certificate) -> None:
    certificate, key = client_certificate
    given = credentials(client_secret=None, certificate_pem=certificate, private_key_pem=key)
    assert MsalTokenProvider(given, RESOURCE).token() == "token-1"
    (form,) = forms(entra)
    header = header_of(form["client_assertion"][0])
    assert "client_secret" not in form
    assert header["alg"] == "PS256"
    assert {"x5t#S256", "x5c"} <= set(header)


def test_a_thumbprint_stands_in_for_the_certificate(entra, credentials, client_certificate) -> None:
    certificate, key = client_certificate
    sha1 = x509.load_pem_x509_certificate(certificate.encode()).fingerprint(hashes.SHA1()).hex()  # noqa: S303 (Entra's own form)
    given = credentials(client_secret=None, private_key_pem=key, thumbprint=sha1)
    assert MsalTokenProvider(given, RESOURCE).token() == "token-1"
    assert "x5t" in header_of(forms(entra)[0]["client_assertion"][0])


@pytest.mark.parametrize("key", ["-----BEGIN x\nsecretish", "EC", "ENCRYPTED", "FOREIGN"])
def test_an_unusable_key_is_a_setting(entra, credentials, client_certificate, key) -> None:
    made = {"EC": ec.generate_private_key(ec.SECP256R1()), "FOREIGN": rsa.generate_private_key(65537, 2048)}.get(key)
    if made is not None:
        key = pem_of(made)
    if key == "ENCRYPTED":
        key = pem_of(rsa.generate_private_key(65537, 2048), serialization.BestAvailableEncryption(b"x"))
    broken = credentials(client_secret=None, certificate_pem=client_certificate[0], private_key_pem=key)
    with pytest.raises(errors.ConnectionSettingsError, match="private key") as caught:
        MsalTokenProvider(broken, RESOURCE).token()
    assert "secretish" not in str(caught.value)
    assert forms(entra) == []


@pytest.mark.parametrize("body", [{}, {"issuer": "x"}])
def test_a_discovery_document_without_endpoints_is_no_sign_in_address(entra, credentials, reply, body) -> None:
    entra.replies[f"/{TENANT}/v2.0/.well-known/openid-configuration"] = reply(body=body)
    with pytest.raises(errors.SignInRefused, match="sign-in address"):
        MsalTokenProvider(credentials(), RESOURCE).token()


@pytest.mark.parametrize("given", [{}, {"certificate_pem": "x"}, {"private_key_pem": "x"}])
def test_without_a_proof_nothing_is_sent(entra, credentials, given) -> None:
    with pytest.raises(errors.ConnectionSettingsError, match="neither"):
        MsalTokenProvider(credentials(client_secret=None, **given), RESOURCE).token()
    assert entra.asked == []


def test_a_repr_hides_what_is_secret() -> None:
    shown = repr(Credentials(TENANT, "client-1", client_secret=SECRET, certificate_pem="CERT", private_key_pem="KEY"))
    assert "client-1" in shown
    assert not any(word in shown for word in (SECRET, "CERT", "KEY"))


def test_the_public_cloud_is_the_default() -> None:
    assert Credentials(TENANT, "c").authority_url == f"https://login.microsoftonline.com/{TENANT}"
