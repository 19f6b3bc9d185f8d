"""How fields are read: the catalogue's type against the organisation's, and the plan that follows from both."""

import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamics_sync.entity import FieldType
from dynamics_sync.errors import ColumnMissing, ColumnRetyped
from dynamics_sync.translation.fields import FORMATTED_VALUE, LOOKUP_TYPE, FieldPlan, ReadPlan, Wire, plan_reading

Make = Callable[..., Any]

#: Each attribute type of Dataverse, with the types of the catalogue that fit it.
FITTING = {
    ("String", None): {"text"},
    ("Memo", None): {"text"},
    ("EntityName", None): {"text"},
    ("Integer", None): {"integer"},
    ("BigInt", None): {"integer"},
    ("Decimal", None): {"decimal"},
    ("Money", None): {"money"},
    ("Double", None): {"float"},
    ("Boolean", None): {"boolean"},
    ("DateTime", "UserLocal"): {"instant"},
    ("DateTime", "TimeZoneIndependent"): {"instant"},
    ("DateTime", None): {"instant"},
    ("DateTime", "DateOnly"): {"date"},
    ("Uniqueidentifier", None): {"guid"},
    ("Lookup", None): {"lookup", "guid"},
    ("Owner", None): {"lookup"},
    ("Customer", None): {"lookup"},
    ("Picklist", None): {"option"},
    ("State", None): {"option"},
    ("Status", None): {"option"},
    ("MultiSelectPicklist", None): {"options"},
    ("Virtual", None): set(),
    ("ManagedProperty", None): set(),
    ("", None): set(),
}
ENDINGS = {"instant": "_at", "date": "_on", "guid": "_id"}


@pytest.mark.parametrize("field_type", FieldType)
@pytest.mark.parametrize(("attribute", "behavior"), FITTING)
def test_a_type_is_read_as_the_type_that_it_is_and_as_no_other(
    make_entity: Make, make_metadata: Make, attribute: str, behavior: str | None, field_type: FieldType
) -> None:
    spec: dict[str, Any] = {"column": f"x{ENDINGS.get(field_type, '')}", "type": field_type.value}
    if field_type is FieldType.LOOKUP:
        spec["targets"] = ["lead"]
    entity = make_entity({"acme_x": spec})
    table = make_metadata({"sampleid": ("Uniqueidentifier", None), "acme_x": (attribute, behavior)})
    if field_type.value in FITTING[attribute, behavior]:
        assert plan_reading(entity, table).fields[0].field == "acme_x"
        return
    with pytest.raises(ColumnRetyped) as caught:
        plan_reading(entity, table)
    found = f"{attribute} ({behavior})" if attribute == "DateTime" else attribute
    assert f"sample.acme_x is {found} in Dynamics, but {field_type} in the catalogue" in str(caught.value)


def test_each_kind_of_field_is_planned(plan: ReadPlan) -> None:
    fields = {field.field: field for field in plan.fields}
    assert {name: field.wire.value for name, field in fields.items()} == {
        "name": "text",
        "count": "integer",
        "rate": "decimal",
        "price": "decimal",
        "score": "float",
        "active": "boolean",
        "seenon": "instant",
        "born": "date",
        "other": "text",
        "rating": "integer",
        "interests": "text",
        "owner": "text",
        "parent": "text",
    }
    assert fields["price"].arrow_type == pa.decimal128(19, 4)
    assert fields["rate"].arrow_type == pa.decimal128(38, 10)
    assert fields["rating"].options == fields["interests"].options == {1: "One", 2: "Two"}
    assert fields["name"].options is None
    assert fields["owner"].annotations == (LOOKUP_TYPE, FORMATTED_VALUE)
    assert fields["parent"].annotations == ()
    assert plan.absent == ("absent",)


def test_what_is_asked_for(plan: ReadPlan) -> None:
    assert plan.select[:3] == ("sampleid", "versionnumber", "name")
    assert "_owner_value" in plan.select
    assert "owner" not in plan.select
    assert "absent" not in plan.select
    assert len(set(plan.select)) == len(plan.select)
    assert plan.prefer == (f'odata.include-annotations="{LOOKUP_TYPE},{FORMATTED_VALUE}"',)


def test_no_annotations_are_asked_for_where_none_is_needed(make_entity: Make, make_metadata: Make) -> None:
    entity = make_entity({"name": {"column": "name", "type": "text"}})
    assert plan_reading(entity, make_metadata()).prefer == ()


def test_a_staged_page_has_a_column_for_all_that_is_asked_for(plan: ReadPlan) -> None:
    names = plan.staged_schema.names
    assert [name for name in names if "@" not in name] == list(plan.select)
    assert [name for name in names if "@" in name] == [
        f"_owner_value@{LOOKUP_TYPE}",
        f"_owner_value@{FORMATTED_VALUE}",
    ]


def test_an_optional_field_is_read_where_it_is_there(make_entity: Make, make_metadata: Make) -> None:
    entity = make_entity({"absent": {"column": "absent", "type": "money", "optional": True}})
    table = make_metadata({"sampleid": ("Uniqueidentifier", None), "absent": ("Money", None)})
    plan = plan_reading(entity, table)
    assert [field.field for field in plan.fields] == ["absent"]
    assert plan.absent == ()


def test_an_optional_field_of_another_type_is_no_absent_one(make_entity: Make, make_metadata: Make) -> None:
    entity = make_entity({"name": {"column": "name", "type": "money", "optional": True}})
    with pytest.raises(ColumnRetyped):
        plan_reading(entity, make_metadata())


def test_a_missing_field_names_the_nearest(make_entity: Make, make_metadata: Make) -> None:
    entity = make_entity({"pryce": {"column": "price", "type": "money"}})
    with pytest.raises(ColumnMissing, match=r"no column pryce .*did you mean price\?"):
        plan_reading(entity, make_metadata())


def test_a_wrong_key_is_told(make_entity: Make, make_metadata: Make) -> None:
    entity = make_entity(key={"name": "samplid", "column": "sample_id"})
    with pytest.raises(ColumnMissing, match="the key of sample is sampleid, not samplid"):
        plan_reading(entity, make_metadata())


FIELD_PLANS = st.builds(
    FieldPlan,
    field=st.text(),
    wire_name=st.text(),
    wire=st.sampled_from(Wire),
    scale=st.sampled_from([None, 4, 10]),
    options=st.none() | st.dictionaries(st.integers(-(2**31), 2**31), st.text()),
    annotations=st.lists(st.text()).map(tuple),
)
READ_PLANS = st.builds(
    ReadPlan,
    table=st.text(),
    set_name=st.text(),
    key=st.text(),
    fields=st.lists(FIELD_PLANS, max_size=5).map(tuple),
    absent=st.lists(st.text()).map(tuple),
)


@settings(deadline=None, derandomize=True)
@given(read_plan=READ_PLANS)
def test_a_plan_survives_json(read_plan: ReadPlan) -> None:
    assert ReadPlan.from_json(json.loads(json.dumps(read_plan.to_json()))) == read_plan


def test_the_sample_plan_survives_json(plan: ReadPlan) -> None:
    read = ReadPlan.from_json(json.loads(json.dumps(plan.to_json())))
    assert read == plan
    assert read.staged_schema == plan.staged_schema
