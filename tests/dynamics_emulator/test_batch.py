"""``$batch``: order, change sets, references, and when processing stops."""

import email
from email.message import Message
from typing import Any

import pytest
from requests import Response

from dynamics_emulator.testing_client import Client

LEAD = "leads(00000000-0000-4000-8000-000000000001)"
GO_ON = "odata.continue-on-error"


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


@pytest.mark.parametrize(
    ("target", "body"),
    [
        ("$1", "{}"),
        ("$1/primarycontactid/$ref", "{}"),
        ("leads", '{"lastname":"x","parentaccountid@odata.bind":"$1"}'),
        ("leads", '{"lastname":"x","parentaccountid@odata.bind":"/$1"}'),
        (f"{LEAD}/parentaccountid/$ref", '{"@odata.id":"$1"}'),
    ],
)
def test_unknown_reference(client: Client, target: str, body: str) -> None:
    answer = _send(client, _change_set(_part(_write("POST", target, body), content_id=2)))

    assert answer.status_code == 400
    assert "Content-ID Reference: '$1' does not exist in the batch context." in answer.text
    assert client.emulator.database.count("lead") == 0


def test_references_reach_earlier_change_sets_and_arrays(client: Client) -> None:
    lead = _change_set(_part(_write("POST", "leads", '{"lastname":"Ada"}'), content_id=1))
    body = '{"name":"Acme","lead_parent_account@odata.bind":["$1"]}'
    account = _change_set(_part(_write("POST", "accounts", body), content_id=2))

    assert _statuses(_send(client, lead, account)) == [204, 204]
    [row] = client.rows("accounts?$expand=lead_parent_account($select=lastname)")
    assert [child["lastname"] for child in row["lead_parent_account"]] == ["Ada"]


def test_reference_to_a_row_that_came_back_whole(client: Client) -> None:
    text = "POST accounts?$select=name HTTP/1.1\r\nPrefer: return=representation\r\n\r\n"
    account = _part(text + '{"name":"Acme"}', content_id=1)
    lead = _part(_write("POST", "leads", '{"lastname":"x","parentaccountid@odata.bind":"$1"}'), content_id=2)

    assert _statuses(_send(client, _change_set(account, lead))) == [201, 204]
    assert client.rows("leads")[0]["_parentaccountid_value"] is not None


def test_text_that_looks_like_a_reference_stays_text(client: Client) -> None:
    one = _part(_write("POST", "leads", '{"lastname":"x"}'), content_id=1)
    two = _part(_write("POST", "leads", '{"lastname":"$1"}'), content_id=2)

    _send(client, _change_set(one, two))

    assert sorted(row["lastname"] for row in client.rows("leads")) == ["$1", "x"]


@pytest.mark.parametrize(("parts", "enclosed"), [("one", False), ("wrapped", True)])
def test_failed_change_set_is_one_error(client: Client, parts: str, *, enclosed: bool) -> None:
    client.emulator.control.change_settings(change_set_failure_parts=parts)
    good = _part(_write("POST", "leads", '{"lastname":"a"}'), content_id=1)
    bad = _part(_write("POST", "leads", '{"nothing":1}'), content_id=2)

    answer = _send(client, _change_set(good, bad))

    assert (answer.status_code, _statuses(answer)) == (400, [400])
    assert ("changesetresponse_" in answer.text) is enclosed
    assert [part["Content-ID"] for part in _answers(answer)] == ["2"]


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ([("GET", "WhoAmI", None)], "A change set must not contain a GET request."),
        ([("POST", "$batch", 1)], "A batch must not contain another batch."),
        (
            [("POST", "leads", 1), ("POST", "leads", 1)],
            "The Content-ID '1' is not unique within the change set.",
        ),
    ],
)
def test_refused_in_a_change_set(client: Client, members: list[tuple[str, str, int | None]], text: str) -> None:
    parts = [_part(_write(method, target, "{}"), content_id=key) for method, target, key in members]

    answer = _send(client, _change_set(*parts))

    assert (answer.status_code, _statuses(answer)) == (400, [400])
    assert text in answer.text
    assert client.emulator.database.count("lead") == 0


def test_batch_in_a_batch_is_refused(client: Client) -> None:
    answer = _send(client, _part(_write("POST", "$batch", "{}")), prefer="odata.continue-on-error")

    assert _statuses(answer) == [400]
    assert "A batch must not contain another batch." in answer.text


