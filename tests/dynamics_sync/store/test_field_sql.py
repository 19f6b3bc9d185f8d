"""Values as text: both databases write them so that the same value can be read again, and mostly in the same way."""

from datetime import UTC, date, datetime
from decimal import Decimal

import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dynamics_sync.store.field_sql import as_text, differs, is_same
from dynamics_sync.store.schema import entity_table

ANN = "00000000-0000-0000-0000-00000000000a"

#: As many as Dataverse takes. SQLite before 3.43 writes numbers of hundreds of digits less exactly.
DOUBLES = st.floats(-1e11, 1e11).map(lambda number: number if abs(number) > 1e-10 else 0.0)

#: For each field its values, and how Python reads the text. Fifteen digits are what SQLite holds of a number.
NUMBERS = {
    "rate": (st.decimals("-99999.9999999999", "99999.9999999999", places=10), Decimal),
    "revenue": (st.decimals("-99999999999", "99999999999", places=4), Decimal),
    "latitude": (DOUBLES, float),
    "employees": (st.integers(-(2**63), 2**63 - 1), int),
}
TEXTS = {
    "name": ("it's\t\\N ä", "it's\t\\N ä"),
    "do_not_email": (True, "true"),
    "created_at": (datetime(2025, 3, 30, 1, 30, 0, 120_000, UTC), "2025-03-30 01:30:00.120000"),
    "born_on": (date(1899, 12, 31), "1899-12-31"),
    "origin_id": (ANN, ANN),
    "rating_code": (7, "7"),
    "interests_code": ("1,2", "1,2"),
    "owner_id": (ANN, f"team/{ANN}"),
}


def texts_of(sandbox, **values):
    """Write one row, and return the text of each of its fields by its column."""
    table, dialect = entity_table(sandbox.entity), sandbox.db.dialect_name
    with sandbox.db.writing() as connection:
        connection.execute(table.delete())
        connection.execute(table.insert().values(values))
    fields = sandbox.entity.mapped_fields
    return sandbox.query(sa.select(*(as_text(field, table, dialect).label(field.column) for field in fields)))[0]


@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(values=st.fixed_dictionaries({name: values for name, (values, _) in NUMBERS.items()}))
def test_a_number_is_the_same_number_when_its_text_is_read(sandbox, values):
    texts = texts_of(sandbox, **values)
    assert {name: read(texts[name]) for name, (_, read) in NUMBERS.items()} == values
    # Zeros at the end may differ, but a decimal is never written with an exponent.
    assert "e" not in (texts["rate"] + texts["revenue"]).lower()


def test_other_values_have_one_text_on_both_databases(sandbox):
    values = {name: value for name, (value, _) in TEXTS.items()}
    texts = texts_of(sandbox, **values, owner_type="team")
    assert {name: texts[name] for name in TEXTS} == {name: text for name, (_, text) in TEXTS.items()}


def test_no_value_has_no_text(sandbox):
    assert set(texts_of(sandbox).values()) == {None}


def test_a_lookup_that_points_nowhere_is_none_whatever_its_table(sandbox):
    table = entity_table(sandbox.entity)
    lookups = [(ANN, "team"), (ANN, "systemuser"), (ANN, None), (None, "team"), (None, None)]
    with sandbox.db.writing() as connection:
        connection.execute(table.insert(), [{"owner_id": guid, "owner_type": target} for guid, target in lookups])
    owner = next(field for field in sandbox.entity.mapped_fields if field.name == "ownerid")
    one, other = table.alias("one"), table.alias("other")
    sides = (*(side.c[name] for side in (one, other) for name in ("owner_id", "owner_type")),)
    query = sa.select(*sides, is_same(owner, one, other), differs(owner, one, other))
    with sandbox.db.reading() as connection:
        found = connection.execute(query.select_from(sa.join(one, other, sa.true()))).all()
    assert len(found) == len(lookups) ** 2
    for *values, same, apart in found:
        first, second = (None if guid is None else (guid, target) for guid, target in (values[:2], values[2:]))
        assert (bool(same), bool(apart)) == (first == second, first != second)
