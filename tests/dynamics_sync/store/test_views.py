"""The view of opportunities, their contacts and roles."""

import pyarrow as pa
import pytest
import sqlalchemy as sa

from dynamics_sync.errors import ColumnConflict
from dynamics_sync.store.database import MarketingDatabase
from dynamics_sync.store.deletions import Breaker, mark_deleted
from dynamics_sync.store.schema import ensure_tables
from dynamics_sync.store.views import VIEW, ensure_views

OPEN = Breaker(0, 0, open=True)
ACTIVE, INACTIVE = 0, 1
VIEW_TABLE = sa.table(
    VIEW, *(sa.column(name) for name in ("opportunity_id", "contact_id", "role", "origin", "is_primary"))
)


@pytest.fixture
def opportunities(sandbox, words):
    for name in ("opportunity", "connection"):
        ensure_tables(sandbox.db, words.entity(name))
    return sandbox


def opportunity(words, number, customer=None, customer_type=None):
    customer_id = None if customer is None else words.guid(customer)
    values = {"opportunity_id": words.guid(number), "crm_version": 1}
    return {**values, "customer_id": customer_id, "customer_type": customer_type}


def connection(words, number, one, other, state=ACTIVE):
    """Return a link of two sides, each of a record's number, its table, and its role or None."""
    values = {"connection_id": words.guid(number), "crm_version": 1, "state_code": state}
    for side, (record, kind, role) in ((1, one), (2, other)):
        values |= {f"record{side}_id": words.guid(record), f"record{side}_type": kind}
        values |= {f"record{side}_role_id": role and words.guid(31), f"record{side}_role_name": role}
    return values


def fill(sandbox, words, opportunities=(), connections=()):
    for name, rows in (("opportunity", opportunities), ("connection", connections)):
        entity = words.entity(name)
        sandbox.load(sandbox.begin(entity=entity), rows, entity=entity)


def roles(sandbox):
    rows = sandbox.query(sa.select(VIEW_TABLE))
    return sorted(
        (
            int(str(row["opportunity_id"])[-12:], 16),
            int(str(row["contact_id"])[-12:], 16),
            row["role"] or "",
            row["origin"],
            bool(row["is_primary"]),
        )
        for row in rows
    )


def test_without_its_tables_there_is_no_view(sandbox, words):
    assert not ensure_views(sandbox.db)
    ensure_tables(sandbox.db, words.entity("opportunity"))
    assert not ensure_views(sandbox.db)


def test_the_view_is_created_once(opportunities):
    assert ensure_views(opportunities.db)
    assert not ensure_views(opportunities.db)
    assert roles(opportunities) == []


def test_a_view_with_another_definition_is_replaced(opportunities):
    with opportunities.db.writing() as connection:
        connection.execute(sa.text(f"CREATE VIEW {VIEW} AS SELECT 1 AS old"))
    assert ensure_views(opportunities.db)
    assert roles(opportunities) == []


def test_customers_that_are_contacts(opportunities, words):
    ensure_views(opportunities.db)
    rows = [opportunity(words, 1, 11, "contact"), opportunity(words, 2, 12, "account"), opportunity(words, 3)]
    fill(opportunities, words, rows)
    assert roles(opportunities) == [(1, 11, "Customer", "customer", True)]


def test_a_connection_and_its_twin_are_one_role(opportunities, words):
    ensure_views(opportunities.db)
    deal, person = (1, "opportunity", None), (11, "contact", "Decision maker")
    fill(
        opportunities,
        words,
        [opportunity(words, 1, 11, "contact")],
        [
            connection(words, 21, deal, person),
            connection(words, 22, person, deal),
            connection(words, 23, deal, (11, "contact", "Stakeholder")),
            connection(words, 24, deal, (12, "contact", "Champion")),
            connection(words, 25, (12, "contact", "Champion"), deal),
            connection(words, 26, (11, "contact", "Friend"), (12, "contact", "Friend")),
            connection(words, 27, deal, (2, "opportunity", None)),
            connection(words, 28, (99, "opportunity", None), person),
        ],
    )
    assert roles(opportunities) == [
        (1, 11, "Customer", "customer", True),
        (1, 11, "Decision maker", "connection", False),
        (1, 11, "Stakeholder", "connection", False),
        (1, 12, "Champion", "connection", False),
    ]


def test_links_that_were_ended_or_give_the_contact_no_role_are_left_out(opportunities, words):
    ensure_views(opportunities.db)
    deal, with_role = (1, "opportunity", "Deal"), (1, "opportunity", None)
    links = [
        (deal, (11, "contact", None), ACTIVE),
        ((12, "contact", None), deal, ACTIVE),
        (with_role, (13, "contact", "Champion"), INACTIVE),
        ((14, "contact", "Champion"), with_role, INACTIVE),
        (with_role, (15, "contact", "Champion"), None),
        (with_role, (16, "contact", "Champion"), ACTIVE),
        ((17, "contact", "Champion"), with_role, ACTIVE),
    ]
    rows = [connection(words, 21 + number, *link) for number, link in enumerate(links)]
    fill(opportunities, words, [opportunity(words, 1)], rows)
    assert [row[:3] for row in roles(opportunities)] == [(1, 16, "Champion"), (1, 17, "Champion")]


def test_a_role_ends_when_its_link_is_ended(opportunities, words):
    ensure_views(opportunities.db)
    sides = (1, "opportunity", None), (11, "contact", "Champion")
    fill(opportunities, words, [opportunity(words, 1)], [connection(words, 21, *sides)])
    assert len(roles(opportunities)) == 1
    ended = {**connection(words, 21, *sides, INACTIVE), "crm_version": 2}
    fill(opportunities, words, connections=[ended])
    assert roles(opportunities) == []


def test_a_view_that_builds_on_an_outdated_one_is_named_and_kept(postgresql_url, clock, sample, words):
    with MarketingDatabase.open(postgresql_url, clock=clock) as db:
        for name in ("opportunity", "connection"):
            ensure_tables(db, words.entity(name))
        with db.writing() as writer:
            writer.execute(sa.text(f"CREATE VIEW {VIEW} AS SELECT 1 AS old"))
            writer.execute(sa.text(f"CREATE VIEW team_report AS SELECT old FROM {VIEW}"))
        with pytest.raises(ColumnConflict, match=f"the view {VIEW} has to be made anew, but a view of your own"):
            ensure_views(db)
        with db.reading() as reader:
            assert reader.execute(sa.text("SELECT old FROM team_report")).scalar_one() == 1


@pytest.mark.parametrize(
    ("name", "number", "left"), [("opportunity", 1, []), ("connection", 21, [(1, 11, "Customer", "customer", True)])]
)
def test_deleted_rows_show_no_role(opportunities, words, name, number, left):
    ensure_views(opportunities.db)
    link = connection(words, 21, (1, "opportunity", None), (12, "contact", "Influencer"))
    fill(opportunities, words, [opportunity(words, 1, 11, "contact")], [link])
    assert len(roles(opportunities)) == 2
    entity = words.entity(name)
    run = opportunities.begin(minutes=1, entity=entity)
    mark_deleted(opportunities.db, entity, run, pa.array([words.guid(number)]), OPEN, seen_at=words.at(1))
    assert roles(opportunities) == left
