"""Neither a token, a secret nor a value reaches a log or an error, whatever fails."""

import json
import logging
import traceback

import pytest
import requests

from dynamics_sync import errors
from dynamics_sync.dataverse.auth import Credentials
from dynamics_sync.dataverse.client import DataverseClient, Request, open_client
from dynamics_sync.dataverse.session import open_session

SECRET, KEY, VALUE = "s3cr3t-of-client", "PRIVATE-key-of-client", "okafor@example.com"
HIDDEN = (SECRET, KEY, VALUE, "token-0", "token-1")
REQUEST = Request(
    f"leads(acme_mail='{VALUE}')?$filter=emailaddress1 eq '{VALUE}'",
    method="PATCH",
    headers={"If-Match": "*", "X-Note": VALUE},
    body=json.dumps({"emailaddress1": VALUE}).encode(),
)


def everything_of(error: BaseException, log: str) -> str:
    """What a person or a log can see: message, repr, traceback with its chain, and all that was logged."""
    return "\n".join([str(error), repr(error), "".join(traceback.format_exception(error)), log])


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 412, 413, 429, 500, 503])
@pytest.mark.parametrize("code", ["", "0x80040265", "0x80060888", "0x80040220", "0x80044331", "0x80048d19"])
def test_a_refused_call_shows_nothing(rig, refused, caplog, status, code) -> None:
    caplog.set_level(logging.DEBUG)
    made = rig(lambda _request: refused(status, code, f"Something about {VALUE} and token-0"), attempts=2)
    with pytest.raises(errors.SyncError) as caught:
        made.client.send(REQUEST)
    seen = everything_of(caught.value, caplog.text)
    assert not [word for word in HIDDEN if word in seen]


@pytest.mark.parametrize("fault", [requests.ConnectionError, requests.ReadTimeout, requests.exceptions.SSLError])
def test_a_network_fault_shows_nothing(rig, caplog, fault) -> None:
    caplog.set_level(logging.DEBUG)

    def handler(request):
        quoting = f"Max retries exceeded with url: {request.url} {request.headers}"
        raise fault(quoting)

    with pytest.raises(errors.SyncError) as caught:
        rig(handler, attempts=2).client.send(REQUEST)
    seen = everything_of(caught.value, caplog.text)
    assert not [word for word in HIDDEN if word in seen]


@pytest.mark.parametrize(
    "body", [b"<html>okafor@example.com", b'{"value": "okafor@example.com"', b'["okafor@example.com"]']
)
def test_an_unreadable_body_shows_nothing(rig, reply, caplog, body) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(errors.SyncError) as caught:
        rig([reply(200, body)]).client.get_json("leads")
    assert VALUE not in everything_of(caught.value, caplog.text)


@pytest.mark.parametrize(
    "given", [{"client_secret": SECRET}, {"certificate_pem": "-----BEGIN", "private_key_pem": KEY}]
)
def test_a_failed_sign_in_shows_nothing(tls_server, authority, reply, caplog, given) -> None:
    caplog.set_level(logging.DEBUG)
    server = tls_server(authority.server_files("entra", days=5))
    root = f"{server.url}/tenant"
    server.replies["/tenant/v2.0/"] = reply(
        body={"issuer": root, "authorization_endpoint": f"{root}/a", "token_endpoint": f"{root}/token"}
    )
    echoed = f"AADSTS7000215: you sent {SECRET} {KEY}"
    server.replies["/tenant/token"] = reply(401, {"error": "invalid_client", "error_description": echoed})
    credentials = Credentials("tenant", "client-1", authority=root, ca_file=authority.ca_file, **given)
    with pytest.raises(errors.SyncError) as caught:
        open_client(credentials, server.url).get_json("WhoAmI")
    seen = everything_of(caught.value, caplog.text)
    assert not [word for word in HIDDEN if word in seen]


def test_debug_logging_shows_no_query(tls_server, authority, rig, reply, caplog) -> None:
    """The libraries below log too, so this call goes over a real connection."""
    caplog.set_level(logging.DEBUG)
    server = tls_server(authority.server_files("good", days=5))
    server.replies["/api/data/v9.2/leads"] = reply(body={"value": []})
    tokens = rig([]).tokens
    client = DataverseClient(server.url, open_session(authority.ca_file), tokens)
    client.send(Request(f"leads?$filter=emailaddress1 eq '{VALUE}'"))
    assert len(server.asked) == 1
    assert not [word for word in HIDDEN if word in caplog.text]
