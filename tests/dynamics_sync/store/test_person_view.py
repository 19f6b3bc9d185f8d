"""The view of people: one row for each human, whatever leads and contacts are linked, merged or deleted."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from uuid import UUID

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dynamics_sync.catalogue import load_catalogue
from dynamics_sync.errors import ColumnConflict
from dynamics_sync.store.database import MarketingDatabase
from dynamics_sync.store.schema import ensure_tables, entity_table
from dynamics_sync.store.views import PERSON, ensure_views

QUALIFIED, OPEN_LEAD = 1, 0
OWN = ["person_id", "crm_type", "table_name", "lead_id", "contact_id", "company"]
STATE = ["crm_version", "crm_deleted_at", "crm_read_at", "updated_at"]

#: The fixture gives one database for all examples; each of them begins by emptying its tables.
LAWS = settings(
    deadline=None,
    derandomize=True,
    max_examples=200,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


class Row(NamedTuple):
    """A lead or a contact; other rows by their numbers. A lead's `link` is its parent contact, a contact's its lead."""

    link: int | None = None
    master: int | None = None
    is_merged: bool | None = None
    is_deleted: bool = False
    state: int | None = QUALIFIED
    version: int | None = 1


Rows = Mapping[int, Row]


class Person(NamedTuple):
    """A row of the view, by numbers."""

    person: int
    crm_type: str | None
    table: str
    lead: int | None
    contact: int | None


@pytest.fixture
def people(db, words) -> MarketingDatabase:
    """Tables of leads, contacts and accounts, and the view."""
    for name in ("lead", "contact", "account"):
        ensure_tables(db, words.entity(name))
    assert ensure_views(db)
    return db


def fill(db: MarketingDatabase, words: Any, leads: Rows, contacts: Rows) -> None:
    """Replace all rows."""

    def guid(number: int | None) -> str | None:
        return None if number is None else words.guid(number)

    def values(kind: str, number: int, row: Row) -> dict[str, Any]:
        own = {f"{kind}_id": guid(number), "email": f"{kind} {number}", f"master_{kind}_id": guid(row.master)}
        if kind == "lead":
            own |= {"parent_contact_id": guid(row.link), "state_code": row.state}
        else:
            own |= {"originating_lead_id": guid(row.link)}
        deleted_at = words.at(1) if row.is_deleted else None
        return {**own, "is_merged": row.is_merged, "crm_version": row.version, "crm_deleted_at": deleted_at}

    with db.writing() as connection:
        for kind, rows in (("lead", leads), ("contact", contacts)):
            table = entity_table(words.entity(kind))
            connection.execute(table.delete())
            if rows:
                connection.execute(table.insert(), [values(kind, number, row) for number, row in rows.items()])


def held(db: MarketingDatabase) -> list[Person]:
    """Return the view's rows; each must show the values of its own row."""
    with db.reading() as connection:
        found = connection.execute(sa.text(f"SELECT * FROM {PERSON}")).mappings().all()
    people = []
    for row in found:
        ids = [row[name] and UUID(str(row[name])).int for name in ("person_id", "lead_id", "contact_id")]
        people.append(Person(ids[0], row["crm_type"], row["table_name"], *ids[1:]))
        assert row["email"] == f"{row['table_name']} {ids[0]}"
    return sorted(people, key=lambda person: person.person)


# --- an oracle that knows humans, but no SQL ----------------------------------------------------------


Node = tuple[str, int]


def links(leads: Rows, contacts: Rows) -> Iterator[tuple[Node, Node]]:
    for number, row in leads.items():
        if row.link in contacts and row.state == QUALIFIED:
            yield ("lead", number), ("contact", row.link)
        if row.is_merged and row.master in leads:
            yield ("lead", number), ("lead", row.master)
        if number in contacts:
            yield ("lead", number), ("contact", number)
    for number, row in contacts.items():
        if row.link in leads:
            yield ("contact", number), ("lead", row.link)
        if row.is_merged and row.master in contacts:
            yield ("contact", number), ("contact", row.master)


def humans(leads: Rows, contacts: Rows) -> list[set[Node]]:
    groups = [{("lead", number)} for number in leads] + [{("contact", number)} for number in contacts]
    for one, other in links(leads, contacts):
        joined = [group for group in groups if one in group or other in group]
        groups = [group for group in groups if group not in joined] + [set().union(*joined)]
    return groups


def expected(leads: Rows, contacts: Rows) -> list[Person]:
    tables = {"lead": leads, "contact": contacts}

    def place(node: Node) -> tuple[object, ...]:
        kind, number = node
        row = tables[kind][number]
        master = tables[kind].get(row.master) if row.is_merged and row.master != number else None
        stands_behind = master is not None and (not master.is_deleted or row.is_deleted)
        return row.is_deleted, kind == "lead", stands_behind, number

    people = []
    for human in humans(leads, contacts):
        kind, number = min(human, key=place)
        best = {name: min((n for n in human if n[0] == name), key=place, default=(name, None))[1] for name in tables}
        lead = best["lead"]
        if kind == "contact" and contacts[number].link in leads:
            lead = contacts[number].link
        in_dynamics = tables[kind][number].version is not None
        people.append(Person(number, kind if in_dynamics else None, kind, lead, best["contact"]))
    return sorted(people, key=lambda person: person.person)


