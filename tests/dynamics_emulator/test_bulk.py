"""The bulk actions: one transaction, all or nothing."""

from typing import Any

import pytest
from requests import Response

from dynamics_emulator.testing_client import Client

FIRST, SECOND = "00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002"


def _run(client: Client, action: str, *targets: dict[str, Any], kind: str = "lead") -> Response:
    typed = [{"@odata.type": f"Microsoft.Dynamics.CRM.{kind}", **target} for target in targets]
    return client.call("POST", f"leads/Microsoft.Dynamics.CRM.{action}", json={"Targets": typed})


def _names(client: Client) -> dict[str, str]:
    return {str(row["leadid"]): str(row["lastname"]) for row in client.emulator.database.rows("lead")}


def test_create_answers_with_the_ids_in_order(client: Client) -> None:
    answer = _run(client, "CreateMultiple", {"lastname": "a"}, {"lastname": "b", "leadid": FIRST}, {"lastname": "c"})

    ids = answer.json()["Ids"]
    assert answer.status_code == 200
    assert answer.json()["@odata.context"].endswith("#Microsoft.Dynamics.CRM.CreateMultipleResponse")
    assert [_names(client)[key] for key in ids] == ["a", "b", "c"]
    assert ids[1] == FIRST


def test_update_and_upsert_answer_without_a_body(client: Client) -> None:
    created = _run(client, "UpsertMultiple", {"leadid": FIRST, "lastname": "a"}, {"lastname": "free"})
    by_address = _run(client, "UpsertMultiple", {"@odata.id": f"leads({SECOND})", "lastname": "b"})
    updated = _run(client, "UpdateMultiple", {"leadid": FIRST, "lastname": "c"}, {"leadid": SECOND, "lastname": "d"})

    assert [answer.status_code for answer in (created, by_address, updated)] == [204, 204, 204]
    assert {name for key, name in _names(client).items() if key in (FIRST, SECOND)} == {"c", "d"}
    assert len(_names(client)) == 3


def test_upsert_by_alternate_key(client: Client) -> None:
    first = {"@odata.id": "leads(acme_extid='M-1')", "lastname": "a"}
    second = {"@odata.id": f"{client.emulator.api}/leads(acme_extid='M-2')", "lastname": "b", "acme_extid": "M-3"}
    again = {"@odata.id": "leads(acme_extid='m-1')", "lastname": "c", "acme_extid": "M-9"}

    answers = [_run(client, "UpsertMultiple", first, second), _run(client, "UpsertMultiple", again)]

    assert [answer.status_code for answer in answers] == [204, 204]
    rows = client.emulator.database.rows("lead")
    assert {(row["acme_extid"], row["lastname"]) for row in rows} == {("M-1", "c"), ("M-3", "b")}


def test_texts_of_refusals(client: Client) -> None:
    missing = _run(client, "UpdateMultiple", {"leadid": FIRST, "lastname": "x"})
    by_key = _run(client, "UpdateMultiple", {"@odata.id": "leads(acme_extid='M-1')", "lastname": "x"})
    elastic = _run(client, "DeleteMultiple", {"leadid": FIRST})
    _run(client, "CreateMultiple", {"leadid": FIRST, "lastname": "x"})
    taken = _run(client, "CreateMultiple", {"leadid": FIRST, "lastname": "x"})

    assert missing.json()["error"]["message"] == f"lead With Ids = {FIRST} Do Not Exist"
    assert by_key.json()["error"]["code"] == "0x80060891"
    assert elastic.json()["error"]["message"] == "DeleteMultiple has not yet been implemented."
    assert taken.json()["error"] == {"code": "0x80040237", "message": "Cannot insert duplicate key."}


@pytest.mark.parametrize(
    ("action", "bad", "status", "code"),
    [
        ("CreateMultiple", {"lastname": "x" * 51}, 400, "0x80044331"),
        ("CreateMultiple", {"leadid": FIRST}, 412, "0x80040237"),
        ("UpdateMultiple", {"leadid": SECOND, "lastname": "x"}, 404, "0x80040217"),
        ("UpsertMultiple", {"@odata.id": f"contacts({SECOND})", "lastname": "x"}, 400, "0x80060888"),
        ("DeleteMultiple", {"leadid": FIRST}, 400, "0x80040216"),
        ("SomethingMultiple", {"leadid": FIRST}, 404, "0x80060888"),
    ],
)
def test_one_refusal_undoes_everything(
    client: Client, action: str, bad: dict[str, Any], status: int, code: str
) -> None:
    _run(client, "CreateMultiple", {"leadid": FIRST, "lastname": "kept"})
    good = {"leadid": FIRST} if action == "UpdateMultiple" else {}

    answer = _run(client, action, {**good, "lastname": "gone"}, bad)

    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert _names(client) == {FIRST: "kept"}


def test_type_of_each_target_is_mandatory(client: Client) -> None:
    assert _run(client, "CreateMultiple", {"lastname": "x"}, kind="contact").status_code == 400
    assert client.error("POST", "leads/Microsoft.Dynamics.CRM.CreateMultiple", json={}) == (400, "0x80048d19")
