"""dynamics-client: every filter function that it knows."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from dynamics import ftr
from dynamics.exceptions import ParseError

SURE_TO_FIND = {"today", "this_week", "this_month", "this_year", "this_fiscal_period", "this_fiscal_year"} | {
    "equal_user_id",
    "equal_business_id",
    "equal_user_or_user_teams",
    "equal_user_or_user_hierarchy",
    "equal_user_or_user_hierarchy_and_teams",
    "on",
    "on_or_after",
    "on_or_before",
    "in_fiscal_year",
}
SURE_TO_MISS = {
    "yesterday",
    "tomorrow",
    "last_week",
    "last_month",
    "last_year",
    "next_week",
    "next_month",
    "next_year",
    "older_than_x_minutes",
    "older_than_x_hours",
    "older_than_x_days",
    "older_than_x_weeks",
    "older_than_x_months",
    "older_than_x_years",
    "last_fiscal_year",
    "next_fiscal_year",
    "equal_user_teams",
}
COLUMNS = {
    "equal_business_id": "owningbusinessunit",
    "equal_user_language": "importsequencenumber",
}
# Comparisons and connectives are tried by the other tests and by the other clients; the hierarchy needs another table.
PLAIN = {"eq", "ne", "gt", "ge", "lt", "le", "and_", "or_", "not_", "any_", "all_"}
PLAIN |= {"contains", "startswith", "endswith"}
LISTS = {"in_", "not_in", "between", "not_between", "contain_values", "not_contain_values"}
# The client writes NotUserId and NotBusinessId for what Microsoft calls NotEqualUserId and NotEqualBusinessId.
MISNAMED = {"not_user_id": "ownerid", "not_business_id": "owningbusinessunit"}
CHOICES = ("acme_eventattendanceset", "acme_interests")
HIERARCHY = {"above", "above_or_equal", "under", "under_or_equal", "not_under"}


def _functions() -> dict[str, Callable[..., str]]:
    return {name: function for name, function in inspect.getmembers(ftr, callable) if not name.startswith("_")}


def _arguments(function: Callable[..., str]) -> dict[str, Any]:
    values = {"x": 3, "date": "2026-06-17", "year": 2026, "period": 1}
    return {name: values[name] for name in inspect.signature(function).parameters if name in values}


@pytest.fixture
def lead(community: Any, mark: str) -> str:
    """The company of a lead that was made now."""
    community.create("leads", lastname="A", companyname=mark)
    return mark


@pytest.mark.parametrize("name", sorted(_functions().keys() - PLAIN - LISTS - HIERARCHY - MISNAMED.keys()))
def test_each_function_of_time_and_person(community: Any, lead: str, name: str) -> None:
    function = _functions()[name]
    column = COLUMNS.get(name, "ownerid" if "user" in name else "createdon")

    found = community.find("leads", f"companyname eq '{lead}'", function(column, **_arguments(function)))

    assert len(found) in ([1] if name in SURE_TO_FIND else [0] if name in SURE_TO_MISS else [0, 1])


@pytest.mark.parametrize("name", MISNAMED)
def test_a_function_of_the_wrong_name_is_refused(community: Any, name: str) -> None:
    with pytest.raises(ParseError, match="unknown function"):
        community.find("leads", _functions()[name](MISNAMED[name]))


@pytest.mark.parametrize(("name", "count"), [("in_", 1), ("not_in", 1), ("between", 1), ("not_between", 1)])
def test_each_function_of_several_values(community: Any, mark: str, name: str, count: int) -> None:
    for size in (10, 30):
        community.create("leads", lastname="A", companyname=mark, numberofemployees=size)
    condition = _functions()[name]("numberofemployees", (5, 10))

    assert len(community.find("leads", f"companyname eq '{mark}'", condition)) == count


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("above", {"top"}),
        ("above_or_equal", {"top", "middle"}),
        ("under", {"low"}),
        ("under_or_equal", {"middle", "low"}),
        ("not_under", {"top", "middle"}),
    ],
)
def test_each_function_of_the_hierarchy(community: Any, mark: str, name: str, found: set[str]) -> None:
    ids: dict[str, str] = {}
    for place, parent in (("top", ""), ("middle", "top"), ("low", "middle")):
        bind = {"parentaccountid@odata.bind": f"/accounts({ids[parent]})"} if parent else {}
        ids[place] = community.create("accounts", name=f"{mark} {place}", **bind)["accountid"]
    condition = _functions()[name]("accountid", ids["middle"])

    rows = community.find("accounts", f"startswith(name,'{mark}')", condition)

    assert {row["name"].split()[1] for row in rows} == found


@pytest.mark.parametrize(("name", "found"), [("contain_values", {"A"}), ("not_contain_values", {"B", "C"})])
def test_each_function_of_choices(community: Any, mark: str, name: str, found: set[str]) -> None:
    table, column = CHOICES
    for person, chosen in (("A", "100000000,100000003"), ("B", "100000001"), ("C", None)):
        community.create(table, acme_name=person, acme_eventname=mark, **{column: chosen})

    rows = community.find(table, f"acme_eventname eq '{mark}'", _functions()[name](column, [100000003, 100000004]))

    assert {row["acme_name"] for row in rows} == found
