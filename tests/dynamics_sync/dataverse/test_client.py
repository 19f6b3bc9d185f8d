"""Sending: headers, hosts, tokens, and what is no answer."""

import gzip
import subprocess
import sys

import pytest
import requests

from dynamics_sync import errors
from dynamics_sync.dataverse.client import DataverseClient, Request
from dynamics_sync.dataverse.hosts import origin_of
from dynamics_sync.dataverse.session import open_session

ROOT = "https://acme.crm4.dynamics.com/api/data/v9.2/"


def test_a_read_carries_the_documented_headers_and_the_token(rig, reply) -> None:
    made = rig([reply(body={"value": []})])
    assert made.client.get_json("leads?$select=lastname", prefer=["a", "b=1"]) == {"value": []}
    sent = made.wire.asked[0]
    assert sent.url == ROOT + "leads?$select=lastname"
    assert sent.headers["Authorization"] == "Bearer token-0"
    assert sent.headers["Prefer"] == "a,b=1"
    assert {sent.headers[name] for name in ("OData-Version", "OData-MaxVersion")} == {"4.0"}
    assert sent.headers["If-None-Match"] == "null"


def test_a_write_carries_its_own_headers_and_body(rig, reply) -> None:
    made = rig([reply(204, b"")])
    made.client.send(Request("leads(1)", method="PATCH", headers={"If-Match": 'W/"7"'}, body=b"{}"))
    sent = made.wire.asked[0]
    assert (sent.method, sent.body, sent.headers["If-Match"]) == ("PATCH", b"{}", 'W/"7"')
    assert sent.headers["Content-Type"] == "application/json"
    assert sent.headers["Content-Length"] == "2"


def test_a_401_renews_the_token_once_and_goes_on(rig, reply) -> None:
    made = rig([reply(401), reply(body={"ok": 1})])
    assert made.client.get_json("WhoAmI") == {"ok": 1}
    assert [request.headers["Authorization"] for request in made.wire.asked] == ["Bearer token-0", "Bearer token-1"]


def test_a_second_401_is_final(rig, reply) -> None:
    made = rig([reply(401), reply(401)])
    with pytest.raises(errors.TokenRefused):
        made.client.get_json("WhoAmI")
    assert len(made.wire.asked) == 2
    assert made.slept == []


@pytest.mark.parametrize("status", [401, 403])
def test_an_application_that_is_no_user_is_told_so_at_once(rig, refused, status) -> None:
    made = rig([refused(status, "0x80072560")])
    with pytest.raises(errors.NotAMember):
        made.client.get_json("WhoAmI")
    assert made.tokens.renewals == 0


def test_a_redirect_is_not_followed(rig, reply) -> None:
    made = rig([reply(302, b"", {"Location": "https://evil.example/"})])
    with pytest.raises(errors.UnexpectedAnswer):
        made.client.get_json("WhoAmI")
    assert len(made.wire.asked) == 1


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/api/data/v9.2/leads",
        "http://acme.crm4.dynamics.com/api/data/v9.2/leads",
        "https://acme.crm4.dynamics.com:444/api/data/v9.2/leads",
        "https://acme.crm4.dynamics.com@evil.example/api/data/v9.2/leads",
        "https://evil.example\\@acme.crm4.dynamics.com.evil.example/api/data/v9.2/leads",
        "https://acme.crm4.dynamics.com.evil.example/api/data/v9.2/leads",
        "https://acme.crm4.dynamics.com/elsewhere",
        "https://[/api/data/v9.2/leads",
        "ftp:leads",
    ],
)
def test_no_token_goes_to_a_foreign_link(rig, reply, link) -> None:
    made = rig([reply()])
    with pytest.raises(errors.ForeignLink):
        made.client.send(Request(link))
    assert made.wire.asked == []
    assert not made.client.is_own(link)


@pytest.mark.parametrize(
    "link",
    [
        "https://acme.crm4.dynamics.com/api/data/v9.2/leads?x=%2f%253c+y",
        "https://ACME.crm4.dynamics.com:443/api/data/v9.2/leads?x=%2f%253c+y",
        "https://evil.example\\@acme.crm4.dynamics.com/api/data/v9.2/leads?x=%2f%253c+y",
        "https://user@acme.crm4.dynamics.com/api/data/v9.2/leads?x=%2f%253c+y",
    ],
)
def test_a_link_that_can_be_read_as_ours_is_sent_to_our_host_and_to_no_other(rig, reply, link) -> None:
    made = rig([reply()])
    made.client.send(Request(link))
    assert made.wire.asked[0].url == ROOT + "leads?x=%2f%253c+y"


