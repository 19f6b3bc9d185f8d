"""dynamics-client: rows, pages, expanded rows and aggregates."""

from typing import Any

import pytest
from dynamics import apl, ftr
from dynamics.exceptions import NotFound, ParseError

from dynamics_emulator.testing import RunningEmulator
from dynamics_emulator.testing_client import connect

NOBODY = "00000000-0000-0000-0000-00000000dead"


def test_creates_reads_changes_and_deletes(community: Any, mark: str) -> None:
    lead = community.create("leads", lastname="A", companyname=mark)
    community.client.row_id = lead["leadid"]
    changed = community.client.patch({"lastname": "B"}).data
    community.client.select = ["lastname", "leadsourcecode"]
    community.client.show_annotations = True
    read = community.client.get().data[0]
    community.client.delete()

    assert (lead["lastname"], changed["lastname"], read["lastname"]) == ("A", "B", "B")
    assert community.find("leads", ftr.eq("companyname", mark)) == []


def test_a_refusal_becomes_an_exception_of_its_own(community: Any) -> None:
    community.client.table, community.client.row_id = "leads", NOBODY
    with pytest.raises(NotFound, match=NOBODY):
        community.client.get()
    community.client.reset_query()
    community.client.table, community.client.select = "leads", ["acme_nothing"]
    with pytest.raises(ParseError, match="acme_nothing"):
        community.client.get()


def test_reads_as_many_pages_as_asked_for(community: Any, mark: str) -> None:
    for number in range(7):
        community.create("leads", lastname=f"L{number}", companyname=mark)
    community.client.reset_query()
    community.client.table = "leads"
    community.client.filter = [f"companyname eq '{mark}'"]
    community.client.orderby = {"lastname": "asc"}
    community.client.count = True
    community.client.pagesize = 3

    two = community.client.get(pagination_rules={"pages": 1})
    rest = community.client.get(query=two.next_link)

    assert two.count == 7
    assert [row["lastname"] for row in two.data + rest.data] == [f"L{number}" for number in range(7)]


def test_expands_and_aggregates(community: Any, mark: str) -> None:
    account = community.create("accounts", name=mark)["accountid"]
    for name, size in (("A", 10), ("B", 30)):
        bind = {"parentcustomerid_account@odata.bind": f"/accounts({account})"}
        community.create("contacts", lastname=name, numberofchildren=size, **bind)
    people = {"select": ["lastname"], "filter": ["numberofchildren gt 20"], "orderby": {"lastname": "desc"}}

    [found] = community.find("accounts", f"name eq '{mark}'", expand={"contact_customer_accounts": people})
    community.client.reset_query()
    community.client.table = "contacts"
    total = apl.aggregate(col_="numberofchildren", with_="sum", as_="total")
    community.client.apply = f"filter(_parentcustomerid_value eq {account})/{total}"
    summed = community.client.get().data

    assert [row["lastname"] for row in found["contact_customer_accounts"]] == ["B"]
    assert [row["total"] for row in summed] == [40]


def test_references_a_row(community: Any, mark: str) -> None:
    contact = community.create("contacts", lastname=mark)["contactid"]
    lead = community.create("leads", lastname=mark)["leadid"]
    community.client.reset_query()
    community.client.table, community.client.row_id = "teams", NOBODY
    community.client.add_ref_to_property = "teammembership_association"
    with pytest.raises(NotFound):
        community.client.post({"@odata.id": f"systemusers({NOBODY})"})

    community.create(f"contacts({contact})/lead_parent_contact/$ref", **{"@odata.id": f"leads({lead})"})

    assert community.find("leads", f"leadid eq {lead}")[0]["_parentcontactid_value"] == contact


def test_other_filters(community: Any, mark: str) -> None:
    community.create("leads", lastname="A", companyname=mark)
    either = ftr.or_(ftr.eq("jobtitle", None), ftr.gt("numberofemployees", 5), group=True)
    whole = ftr.and_(ftr.eq("lastname", "a"), either)
    none = ftr.not_(ftr.any_("lead_connections1", "c", ftr.eq("name", "x", lambda_indicator="c")))

    assert len(community.find("leads", f"companyname eq '{mark}'", whole, none)) == 1


def test_knows_who_is_calling(community: Any, emulator: RunningEmulator) -> None:
    client = connect(emulator)
    with client.session:
        expected = client.get("WhoAmI").json()["UserId"]

    assert community.client.functions.whoami().data[0]["UserId"] == expected
