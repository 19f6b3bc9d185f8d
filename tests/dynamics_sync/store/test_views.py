"""The view of opportunities, their contacts and roles."""

import pyarrow as pa
import pytest
import sqlalchemy as sa

from dynamics_sync.store.deletions import Breaker, mark_deleted
from dynamics_sync.store.schema import ensure_tables
from dynamics_sync.store.views import VIEW, ensure_views

OPEN = Breaker(0, 0, open=True)
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


def connection(words, number, one, other):
    values = {"connection_id": words.guid(number), "crm_version": 1}
    for side, (record, kind, role) in ((1, one), (2, other)):
        values |= {f"record{side}_id": words.guid(record), f"record{side}_type": kind}
        values |= {f"record{side}_role_name": role}
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
            connection(words, 24, deal, (12, "contact", None)),
            connection(words, 25, (12, "contact", None), deal),
            connection(words, 26, (11, "contact", "Friend"), (12, "contact", "Friend")),
            connection(words, 27, deal, (2, "opportunity", None)),
            connection(words, 28, (99, "opportunity", None), person),
        ],
    )
    assert roles(opportunities) == [
        (1, 11, "Customer", "customer", True),
        (1, 11, "Decision maker", "connection", False),
        (1, 11, "Stakeholder", "connection", False),
        (1, 12, "", "connection", False),
    ]


@pytest.mark.parametrize(
    ("name", "number", "left"), [("opportunity", 1, []), ("connection", 21, [(1, 11, "Customer", "customer", True)])]
)
def test_deleted_rows_show_no_role(opportunities, words, name, number, left):
    ensure_views(opportunities.db)
    link = connection(words, 21, (1, "opportunity", None), (12, "contact", "Influencer"))
    fill(opportunities, words, [opportunity(words, 1, 11, "contact")], [link])
    assert len(roles(opportunities)) == 2
    entity = words.entity(name)
    run = opportunities.begin(entity=entity)
    mark_deleted(opportunities.db, entity, run, pa.array([words.guid(number)]), OPEN)
    assert roles(opportunities) == left
