"""BulkDelete: a job that deletes the rows of its queries, and what can be seen of it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from requests import Response

from dynamics_emulator.testing_client import Client

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def _condition(column: str, operator: str, *values: Any) -> dict[str, Any]:
    return {
        "@odata.type": "Microsoft.Dynamics.CRM.ConditionExpression",
        "AttributeName": column,
        "Operator": operator,
        "Values": list(values),
    }


def _query(*conditions: dict[str, Any], joined: str = "And", **more: Any) -> dict[str, Any]:
    return {
        "@odata.type": "Microsoft.Dynamics.CRM.QueryExpression",
        "EntityName": "lead",
        "ColumnSet": {"@odata.type": "Microsoft.Dynamics.CRM.ColumnSet", "AllColumns": False, "Columns": []},
        "Criteria": {
            "@odata.type": "Microsoft.Dynamics.CRM.FilterExpression",
            "FilterOperator": joined,
            "Conditions": list(conditions),
        },
        **more,
    }


def _run(client: Client, *queries: dict[str, Any], **changed: Any) -> Response:
    body = {
        "JobName": "Clean up",
        "SendEmailNotification": False,
        "ToRecipients": [],
        "CCRecipients": [],
        "RecurrencePattern": "",
        "StartDateTime": "2020-01-01T00:00:00Z",
        "QuerySet": list(queries),
        **changed,
    }
    return client.call("POST", "BulkDelete", json=body)


def _names(client: Client) -> list[str]:
    return sorted(str(row["lastname"]) for row in client.emulator.database.rows("lead"))


def _guids(*addresses: str) -> list[dict[str, str]]:
    return [{"Value": address[-37:-1], "Type": "System.Guid"} for address in addresses]


def test_job_deletes_and_tells_how_it_went(client: Client) -> None:
    leads = [client.create("leads", lastname=name) for name in "abc"]
    link = client.get("leads?$select=lastname", prefer="odata.track-changes").json()["@odata.deltaLink"]

    answer = _run(client, _query(_condition("leadid", "In", *_guids(*leads[:2]))))

    assert answer.status_code == 200
    assert answer.json()["@odata.context"].endswith("$metadata#Microsoft.Dynamics.CRM.BulkDeleteResponse")
    job = client.get(f"asyncoperations({answer.json()['JobId']})").json()
    assert (job["name"], job["operationtype"], job["statecode"], job["statuscode"]) == ("Clean up", 13, 3, 30)
    assert job["completedon"] is not None
    [operation] = client.rows("bulkdeleteoperations")
    assert (operation["successcount"], operation["failurecount"]) == (2, 0)
    assert operation["_asyncoperationid_value"] == answer.json()["JobId"]
    assert _names(client) == ["c"]
    gone = {entry["id"] for entry in client.get(link).json()["value"]}
    assert gone == {address[-37:-1] for address in leads[:2]}


def test_job_waits_for_its_time(client: Client) -> None:
    client.emulator.control.stop_clock(NOON)
    client.create("leads", lastname="a")

    later = (NOON + timedelta(hours=1)).isoformat()
    job = _run(client, _query(), StartDateTime=later).json()["JobId"]

    waiting = client.get(f"asyncoperations({job})").json()
    assert (waiting["statecode"], waiting["statuscode"], waiting["completedon"]) == (0, 0, None)
    assert _names(client) == ["a"]
    client.emulator.control.stop_clock(NOON + timedelta(hours=1))
    assert client.get(f"asyncoperations({job})").json()["statecode"] == 3
    assert _names(client) == []


def test_queue_can_be_long(client: Client) -> None:
    client.emulator.control.stop_clock(NOON)
    client.emulator.control.change_settings(bulk_delete_wait_seconds=60)
    client.create("leads", lastname="a")
    _run(client, _query())

    assert client.rows("leads") != []
    client.emulator.control.stop_clock(NOON + timedelta(seconds=61))
    assert client.rows("leads") == []


def test_row_that_refuses_is_counted_and_left(client: Client) -> None:
    team = client.create("teams", name="Desk")
    client.emulator.control.change_settings(owner_needs_privilege=False)
    owned = {"lastname": "a", "ownerid@odata.bind": team.removeprefix(client.emulator.api)}
    client.create("leads", **owned)

    _run(client, _query(EntityName="team", Criteria=None))

    [operation] = client.rows("bulkdeleteoperations")
    assert (operation["successcount"], operation["failurecount"]) == (0, 1)
    assert client.emulator.database.count("team") == 1


@pytest.mark.parametrize(
    ("conditions", "joined", "left"),
    [
        ([_condition("lastname", "Equal", "BETA")], "And", ["alpha", "gamma"]),
        ([_condition("lastname", "NotEqual", "beta")], "And", ["beta"]),
        ([_condition("lastname", "BeginsWith", "a")], "And", ["beta", "gamma"]),
        ([_condition("lastname", "EndsWith", "ta")], "And", ["alpha", "gamma"]),
        ([_condition("lastname", "Like", "%m%")], "And", ["alpha", "beta"]),
        ([_condition("lastname", "NotIn", "alpha", "beta")], "And", ["alpha", "beta"]),
        ([_condition("revenue", "Null")], "And", ["beta", "gamma"]),
        ([_condition("numberofemployees", "GreaterThan", 10)], "And", ["alpha", "beta"]),
        ([_condition("numberofemployees", "LessEqual", {"Value": "10", "Type": "System.Int32"})], "And", ["gamma"]),
        ([_condition("donotemail", "Equal", {"Value": "true", "Type": "System.Boolean"})], "And", ["alpha", "gamma"]),
        (
            [_condition("lastname", "Equal", "alpha"), _condition("lastname", "Equal", "gamma")],
            "Or",
            ["beta"],
        ),
    ],
)
def test_operators(client: Client, conditions: list[dict[str, Any]], joined: str, left: list[str]) -> None:
    client.create("leads", lastname="alpha", numberofemployees=1)
    client.create("leads", lastname="beta", numberofemployees=10, revenue=1, donotemail=True)
    client.create("leads", lastname="gamma", numberofemployees=100, revenue=2)

    assert _run(client, _query(*conditions, joined=joined)).status_code == 200
    assert _names(client) == left


def test_nested_filters(client: Client) -> None:
    for name in ("alpha", "beta", "gamma"):
        client.create("leads", lastname=name)
    inner = [
        {"FilterOperator": "And", "Conditions": [_condition("lastname", "Equal", name)]} for name in ("alpha", "beta")
    ]

    _run(client, _query(Criteria={"FilterOperator": "Or", "Filters": inner}))

    assert _names(client) == ["gamma"]


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"QuerySet": []}, "0x80040203"),
        ({"QuerySet": "lead"}, "0x80040203"),
        ({"JobName": None}, "0x80040203"),
        ({"StartDateTime": "soon"}, "0x80040203"),
        ({"Nothing": 1}, "0x8006088a"),
        ({"QuerySet": [_query(EntityName="nothing")]}, "0x80041102"),
        ({"QuerySet": [_query(_condition("nothing", "Equal", 1))]}, "0x80041103"),
        ({"QuerySet": [_query(_condition("lastname", "Equal"))]}, "0x80040203"),
        ({"QuerySet": [_query(_condition("lastname", "Resembles", "x"))]}, "0x80040203"),
        ({"QuerySet": [_query(_condition("lastname", "Equal", "x"), joined="Xor")]}, "0x80040203"),
    ],
)
def test_refused_jobs(client: Client, changed: dict[str, Any], code: str) -> None:
    answer = _run(client, **{"QuerySet": [_query()], **changed})

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)
    assert client.emulator.database.count("asyncoperation") == 0


def test_job_needs_its_privilege(client: Client) -> None:
    client.emulator.control.set_privilege(None, "prvBulkDelete", None)

    assert _run(client, _query()).status_code == 403
    assert client.error("GET", "BulkDelete") == (405, "0x8006088a")