def test_the_second_host_form_is_allowed_when_it_is_configured(rig, reply) -> None:
    link = "https://acme.api.crm4.dynamics.com/api/data/v9.2/leads"
    made = rig([reply()], allowed_hosts=frozenset({"acme.api.crm4.dynamics.com"}))
    made.client.send(Request(link))
    assert made.wire.asked[0].url == link


@pytest.mark.parametrize("path", ["//evil.example/x", "/leads", "..//evil.example", "@evil.example/"])
def test_a_relative_path_stays_on_the_host(rig, reply, path) -> None:
    made = rig([reply()])
    made.client.send(Request(path))
    assert made.wire.asked[0].url.startswith(ROOT)


@pytest.mark.parametrize("host", ["http://acme.example", "", "https://u:pw@acme.example", "acme.example/x", "a b"])
def test_what_is_no_https_host_is_refused(host) -> None:
    with pytest.raises(errors.ConnectionSettingsError) as caught:
        origin_of(host)
    assert "pw" not in str(caught.value)


def test_a_page_of_html_is_no_answer(rig, reply) -> None:
    made = rig([reply(200, b"<html>sign in</html>", {"Content-Type": "text/html; charset=utf-8"})])
    with pytest.raises(errors.IncompleteAnswer, match="text/html"):
        made.client.send(Request("leads"))


@pytest.mark.parametrize("body", [b"", b'{"value": [1', b"<html>", b"\xff\xfe", b'{"a": "\xff"}'])
def test_a_cut_body_is_no_answer(rig, reply, body) -> None:
    made = rig([reply(200, body)])
    with pytest.raises(errors.IncompleteAnswer):
        made.client.get_json("leads")


def test_json_of_another_shape_is_unexpected(rig, reply) -> None:
    with pytest.raises(errors.UnexpectedAnswer):
        rig([reply(200, b"[1]")]).client.get_json("leads")


def test_a_compressed_answer_is_unpacked(rig, reply) -> None:
    made = rig([reply(200, gzip.compress(b'{"a": 1}'), {"Content-Encoding": "gzip"})])
    assert made.client.get_json("leads") == {"a": 1}


def test_a_damaged_compressed_answer_is_no_answer(rig, reply) -> None:
    def damaged(_request):
        return reply(200, b"\x1f\x8b broken", {"Content-Encoding": "gzip"})

    with pytest.raises(errors.IncompleteAnswer, match="compressed"):
        rig(damaged).client.get_json("leads")


def test_the_session_holds_no_token() -> None:
    session = open_session("ca.pem")
    assert "Authorization" not in session.headers
    assert (session.trust_env, session.verify, session.auth) == (False, "ca.pem", None)


def test_a_repr_shows_no_query_and_no_body(rig, reply) -> None:
    made = rig([reply(200, b'{"lastname": "Okafor"}')])
    answer = made.client.send(Request("leads?$filter=lastname eq 'Okafor'", headers={"X": "Okafor"}, body=b"Okafor"))
    assert "Okafor" not in repr(answer)
    assert "GET leads" in repr(answer)


def test_no_call_waits_without_end(rig, reply) -> None:
    made = rig([reply()], timeout=(1, 2))
    made.client.get_json("WhoAmI")
    assert made.wire.timeouts == [(1, 2)]


def test_the_api_version_is_configurable(rig, reply) -> None:
    made = rig([reply()], api_version="v9.1")
    made.client.get_json("WhoAmI")
    assert "/api/data/v9.1/WhoAmI" in made.wire.asked[0].url


def test_a_host_that_cannot_be_written_is_a_setting() -> None:
    class Refusing(requests.adapters.BaseAdapter):
        def send(self, *_args, **_options):
            raise requests.exceptions.InvalidURL

        def close(self) -> None:
            """Nothing is open."""

    class Held:
        def token(self) -> str:
            return "t"

        renew = token

    session = open_session()
    session.mount("https://", Refusing())
    with pytest.raises(errors.ConnectionSettingsError):
        DataverseClient("acme.example", session, Held()).get_json("WhoAmI")


def test_an_import_is_cheap_and_touches_no_network() -> None:
    """DAG parsing loads the client through the hook; what only a call needs must wait for it."""
    code = (
        "import socket, sys\n"
        "def refuse(*_args): raise SystemExit('network')\n"
        "socket.socket.connect = refuse\n"
        "import dynamics_sync.dataverse.feed, dynamics_sync.dataverse.organization\n"
        "sys.exit(' '.join({'msal', 'jwt', 'pandas', 'pyarrow', 'airflow', 'sqlalchemy'} & set(sys.modules)) or 0)\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, "")
