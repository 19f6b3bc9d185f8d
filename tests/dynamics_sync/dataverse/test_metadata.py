"""Typed metadata from one `$batch`."""

import json
import re

import pytest

from dynamics_sync import errors
from dynamics_sync.dataverse.metadata import ColumnMetadata, read_table

DEFINITION = {
    "LogicalName": "lead", "EntitySetName": "leads", "PrimaryIdAttribute": "leadid",
    "PrimaryNameAttribute": "fullname", "ChangeTrackingEnabled": True, "IsOptimisticConcurrencyEnabled": True,
    "MetadataId": "1",
}  # fmt: skip


def attribute(name: str, kind: str, **more: object) -> dict:
    base = {"LogicalName": name, "AttributeType": kind, "AttributeOf": None, "IsValidForRead": True}
    return base | {"IsValidODataAttribute": True, "RequiredLevel": {"Value": "None"}} | more


def label(text: str | None, *others: str) -> dict:
    localized = [{"Label": other, "LanguageCode": 1033} for other in others]
    return {"LocalizedLabels": localized, "UserLocalizedLabel": {"Label": text} if text else None}


def options(**values: int) -> dict:
    return {"Options": [{"Value": value, "Label": label(name)} for name, value in values.items()]}


ATTRIBUTES = [
    attribute(
        "leadid",
        "Uniqueidentifier",
        RequiredLevel={"Value": "SystemRequired"},
        IsValidForCreate=True,
        IsValidForUpdate=False,
    ),
    attribute("lastname", "String", RequiredLevel={"Value": "ApplicationRequired"}),
    attribute("ownerid", "Owner"),
    attribute("customerid", "Customer"),
    attribute("parentcontactid", "Lookup"),
    attribute("statecode", "State"),
    attribute("donotemail", "Boolean"),
    attribute("acme_tier", "Picklist"),
    attribute("acme_interests", "Virtual"),
    attribute("estimatedamount", "Money"),
    attribute("createdon", "DateTime", IsValidForCreate=False, IsValidForUpdate=False),
    attribute("entityimage", "Virtual", IsValidForRead=False),
    attribute("owneridname", "String", AttributeOf="ownerid"),
    attribute("shadow", "Virtual", IsValidODataAttribute=False),
]
CASTS = {
    "String": [{"LogicalName": "lastname", "MaxLength": 50, "Format": "Text"}],
    "Money": [{"LogicalName": "estimatedamount", "Precision": 2}],
    "DateTime": [{"LogicalName": "createdon", "DateTimeBehavior": {"Value": "UserLocal"}, "Format": "DateOnly"}],
    "Lookup": [
        {"LogicalName": "ownerid", "Targets": ["systemuser", "team"]},
        {"LogicalName": "customerid", "Targets": ["account", "contact"]},
        {"LogicalName": "parentcontactid", "Targets": ["contact"]},
    ],
    "Picklist": [{"LogicalName": "acme_tier", "OptionSet": None, "GlobalOptionSet": options(Gold=1, Silver=2)}],
    "MultiSelectPicklist": [{"LogicalName": "acme_interests", "OptionSet": options(Golf=1), "GlobalOptionSet": None}],
    "State": [{"LogicalName": "statecode", "OptionSet": options(Open=0, Qualified=1)}],
    "Boolean": [{
        "LogicalName": "donotemail",
        "OptionSet": {"TrueOption": {"Value": 1, "Label": label(None, "No!")}, "FalseOption": {"Value": 0}},
    }],
}  # fmt: skip


def serve(reply, found=None):
    """Answer `$batch` part by part, as an organisation with one table would."""

    def one(path: str) -> tuple[int, dict]:
        if found is not None:
            return found
        if cast := re.search(r"CRM\.(\w+)AttributeMetadata", path):
            return 200, {"value": CASTS.get(cast[1], [])}
        return 200, ({"value": ATTRIBUTES} if "/Attributes" in path else DEFINITION)

    def handler(request):
        if request.method == "GET":
            return reply(body={"value": [DEFINITION]})
        answers = [one(path) for path in re.findall(rb"GET (\S+) HTTP", request.body) for path in [path.decode()]]
        body = b"".join(
            b"--b\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 %d X\r\n\r\n%s\r\n"
            % (status, json.dumps(item).encode())
            for status, item in answers
        )
        return reply(200, body + b"--b--\r\n", {"Content-Type": "multipart/mixed; boundary=b"})

    return handler


