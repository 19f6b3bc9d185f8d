"""``$expand``: rows behind lookups and collections, pages and links of expanded rows, and the documented limits."""

from collections.abc import Iterator

import pytest

from dynamics_emulator.testing import running_emulator
from dynamics_emulator.testing_client import Client, connect

ONLY_SELECT_AND_FILTER = (
    "Only $select and $filter clause can be provided while doing $expand on many-to-one relationship or nested "
    "one-to-many relationship."
)


@pytest.fixture(scope="module")
def company() -> Iterator[Client]:
    """An account with five contacts, one of them its primary contact, and one without any; two interests."""
    with running_emulator() as emulator:
        client = connect(emulator)
        acme = client.create("accounts", name="Acme").removeprefix(emulator.api)
        client.create("accounts", name="Lonely")
        links = {"parentcustomerid_account@odata.bind": acme}
        contacts = [client.create("contacts", lastname=name, **links) for name in ("Ada", "Bob", "Cid", "Dan", "Eve")]
        bind = {"primarycontactid@odata.bind": contacts[0].removeprefix(emulator.api)}
        assert client.call("PATCH", acme.lstrip("/"), json=bind).ok
        for name in ("Data", "Design"):
            interest = client.create("acme_interests", acme_name=name)
            for contact in contacts[:2]:
                link = {"@odata.id": contact}
                assert client.call("POST", f"{interest}/acme_interest_contact/$ref", json=link).ok
        with client.session:
            yield client


def test_lookups_to_several_levels(company: Client) -> None:
    path = (
        "contacts?$select=lastname&$filter=lastname eq 'Ada'&$expand=parentcustomerid_account($select=name;"
        "$expand=primarycontactid($select=lastname;$expand=createdby($select=fullname)))"
    )
    [row] = company.rows(path)

    assert row["parentcustomerid_account"]["name"] == "Acme"
    primary = row["parentcustomerid_account"]["primarycontactid"]
    assert primary["lastname"] == "Ada"
    assert primary["createdby"]["systemuserid"] == primary["createdby"]["ownerid"]
    context = company.get(path).json()["@odata.context"]
    assert context.endswith(
        "#contacts(lastname,parentcustomerid_account(name,primarycontactid(lastname,createdby(fullname))))"
    )


def test_a_lookup_without_a_value_is_null(company: Client) -> None:
    [row] = company.rows("accounts?$select=name&$filter=name eq 'Lonely'&$expand=primarycontactid($select=lastname)")

    assert row["primarycontactid"] is None


def test_a_filter_on_an_expanded_lookup_hides_the_row_behind_it(company: Client) -> None:
    path = "accounts?$select=name&$filter=name eq 'Acme'&$expand=primarycontactid($select=lastname;$filter={})"

    assert company.rows(path.format("lastname eq 'Ada'"))[0]["primarycontactid"]["lastname"] == "Ada"
    assert company.rows(path.format("lastname eq 'Bob'"))[0]["primarycontactid"] is None


def test_references(company: Client) -> None:
    answer = company.get("accounts?$select=name&$filter=name eq 'Acme'&$expand=primarycontactid/$ref").json()
    [row] = answer["value"]

    assert answer["@odata.context"].endswith("#accounts(name,primarycontactid,primarycontactid/$ref())")
    contact = row["_primarycontactid_value"]
    assert row["primarycontactid"] == {"@odata.id": f"{company.emulator.api}/contacts({contact})"}


def test_a_collection_with_its_options_and_its_link(company: Client) -> None:
    inside = "$select=lastname;$filter=lastname ne 'Eve';$orderby=lastname desc;$top=2"
    [row] = company.rows(f"accounts?$select=name&$filter=name eq 'Acme'&$expand=contact_customer_accounts({inside})")

    shown = row["contact_customer_accounts"]
    assert [contact["lastname"] for contact in shown] == ["Dan", "Cid"]
    # The lookup by which they belong to the account comes along.
    assert all(contact["_parentcustomerid_value"] == row["accountid"] for contact in shown)
    link = row["contact_customer_accounts@odata.nextLink"]
    assert "$skiptoken" not in link
    again = company.rows(link)
    assert [contact["lastname"] for contact in again] == ["Dan", "Cid"]


def test_an_empty_collection(company: Client) -> None:
    [row] = company.rows("accounts?$select=name&$filter=name eq 'Lonely'&$expand=contact_customer_accounts")

    assert row["contact_customer_accounts"] == []


@pytest.mark.parametrize(
    "options", ["$filter=lastname eq @p", "$orderby=@p", "$expand=createdby($filter=fullname eq @p)"]
)
def test_aliases_are_refused_inside(company: Client, options: str) -> None:
    path = f"accounts?$expand=contact_customer_accounts({options})&@p='Ada'"

    assert company.error("GET", path) == (400, "0x80060888")


def test_a_text_may_look_like_an_alias_inside(company: Client) -> None:
    path = "accounts?$filter=name eq 'Acme'&$expand=contact_customer_accounts($filter=lastname eq '@p')&@p='Ada'"

    assert company.rows(path)[0]["contact_customer_accounts"] == []


