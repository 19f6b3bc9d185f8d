"""Pages: together they are the table, each row once, in order, whatever the size and the order."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamics_emulator.testing import running_emulator
from dynamics_emulator.testing_client import Client, connect

NAMES = ["ada", "Ada", "ADA", None, "bob & <co>", 'q"uote', "100%", "ж", "日本", "", "z+plus", "a=b&c"]


@pytest.fixture(scope="module")
def leads() -> Iterator[Client]:
    """Leads with equal, missing and awkward values in the columns by which they are sorted."""
    with running_emulator() as emulator:
        client = connect(emulator)
        for number in range(24):
            name = NAMES[number % len(NAMES)]
            amount = None if number % 5 == 0 else [1.5, 2, 1000000.25][number % 3]
            client.create("leads", lastname=name, revenue=amount, numberofemployees=number % 4 or None)
        with client.session:
            yield client


ORDERS = st.sampled_from(
    [
        "",
        "lastname",
        "lastname desc",
        "revenue desc,lastname",
        "numberofemployees,revenue desc",
        "createdon desc",
        "_ownerid_value,lastname desc",
        "owninguser/fullname,numberofemployees desc",
    ]
)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(size=st.integers(1, 25), order=ORDERS)
def test_pages_are_the_whole_read_in_its_order(leads: Client, size: int, order: str) -> None:
    path = "leads?$select=lastname,numberofemployees" + (f"&$orderby={order}" if order else "")
    whole = [row["leadid"] for row in leads.rows(path)]

    pages = leads.pages(path, prefer=f"odata.maxpagesize={size}")

    assert [row["leadid"] for page in pages for row in page["value"]] == whole
    assert len(set(whole)) == 24
    assert all(len(page["value"]) == size for page in pages[:-1])


def test_link_has_the_documented_shape(leads: Client) -> None:
    answer = leads.get("leads?$select=lastname", prefer="odata.maxpagesize=5")
    link = answer.json()["@odata.nextLink"]

    assert answer.headers["Preference-Applied"] == "odata.maxpagesize=5"
    assert "/leads?$select=lastname&$skiptoken=%3Ccookie%20pagenumber=%222%22%20pagingcookie=%22%253" in link
    assert link.endswith("%22%20istracking=%22False%22%20/%3E")
    once = unquote(link)
    assert '<cookie pagenumber="2" pagingcookie="' in once
    assert "<leadid last=" in unquote(unquote(once))


def test_reencoded_link_is_understood(leads: Client) -> None:
    link = leads.get("leads?$select=lastname", prefer="odata.maxpagesize=5").json()["@odata.nextLink"]
    head, _, token = link.partition("$skiptoken=")
    other = head + "%24skiptoken=" + token.replace("%20", "+").replace("=%22", "%3D%22")

    assert leads.rows(other, prefer="odata.maxpagesize=5") == leads.rows(link, prefer="odata.maxpagesize=5")


def test_page_size_is_forgotten_when_it_is_not_repeated(leads: Client) -> None:
    link = leads.get("leads?$select=lastname", prefer="odata.maxpagesize=5").json()["@odata.nextLink"]

    assert len(leads.rows(link)) == 19


def test_top_is_ignored_beside_a_page_size(leads: Client) -> None:
    def counted(**options: Any) -> list[int]:
        return [len(page["value"]) for page in leads.pages("leads?$select=lastname&$top=7", **options)]

    assert counted() == [7]
    assert counted(prefer="odata.maxpagesize=10") == [10, 10, 4]


def test_pages_end_at_the_servers_size() -> None:
    with running_emulator(page_size=3) as emulator:
        client = connect(emulator)
        for number in range(7):
            client.create("accounts", name=f"Company {number}")

        assert [len(page["value"]) for page in client.pages("accounts?$select=name")] == [3, 3, 1]
        assert len(client.rows("accounts?$select=name", prefer="odata.maxpagesize=9999")) == 3
        client.session.close()


@pytest.mark.parametrize(("asked", "kept"), [("5", "5"), ("6000", "5000"), ("0", None), ("abc", None), ("-1", None)])
def test_preferences_are_named_as_they_were_honoured(leads: Client, asked: str, kept: str | None) -> None:
    preference = f"odata.maxpagesize={kept}" if kept else None
    for path in ("leads?$select=lastname", "leads?$select=lastname&$deltatoken=1!01/01/2099 00:00:00"):
        answer = leads.get(path, prefer=f"odata.maxpagesize={asked}")
        named = (answer.headers.get("Preference-Applied") or "").removeprefix("odata.track-changes").lstrip(",")
        assert answer.ok
        assert named == (preference or "")


def test_groups_and_single_rows_have_no_pages(leads: Client) -> None:
    lead = leads.rows("leads?$select=lastname&$top=1")[0]["leadid"]
    for path in ("leads?$apply=groupby((statuscode))", f"leads({lead})"):
        assert "Preference-Applied" not in leads.get(path, prefer="odata.maxpagesize=1").headers


def test_written_rows_name_all_that_was_honoured(leads: Client) -> None:
    lead = leads.rows("leads?$select=lastname&$top=1")[0]["leadid"]
    preferences = 'return=representation,odata.include-annotations="*"'

    answer = leads.call("PATCH", f"leads({lead})", json={}, prefer=preferences)
    assert answer.headers["Preference-Applied"] == preferences


def test_foreign_skip_token_is_refused(leads: Client) -> None:
    assert leads.error("GET", "leads?$skiptoken=nonsense") == (400, "0x8004112a")
    link = leads.get("leads?$orderby=lastname", prefer="odata.maxpagesize=5").json()["@odata.nextLink"]
    assert leads.error("GET", link.replace("$orderby=lastname", "$orderby=subject")) == (400, "0x8004112a")
