"""``$apply``: groups, aggregates, filters, their shapes as the documentation shows them, and its limits."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from dynamics_emulator.testing import running_emulator
from dynamics_emulator.testing_client import Client, connect

FORMATTED = "OData.Community.Display.V1.FormattedValue"
ACCOUNTS = [
    ("Alpine", "WA", "0.1", 1),
    ("Bike", "WA", "0.2", None),
    ("Cycle", "NY", "1000", 1),
    ("Dirt", "wa", None, 2),
    ("Éclair", None, "12.5", 2),
]


@pytest.fixture(scope="module")
def accounts() -> Iterator[Client]:
    """Five accounts, two of them with a primary contact, one inactive."""
    with running_emulator() as emulator:
        client = connect(emulator)
        contact = client.create("contacts", firstname="Jim", lastname="Glynn").removeprefix(emulator.api)
        for number, (name, state, revenue, category) in enumerate(ACCOUNTS):
            values: dict[str, Any] = {"name": name, "address1_stateorprovince": state, "numberofemployees": number + 1}
            values |= {"revenue": float(revenue)} if revenue else {}
            values |= {"accountcategorycode": category} if category else {}
            values |= {"primarycontactid@odata.bind": contact} if number < 2 else {}
            client.create("accounts", **values)
        [last] = client.rows("accounts?$filter=startswith(name,'É')")
        assert client.call("PATCH", f"accounts({last['accountid']})", json={"statecode": 1}).ok
        with client.session:
            yield client


def _groups(client: Client, apply: str, **options: Any) -> list[dict[str, Any]]:
    return client.rows(f"accounts?$apply={apply}", **options)


def test_unique_values(accounts: Client) -> None:
    answer = accounts.get("accounts?$apply=groupby((statuscode))", prefer=f'odata.include-annotations="{FORMATTED}"')

    assert answer.json() == {
        "@odata.context": f"{accounts.emulator.api}/$metadata#accounts",
        "value": [
            {f"statuscode@{FORMATTED}": "Active", "statuscode": 1},
            {f"statuscode@{FORMATTED}": "Inactive", "statuscode": 2},
        ],
    }
    assert answer.headers["Preference-Applied"] == f'odata.include-annotations="{FORMATTED}"'


def test_counts(accounts: Client) -> None:
    found = _groups(
        accounts, "groupby((statuscode),aggregate($count as count))", prefer=f'odata.include-annotations="{FORMATTED}"'
    )

    assert [row["count"] for row in found] == [4, 1]
    assert list(found[0]) == [f"statuscode@{FORMATTED}", "statuscode", f"count@{FORMATTED}", "count"]
    assert found[0][f"count@{FORMATTED}"] == "4"


def test_sums_are_exact_and_have_nine_decimals(accounts: Client) -> None:
    text = accounts.get("accounts?$apply=aggregate(revenue with sum as total)").text

    assert '"value":[{"total":1012.800000000}]' in text
    shown = _groups(accounts, "aggregate(revenue with sum as total)", prefer='odata.include-annotations="*"')
    assert shown[0][f"total@{FORMATTED}"] == "€1,012.80"


def test_averages_ignore_what_has_no_value(accounts: Client) -> None:
    found = _groups(accounts, "groupby((statuscode),aggregate(revenue with average as mean))")

    assert [round(Decimal(str(row["mean"])), 6) for row in found] == [
        round(sum(map(Decimal, ("0.1", "0.2", "1000"))) / 3, 6),
        Decimal("12.5"),
    ]


def test_least_and_greatest(accounts: Client) -> None:
    [row] = _groups(
        accounts,
        "aggregate(numberofemployees with min as least,numberofemployees with max as most,"
        "createdon with max as last,revenue with max as top)",
    )
    newest = accounts.rows("accounts?$select=createdon&$orderby=createdon desc&$top=1")[0]["createdon"]

    assert (row["least"], row["most"], row["last"], row["top"]) == (1, 5, newest, 1000)


def test_distinct_values_differ_in_more_than_case(accounts: Client) -> None:
    [row] = _groups(accounts, "aggregate(address1_stateorprovince with countdistinct as states)")

    assert row == {"states": 2}


def test_groups_by_text_ignore_case_and_lack_missing_values(accounts: Client) -> None:
    found = _groups(accounts, "groupby((address1_stateorprovince),aggregate($count as n))")

    assert sorted((row.get("address1_stateorprovince", "").upper(), row["n"]) for row in found) == [
        ("", 1),
        ("NY", 1),
        ("WA", 3),
    ]
    assert "address1_stateorprovince" not in found[0]


def test_groups_of_several_columns(accounts: Client) -> None:
    found = _groups(accounts, "groupby((statecode,accountcategorycode))")

    assert found == [
        {"statecode": 0},
        {"statecode": 0, "accountcategorycode": 1},
        {"statecode": 0, "accountcategorycode": 2},
        {"statecode": 1, "accountcategorycode": 2},
    ]


def test_groups_of_related_values_follow_the_aggregates(accounts: Client) -> None:
    found = _groups(accounts, "groupby((primarycontactid/fullname),aggregate(revenue with sum as total))")

    assert list(found[1]) == ["total", "contact_fullname"]
    assert found[1]["contact_fullname"] == "Jim Glynn"
    assert found[1]["total"] == pytest.approx(0.3)
    assert "contact_fullname" not in found[0]


def test_groups_of_lookups_have_their_annotations(accounts: Client) -> None:
    [row] = _groups(accounts, "groupby((_ownerid_value))", prefer='odata.include-annotations="*"')

    assert row["_ownerid_value@Microsoft.Dynamics.CRM.lookuplogicalname"] == "systemuser"
    assert row[f"_ownerid_value@{FORMATTED}"] == "# Marketing sync"


def test_filters_before_groups(accounts: Client) -> None:
    apply = "filter(address1_stateorprovince eq 'WA')/filter(numberofemployees gt 1)/groupby((name))"

    assert [row["name"] for row in _groups(accounts, apply)] == ["Bike", "Dirt"]


def test_a_filter_beside_it_chooses_the_rows_unless_so_set(accounts: Client) -> None:
    path = "accounts?$apply=aggregate($count as n)&$filter=numberofemployees gt 3"

    assert accounts.rows(path) == [{"n": 2}]
    accounts.emulator.control.change_settings(filter_with_apply="refuse")
    assert accounts.error("GET", path) == (400, "0x80060888")
    accounts.emulator.control.change_settings(filter_with_apply="before")


def test_orders_and_tops_of_groups(accounts: Client) -> None:
    path = "accounts?$apply=groupby((name),aggregate($count as n))&$orderby=name desc&$top=2&$count=true"
    answer = accounts.get(path).json()

    assert [row["name"] for row in answer["value"]] == ["Éclair", "Dirt"]
    assert answer["@odata.count"] == 2


def test_order_of_an_aggregate_is_refused_with_the_documented_text(accounts: Client) -> None:
    error = accounts.get("accounts?$apply=groupby((statuscode),aggregate($count as n))&$orderby=n").json()["error"]

    assert error["message"] == "The query node SingleValueOpenPropertyAccess is not supported"


def test_too_many_rows(accounts: Client) -> None:
    accounts.emulator.control.change_settings(aggregate_limit=4)
    answer = accounts.error("GET", "accounts?$apply=aggregate($count as n)")
    fewer = accounts.rows("accounts?$apply=filter(statecode eq 0)/aggregate($count as n)")
    accounts.emulator.control.change_settings(aggregate_limit=50_000)

    assert answer == (400, "0x8004e023")
    assert fewer == [{"n": 4}]


def test_rows_behind_a_navigation_property(accounts: Client) -> None:
    [contact] = accounts.rows("contacts?$select=fullname")
    path = f"contacts({contact['contactid']})/account_primary_contact?$apply=aggregate($count as n)"

    assert accounts.rows(path) == [{"n": 2}]


@pytest.mark.parametrize(
    "apply",
    [
        "groupby((createdon))",
        "groupby((nothing))",
        "groupby((primarycontactid/nothing))",
        "groupby(statuscode)",
        "groupby((statuscode),filter(statecode eq 0))",
        "aggregate(name with sum as n)",
        "aggregate(createdon with average as n)",
        "aggregate(revenue with median as n)",
        "aggregate(revenue with sum)",
        "aggregate(revenue as n)",
        "aggregate(nothing with sum as n)",
        "aggregate(revenue with sum as a)/aggregate(a with max as b)",
        "filter(statecode eq 0)",
        "filter(nothing eq 0)/aggregate($count as n)",
        "compute(revenue mul 2 as n)",
        "groupby((statecode),aggregate($count as statecode))",
        "groupby((statecode,statecode))",
        "aggregate($count as n,revenue with sum as n)",
        "identity",
        "",
    ],
)
def test_refused(accounts: Client, apply: str) -> None:
    assert accounts.error("GET", f"accounts?$apply={apply}") == (400, "0x80060888")


@pytest.mark.parametrize("option", ["$select=name", "$expand=createdby", "$orderby=createdon"])
def test_options_that_do_not_go_with_it(accounts: Client, option: str) -> None:
    assert accounts.error("GET", f"accounts?$apply=groupby((statuscode))&{option}") == (400, "0x80060888")