def rows_of(numbers: range, links_to: range) -> st.SearchStrategy[dict[int, Row]]:
    # Few rows and many links, so that chains, circles and rows with several links are common.
    row = st.builds(
        Row,
        link=st.sampled_from([None, *links_to]),
        master=st.sampled_from([None, *numbers]),
        is_merged=st.sampled_from([True, True, True, False, None]),
        is_deleted=st.booleans(),
        state=st.sampled_from([QUALIFIED, QUALIFIED, OPEN_LEAD, None]),
        version=st.sampled_from([None, 1, 1]),
    )
    return st.fixed_dictionaries({}, optional=dict.fromkeys(numbers, row))


#: One number is of a lead and of a contact.
LEADS, CONTACTS = range(1, 5), range(4, 8)


@given(leads=rows_of(LEADS, CONTACTS), contacts=rows_of(CONTACTS, LEADS))
@LAWS
def test_each_human_is_shown_once(people, words, leads, contacts):
    fill(people, words, leads, contacts)
    shown = held(people)
    assert shown == expected(leads, contacts)
    numbers = [person.person for person in shown]
    assert len(numbers) == len(set(numbers)) == len(humans(leads, contacts))
    for column in ("lead", "contact"):
        known = [value for person in shown if (value := getattr(person, column)) is not None]
        assert len(known) == len(set(known))


# --- the same by name ---------------------------------------------------------------------------------


GONE = Row(is_deleted=True)
MERGED = Row(master=2, is_merged=True)


@pytest.mark.parametrize(
    ("leads", "contacts", "shown"),
    [
        pytest.param({1: Row()}, {11: Row()}, [("lead", 1, None), ("contact", None, 11)], id="strangers"),
        pytest.param({1: Row(state=0)}, {11: Row(link=1)}, [("contact", 1, 11)], id="qualified"),
        pytest.param(
            {1: Row(link=11)}, {11: Row()}, [("contact", 1, 11)], id="qualified into a contact that was there"
        ),
        pytest.param(
            {1: Row(link=11, state=0)}, {11: Row()}, [("lead", 1, None), ("contact", None, 11)], id="of a contact, open"
        ),
        pytest.param({1: Row(link=12)}, {}, [("lead", 1, None)], id="its contact was never copied"),
        pytest.param({1: Row()}, {11: Row(link=1, is_deleted=True)}, [("lead", 1, 11)], id="its contact is deleted"),
        pytest.param({1: GONE}, {11: Row(link=1, is_deleted=True)}, [("contact", 1, 11)], id="both are deleted"),
        pytest.param({1: GONE}, {}, [("lead", 1, None)], id="a deleted lead"),
        pytest.param(
            {1: Row()},
            {11: Row(link=1, is_deleted=True), 12: Row(link=1)},
            [("contact", 1, 12)],
            id="qualified again after its contact was deleted",
        ),
        pytest.param({1: MERGED, 2: Row()}, {}, [("lead", 2, None)], id="merged"),
        pytest.param({1: MERGED}, {}, [("lead", 1, None)], id="its master was never copied"),
        pytest.param({1: MERGED, 2: GONE}, {}, [("lead", 1, None)], id="its master is deleted"),
        pytest.param({1: Row(master=2), 2: Row()}, {}, [("lead", 1, None), ("lead", 2, None)], id="not merged"),
        pytest.param({1: MERGED, 2: Row()}, {11: Row(link=1)}, [("contact", 1, 11)], id="qualified, then merged"),
        pytest.param({}, {1: MERGED, 2: Row(master=1, is_merged=True)}, [("contact", None, 1)], id="in a circle"),
        pytest.param({1: Row()}, {1: Row()}, [("contact", 1, 1)], id="the same GUID"),
    ],
)
def test_which_row_is_shown(people, words, leads, contacts, shown):
    fill(people, words, leads, contacts)
    assert [person[2:] for person in held(people)] == shown


def test_a_row_that_is_not_in_dynamics_has_no_type(people, words):
    fill(people, words, {1: Row(version=None), 2: Row()}, {11: Row(version=None), 12: Row()})
    assert [person.crm_type for person in held(people)] == [None, "lead", None, "contact"]


def test_a_deleted_person_says_so(people, words):
    fill(people, words, {1: GONE, 2: Row()}, {})
    with people.reading() as connection:
        query = sa.text(f"SELECT crm_deleted_at IS NOT NULL FROM {PERSON} ORDER BY person_id")
        assert [bool(value) for value in connection.execute(query).scalars()] == [True, False]


def test_a_thousand_leads_of_one_contact_are_one_person(people, words):
    fill(people, words, {number: Row(link=5000) for number in range(1, 1001)}, {5000: GONE})
    assert held(people) == [Person(1, "lead", "lead", 1, 5000)]