@pytest.fixture
def lead(rig, reply):
    made = rig(serve(reply))
    table = read_table(made.client, "lead")
    assert len(made.wire.asked) == 1
    return table


def test_the_table(lead) -> None:
    assert (lead.name, lead.set_name, lead.primary_id, lead.primary_name) == ("lead", "leads", "leadid", "fullname")
    assert lead.change_tracking
    assert lead.optimistic_concurrency
    assert lead.row_path("1f") == "leads(1f)"


def test_the_query_names_what_is_read_of_columns(rig, reply) -> None:
    made = rig(serve(reply))
    read_table(made.client, "lead")
    for name in (b"IsValidForRead", b"IsValidForCreate", b"IsValidForUpdate", b"IsValidODataAttribute"):
        assert name in made.wire.asked[0].body


def test_shadows_and_columns_without_odata_are_left_out(lead) -> None:
    assert "owneridname" not in lead.columns
    assert "shadow" not in lead.columns
    assert "entityimage" not in lead.columns  # It is there, but cannot be read.


def test_columns_are_typed(lead) -> None:
    assert lead.column("lastname") == ColumnMetadata(
        "lastname", "String", "lastname", max_length=50, format="Text", required="ApplicationRequired"
    )
    assert lead.column("estimatedamount").precision == 2
    created = lead.column("createdon")
    assert (created.date_behavior, created.format) == ("UserLocal", "DateOnly")


@pytest.mark.parametrize(
    ("name", "create", "update"),
    [("leadid", True, False), ("createdon", False, False), ("lastname", True, True)],
)
def test_columns_say_when_they_may_be_written(lead, name, create, update) -> None:
    """Dynamics says nothing of `lastname` here, which forbids nothing."""
    column = lead.column(name)
    assert (column.is_valid_for_create, column.is_valid_for_update) == (create, update)


@pytest.mark.parametrize(
    ("name", "kind", "targets"),
    [
        ("ownerid", "Owner", ("systemuser", "team")),
        ("customerid", "Customer", ("account", "contact")),
        ("parentcontactid", "Lookup", ("contact",)),
    ],
)
def test_lookups_are_read_by_their_value_property(lead, name, kind, targets) -> None:
    column = lead.column(name)
    assert (column.type, column.property, column.targets) == (kind, f"_{name}_value", targets)


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("acme_tier", "Picklist", {1: "Gold", 2: "Silver"}),
        ("acme_interests", "MultiSelectPicklist", {1: "Golf"}),
        ("statecode", "State", {0: "Open", 1: "Qualified"}),
        ("donotemail", "Boolean", {0: "", 1: "No!"}),
    ],
)
def test_options_are_read_by_number(lead, name, kind, expected) -> None:
    column = lead.column(name)
    assert (column.type, column.options) == (kind, expected)


def test_a_missing_column_names_the_nearest(lead) -> None:
    with pytest.raises(errors.ColumnMissing, match="did you mean lastname"):
        lead.column("lastnme")
    with pytest.raises(errors.ColumnMissing, match="zzz"):
        lead.column("zzz")


@pytest.mark.parametrize("code", ["0x80060888", "0x80040217", "0x80041102", ""])
def test_a_missing_table_names_the_nearest(rig, reply, code) -> None:
    made = rig(serve(reply, (404, {"error": {"code": code, "message": ""}})))
    with pytest.raises(errors.TableMissing, match="did you mean lead"):
        read_table(made.client, "leadd")


def test_another_refusal_is_not_taken_for_a_missing_table(rig, reply) -> None:
    made = rig(serve(reply, (403, {"error": {"code": "0x80040220", "message": ""}})))
    with pytest.raises(errors.PrivilegeMissing):
        read_table(made.client, "lead")


def test_metadata_of_another_shape_is_unexpected(rig, reply) -> None:
    made = rig(serve(reply, (200, {"value": 1})))
    with pytest.raises(errors.UnexpectedAnswer):
        read_table(made.client, "lead")
