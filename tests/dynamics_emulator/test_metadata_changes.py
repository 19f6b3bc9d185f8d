"""``RetrieveMetadataChanges``: typed columns in one call, and what changed since a version stamp."""

import json
from typing import Any

import pytest
import requests

from dynamics_emulator.testing_client import Client, connect

CRM = "Microsoft.Dynamics.CRM"


def _condition(name: str, value: object, operation: str = "Equals") -> dict[str, Any]:
    return {
        "PropertyName": name,
        "ConditionOperator": operation,
        "Value": {"Type": "System.String", "Value": value},
    }


def _query(**more: Any) -> dict[str, Any]:
    criteria = {"Conditions": [_condition("LogicalName", "lead")]}
    return {"Properties": {"PropertyNames": ["LogicalName", "Attributes"]}, "Criteria": criteria, **more}


def _ask(client: Client, query: dict[str, Any], stamp: str | None = None) -> requests.Response:
    path, parameters = "RetrieveMetadataChanges(Query=@p1)", {"@p1": json.dumps(query)}
    if stamp:
        path = "RetrieveMetadataChanges(Query=@p1,ClientVersionStamp=@p2)"
        parameters["@p2"] = f"'{stamp}'"
    return client.get(path, params=parameters)


def test_typed_columns_of_one_table(client: Client) -> None:
    wanted = {"Properties": {"PropertyNames": ["LogicalName", "MaxLength", "MinValue", "RequiredLevel"]}}
    body = _ask(client, _query(AttributeQuery=wanted)).json()

    assert body["@odata.context"].endswith(f"#{CRM}.RetrieveMetadataChangesResponse")
    assert body["DeletedMetadata"] == {"Count": 0, "IsReadOnly": False, "Keys": [], "Values": []}
    [table] = body["EntityMetadata"]
    columns = {row["LogicalName"]: row for row in table["Attributes"]}
    assert columns["lastname"]["@odata.type"] == f"#{CRM}.ComplexStringAttributeMetadata"
    assert columns["lastname"]["MaxLength"] == 50
    assert columns["numberofemployees"]["MinValue"] == 0
    assert "MaxLength" not in columns["numberofemployees"]


@pytest.mark.parametrize(
    ("conditions", "operator", "expected"),
    [
        ([_condition("LogicalName", "lastname")], "And", {"lastname"}),
        ([_condition("LogicalName", ["lastname", "fax"], "In")], "And", {"lastname", "fax"}),
        ([_condition("LogicalName", "fax"), _condition("LogicalName", "lastname")], "Or", {"lastname", "fax"}),
        ([_condition("LogicalName", "fax"), _condition("AttributeType", "Memo")], "And", set()),
        ([_condition("MaxLength", 1500, "GreaterThan"), _condition("AttributeType", "Memo")], "And", {"description"}),
        (
            [_condition("RequiredLevel", "ApplicationRequired"), _condition("AttributeType", "String")],
            "And",
            {"lastname", "subject"},
        ),
    ],
)
def test_criteria(client: Client, conditions: list[dict[str, Any]], operator: str, expected: set[str]) -> None:
    criteria = {"FilterOperator": operator, "Conditions": conditions}
    inner = {"Properties": {"PropertyNames": ["LogicalName"]}, "Criteria": criteria}

    [table] = _ask(client, _query(AttributeQuery=inner)).json()["EntityMetadata"]

    found = {row["LogicalName"] for row in table["Attributes"]}
    assert found == expected if expected != {"description"} else expected <= found


def test_options_keys_and_relationships(client: Client) -> None:
    names = ["LogicalName", "Attributes", "Keys", "ManyToManyRelationships"]
    source = {"Conditions": [_condition("LogicalName", "leadsourcecode")]}
    columns = {"Properties": {"PropertyNames": ["LogicalName", "OptionSet"]}, "Criteria": source}

    query = {**_query(AttributeQuery=columns), "Properties": {"PropertyNames": names}}
    [table] = _ask(client, query).json()["EntityMetadata"]

    assert [option["Value"] for option in table["Attributes"][0]["OptionSet"]["Options"]] == list(range(1, 11))
    assert [key["LogicalName"] for key in table["Keys"]] == ["acme_extid_key"]
    assert [row["SchemaName"] for row in table["ManyToManyRelationships"]] == ["listlead_association"]


