"""The query functions ``Microsoft.Dynamics.CRM.*``: all of them exist, and those about people and hierarchies.

What the functions of dates, lists and texts find is judged by the oracle in ``test_filter_oracle``.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from dynamics_emulator.odata.query_functions import FUNCTIONS
from dynamics_emulator.testing import running_emulator
from dynamics_emulator.testing_client import Client, connect

DOCUMENTED = {
    *(
        "Above",
        "AboveOrEqual",
        "Between",
        "ContainValues",
        "Contains",
        "DoesNotContainValues",
        "EqualBusinessId",
        "EqualUserId",
        "EqualUserLanguage",
        "EqualUserOrUserHierarchy",
        "EqualUserOrUserHierarchyAndTeams",
        "EqualUserOrUserTeams",
        "EqualUserTeams",
        "In",
        "InFiscalPeriod",
        "InFiscalPeriodAndYear",
        "InFiscalYear",
        "InOrAfterFiscalPeriodAndYear",
        "InOrBeforeFiscalPeriodAndYear",
        "Last7Days",
        "LastFiscalPeriod",
        "LastFiscalYear",
        "LastMonth",
        "LastWeek",
        "LastXDays",
        "LastXFiscalPeriods",
        "LastXFiscalYears",
        "LastXHours",
        "LastXMonths",
        "LastXWeeks",
        "LastXYears",
        "LastYear",
        "Next7Days",
        "NextFiscalPeriod",
        "NextFiscalYear",
        "NextMonth",
        "NextWeek",
        "NextXDays",
        "NextXFiscalPeriods",
        "NextXFiscalYears",
        "NextXHours",
        "NextXMonths",
        "NextXWeeks",
        "NextXYears",
        "NextYear",
        "NotBetween",
        "NotEqualBusinessId",
        "NotEqualUserId",
        "NotIn",
        "NotUnder",
        "OlderThanXDays",
        "OlderThanXHours",
        "OlderThanXMinutes",
        "OlderThanXMonths",
        "OlderThanXWeeks",
        "OlderThanXYears",
        "On",
        "OnOrAfter",
        "OnOrBefore",
        "ThisFiscalPeriod",
        "ThisFiscalYear",
        "ThisMonth",
        "ThisWeek",
        "ThisYear",
        "Today",
        "Tomorrow",
        "Under",
        "UnderOrEqual",
        "Yesterday",
    ),
}
ME = "7e57ab1e-0000-4000-8000-000000000003"


def test_the_documented_functions_are_all_there() -> None:
    assert set(FUNCTIONS) == DOCUMENTED


@pytest.fixture(scope="module")
def company() -> Iterator[Client]:
    """Accounts in a hierarchy: 'a' has 'b' below, that has 'c', that has 'd'; 'x' stands alone."""
    with running_emulator() as emulator:
        client = connect(emulator)
        names = ("a", "b", "c", "d", "x")
        accounts: dict[str, str] = {}
        for name in names:
            above = {"b": "a", "c": "b", "d": "c"}.get(name)
            values: dict[str, Any] = {"name": name}
            if above:
                values["parentaccountid@odata.bind"] = accounts[above]
            accounts[name] = client.create("accounts", **values).removeprefix(emulator.api)
        with client.session:
            yield client


def _id(client: Client, name: str) -> str:
    return str(client.rows(f"accounts?$select=accountid&$filter=name eq '{name}'")[0]["accountid"])


def _found(client: Client, function: str, arguments: str, column: str = "accountid") -> str:
    call = f"Microsoft.Dynamics.CRM.{function}(PropertyName='{column}'{arguments})"
    return "".join(row["name"] for row in client.rows(f"accounts?$select=name&$orderby=name&$filter={call}"))


@pytest.mark.parametrize(
    ("function", "names"),
    [("Above", "ab"), ("AboveOrEqual", "abc"), ("Under", "d"), ("UnderOrEqual", "cd"), ("NotUnder", "abcx")],
)
def test_hierarchies(company: Client, function: str, names: str) -> None:
    assert _found(company, function, f",PropertyValue='{_id(company, 'c')}'") == names


def test_hierarchies_of_lookups(company: Client) -> None:
    arguments = f",PropertyValue='{_id(company, 'b')}'"

    assert _found(company, "UnderOrEqual", arguments, "parentaccountid") == "cd"
    assert _found(company, "Under", arguments, "parentaccountid") == "d"


def test_a_hierarchy_that_bites_its_tail_ends(client: Client) -> None:
    first = client.create("accounts", name="a")
    second = client.create("accounts", **{"name": "b", "parentaccountid@odata.bind": first})
    with client.emulator.database.transaction() as connection:
        # The API refuses no loop here, but it need not be the one that made it.
        ids = [address[-37:-1] for address in (first, second)]
        connection.execute("UPDATE account SET parentaccountid = ? WHERE accountid = ?", (ids[1], ids[0]))

    assert _found(client, "Under", f",PropertyValue='{ids[0]}'") == "b"


@pytest.fixture(scope="module")
def people() -> Iterator[Client]:
    """Accounts owned by the caller, by a report of a report of a report of his, by his team and by a report's team."""
    with running_emulator() as emulator:
        client = connect(emulator)
        database = emulator.database
        with database.transaction() as connection:
            unit = connection.execute("SELECT businessunitid FROM systemuser").fetchone()[0]
            for number, above in ((1, ME), (2, _guid(1)), (3, _guid(2)), (4, _guid(3)), (9, None)):
                connection.execute(
                    "INSERT INTO systemuser (systemuserid, fullname, parentsystemuserid, businessunitid, versionnumber)"
                    " VALUES (?, ?, ?, ?, ?)",
                    (_guid(number), f"user {number}", above, unit, database.next_version()),
                )
            for number, member in ((11, ME), (12, _guid(1)), (13, _guid(9))):
                connection.execute(
                    "INSERT INTO team (teamid, name, businessunitid, versionnumber) VALUES (?, ?, ?, ?)",
                    (_guid(number), f"team {number}", unit, database.next_version()),
                )
                connection.execute(
                    "INSERT INTO teammembership (teammembershipid, teamid, systemuserid, versionnumber)"
                    " VALUES (?, ?, ?, ?)",
                    (_guid(number + 20), _guid(number), member, database.next_version()),
                )
            owners = [(ME, "systemuser")] + [(_guid(number), "systemuser") for number in (1, 2, 3, 4, 9)]
            for owner, kind in [*owners, *((_guid(number), "team") for number in (11, 12, 13))]:
                connection.execute(
                    "INSERT INTO account (accountid, name, ownerid, ownerid__type, versionnumber, createdon)"
                    " VALUES (?, ?, ?, ?, ?, '2026-01-01T00:00:00Z')",
                    (owner, "me" if owner == ME else str(int(owner[-2:])), owner, kind, database.next_version()),
                )
        with client.session:
            yield client


