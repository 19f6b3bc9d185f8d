"""``$batch``: order, change sets, references, and when processing stops."""

import email
from email.message import Message
from typing import Any

import pytest
from requests import Response

from dynamics_emulator.testing_client import Client


def _part(text: str, *, content_id: int | None = None) -> str:
    head = "Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n"
    if content_id:
        head += f"Content-ID: {content_id}\r\n"
    return f"{head}\r\n{text}"


def _body(parts: list[str], boundary: str) -> str:
    return "".join(f"--{boundary}\r\n{part}\r\n" for part in parts) + f"--{boundary}--\r\n"


def _write(method: str, target: str, body: str) -> str:
    return f"{method} {target} HTTP/1.1\r\nContent-Type: application/json; type=entry\r\n\r\n{body}"


def _change_set(*parts: str) -> str:
    return "Content-Type: multipart/mixed; boundary=changeset_1\r\n\r\n" + _body(list(parts), "changeset_1")


def _send(client: Client, *parts: str, quoted: bool = True, **options: Any) -> Response:
    boundary = '"batch_1"' if quoted else "batch_1"
    headers = {"Content-Type": f"multipart/mixed;boundary={boundary}", **options.pop("headers", {})}
    return client.call("POST", "$batch", data=_body(list(parts), "batch_1").encode(), headers=headers, **options)


def _answers(answer: Response) -> list[Message]:
    """All inner answers, change sets flattened."""
    whole = email.message_from_bytes(
        f"Content-Type: {answer.headers['Content-Type']}\r\n\r\n".encode() + answer.content
    )
    return [part for part in whole.walk() if part.get_content_type() == "application/http"]


def _statuses(answer: Response) -> list[int]:
    return [int(part.get_payload().split(" ")[1]) for part in _answers(answer)]  # type: ignore[union-attr] # leaf parts


@pytest.mark.parametrize("quoted", [True, False])
@pytest.mark.parametrize("root", ["{api}/", "/api/data/v9.2/", ""])
def test_reads_by_every_form_of_address(client: Client, root: str, *, quoted: bool) -> None:
    target = root.format(api=client.emulator.api)

    answer = _send(client, _part(f"GET {target}WhoAmI HTTP/1.1\r\n\r\n"), quoted=quoted)

    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("multipart/mixed; boundary=batchresponse_")
    assert _statuses(answer) == [200]
    assert "OrganizationId" in answer.text


def test_writes_keep_their_order(client: Client) -> None:
    path = "leads(00000000-0000-4000-8000-000000000001)"
    parts = [_part(_write("PATCH", path, f'{{"lastname":"{number}"}}')) for number in range(3)]

    assert _statuses(_send(client, *parts)) == [204, 204, 204]
    assert client.get(path).json()["lastname"] == "2"


@pytest.mark.parametrize(
    ("prefer", "status", "inner"), [(None, 400, [204, 404]), ("odata.continue-on-error", 200, [204, 404, 204])]
)
def test_first_failure_ends_it_unless_told_otherwise(
    client: Client, prefer: str | None, status: int, inner: list[int]
) -> None:
    parts = [
        _part(_write("POST", "leads", '{"lastname":"a"}')),
        _part("GET leads(00000000-0000-4000-8000-00000000dead) HTTP/1.1\r\n\r\n"),
        _part(_write("POST", "leads", '{"lastname":"b"}')),
    ]

    answer = _send(client, *parts, prefer=prefer)

    assert answer.status_code == status
    assert _statuses(answer) == inner
    assert "REQ_ID" in answer.text


def test_conditions_hold_inside_too(client: Client) -> None:
    path = "leads(00000000-0000-4000-8000-000000000001)"
    text = f'PATCH {path} HTTP/1.1\r\nIf-None-Match: *\r\nContent-Type: application/json\r\n\r\n{{"lastname":"x"}}'

    answer = _send(client, _part(text), _part(text), prefer="odata.continue-on-error")

    assert _statuses(answer) == [204, 412]


def test_change_set_succeeds_as_a_whole_with_references(client: Client) -> None:
    account = _part(_write("POST", "accounts", '{"name":"Acme"}'), content_id=1)
    contact = _part(
        _write("POST", "contacts", '{"lastname":"Ada","parentcustomerid_account@odata.bind":"$1"}'), content_id=2
    )
    primary = _part(_write("PUT", "$1/primarycontactid/$ref", '{"@odata.id":"$2"}'), content_id=3)

    answer = _send(client, _change_set(account, contact, primary))

    assert _statuses(answer) == [204, 204, 204]
    assert "boundary=changesetresponse_" in answer.text
    assert [part["Content-ID"] for part in _answers(answer)] == ["1", "2", "3"]
    [row] = client.rows("accounts?$expand=primarycontactid($select=lastname)")
    assert row["primarycontactid"]["lastname"] == "Ada"


def test_change_set_fails_as_a_whole(client: Client) -> None:
    good = _part(_write("POST", "leads", '{"lastname":"a"}'), content_id=1)
    bad = _part(_write("POST", "leads", '{"nothing":1}'), content_id=2)
    after = _part(_write("POST", "leads", '{"lastname":"b"}'))

    answer = _send(client, _change_set(good, bad), after, prefer="odata.continue-on-error")

    assert _statuses(answer) == [400, 204]
    assert [row["lastname"] for row in client.rows("leads")] == ["b"]


def test_unknown_reference(client: Client) -> None:
    answer = _send(client, _change_set(_part(_write("PATCH", "$1", "{}"), content_id=2)))

    assert answer.status_code == 400
    assert "Content-ID Reference: '$1' does not exist in the batch context." in answer.text


def test_refused_as_a_whole(client: Client) -> None:
    assert client.error("POST", "$batch", data=b"", headers={"Content-Type": "application/json"})[0] == 400
    too_many = [_part("GET WhoAmI HTTP/1.1\r\n\r\n")] * 1001
    assert _send(client, *too_many).json()["error"]["code"] == "0x8006088a"
