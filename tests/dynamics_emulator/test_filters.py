"""``$filter`` against an oracle: plain Python over the same rows, with SQL's logic of three values."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamics_emulator.testing import running_emulator
from dynamics_emulator.testing_client import Client, connect

Row = dict[str, Any]
Verdict = bool | None
WORDS = ["Ada", "ada lovelace", "ÄRGER", "ärger", "O'Brien", "100%", "a_b", "Ж", "東京", "[x]", None]
NUMBERS = [None, 0, 1, 5, 250]
AMOUNTS = [None, 0, 0.5, 12.25, 1000]
DATES = [None, "1753-01-01", "2024-02-29", "2026-03-01"]
MOMENTS = [None, "1753-01-01T00:00:00Z", "2024-02-29T23:59:59Z", "2026-03-01T08:15:00Z"]
SOURCES = [None, 1, 8]


@pytest.fixture(scope="module")
def leads() -> Iterator[Client]:
    """Leads with every kind of value in a few columns."""
    with running_emulator() as emulator:
        client = connect(emulator)
        for number in range(33):
            client.create(
                "leads",
                lastname=WORDS[number % len(WORDS)],
                companyname=WORDS[(number * 7 + 3) % len(WORDS)],
                numberofemployees=NUMBERS[number % len(NUMBERS)],
                revenue=AMOUNTS[number % 4],
                estimatedclosedate=DATES[number % len(DATES)],
                mkt_lastinterestingmomentdate=MOMENTS[(number + 1) % len(MOMENTS)],
                leadsourcecode=SOURCES[number % len(SOURCES)],
                donotemail=bool(number % 2),
            )
        with client.session:
            yield client


@pytest.fixture(scope="module")
def everything(leads: Client) -> list[Row]:
    """The rows that the oracle judges."""
    return leads.rows("leads")


@dataclass(frozen=True)
class Expected:
    """A filter text and what plain Python says about a row."""

    text: str
    holds: Callable[[Row], Verdict]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda left, right: left == right,
    "ne": lambda left, right: left != right,
    "gt": lambda left, right: left > right,
    "ge": lambda left, right: left >= right,
    "lt": lambda left, right: left < right,
    "le": lambda left, right: left <= right,
}


def _compare(column: str, operator: str, value: Any, literal: str) -> Expected:
    def holds(row: Row) -> Verdict:
        found = row[column]
        if found is None:
            return True if operator == "ne" else None
        if isinstance(found, str):
            return COMPARE[operator](found.casefold(), value.casefold())
        return COMPARE[operator](found, value)

    return Expected(f"{column} {operator} {literal}", holds)


def _compare_text(column: str, operator: str, value: str) -> Expected:
    return _compare(column, operator, value, _quoted(value))


def _null(column: str, operator: str) -> Expected:
    return Expected(f"{column} {operator} null", lambda row: (row[column] is None) == (operator == "eq"))


def _text_function(name: str, column: str, value: str) -> Expected:
    tests: dict[str, Callable[[str, str], bool]] = {
        "contains": lambda text, part: part in text,
        "startswith": str.startswith,
        "endswith": str.endswith,
    }

    def holds(row: Row) -> Verdict:
        return None if row[column] is None else tests[name](row[column].casefold(), value.casefold())

    return Expected(f"{name}({column},{_quoted(value)})", holds)


def _in(column: str, values: list[Any], *, negated: bool) -> Expected:
    def holds(row: Row) -> Verdict:
        found = row[column]
        if found is None:
            return None
        folded = [value.casefold() if isinstance(value, str) else value for value in values]
        return ((found.casefold() if isinstance(found, str) else found) in folded) != negated

    listed = ",".join('"' + str(value) + '"' for value in values)
    name = "NotIn" if negated else "In"
    return Expected(f"Microsoft.Dynamics.CRM.{name}(PropertyName='{column}',PropertyValues=[{listed}])", holds)


def _in_sources(values: list[int]) -> Expected:
    return _in("leadsourcecode", values, negated=False)


def _between(column: str, low: int, high: int) -> Expected:
    def holds(row: Row) -> Verdict:
        return None if row[column] is None else low <= row[column] <= high

    text = f'Microsoft.Dynamics.CRM.Between(PropertyName=\'{column}\',PropertyValues=["{low}","{high}"])'
    return Expected(text, holds)


def _on(name: str, column: str, day: str) -> Expected:
    tests: dict[str, Callable[[str, str], bool]] = {
        "On": lambda left, right: left == right,
        "OnOrAfter": lambda left, right: left >= right,
        "OnOrBefore": lambda left, right: left <= right,
    }

    def holds(row: Row) -> Verdict:
        return None if row[column] is None else tests[name](row[column][:10], day)

    return Expected(f"Microsoft.Dynamics.CRM.{name}(PropertyName='{column}',PropertyValue='{day}')", holds)


def _columns(left: str, right: str) -> Expected:
    def holds(row: Row) -> Verdict:
        if row[left] is None or row[right] is None:
            return None
        return bool(row[left].casefold() == row[right].casefold())

    return Expected(f"{left} eq {right}", holds)


def _not(inner: Expected) -> Expected:
    def holds(row: Row) -> Verdict:
        verdict = inner.holds(row)
        return None if verdict is None else not verdict

    return Expected(f"not ({inner.text})", holds)


def _both(left: Expected, right: Expected, word: str) -> Expected:
    def holds(row: Row) -> Verdict:
        verdicts = (left.holds(row), right.holds(row))
        decisive = word == "or"
        if decisive in verdicts:
            return decisive
        return None if None in verdicts else not decisive

    return Expected(f"({left.text}) {word} ({right.text})", holds)


TEXTS = st.sampled_from([word for word in WORDS if word])
OPERATORS = st.sampled_from(sorted(COMPARE))
WORD_COLUMNS = st.sampled_from(["lastname", "companyname"])
PLAIN_PARTS = st.sampled_from(["a", "ärg", "Ж", "'", "京", "b", " "])
ATOMS = st.one_of(
    st.builds(
        lambda column, operator, value: _compare(column, operator, value, _quoted(value)),
        WORD_COLUMNS,
        OPERATORS,
        TEXTS,
    ),
    st.builds(
        lambda operator, value: _compare("numberofemployees", operator, value, str(value)),
        OPERATORS,
        st.sampled_from([0, 1, 5, 6]),
    ),
    st.builds(
        lambda operator, value: _compare("revenue", operator, value, str(value)),
        OPERATORS,
        st.sampled_from([0, 0.5, 12.25, 12.26]),
    ),
    st.builds(
        lambda operator, value: _compare("estimatedclosedate", operator, value, value),
        OPERATORS,
        st.sampled_from(["1753-01-01", "2024-02-29", "2025-01-01"]),
    ),
    st.builds(
        lambda operator, value: _compare("mkt_lastinterestingmomentdate", operator, value, value),
        OPERATORS,
        st.sampled_from(["1753-01-01T00:00:00Z", "2024-02-29T23:59:59Z", "2026-03-01T08:15:00Z"]),
    ),
    st.builds(
        lambda operator, value: _compare("leadsourcecode", operator, value, str(value)),
        st.sampled_from(["eq", "ne"]),
        st.sampled_from([1, 8]),
    ),
    st.builds(
        lambda value: _compare("donotemail", "eq", value, str(value).lower()),
        st.booleans(),
    ),
    st.builds(
        _null,
        st.sampled_from(["lastname", "numberofemployees", "revenue", "estimatedclosedate", "leadsourcecode"]),
        st.sampled_from(["eq", "ne"]),
    ),
    st.builds(_text_function, st.sampled_from(["contains", "startswith", "endswith"]), WORD_COLUMNS, PLAIN_PARTS),
    st.builds(
        lambda values, negated: _in("lastname", values, negated=negated),
        st.lists(TEXTS.filter(lambda text: "[" not in text), min_size=1, max_size=3),
        st.booleans(),
    ),
    st.builds(
        lambda values: _in("leadsourcecode", values, negated=False), st.lists(st.sampled_from([1, 8, 9]), min_size=1)
    ),
    st.builds(_between, st.just("numberofemployees"), st.integers(-1, 5), st.integers(0, 300)),
    st.builds(
        _on,
        st.sampled_from(["On", "OnOrAfter", "OnOrBefore"]),
        st.sampled_from(["estimatedclosedate", "mkt_lastinterestingmomentdate"]),
        st.sampled_from(["1753-01-01", "2024-02-29", "2026-02-28"]),
    ),
    st.builds(_columns, st.just("lastname"), st.just("companyname")),
)
FILTERS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(st.builds(_not, inner), st.builds(_both, inner, inner, st.sampled_from(["and", "or"]))),
    max_leaves=5,
)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(expected=FILTERS)
def test_filter_agrees_with_plain_python(leads: Client, everything: list[Row], expected: Expected) -> None:
    answer = leads.call("GET", "leads", params={"$filter": expected.text, "$select": "lastname"})

    assert answer.status_code == 200, (expected.text, answer.text)
    found = {row["leadid"] for row in answer.json()["value"]}
    assert found == {row["leadid"] for row in everything if expected.holds(row)}, expected.text


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("contains(lastname,'a%lo')", {"ada lovelace"}),
        ("startswith(lastname,'_d')", {"Ada", "ada lovelace"}),
        ("endswith(lastname,'[%]')", {"100%"}),
        ("contains(lastname,'[_]')", {"a_b"}),
        ("startswith(lastname,'[^a]_[b]')", {"O'Brien"}),
        ("startswith(lastname,'[a-b][d_]')", {"Ada", "ada lovelace", "a_b"}),
    ],
)
def test_wildcards(leads: Client, pattern: str, found: set[str]) -> None:
    assert {row["lastname"] for row in leads.rows(f"leads?$filter={pattern.replace('%', '%25')}")} == found


def test_related_rows(leads: Client) -> None:
    assert len(leads.rows("leads?$filter=owninguser/firstname eq '%23'")) == 33
    assert leads.rows("leads?$filter=owninguser/firstname ne '%23'") == []
    one = leads.rows("systemusers?$filter=systemuser_lead_owninguser/any(l:l/lastname eq 'ADA')")
    assert [row["fullname"] for row in one] == ["# Marketing sync"]
    assert leads.rows("systemusers?$filter=systemuser_lead_owninguser/all(l:l/lastname eq 'ADA')") == []


def test_keys_with_and_without_quotes(leads: Client) -> None:
    [first, *_] = leads.rows("leads?$select=lastname")

    for literal in (first["leadid"], f"'{first['leadid'].upper()}'"):
        assert leads.rows(f"leads?$select=lastname&$filter=leadid eq {literal}") == [first]


def test_multi_select_functions(client: Client) -> None:
    client.create("acme_eventattendanceset", acme_name="both", acme_interests="100000000,100000003")
    client.create("acme_eventattendanceset", acme_name="none")

    def names(function: str, *values: int) -> set[str]:
        listed = ",".join(f"'{value}'" for value in values)
        call = f"Microsoft.Dynamics.CRM.{function}(PropertyName='acme_interests',PropertyValues=[{listed}])"
        return {row["acme_name"] for row in client.rows(f"acme_eventattendanceset?$filter={call}")}

    assert names("ContainValues", 100000003, 100000004) == {"both"}
    assert names("DoesNotContainValues", 100000003) == {"none"}


def test_relative_dates(client: Client) -> None:
    client.create("leads", lastname="now")
    client.emulator.control.advance_clock(3 * 86400)
    later = connect(client.emulator)

    def found(function: str, argument: str = "") -> int:
        call = f"Microsoft.Dynamics.CRM.{function}(PropertyName='createdon'{argument})"
        return len(later.rows(f"leads?$filter={call}"))

    assert (found("Today"), found("LastXDays", ",PropertyValue=2"), found("LastXDays", ",PropertyValue=3")) == (0, 0, 1)
    assert (found("OlderThanXHours", ",PropertyValue=1"), found("NextXDays", ",PropertyValue=1")) == (1, 0)
    later.session.close()


def test_null_never_differs_when_so_set(leads: Client) -> None:
    leads.emulator.control.change_settings(not_equal_matches_null=False)
    try:
        assert all(row["lastname"] for row in leads.rows("leads?$filter=lastname ne 'Ada'"))
    finally:
        leads.emulator.control.change_settings(not_equal_matches_null=True)


@pytest.mark.parametrize(("count", "status"), [(500, 200), (501, 400)])
def test_number_of_conditions(leads: Client, count: int, status: int) -> None:
    answer = leads.get("leads?$select=lastname&$filter=" + " or ".join(["lastname eq 'Ada'"] * count))

    assert answer.status_code == status
    assert answer.json().get("error", {}).get("code", "0x8004430c") == "0x8004430c"


def test_nesting_that_is_too_deep(leads: Client) -> None:
    assert leads.error("GET", "leads?$filter=" + "not " * 200 + "(lastname eq 'a')") == (400, "0x8004430c")


@pytest.mark.parametrize(
    "text",
    [
        "foo eq 1",
        "lastname eq",
        "lastname eq 1",
        "numberofemployees eq 'many'",
        "lastname gt null",
        "lastname in ('a','b')",
        "ownerid eq 7e57ab1e-0000-4000-8000-000000000003",
        "tolower(lastname) eq 'a'",
        "Microsoft.Dynamics.CRM.Nothing(PropertyName='lastname')",
        "Microsoft.Dynamics.CRM.In(PropertyName='lastname',PropertyValues=[])",
        "Microsoft.Dynamics.CRM.Between(PropertyName='numberofemployees',PropertyValues=['1'])",
        "nothing/lastname eq 'a'",
        "numberofemployees eq 99999999999999999999",
        "createdon eq 9999-12-31T23:59:59-12:00",
        "lastname",
    ],
)
def test_refused_filters(leads: Client, text: str) -> None:
    assert leads.error("GET", f"leads?$filter={text}") == (400, "0x80060888")