def _guid(number: int) -> str:
    return f"00000000-0000-4000-8000-0000000000{number:02}"


@pytest.mark.parametrize(
    ("function", "owners"),
    [
        ("EqualUserId", {"me"}),
        ("NotEqualUserId", {"1", "2", "3", "4", "9", "11", "12", "13"}),
        ("EqualUserTeams", {"11"}),
        ("EqualUserOrUserTeams", {"me", "11"}),
        ("EqualUserOrUserHierarchy", {"me", "1", "2", "3"}),
        ("EqualUserOrUserHierarchyAndTeams", {"me", "1", "2", "3", "11", "12"}),
    ],
)
def test_owners(people: Client, function: str, owners: set[str]) -> None:
    call = f"Microsoft.Dynamics.CRM.{function}(PropertyName='ownerid')"

    assert {row["name"] for row in people.rows(f"accounts?$filter={call}")} == owners


def test_business_units_and_languages(people: Client) -> None:
    def count(set_name: str, call: str) -> int:
        return len(people.rows(f"{set_name}?$filter=Microsoft.Dynamics.CRM.{call}"))

    assert count("systemusers", "EqualBusinessId(PropertyName='businessunitid')") == 6
    assert count("systemusers", "NotEqualBusinessId(PropertyName='businessunitid')") == 0
    assert count("organizations", "EqualUserLanguage(PropertyName='languagecode')") == 1
    people.emulator.control.change_settings(user_language=1031)
    assert count("organizations", "EqualUserLanguage(PropertyName='languagecode')") == 0