def test_reads_between_writes_see_them(client: Client) -> None:
    write, read = _part(_write("POST", "leads", '{"lastname":"a"}')), _part("GET leads/$count HTTP/1.1\r\n\r\n")

    answer = _send(client, read, write, write, read)

    assert [part.get_payload().split()[-1] for part in _answers(answer) if "200 OK" in part.get_payload()] == ["0", "2"]  # type: ignore[union-attr] # leaf parts


def test_failed_write_leaves_its_neighbours(client: Client) -> None:
    good, bad = (_part(_write("POST", "leads", f'{{"lastname":"{name}"}}')) for name in ("a", "x" * 51))

    answer = _send(client, good, bad, good, prefer="odata.continue-on-error")

    assert _statuses(answer) == [204, 400, 204]
    assert client.emulator.database.count("lead") == 2


@pytest.mark.parametrize("ends", ["\r\n", "\n"])
def test_wire_forms_of_foreign_clients(client: Client, ends: str) -> None:
    """A blank line first, no blank before the boundary, a boundary that another one begins with, and a preamble."""
    inner = "--batch_1_cs\r\nContent-Type: application/http\r\nContent-ID: 1\r\n\r\n"
    inner += 'POST /api/data/v9.2/leads HTTP/1.1\r\nContent-Type: application/json\r\n\r\n{"lastname":"a"}\r\n'
    head = "\r\n--batch_1\r\nContent-Type: multipart/mixed;boundary=batch_1_cs\r\n\r\n"
    body = f"{head}{inner}--batch_1_cs--\r\n--batch_1--"
    headers = {"Content-Type": "multipart/mixed;boundary=batch_1"}

    answer = client.call("POST", "$batch", data=body.replace("\r\n", ends).encode(), headers=headers)

    assert _statuses(answer) == [204]
    assert client.emulator.database.count("lead") == 1


def test_sdk_type_of_a_part(client: Client) -> None:
    text = f"POST {client.emulator.api}/leads HTTP/1.1\r\nContent-Type: application/json; type=entry\r\n\r\n"

    assert _statuses(_send(client, _part(text + '{"lastname":"a"}'))) == [204]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", b"{}"),
        ("multipart/mixed", b"--x\r\n"),
        ("multipart/mixed; boundary=x", b""),
        ("multipart/mixed; boundary=x", b"--y\r\n\r\nGET WhoAmI\r\n--y--"),
    ],
)
def test_bad_batch_answers_with_plain_json(client: Client, content_type: str, body: bytes) -> None:
    answer = client.call("POST", "$batch", data=body, headers={"Content-Type": content_type})

    assert answer.status_code == 400
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.json()["error"]["code"] == "0x8006088a"


def test_bad_request_line_fails_its_part_alone(client: Client) -> None:
    answer = _send(client, _part("WhoAmI\r\n\r\n"), _part("GET WhoAmI HTTP/1.1\r\n\r\n"), prefer=GO_ON)

    assert _statuses(answer) == [400, 200]


@pytest.mark.parametrize("in_change_sets", [False, True])
def test_limit_of_a_thousand(client: Client, *, in_change_sets: bool) -> None:
    part = _part(_write("POST", "leads", "{}")) if in_change_sets else _part("GET WhoAmI HTTP/1.1\r\n\r\n")
    parts = [_change_set(*[part] * 501)] * 2 if in_change_sets else [part] * 1001

    answer = _send(client, *parts)

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "0x8006088a")
    assert client.emulator.database.count("lead") == 0


def test_verb_of_a_batch(client: Client) -> None:
    assert client.error("GET", "$batch")[0] == 405


def test_part_for_another_host_is_refused(client: Client) -> None:
    foreign = ("https://evil.example/api/data/v9.2/leads", "http://evil.example/api/data/v9.2/leads")

    for target in foreign:
        answer = _send(client, _part(_write("POST", target, '{"lastname": "x"}')))

        assert (answer.status_code, _statuses(answer)) == (400, [400])
        assert "another host" in answer.text
    assert client.emulator.database.count("lead") == 0


def test_fault_of_the_service_ends_one_part_alone(client: Client, capfd: pytest.CaptureFixture[str]) -> None:
    client.emulator.database.connection.execute('DROP TABLE "campaign"')
    lead, campaign = (_part(_write("POST", name, "{}")) for name in ("leads", "campaigns"))

    answer = _send(client, lead, campaign, lead, prefer=GO_ON)

    assert _statuses(answer) == [204, 500, 204]
    assert "0x80040216" in answer.text
    assert client.emulator.database.count("lead") == 2
    assert "Unexpected OperationalError" in capfd.readouterr().err
