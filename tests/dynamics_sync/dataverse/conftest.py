"""A wire that tests hold in their hands: a function from request to answer, below `requests`."""

import datetime
import http.server
import io
import json
import random
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
import urllib3
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from dynamics_sync.dataverse.client import DataverseClient
from dynamics_sync.dataverse.session import open_session

HOST = "acme.crm4.dynamics.com"


@dataclass
class Reply:
    """What the wire answers; a dict or list body becomes JSON."""

    status: int = 200
    body: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


Handler = Callable[[requests.PreparedRequest], Reply]


class Wire(requests.adapters.HTTPAdapter):
    """Answers every request with `handler`, and keeps what was asked."""

    def __init__(self, handler: Handler) -> None:
        super().__init__()
        self.handler = handler
        self.asked: list[requests.PreparedRequest] = []
        self.timeouts: list[object] = []

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        self.asked.append(request)
        self.timeouts.append(options["timeout"])
        reply = self.handler(request)
        headers = {"Content-Type": "application/json; odata.metadata=minimal", **reply.headers}
        raw = urllib3.HTTPResponse(
            body=io.BytesIO(reply.content), headers=headers, status=reply.status, preload_content=False
        )
        response = self.build_response(request, raw)
        assert response.content is not None
        return response


@dataclass
class Tokens:
    """A TokenProvider that counts."""

    renewals: int = 0

    def token(self) -> str:
        return f"token-{self.renewals}"

    def renew(self) -> str:
        self.renewals += 1
        return self.token()


@dataclass
class Rig:
    """A client over a wire, with a clock that only its own sleep moves."""

    client: DataverseClient
    wire: Wire
    tokens: Tokens
    slept: list[float]

    @property
    def paths(self) -> list[str]:
        return [request.url.partition("/api/data/v9.2/")[2] for request in self.wire.asked]


@pytest.fixture
def rig() -> Callable[..., Rig]:
    """Return a function from handler (or list of replies) to Rig."""

    def build(answers: Handler | list[Reply], **options: Any) -> Rig:
        if isinstance(answers, list):
            waiting = iter(answers)
            wire = Wire(lambda _request: next(waiting))
        else:
            wire = Wire(answers)
        session = open_session()
        session.mount("https://", wire)
        tokens, slept = Tokens(), []
        source = random.Random(1)  # noqa: S311 (a seed makes the test repeatable)
        settings = {"sleep": slept.append, "random": source, "clock": lambda: 1_000_000.0}
        client = DataverseClient(HOST, session, tokens, **(settings | options))
        return Rig(client, wire, tokens, slept)

    return build


@pytest.fixture(name="wire")
def _wire() -> type[Wire]:
    return Wire


@pytest.fixture
def reply() -> type[Reply]:
    return Reply


def refused(status: int, code: str, message: str = "", **headers: str) -> Reply:
    return Reply(status, {"error": {"code": code, "message": message}}, headers)


@pytest.fixture(name="refused")
def _refused() -> Callable[..., Reply]:
    """Return a function that builds an error envelope."""
    return refused


@dataclass(frozen=True)
class Authority:
    """A certificate authority of our own, in a folder."""

    folder: Path
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def ca_file(self) -> str:
        return str(self.folder / "ca.pem")

    def server_files(self, name: str, *, days: int) -> Path:
        """Write certificate and key for localhost; `days` from now until it ends, negative when it has ended."""
        key = ec.generate_private_key(ec.SECP256R1())
        end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=days)
        names = x509.SubjectAlternativeName([x509.DNSName("localhost")])
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        certificate = (
            _builder("localhost", self.certificate.subject, key, end)
            .add_extension(names, critical=False)
            .add_extension(identifier, critical=False)
            .sign(self.key, hashes.SHA256())
        )
        path = self.folder / f"{name}.pem"
        path.write_bytes(_pem(key) + certificate.public_bytes(serialization.Encoding.PEM))
        return path


def _builder(
    name: str, issuer: x509.Name | None, key: ec.EllipticCurvePrivateKey, end: datetime.datetime
) -> x509.CertificateBuilder:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer or subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(end - datetime.timedelta(days=30))
        .not_valid_after(end)
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def make_authority(folder: Path) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=20)
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False,
        key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False,
        decipher_only=False,
    )  # fmt: skip
    certificate = (
        _builder("test authority", None, key, end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "ca.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return Authority(folder, key, certificate)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def other_authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that signed nothing that is served here."""
    return make_authority(tmp_path_factory.mktemp("other"))


@dataclass
class TlsServer:
    """A real server on an ephemeral port that speaks for both Entra and Dynamics."""

    url: str
    replies: dict[str, Reply] = field(default_factory=dict)
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)


@pytest.fixture
def tls_server() -> Iterator[Callable[[Path], TlsServer]]:
    """Return a function from certificate file to running server; `replies` is keyed by the start of the path."""
    running: list[tuple[http.server.ThreadingHTTPServer, threading.Thread]] = []

    def start(certificate: Path) -> TlsServer:
        record = TlsServer("")

        class Answering(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                record.asked.append((self.command, self.path, dict(self.headers), body))
                reply = next((r for start, r in record.replies.items() if self.path.startswith(start)), Reply(404))
                self.send_response(reply.status)
                for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", reply.headers.get("X-Length", str(len(reply.content))))
                self.end_headers()
                self.wfile.write(reply.content)

            do_POST = do_GET  # noqa: N815 (the name that http.server looks for)

            def log_message(self, format: str, *args: object) -> None:
                """Keep the test output clean."""

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server = _QuietServer(("127.0.0.1", 0), Answering)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        record.url = f"https://localhost:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        running.append((server, thread))
        return record

    yield start
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


class _QuietServer(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up during the handshake is what some tests are about."""