def test_functions_of_related_rows(client: Client) -> None:
    account = client.create("accounts", name="Acme").removeprefix(client.emulator.api)
    client.create("contacts", **{"lastname": "Ada", "parentcustomerid_account@odata.bind": account})
    client.create("contacts", lastname="Bob")

    def found(path: str) -> list[str]:
        return [row["lastname"] for row in client.rows(path)]

    today = "Microsoft.Dynamics.CRM.Today(PropertyName='createdon')"
    assert found(f"contacts?$filter=parentcustomerid_account/{today}") == ["Ada"]
    assert len(client.rows(f"accounts?$filter=contact_customer_accounts/any(c:c/{today})")) == 1
    assert len(client.rows(f"accounts?$filter=contact_customer_accounts/any(c:{today})")) == 1
    named = "Microsoft.Dynamics.CRM.In(PropertyName='c/lastname',PropertyValues=['ada'])"
    assert len(client.rows(f"accounts?$filter=contact_customer_accounts/any(c:{named})")) == 1


@pytest.mark.parametrize("name", ["In", "NotIn", "ContainValues", "DoesNotContainValues"])
def test_lists_need_values(client: Client, name: str) -> None:
    for arguments in ("PropertyName='acme_interests'", "PropertyName='acme_interests',PropertyValues=[]"):
        path = f"acme_eventattendanceset?$filter=Microsoft.Dynamics.CRM.{name}({arguments})"
        assert client.error("GET", path) == (400, "0x80060888")


def test_relative_dates_follow_the_organisation_clock(client: Client) -> None:
    client.create("leads", lastname="now")
    client.emulator.control.advance_clock(3 * 86400)
    later = connect(client.emulator)

    def found(function: str, argument: str = "") -> int:
        call = f"Microsoft.Dynamics.CRM.{function}(PropertyName='createdon'{argument})"
        return len(later.rows(f"leads?$filter={call}"))

    assert (found("Today"), found("LastXDays", ",PropertyValue=2"), found("LastXDays", ",PropertyValue=3")) == (0, 0, 1)
    assert (found("OlderThanXHours", ",PropertyValue=1"), found("NextXDays", ",PropertyValue=1")) == (1, 0)
    later.session.close()


@pytest.mark.parametrize(
    "wrong", [{"user_time_zone": "Nowhere/Here"}, {"fiscal_year_start": "02-29"}, {"week_starts_on": 7}]
)
def test_calendars_that_do_not_exist_are_refused(client: Client, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        client.emulator.control.change_settings(**wrong)


def test_days_are_the_users(client: Client) -> None:
    client.emulator.organisation.clock.stop_at(datetime(2026, 3, 1, 23, 30, tzinfo=UTC))
    later = connect(client.emulator)
    later.create("leads", lastname="late")
    path = "leads?$filter=Microsoft.Dynamics.CRM.On(PropertyName='createdon',PropertyValue='2026-03-0{}')"

    assert [len(later.rows(path.format(day))) for day in (1, 2)] == [1, 0]
    client.emulator.control.change_settings(user_time_zone="Asia/Tokyo")
    assert [len(later.rows(path.format(day))) for day in (1, 2)] == [0, 1]
    assert len(later.rows("leads?$filter=Microsoft.Dynamics.CRM.Today(PropertyName='createdon')")) == 1
    later.session.close()
