"""``$filter``: wildcards, paths, literals, the settings behind it, and what is refused.

The rules of each operator and function are judged by the oracle in ``test_filter_oracle``.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamics_emulator.testing import running_emulator
from dynamics_emulator.testing_client import Client, connect

WORDS = ["Ada", "ada lovelace", "ÄRGER", "ärger", "O'Brien", "100%", "a_b", "Ж", "東京", "[x]", None]


@pytest.fixture(scope="module")
def leads() -> Iterator[Client]:
    """Leads with odd names."""
    with running_emulator() as emulator:
        client = connect(emulator)
        for number in range(33):
            client.create(
                "leads",
                lastname=WORDS[number % len(WORDS)],
                companyname=WORDS[(number * 7 + 3) % len(WORDS)],
                numberofemployees=[None, 0, 1, 5, 250][number % 5],
            )
        with client.session:
            yield client


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
    one = leads.rows(f"systemusers?$filter={_owned_leads(leads)}/any(l:l/lastname eq 'ADA')")
    assert [row["fullname"] for row in one] == ["# Marketing sync"]
    assert leads.rows(f"systemusers?$filter={_owned_leads(leads)}/all(l:l/lastname eq 'ADA')") == []


def test_keys_with_and_without_quotes(leads: Client) -> None:
    [first, *_] = leads.rows("leads?$select=lastname")

    for literal in (first["leadid"], f"'{first['leadid'].upper()}'"):
        assert leads.rows(f"leads?$select=lastname&$filter=leadid eq {literal}") == [first]


@pytest.fixture
def changed(leads: Client) -> Iterator[Any]:
    """Changes settings of the shared organisation until the end of the test."""
    control = leads.emulator.control
    before = leads.emulator.organisation.settings.model_dump()
    yield control.change_settings
    control.change_settings(**before)


def _names(client: Client, condition: str) -> set[str]:
    rows = client.call("GET", "leads", params={"$select": "lastname", "$filter": condition}).json()["value"]
    return {row["lastname"] for row in rows}


def test_wildcards_act_in_equality_unless_so_set(leads: Client, changed: Any) -> None:
    assert _names(leads, "lastname eq 'a_b'") == {"a_b"}
    assert _names(leads, "lastname eq 'a%'") == {"Ada", "ada lovelace", "a_b"}
    assert _names(leads, "lastname ne '_%'") == {None}

    changed(wildcards_in_equality=False)

    assert _names(leads, "lastname eq 'a%'") == set()
    assert _names(leads, "lastname eq '100%'") == {"100%"}


def test_accents_are_told_apart_unless_so_set(leads: Client, changed: Any) -> None:
    assert _names(leads, "lastname eq 'arger'") == set()
    assert _names(leads, "lastname eq 'äRGER'") == {"ÄRGER", "ärger"}

    changed(accents_matter=False)

    assert _names(leads, "lastname eq 'arger'") == {"ÄRGER", "ärger"}
    assert _names(leads, "startswith(lastname,'arg')") == {"ÄRGER", "ärger"}
    assert _names(leads, "Microsoft.Dynamics.CRM.In(PropertyName='lastname',PropertyValues=['arger'])") == {
        "ÄRGER",
        "ärger",
    }


def test_in_operator_works_only_when_so_set(leads: Client, changed: Any) -> None:
    changed(in_operator_refused=False)

    assert _names(leads, "lastname in ('ADA','ж')") == {"Ada", "Ж"}


@pytest.mark.parametrize(
    "call",
    [
        'PropertyName=\'lastname\',PropertyValues=["O\'Brien","[x]"]',
        "PropertyName='lastname',PropertyValues=['O''Brien','[x]']",
        'PropertyName=@p1,PropertyValues=@p2)&@p1=\'lastname\'&@p2=["O\'Brien","[x]"]&@unused=(',
    ],
)
def test_arrays_of_strings(leads: Client, call: str) -> None:
    function = f"Microsoft.Dynamics.CRM.In({call}" + ("" if "@unused" in call else ")")

    assert {row["lastname"] for row in leads.rows(f"leads?$filter={function}")} == {"O'Brien", "[x]"}


def test_broken_arrays_are_refused_with_the_documented_text(leads: Client) -> None:
    call = "Microsoft.Dynamics.CRM.In(PropertyName='lastname',PropertyValues=['O'Brien'])"

    assert (
        leads.get(f"leads?$filter={call}")
        .json()["error"]["message"]
        .startswith("Invalid JSON. A comma character ',' was expected in scope 'Array'.")
    )


def test_incompatible_types_are_named(leads: Client) -> None:
    message = leads.get("leads?$filter=numberofemployees gt 'many'").json()["error"]["message"]

    assert message == (
        "A binary operator with incompatible types was detected. "
        "Found operand types 'Edm.Int32' and 'Edm.String' for operator kind 'GreaterThan'."
    )


def test_unassigned_alias_is_null(leads: Client) -> None:
    assert {row["lastname"] for row in leads.rows("leads?$filter=lastname eq @p")} == {None}


def test_an_alias_may_name_a_column(leads: Client) -> None:
    rows = leads.rows("leads?$select=lastname&$filter=@c ne @n&@c=lastname&$orderby=@o desc&@o=numberofemployees")

    assert len(rows) == 30
    assert all(row["lastname"] for row in rows)


def test_full_text_search_has_no_index(leads: Client) -> None:
    call = "Microsoft.Dynamics.CRM.Contains(PropertyName='lastname',PropertyValue='a')"

    assert leads.error("GET", f"leads?$filter={call}") == (400, "0x80044150")


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


@pytest.mark.parametrize("text", ["not " * 4000 + "(lastname eq 'a')", "(" * 20_000 + "lastname eq 'a'"])
def test_nesting_that_is_too_deep_is_refused_and_does_not_break(leads: Client, text: str) -> None:
    assert leads.get(f"leads?$filter={text}").status_code == 400


def test_conditions_are_counted_inside_collections_too(leads: Client) -> None:
    many = " or ".join(["l/lastname eq 'a'"] * 501)

    text = f"systemusers?$filter=lead_owning_user/any(l:{many})"
    assert leads.get(text.replace("lead_owning_user", _owned_leads(leads))).json()["error"]["code"] == "0x8004430c"


def _owned_leads(client: Client) -> str:
    """Name of the collection of a user's own leads."""
    collections = client.emulator.organisation.schema.collections["systemuser"]
    return next(name for name, link in collections.items() if (link.child, link.column) == ("lead", "owninguser"))


