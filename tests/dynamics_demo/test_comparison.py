"""The judge finds a difference in each kind of field, and finds none where there is none."""

import ast
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

import dynamics_demo.comparison
from dynamics_demo.comparison import Comparison, compare_rows, expected_row, held_row
from dynamics_demo.entities import Entity, Field, read_entities

KEY = "3b9f1c77-51a4-4e0e-8a7b-0c2d4e6f8a10"
OTHER = "90f2b3c4-7d61-4a8e-b5f0-1a2b3c4d5e6f"
OWNER = "7a0c7d5e-0b1f-4b7e-9a57-6f0a4d1c2e90"
LABEL = "OData.Community.Display.V1.FormattedValue"
TABLE = "Microsoft.Dynamics.CRM.lookuplogicalname"

ENTITY = Entity(
    name="lead",
    title="Leads",
    table="lead",
    key="leadid",
    key_column="lead_id",
    fields=(
        Field("lastname", "last_name", "text"),
        Field("employees", "employee_count", "integer"),
        Field("revenue", "annual_revenue", "money"),
        Field("rating", "rating", "decimal"),
        Field("latitude", "latitude", "float"),
        Field("donotemail", "do_not_email", "boolean"),
        Field("createdon", "created_at", "instant"),
        Field("closedate", "close_on", "date"),
        Field("applicationid", "application_id", "guid"),
        Field("statecode", "state", "option"),
        Field("interests", "interests", "options"),
        Field("ownerid", "owner", "lookup", has_type=True, has_name=True),
        Field("campaignid", "campaign", "lookup"),
    ),
)

IN_DYNAMICS = {
    "leadid": KEY.upper(),
    "versionnumber": 900,
    "lastname": "Ōkafor 🙂",
    "employees": 12,
    "revenue": Decimal("4500.1250"),
    "rating": Decimal("0.1"),
    "latitude": Decimal("52.379189"),
    "donotemail": True,
    "createdon": "2026-03-01T08:15:00Z",
    "closedate": "2026-03-01",
    "applicationid": OTHER.upper(),
    "statecode": 0,
    f"statecode@{LABEL}": "Open",
    "interests": "1,3",
    f"interests@{LABEL}": "Events; Training",
    "_ownerid_value": OWNER,
    f"_ownerid_value@{TABLE}": "team",
    f"_ownerid_value@{LABEL}": "Inbound team",
    "_campaignid_value": None,
}

IN_SQLITE = {
    "lead_id": KEY,
    "crm_version": 900,
    "last_name": "Ōkafor 🙂",
    "employee_count": 12,
    "annual_revenue": 4500.125,
    "rating": 0.1,
    "latitude": 52.379189,
    "do_not_email": 1,
    "created_at": "2026-03-01 08:15:00.000000",
    "close_on": "2026-03-01",
    "application_id": OTHER,
    "state_code": 0,
    "state_label": "Open",
    "interests_code": "1,3",
    "interests_label": "Events; Training",
    "owner_id": OWNER,
    "owner_type": "team",
    "owner_name": "Inbound team",
    "campaign_id": None,
}

IN_POSTGRES = IN_SQLITE | {
    "lead_id": UUID(KEY),
    "annual_revenue": Decimal("4500.1250"),
    "rating": Decimal("0.1000000000"),
    "do_not_email": True,
    "created_at": datetime(2026, 3, 1, 8, 15, tzinfo=UTC),
    "close_on": date(2026, 3, 1),
    "application_id": UUID(OTHER),
    "owner_id": UUID(OWNER),
}

#: For each column another value, in the form of each database.
OTHERS: dict[str, tuple[Any, Any]] = {
    "crm_version": (901, 901),
    "last_name": ("Okafor", "Okafor"),
    "employee_count": (13, 13),
    "annual_revenue": (4500.1251, Decimal("4500.1251")),
    "rating": (0.1000000001, Decimal("0.1000000001")),
    "latitude": (52.37918, 52.37918),
    "do_not_email": (0, False),
    "created_at": ("2026-03-01 08:15:01.000000", datetime(2026, 3, 1, 8, 15, 1, tzinfo=UTC)),
    "close_on": ("2026-03-02", date(2026, 3, 2)),
    "application_id": (OWNER, UUID(OWNER)),
    "state_code": (1, 1),
    "state_label": ("Offen", "Offen"),
    "interests_code": ("1", "1"),
    "interests_label": ("Events", "Events"),
    "owner_id": (OTHER, UUID(OTHER)),
    "owner_type": ("systemuser", "systemuser"),
    "owner_name": (None, None),
    "campaign_id": (OTHER, UUID(OTHER)),
}

BOTH = pytest.mark.parametrize(
    ("held", "doubles"), [(IN_SQLITE, True), (IN_POSTGRES, False)], ids=["sqlite", "postgres"]
)


def _compare(held: dict[str, Any], *, doubles: bool, dynamics: dict[str, Any] = IN_DYNAMICS) -> Comparison:
    expected = {KEY: expected_row(ENTITY, dynamics)}
    return compare_rows(ENTITY, expected, {KEY: held_row(ENTITY, held, doubles=doubles)}, frozenset())


@BOTH
def test_equal_rows_are_equal(held: dict[str, Any], doubles: bool) -> None:
    result = _compare(held, doubles=doubles)
    assert result.differences == ()
    assert (result.rows, result.values) == (1, len(ENTITY.columns))


