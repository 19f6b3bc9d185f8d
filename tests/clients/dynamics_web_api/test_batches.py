"""dynamics-web-api: ``$batch``, whose writes it wraps into change sets, and what it offers that is tried nowhere."""

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dynamics_emulator.testing_client import Client

Refused = Callable[..., list[str]]
NOBODY = "00000000-0000-0000-0000-00000000dead"


def _row(mark: str, lastname: str, **values: Any) -> dict[str, Any]:
    return {"collection": "leads", "data": {"lastname": lastname, "companyname": mark, **values}}


def _names(client: Client, mark: str) -> list[str]:
    found = client.rows(f"leads?$filter=companyname eq '{mark}'&$orderby=lastname&$select=lastname")
    return [row["lastname"] for row in found]


def test_reads_and_writes_in_order(dwa: Any, client: Client, mark: str) -> None:
    lead = dwa.call("create", _row(mark, "A"))

    read, made, updated, listed = dwa.batch(
        ("retrieve", {"collection": "leads", "key": lead, "select": ["lastname"], "includeAnnotations": "*"}),
        ("create", _row(mark, "B")),
        ("update", {"collection": "leads", "key": lead, "data": {"lastname": "C"}}),
        ("retrieveMultiple", {"collection": "leads", "filter": f"companyname eq '{mark}'", "count": True}),
    )

    assert read["lastname"] == "A"
    assert client.get(f"leads({made})").json()["lastname"] == "B"
    assert updated is True
    assert listed["oDataCount"] == 2
    assert _names(client, mark) == ["B", "C"]


def test_a_change_set_refers_to_its_own_rows(dwa: Any, client: Client, mark: str) -> None:
    dwa.batch(
        ("create", {"collection": "contacts", "data": {"lastname": mark}, "contentId": "1"}),
        ("create", {**_row(mark, "A", **{"parentcontactid@odata.bind": "$1"}), "contentId": "2"}),
        ("update", {"contentId": "$2", "data": {"jobtitle": "Buyer"}}),
    )

    [lead] = client.rows(f"leads?$filter=companyname eq '{mark}'&$expand=parentcontactid($select=lastname)")
    assert (lead["jobtitle"], lead["parentcontactid"]["lastname"]) == ("Buyer", mark)


def test_a_reference_can_be_put_in_place_of_a_row(dwa: Any, client: Client, mark: str) -> None:
    place = {"navigationProperty": "parentcontactid", "relatedKey": "$2"}

    dwa.batch(
        ("create", {**_row(mark, "A"), "contentId": "1"}),
        ("create", {"collection": "contacts", "data": {"lastname": mark}, "contentId": "2"}),
        ("associateSingleValued", {**place, "contentId": "$1"}),
    )

    [lead] = client.rows(f"leads?$filter=companyname eq '{mark}'&$expand=parentcontactid($select=lastname)")
    assert lead["parentcontactid"]["lastname"] == mark


def test_a_change_set_is_all_or_nothing(refused_codes: Refused, client: Client, mark: str) -> None:
    codes = refused_codes(
        ("create", _row(mark, "A")),
        ("update", {"collection": "leads", "key": NOBODY, "data": {"lastname": "B"}}),
    )

    assert codes == ["0x80040217"]
    assert _names(client, mark) == []


def test_stops_at_the_first_failure(refused_codes: Refused, client: Client, mark: str) -> None:
    codes = refused_codes(
        ("create", {**_row(mark, "A"), "inChangeSet": False}),
        ("update", {"collection": "leads", "key": NOBODY, "data": {"lastname": "B"}, "inChangeSet": False}),
        ("create", {**_row(mark, "C"), "inChangeSet": False}),
    )

    assert codes == ["0x80040217"]
    assert _names(client, mark) == ["A"]


def test_goes_on_when_asked_to(dwa: Any, client: Client, mark: str) -> None:
    refused, missing, made = dwa.batch(
        ("update", {"collection": "leads", "key": NOBODY, "data": {"lastname": "B"}}),
        ("retrieve", {"collection": "leads", "key": NOBODY}),
        ("create", _row(mark, "C")),
        continueOnError=True,
    )

    # Asked to go on, the client hands refusals over among the results.
    assert [answer["error"]["code"] for answer in (refused, missing)] == ["0x80040217", "0x80040217"]
    assert [answer["status"] for answer in (refused, missing)] == [404, 404]
    assert client.get(f"leads({made})").json()["lastname"] == "C"


def test_deletes_and_calls_actions_and_functions(dwa: Any, client: Client, mark: str) -> None:
    lead = dwa.call("create", _row(mark, "A"))
    rows = [{"@odata.type": "Microsoft.Dynamics.CRM.lead", "lastname": "B", "companyname": mark}]

    who, _, made = dwa.batch(
        ("callFunction", {"name": "WhoAmI"}),
        ("deleteRecord", {"collection": "leads", "key": lead}),
        (
            "callAction",
            {
                "collection": "leads",
                "actionName": "Microsoft.Dynamics.CRM.CreateMultiple",
                "action": {"Targets": rows},
                "inChangeSet": False,
            },
        ),
    )

    assert who["UserId"]
    assert len(made["Ids"]) == 1
    assert _names(client, mark) == ["B"]


OUT_OF_SCOPE = {
    # Files
    "uploadFile",
    "downloadFile",
    # Tables, relationships and global option sets that are made or changed
    "createEntity",
    "updateEntity",
    "createRelationship",
    "updateRelationship",
    "deleteRelationship",
    "createGlobalOptionSet",
    "updateGlobalOptionSet",
    "deleteGlobalOptionSet",
    # Dataverse search, a service of its own
    "search",
    "query",
    "suggest",
    "autocomplete",
    # Preview of requests in the background
    "getBackgroundOperationStatus",
    "cancelBackgroundOperation",
    # Called by the driver itself, or without a request
    "setConfig",
    "startBatch",
    "executeBatch",
    "initializeInstance",
}


def test_every_method_is_called(dwa: Any) -> None:
    trees = [ast.parse(path.read_text()) for path in Path(__file__).parent.glob("test_*.py")]
    scope = {id(node) for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Set) for node in node.elts}
    texts = (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant))
    named = {node.value for node in texts if id(node) not in scope}

    assert set(dwa.methods()) - named == OUT_OF_SCOPE
