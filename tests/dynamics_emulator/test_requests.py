"""What a request may be, whatever it asks for: its verb, its host, the length and depth of its body."""

import pytest

from dynamics_emulator.testing_client import Client

FUNCTIONS = [
    "",
    "WhoAmI",
    "RetrieveVersion",
    "RetrieveCurrentOrganization",
    "$metadata",
    "RetrieveTotalRecordCount(EntityNames=['lead'])",
    "RetrieveDuplicates(BusinessEntity=@p1,MatchingEntityName=@p2,PagingInfo=@p3)",
    "RetrieveMetadataChanges(Query=@p1)",
]


@pytest.mark.parametrize("path", FUNCTIONS)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_functions_take_get_alone(sample: Client, method: str, path: str) -> None:
    assert sample.error(method, path) == (405, "0x8006088a")


@pytest.mark.parametrize("path", ["", "WhoAmI", "leads", "EntityDefinitions"])
def test_no_heads_are_given(sample: Client, path: str) -> None:
    answer = sample.call("HEAD", path)

    assert (answer.status_code, answer.headers["Content-Type"]) == (405, "application/json; odata.metadata=minimal")


def test_functions_take_get_alone_in_a_batch(sample: Client) -> None:
    parts = [
        f"--b\r\nContent-Type: application/http\r\n\r\n{method} WhoAmI HTTP/1.1\r\n\r\n\r\n"
        for method in ("DELETE", "FOO", "GET")
    ]
    headers = {"Content-Type": "multipart/mixed; boundary=b", "Prefer": "odata.continue-on-error"}
    text = sample.call("POST", "$batch", data="".join([*parts, "--b--\r\n"]), headers=headers).text

    assert (text.count("HTTP/1.1 405"), text.count("HTTP/1.1 200")) == (2, 1)


@pytest.mark.parametrize("path", ["PublishAllXml", "PublishXml"])
def test_actions_take_post_alone(sample: Client, path: str) -> None:
    assert sample.call("GET", path).status_code == 405


def test_length_of_a_body(client: Client) -> None:
    client.emulator.control.change_settings(body_limit_bytes=1000)
    kept, refused = ('{"lastname":"A"}'.ljust(length) for length in (1000, 1001))
    json_type = {"Content-Type": "application/json"}

    assert client.call("POST", "leads", data=kept, headers=json_type).status_code == 204
    answer = client.call("POST", "leads", data=refused, headers=json_type)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (413, "0x8004418a")
    assert error["message"] == "Request message length is too large."
    assert len(client.rows("leads")) == 1


def test_a_body_that_never_ends_is_not_read_whole(client: Client) -> None:
    client.emulator.control.change_settings(body_limit_bytes=1000)
    # Without a length in its head, and far more than would be kept.
    chunks = (b" " * 65536 for _ in range(64))

    assert client.error("POST", "leads", data=chunks) == (413, "0x8004418a")


@pytest.mark.parametrize("path", ["leads", "Merge", "leads/Microsoft.Dynamics.CRM.CreateMultiple"])
def test_a_body_that_is_nested_too_deeply_is_a_bad_body(client: Client, path: str) -> None:
    deep = '{"a":' * 100_000

    assert client.error("POST", path, data=deep) == (400, "0x80048d19")


def test_an_organisation_may_have_other_hosts(client: Client) -> None:
    client.create("leads", lastname="A")
    client.create("leads", lastname="B")
    named = {"Host": "acme.api.crm4.example"}
    assert client.get("leads", headers=named).status_code == 401

    client.emulator.control.change_settings(alias_hosts=["acme.api.crm4.example"])
    body = client.get("leads", headers=named, prefer="odata.maxpagesize=1").json()
    assert body["@odata.nextLink"].startswith("https://acme.api.crm4.example/api/data/v9.2/leads?")
    assert client.get("leads").ok
    assert client.get("leads", headers={"Host": "other.api.crm4.example"}).status_code == 401