@BOTH
@pytest.mark.parametrize("column", OTHERS)
def test_another_value_is_found(held: dict[str, Any], doubles: bool, column: str) -> None:
    result = _compare(held | {column: OTHERS[column][0 if doubles else 1]}, doubles=doubles)
    assert [difference.column for difference in result.differences] == [column]


@BOTH
@pytest.mark.parametrize("column", [name for name in OTHERS if name != "campaign_id"])
def test_a_lost_value_is_found(held: dict[str, Any], doubles: bool, column: str) -> None:
    result = _compare(held | {column: None}, doubles=doubles)
    assert [difference.column for difference in result.differences] == [column]


def test_each_column_has_another_value_to_try() -> None:
    assert {*OTHERS, "lead_id"} == set(ENTITY.columns)


def test_an_empty_text_is_not_null() -> None:
    result = _compare(IN_SQLITE | {"last_name": None}, doubles=True, dynamics=IN_DYNAMICS | {"lastname": ""})
    assert [difference.column for difference in result.differences] == ["last_name"]


def test_a_number_that_became_text_is_found() -> None:
    result = _compare(IN_SQLITE | {"employee_count": "12"}, doubles=True)
    assert [difference.column for difference in result.differences] == ["employee_count"]


def test_an_instant_in_another_zone_is_the_same_instant() -> None:
    row = IN_DYNAMICS | {"createdon": "2026-03-01T10:15:00+02:00"}
    assert _compare(IN_POSTGRES, doubles=False, dynamics=row).differences == ()


@pytest.mark.parametrize("instant", ["1753-01-01T00:00:00Z", "9999-12-30T23:59:59Z"])
def test_the_first_and_the_last_instant_can_be_compared(instant: str) -> None:
    held = instant.replace("T", " ").replace("Z", ".000000")
    result = _compare(IN_SQLITE | {"created_at": held}, doubles=True, dynamics=IN_DYNAMICS | {"createdon": instant})
    assert result.differences == ()


def test_doubles_are_compared_at_fifteen_digits() -> None:
    row = IN_DYNAMICS | {"revenue": Decimal("922337203685477.5807")}
    assert _compare(IN_SQLITE | {"annual_revenue": 922337203685477.6}, doubles=True, dynamics=row).differences == ()
    assert _compare(IN_SQLITE | {"annual_revenue": 922337203685467.6}, doubles=True, dynamics=row).differences


def test_a_row_that_did_not_arrive_is_found() -> None:
    result = compare_rows(ENTITY, {KEY: expected_row(ENTITY, IN_DYNAMICS)}, {}, frozenset())
    assert [(difference.key, difference.column) for difference in result.differences] == [(KEY, "")]


def test_a_row_in_quarantine_is_counted_and_not_missed() -> None:
    result = compare_rows(ENTITY, {KEY: expected_row(ENTITY, IN_DYNAMICS)}, {}, frozenset({KEY, OTHER}))
    assert result.differences == ()
    assert (result.rows, result.quarantined) == (0, 1)


def test_a_row_that_was_deleted_here_is_counted_and_not_missed() -> None:
    result = compare_rows(ENTITY, {KEY: expected_row(ENTITY, IN_DYNAMICS)}, {}, frozenset(), frozenset({KEY}))
    assert result.differences == ()
    assert (result.rows, result.deleted_here) == (0, 1)


def test_a_row_that_was_deleted_here_and_came_back_is_found() -> None:
    expected = {KEY: expected_row(ENTITY, IN_DYNAMICS)}
    found = {KEY: held_row(ENTITY, IN_SQLITE, doubles=True)}
    result = compare_rows(ENTITY, expected, found, frozenset(), frozenset({KEY}))
    assert [(difference.key, difference.column) for difference in result.differences] == [(KEY, "")]


def test_a_row_that_was_deleted_here_and_is_gone_there_is_found() -> None:
    result = compare_rows(ENTITY, {}, {}, frozenset(), frozenset({KEY}))
    assert [(difference.key, difference.column) for difference in result.differences] == [(KEY, "")]


def test_a_row_that_dynamics_does_not_have_is_found() -> None:
    result = compare_rows(ENTITY, {}, {KEY: held_row(ENTITY, IN_SQLITE, doubles=True)}, frozenset({KEY}))
    assert [difference.key for difference in result.differences] == [KEY]


def test_a_difference_can_be_read() -> None:
    result = _compare(IN_SQLITE | {"last_name": "Okafor"}, doubles=True)
    assert str(result.differences[0]) == f"lead {KEY} last_name: Dynamics 'Ōkafor 🙂', marketing database 'Okafor'"


def test_an_optional_field_that_dynamics_lacks_is_null() -> None:
    row = {name: value for name, value in IN_DYNAMICS.items() if name != "employees"}
    assert _compare(IN_SQLITE | {"employee_count": None}, doubles=True, dynamics=row).differences == ()


def test_the_judge_knows_nothing_of_the_sync() -> None:
    folder = Path(dynamics_demo.comparison.__file__).parent
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.startswith(("dynamics_sync", "dynamics_emulator"))], path.name


def test_all_files_of_the_catalogue_can_be_read() -> None:
    folder = Path(dynamics_demo.comparison.__file__).parents[1] / "entities"
    entities = read_entities(folder)
    assert len(entities) == len(list(folder.glob("*.yaml"))) > 0
    assert all(len(set(entity.columns)) == len(entity.columns) for entity in entities)
    known = {"text", "integer", "decimal", "money", "float", "boolean", "instant", "date", "guid"}
    assert {field.type for entity in entities for field in entity.fields} <= known | {"option", "options", "lookup"}