@pytest.mark.parametrize(
    "text",
    [
        "foo eq 1",
        "lastname eq",
        "lastname eq 1",
        "numberofemployees eq 'many'",
        "lastname gt null",
        "numberofemployees eq '5'",
        "createdon eq '2024-01-01'",
        "createdon eq 5",
        "lastname eq numberofemployees",
        "createdon gt 'x'",
        "lastname eq owninguser/fullname",
        "owninguser/nothing eq 'a'",
        "owninguser/businessunitid/nothing eq 'a'",
        "owninguser/teammembership_association/any(t:t/name eq 'a')",
        "nothing/any(t:t/name eq 'a')",
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
        "1 eq 1",
        "contains(lastname,5)",
        "contains(numberofemployees,'5')",
        "contains(lastname)",
        "Microsoft.Dynamics.CRM.Today()",
        "Microsoft.Dynamics.CRM.Today(PropertyName='lastname')",
        "Microsoft.Dynamics.CRM.LastXDays(PropertyName='createdon')",
        "Microsoft.Dynamics.CRM.LastXDays(PropertyName='createdon',PropertyValue=0)",
        "Microsoft.Dynamics.CRM.LastXDays(PropertyName='createdon',PropertyValue=-1)",
        "Microsoft.Dynamics.CRM.LastXYears(PropertyName='createdon',PropertyValue=5000)",
        "Microsoft.Dynamics.CRM.InFiscalPeriod(PropertyName='createdon',PropertyValue=5)",
        "Microsoft.Dynamics.CRM.InFiscalPeriodAndYear(PropertyName='createdon',PropertyValue1=5,PropertyValue2=2025)",
        "Microsoft.Dynamics.CRM.On(PropertyName='createdon',PropertyValue='soon')",
        "Microsoft.Dynamics.CRM.In(PropertyName='lastname',PropertyValues=['O'Brien'])",
        "Microsoft.Dynamics.CRM.In(PropertyName='lastname',PropertyValues='a')",
        "Microsoft.Dynamics.CRM.ContainValues(PropertyName='lastname',PropertyValues=['1'])",
        "Microsoft.Dynamics.CRM.NotOn(PropertyName='createdon',PropertyValue='2024-01-01')",
        "Microsoft.Dynamics.CRM.Under(PropertyName='leadid',PropertyValue='7e57ab1e-0000-4000-8000-000000000003')",
        "Somewhere.Else.Today(PropertyName='createdon')",
    ],
)
def test_refused_filters(leads: Client, text: str) -> None:
    assert leads.error("GET", f"leads?$filter={text}") == (400, "0x80060888")


PIECES = [
    *("lastname", "createdon", "ownerid", "owninguser/fullname", "leadid", "eq", "ne", "gt", "and", "or", "not", "in"),
    *("null", "true", "5", "1e400", "'a'", "'%[_'", "'", "(", ")", ",", "[", "]", '["a"]', "@p", "2024-13-41", "any"),
    *("contains(lastname,'a')", "startswith(", "/", "x:", "PropertyName=", "duration'P1D'", "$it", "a.b.c", "now()"),
    "Microsoft.Dynamics.CRM.In(PropertyName='lastname',PropertyValues=",
    "Microsoft.Dynamics.CRM.LastXDays(PropertyName='createdon',PropertyValue=",
    "Microsoft.Dynamics.CRM.InFiscalPeriodAndYear(PropertyName='createdon',PropertyValue1=1,PropertyValue2=",
]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    option=st.sampled_from(["$filter", "$orderby", "$expand", "$apply", "$select"]),
    pieces=st.lists(st.sampled_from(PIECES), min_size=1, max_size=6),
    glue=st.sampled_from(["", " "]),
)
def test_nonsense_is_answered_and_never_breaks(leads: Client, option: str, pieces: list[str], glue: str) -> None:
    answer = leads.call("GET", "leads", params={"$select": "leadid", option: glue.join(pieces), "@p": "["})

    assert answer.status_code in (200, 400), answer.text
