"""What is sent to Dynamics: each type in its own form on the wire, and what cannot be sent costs its own record."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamics_sync.dataverse.bindings import Bindings
from dynamics_sync.entity import Entity
from dynamics_sync.errors import INVALID_VALUE, LOOKUP_WITHOUT_TABLE
from dynamics_sync.translation.payload import Change, UnfitChange, column_values, payload_of

GUID = "3f0c1d52-0000-4000-8000-00000000000a"
BINDINGS = Bindings(
    "sample",
    {"owner": {"systemuser": "ownerid", "team": "ownerid"}, "parent": {"sample": "sample_parent"}},
    {"systemuser": "systemusers", "team": "teams", "sample": "samples"},
)


@pytest.mark.parametrize(
    ("field", "text", "sent"),
    [
        ("name", "Zoë", "Zoë"),
        ("name", "", ""),
        ("count", "7", 7),
        ("rate", "0.1234567890", Decimal("0.1234567890")),
        ("price", "12.3400", Decimal("12.34")),
        ("score", "0.10000000000000001", 0.1),
        ("active", "true", True),
        ("active", "false", False),
        ("seenon", "2026-03-01 08:15:00.000000", "2026-03-01T08:15:00Z"),
        ("seenon", "2026-03-01 10:15:00+02:00", "2026-03-01T08:15:00Z"),
        ("born", "0001-01-01", "0001-01-01"),
        ("rating", "2", 2),
        ("interests", "1,2", "1,2"),
        *((name, None, None) for name in ("name", "count", "price", "active", "seenon", "born", "rating", "interests")),
    ],
)
def test_a_value_in_the_form_of_its_type(entity: Entity, field: str, text: str | None, sent: Any) -> None:
    assert payload_of(entity, [Change(field, text)], BINDINGS) == {field: sent}


@pytest.mark.parametrize(
    ("field", "text", "sent"),
    [
        ("owner", f"team/{GUID}", {"ownerid@odata.bind": f"/teams({GUID})"}),
        ("parent", GUID, {"sample_parent@odata.bind": f"/samples({GUID})"}),
        ("owner", None, {"ownerid@odata.bind": None}),
    ],
)
def test_a_lookup_by_its_navigation_property(entity: Entity, field: str, text: str | None, sent: Any) -> None:
    assert payload_of(entity, [Change(field, text)], BINDINGS) == sent


@pytest.mark.parametrize(
    ("field", "text", "problem"),
    [
        ("owner", f"/{GUID}", LOOKUP_WITHOUT_TABLE),
        ("owner", f"account/{GUID}", LOOKUP_WITHOUT_TABLE),
        ("count", "many", INVALID_VALUE),
        ("price", "much", INVALID_VALUE),
        ("seenon", "soon", INVALID_VALUE),
        ("born", "2026-02-30", INVALID_VALUE),
    ],
)
def test_what_cannot_be_sent(entity: Entity, field: str, text: str, problem: Any) -> None:
    with pytest.raises(UnfitChange) as failure:
        payload_of(entity, [Change(field, text)], BINDINGS)
    assert (failure.value.problem, failure.value.field) == (problem, field)
    assert text not in str(failure.value)


@pytest.mark.parametrize(
    ("field", "text", "values"),
    [
        ("count", "7", {"count": 7}),
        ("price", "12.3400", {"price": Decimal("12.34")}),
        ("active", "false", {"is_active": False}),
        ("seenon", "2026-03-01 08:15:00.000000", {"seen_at": datetime(2026, 3, 1, 8, 15, tzinfo=UTC)}),
        ("born", "2026-03-01", {"born_on": date(2026, 3, 1)}),
        ("rating", "2", {"rating_code": 2}),
        ("owner", f"team/{GUID}", {"owner_id": GUID, "owner_type": "team"}),
        ("owner", None, {"owner_id": None, "owner_type": None}),
    ],
)
def test_the_typed_columns_of_a_value(entity: Entity, field: str, text: str | None, values: Any) -> None:
    mapped = next(one for one in entity.mapped_fields if one.name == field)
    assert column_values(mapped, text) == values


@given(number=st.decimals(min_value=-(10**14), max_value=10**14, places=4))
def test_no_digit_of_a_price_is_lost(entity: Entity, number: Decimal) -> None:
    assert payload_of(entity, [Change("price", str(number))], BINDINGS)["price"] == number
