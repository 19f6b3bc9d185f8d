"""Real TLS: which certificates are trusted, whatever the environment says."""

import pytest

from dynamics_sync import errors
from dynamics_sync.dataverse.client import DataverseClient, Request
from dynamics_sync.dataverse.session import open_session

PATH = "/api/data/v9.2/WhoAmI"


@pytest.fixture
def client(tls_server):
    """Return a function from certificate file and CA file to (client, server)."""

    class Held:
        def token(self) -> str:
            return "t"

        renew = token

    def build(certificate, ca_file):
        server = tls_server(certificate)
        made = DataverseClient(server.url, open_session(ca_file), Held(), attempts=2, sleep=lambda _seconds: None)
        return made, server

    return build


def test_the_configured_authority_is_trusted(client, authority, reply) -> None:
    made, server = client(authority.server_files("good", days=5), authority.ca_file)
    server.replies[PATH] = reply(body={"a": 1})
    assert made.get_json("WhoAmI") == {"a": 1}
    headers = server.asked[0][2]
    assert headers["Authorization"] == "Bearer t"
    assert "gzip" in headers["Accept-Encoding"]


def test_an_expired_certificate_is_refused(client, authority) -> None:
    made, server = client(authority.server_files("expired", days=-1), authority.ca_file)
    with pytest.raises(errors.UnknownHost, match="expired"):
        made.get_json("WhoAmI")
    assert server.asked == []


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_no_environment_variable_wins_over_the_ca_file(
    client, authority, other_authority, reply, monkeypatch, variable
) -> None:
    monkeypatch.setenv(variable, other_authority.ca_file)
    made, server = client(authority.server_files("good", days=5), authority.ca_file)
    server.replies[PATH] = reply(body={})
    assert made.get_json("WhoAmI") == {}


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_no_environment_variable_widens_the_trust(client, authority, other_authority, monkeypatch, variable) -> None:
    monkeypatch.setenv(variable, authority.ca_file)
    made, server = client(authority.server_files("good", days=5), other_authority.ca_file)
    with pytest.raises(errors.UnknownHost, match="not trusted"):
        made.get_json("WhoAmI")
    assert server.asked == []


def test_a_proxy_of_the_environment_is_not_used(client, authority, reply, monkeypatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    made, server = client(authority.server_files("good", days=5), authority.ca_file)
    server.replies[PATH] = reply(body={})
    assert made.get_json("WhoAmI") == {}


def test_a_body_that_is_shorter_than_announced_is_a_network_fault(client, authority, reply) -> None:
    made, server = client(authority.server_files("good", days=5), authority.ca_file)
    server.replies[PATH] = reply(body=b'{"value": []', headers={"X-Length": "99", "Connection": "close"})
    with pytest.raises(errors.NetworkFault):
        made.get_json("WhoAmI")
    assert len(server.asked) == 2


def test_a_link_goes_back_as_it_came(client, authority, reply) -> None:
    made, server = client(authority.server_files("good", days=5), authority.ca_file)
    server.replies["/api/data/v9.2/leads"] = reply(body={"value": []})
    inner = "%22%253ccookie%2520y%253e%22%20/%3E"
    link = f"/api/data/v9.2/leads?$select=a&$skiptoken=%3Ccookie%20pagenumber=%222%22%20x={inner}"
    made.send(Request(server.url + link))
    assert server.asked[0][1] == link


def test_the_affinity_cookie_is_not_kept(tls_server, authority, reply) -> None:
    server = tls_server(authority.server_files("good", days=5))
    server.replies["/"] = reply(body={}, headers={"Set-Cookie": "ARRAffinity=one-server; Path=/"})
    session = open_session(authority.ca_file)
    for _ in range(2):
        session.get(server.url, timeout=5)
    assert "Cookie" not in server.asked[1][2]
    assert len(session.cookies) == 0