def test_the_company_of_a_contact_is_its_account(people, words):
    tables = {name: entity_table(words.entity(name)) for name in ("lead", "contact", "account")}
    with people.writing() as connection:
        connection.execute(tables["account"].insert(), {"account_id": words.guid(1), "name": "Fabrikam"})
        connection.execute(tables["lead"].insert(), {"lead_id": words.guid(2), "company": "Contoso"})
        ids = {"contact_id": words.guid(3), "parent_customer_id": words.guid(1)}
        connection.execute(tables["contact"].insert(), [ids, {"contact_id": words.guid(4), "parent_customer_id": None}])
    with people.reading() as connection:
        rows = connection.execute(sa.text(f"SELECT company FROM {PERSON} ORDER BY person_id"))
        assert rows.scalars().all() == ["Contoso", "Fabrikam", None]


# --- the definition -----------------------------------------------------------------------------------


def view_columns(db: MarketingDatabase) -> list[str]:
    with db.reading() as connection:
        return [column["name"] for column in sa.inspect(connection).get_columns(PERSON)]


def with_fields(words, name, /, *left_out, **more):
    fields = {**words.entity(name).model_dump(exclude_unset=True)["fields"], **more}
    return words.entity(name, fields={field: spec for field, spec in fields.items() if field not in left_out})


def test_it_has_what_both_tables_have_alike(people):
    assert view_columns(people) == [*OWN, "email", "is_merged", *STATE]


def test_a_column_that_both_tables_get_appears(people, words):
    score = {"column": "score", "type": "integer"}
    ensure_tables(people, with_fields(words, "lead", score=score))
    assert not ensure_views(people)
    ensure_tables(people, with_fields(words, "contact", score=score))
    assert ensure_views(people)
    assert not ensure_views(people)
    assert view_columns(people) == [*OWN, "email", "is_merged", *STATE, "score"]


def test_without_the_columns_of_links_all_rows_are_shown(db, words):
    ensure_tables(db, with_fields(words, "lead", "parentcontactid", "masterid", "merged", "companyname"))
    assert not ensure_views(db)
    ensure_tables(db, with_fields(words, "contact", "originatingleadid", "masterid", "parentcustomerid"))
    assert ensure_views(db)
    with db.writing() as connection:
        connection.execute(entity_table(words.entity("lead")).insert(), {"lead_id": words.guid(1)})
        connection.execute(entity_table(words.entity("contact")).insert(), {"contact_id": words.guid(2)})
    assert view_columns(db) == [*OWN, "email", *STATE]
    with db.reading() as connection:
        assert connection.execute(sa.text(f"SELECT count(*) FROM {PERSON}")).scalar_one() == 2
    # The links come with their columns.
    for name in ("lead", "contact"):
        ensure_tables(db, words.entity(name))
    assert ensure_views(db)
    fill(db, words, {1: Row(link=11)}, {11: Row()})
    assert [person[2:] for person in held(db)] == [("contact", 1, 11)]


def test_the_shipped_catalogue_has_the_columns_that_marketing_asks_for(db):
    for name in ("lead", "contact"):
        ensure_tables(db, load_catalogue().entity(name))
    assert ensure_views(db)
    asked = {"first_name", "last_name", "full_name", "email", "phone", "do_not_email", "owner_id"}
    assert {*OWN, *asked, "created_at", "modified_at", *STATE} <= set(view_columns(db))


def test_a_text_grows_under_the_view(people, words):
    for name in ("lead", "contact"):
        ensure_tables(people, with_fields(words, name, emailaddress1={"column": "email", "type": "text"}))
        assert not ensure_views(people)
    fill(people, words, {1: Row()}, {})
    assert len(held(people)) == 1


def test_a_view_of_the_team_is_in_the_way_of_what_changes_this_one_only(postgresql_url, clock, sample, words):
    with MarketingDatabase.open(postgresql_url, clock=clock) as db:
        for name in ("lead", "contact"):
            ensure_tables(db, words.entity(name))
        ensure_tables(db, sample)
        ensure_views(db)
        with db.writing() as connection:
            connection.execute(sa.text(f"CREATE VIEW team_report AS SELECT email FROM {PERSON}"))
        name = {"column": "name", "type": "text"}
        fields = {**sample.model_dump()["fields"], "name": name}
        assert ensure_tables(db, words.entity("sample", fields=fields)) == ("widened column sample.name to TEXT",)
        longer = with_fields(words, "lead", emailaddress1={"column": "email", "type": "text"})
        with pytest.raises(ColumnConflict, match="the view person has to be made anew, but a view of your own"):
            ensure_tables(db, longer)
        ensure_tables(db, words.entity("account"))
        with pytest.raises(ColumnConflict, match="the view person has to be made anew, but a view of your own"):
            ensure_views(db)
        with db.reading() as connection:
            assert connection.execute(sa.text("SELECT count(*) FROM team_report")).scalar_one() == 0


def test_a_table_of_that_name_is_left_alone(db, words):
    with db.writing() as connection:
        connection.execute(sa.text(f"CREATE TABLE {PERSON} (name TEXT)"))
    for name in ("lead", "contact"):
        ensure_tables(db, words.entity(name))
    with pytest.raises(ColumnConflict, match="the sync makes a view person, but a table of your own has that name"):
        ensure_views(db)
    assert view_columns(db) == ["name"]