def test_a_single_expand_is_not_paged(company: Client) -> None:
    path = "accounts?$select=name&$orderby=name&$expand=contact_customer_accounts($select=lastname)"
    [row] = company.rows(path, prefer="odata.maxpagesize=1")

    assert len(row["contact_customer_accounts"]) == 5


def test_nested_expands_are_paged(company: Client) -> None:
    path = (
        "accounts?$select=name&$orderby=name&"
        "$expand=contact_customer_accounts($select=lastname;$expand=owninguser($select=fullname))"
    )
    [row, _] = company.rows(path, prefer="odata.maxpagesize=2")
    found = row["contact_customer_accounts"]
    assert len(found) == 2
    assert "_parentcustomerid_value" not in found[0]
    link = row["contact_customer_accounts@odata.nextLink"]
    assert "$expand=owninguser($select=fullname)&$skiptoken=%3Ccookie%20pagenumber=%222%22" in link
    assert f"last%253d%2522%257b{found[-1]['contactid']}%257d%2522" in link
    assert f"first%253d%2522%257b{found[0]['contactid']}%257d%2522" in link

    following = [contact for page in company.pages(link, prefer="odata.maxpagesize=2") for contact in page["value"]]

    assert len({contact["contactid"] for contact in [*found, *following]}) == 5
    assert following[0]["owninguser"]["fullname"]


def test_nested_expands_on_the_last_page_have_no_link(company: Client) -> None:
    path = "accounts?$filter=name eq 'Acme'&$expand=contact_customer_accounts($expand=owninguser)"

    [row] = company.rows(path, prefer="odata.maxpagesize=10")

    assert "contact_customer_accounts@odata.nextLink" not in row


def test_many_to_many_from_both_sides(company: Client) -> None:
    [ada] = company.rows(
        "contacts?$select=lastname&$filter=lastname eq 'Ada'&"
        "$expand=acme_interest_contact($select=acme_name;$orderby=acme_name)"
    )
    interests = company.rows("acme_interests?$expand=acme_interest_contact($select=lastname;$filter=lastname eq 'Bob')")

    assert [row["acme_name"] for row in ada["acme_interest_contact"]] == ["Data", "Design"]
    assert [[row["lastname"] for row in interest["acme_interest_contact"]] for interest in interests] == [["Bob"]] * 2
    assert company.rows(ada["acme_interest_contact@odata.nextLink"]) == ada["acme_interest_contact"]


def test_several_many_to_many_relationships_together(company: Client) -> None:
    [user, *_] = company.rows("systemusers?$expand=teammembership_association,systemuserroles_association")

    assert isinstance(user["teammembership_association"], list)
    assert isinstance(user["systemuserroles_association"], list)


def test_expanded_users_show_their_key_twice(company: Client) -> None:
    for row in company.rows("contacts?$select=lastname&$expand=owninguser($select=fullname)"):
        assert row["owninguser"]["systemuserid"] == row["owninguser"]["ownerid"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("accounts?$expand=" + ",".join(["createdby"] * 16), "exceeds the limit of 15"),
        (
            "accounts?$expand=createdby($expand=" + ",".join(["businessunitid"] * 15) + ")",
            "exceeds the limit of 15",
        ),
        ("contacts?$expand=acme_interest_contact,createdby", "cannot be combined with other expands"),
        ("contacts?$expand=acme_interest_contact($expand=createdby)", "inside another expand"),
        ("accounts?$expand=primarycontactid($expand=acme_interest_contact)", "inside another expand"),
        ("accounts?$expand=contact_customer_accounts/$ref", "Expand with $ref is only supported on lookup type"),
        ("accounts?$expand=contact_customer_accounts($top=1;$expand=createdby)", ONLY_SELECT_AND_FILTER),
        (
            "accounts?$expand=createdby($expand=businessunitid),contact_customer_accounts($top=1)",
            ONLY_SELECT_AND_FILTER,
        ),
        ("accounts?$expand=primarycontactid($orderby=lastname)", ONLY_SELECT_AND_FILTER),
        ("accounts?$expand=contact_customer_accounts($levels=2)", "'$levels' is not supported"),
        ("accounts?$expand=contact_customer_accounts($skip=2)", "'$skip' is not supported"),
        ("accounts?$expand=contact_customer_accounts($top=x)", "Invalid value 'x' for $top"),
        ("accounts?$expand=nothing", "Could not find a property named 'nothing'"),
        ("accounts?$expand=primarycontactid($select=nothing)", "Could not find a property named 'nothing'"),
        ("accounts?$expand=primarycontactid($select=", "Syntax error in $expand"),
    ],
)
def test_refused(company: Client, path: str, message: str) -> None:
    answer = company.get(path)

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "0x80060888"
    assert message in answer.json()["error"]["message"]


def test_fifteen_are_taken(company: Client) -> None:
    assert company.get("accounts?$expand=" + ",".join(["createdby"] * 15)).status_code == 200
