"""Keys and certificates of the emulator: its own authority, the server's, and a client's. Made once for each folder."""

import ipaddress
import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
_LIFE = timedelta(days=3650)


@dataclass(frozen=True)
class Identity:
    """A private key and its certificate, both as PEM."""

    private_key_pem: str
    certificate_pem: str


@dataclass(frozen=True)
class KeyRing:
    """The files that a TLS server and its clients need, and the client certificate registered in Entra."""

    ca_file: Path
    server_key_file: Path
    server_certificate_file: Path
    client: Identity
    signing_key_pem: str


def open_key_ring(folder: Path) -> KeyRing:
    """Read the keys in a folder; make them when they are missing."""
    names = ("ca.pem", "server-key.pem", "server.pem", "client-key.pem", "client.pem", "token-key.pem")
    if not all((folder / name).exists() for name in names):
        _make(folder)
    client = Identity(_read(folder / "client-key.pem"), _read(folder / "client.pem"))
    return KeyRing(
        folder / "ca.pem",
        folder / "server-key.pem",
        folder / "server.pem",
        client,
        _read(folder / "token-key.pem"),
    )


def _read(path: Path) -> str:
    return path.read_text(encoding="ascii")


def _make(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca = _certificate("Local Dynamics authority", ca_key, None)
    server_key = ec.generate_private_key(ec.SECP256R1())
    server = _certificate("localhost", server_key, (ca, ca_key))
    client = make_client_identity("marketing-sync")
    _write(folder / "ca.pem", _certificate_pem(ca))
    _write(folder / "server-key.pem", _key_pem(server_key))
    _write(folder / "server.pem", _certificate_pem(server))
    _write(folder / "client-key.pem", client.private_key_pem)
    _write(folder / "client.pem", client.certificate_pem)
    _write(folder / "token-key.pem", _key_pem(ec.generate_private_key(ec.SECP256R1())))


def make_client_identity(name: str, *, expired: bool = False) -> Identity:
    """A self-signed client certificate with an RSA key, as msal needs one; ``expired`` puts its life in the past."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return Identity(_key_pem(key), _certificate_pem(_certificate(name, key, None, expired=expired)))


def _certificate(
    name: str,
    key: PrivateKey,
    issuer: tuple[x509.Certificate, PrivateKey] | None,
    *,
    expired: bool = False,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    end = datetime.now(UTC) + (timedelta(days=-1) if expired else _LIFE)
    signer = issuer[1] if issuer else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(end - _LIFE - timedelta(days=2))
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if issuer:
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        usage = x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH])
        builder = builder.add_extension(usage, critical=False)
    else:
        builder = builder.add_extension(_signing_usage(), critical=True)
    return builder.sign(signer, hashes.SHA256())


def _signing_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )


def _certificate_pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")


def _key_pem(key: PrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode("ascii")


def _write(path: Path, text: str) -> None:
    # The files hold private keys, so nobody else may read them.
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
        file.write(text)