def test_only_what_changed_since_a_stamp(client: Client) -> None:
    every = {"Properties": {"PropertyNames": ["LogicalName"]}}
    first = _ask(client, every).json()
    assert len(first["EntityMetadata"]) > 20
    quiet = _ask(client, every, first["ServerVersionStamp"]).json()

    dropped = client.rows("EntityDefinitions(LogicalName='contact')/Attributes?$filter=LogicalName eq 'fax'")
    client.emulator.control.drop_column("contact", "fax")
    client.emulator.control.shorten_column("lead", "subject", 20)
    later = _ask(client, every, first["ServerVersionStamp"]).json()

    assert quiet["EntityMetadata"] == []
    assert [table["LogicalName"] for table in later["EntityMetadata"]] == ["lead", "contact"]
    assert later["DeletedMetadata"]["Keys"] == ["Attribute"]
    assert later["DeletedMetadata"]["Values"][0]["Items"] == [dropped[0]["MetadataId"]]
    assert _ask(client, every, later["ServerVersionStamp"]).json()["EntityMetadata"] == []


def test_old_stamps_are_refused(client: Client) -> None:
    stamp = _ask(client, _query()).json()["ServerVersionStamp"]
    client.emulator.control.advance_clock(89 * 86400)
    fresh = connect(client.emulator)
    assert _ask(fresh, _query(), stamp).ok
    client.emulator.control.advance_clock(2 * 86400)

    again = connect(client.emulator)
    answer = _ask(again, _query(), stamp)
    for other in (fresh, again):
        other.session.close()
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "0x80044352")


def test_queries_that_cannot_be_understood(client: Client) -> None:
    unknown = {"Criteria": {"Conditions": [_condition("Colour", "red")]}}
    odd = {"Criteria": {"Conditions": [_condition("LogicalName", "lead", "Like")]}}

    for query in (unknown, odd):
        answer = _ask(client, query)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "0x80060888")
    assert client.error("GET", "RetrieveMetadataChanges(Query=@p1)?@p1={") == (400, "0x80060888")


@pytest.mark.parametrize(
    "query",
    [
        [],
        "lead",
        {"Properties": {"PropertyNames": 1}},
        {"Properties": {"PropertyNames": [["LogicalName"]]}},
        {"Properties": "LogicalName"},
        {"Criteria": []},
        {"Criteria": {"Conditions": ["LogicalName"]}},
        {"Criteria": {"Conditions": {"PropertyName": "LogicalName"}}},
        {"Criteria": {"Filters": [1]}},
        {"Criteria": {"FilterOperator": 1}},
        {"Criteria": {"Conditions": [{"PropertyName": "LogicalName"}]}},
        {"Criteria": {"Conditions": [_condition("LogicalName", [], "Equals")]}},
        {"Criteria": {"Conditions": [_condition("LogicalName", "lead", "GreaterThan")]}},
        {"Criteria": {"Conditions": [_condition("ObjectTypeCode", {"a": 1}, "LessThan")]}},
        _query(AttributeQuery=[]),
        _query(AttributeQuery={"Properties": {"PropertyNames": {"a": 1}}}),
        _query(KeyQuery="x"),
    ],
)
def test_queries_of_another_shape(client: Client, query: Any) -> None:
    answer = _ask(client, query)

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "0x80060888")


def test_a_query_that_is_nested_too_deeply(client: Client) -> None:
    deep = '{"Criteria":' + '{"Filters":[' * 400 + "{}" + "]}" * 400 + "}"

    assert client.error("GET", f"RetrieveMetadataChanges(Query=@p1)?@p1={deep}") == (400, "0x80060888")


def test_null_is_as_good_as_left_out(client: Client) -> None:
    criteria = {"Conditions": [_condition("LogicalName", "lead")], "Filters": None}
    query = {"Criteria": criteria, "Properties": {"PropertyNames": ["LogicalName"]}, "KeyQuery": None}

    [table] = _ask(client, query).json()["EntityMetadata"]
    assert table["LogicalName"] == "lead"
