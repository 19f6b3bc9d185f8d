"""Tables that are made, extended and refused; values that come back as they were put in."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
import sqlalchemy as sa

from dynamics_sync.errors import ColumnConflict
from dynamics_sync.store.database import MarketingDatabase
from dynamics_sync.store.schema import ensure_tables, entity_table, rows_schema
from dynamics_sync.store.views import VIEW, ensure_views


def columns_of(db, table):
    with db.reading() as connection:
        return {c["name"]: str(c["type"]) for c in sa.inspect(connection).get_columns(table)}


def with_field(words, **fields):
    """Return the sample with other or more fields."""
    entity = words.entity("sample")
    return words.entity("sample", fields={**entity.model_dump()["fields"], **fields})


def test_the_columns_are_key_fields_and_the_syncs_own_in_order(sample):
    table = entity_table(sample)
    names = [column.name for column in table.columns]
    own = ["crm_deleted_at", "crm_read_at", "updated_at"]
    assert names == [*rows_schema(sample).names, *own]
    assert (names[0], names[-4:]) == ("sample_id", ["crm_version", *own])
    assert entity_table(sample) is table


def test_a_table_is_created_once(db, sample):
    assert ensure_tables(db, sample) == ("created table sample",)
    assert ensure_tables(db, sample) == ()
    assert list(columns_of(db, "sample")) == [column.name for column in entity_table(sample).columns]


@pytest.mark.parametrize("name", ["sync_run", "sync_slice", "sync_quarantine", "sync_environment"])
def test_the_syncs_own_tables_are_created_with_the_first(db, sample, name):
    ensure_tables(db, sample)
    assert columns_of(db, name)


def test_a_new_field_adds_a_column_and_keeps_the_rows(sandbox, words):
    sandbox.load(sandbox.begin(), [words.row(1, 1, name="Ada")])
    longer = with_field(words, fax={"column": "fax", "type": "text"}, stage={"column": "stage", "type": "option"})
    assert ensure_tables(sandbox.db, longer) == (
        "added column sample.fax",
        "added column sample.stage_code",
        "added column sample.stage_label",
    )
    assert ensure_tables(sandbox.db, longer) == ()
    row = sandbox.held(longer)[words.guid(1)]
    assert (row["name"], row["fax"]) == ("Ada", None)
    sandbox.load(sandbox.begin(), [words.row(1, 1, name="Ada", fax="555")], entity=longer)
    assert sandbox.held(longer)[words.guid(1)]["fax"] == "555"


def test_a_table_of_an_earlier_release_gets_the_instant_of_reading(sandbox, words):
    sandbox.load(sandbox.begin(minutes=1), [words.row(1, 1, name="Ada")])
    with sandbox.db.writing() as connection:
        connection.execute(sa.text("ALTER TABLE sample DROP COLUMN crm_read_at"))
    assert ensure_tables(sandbox.db, sandbox.entity) == ("added column sample.crm_read_at",)
    assert ensure_tables(sandbox.db, sandbox.entity) == ()
    assert sandbox.held()[words.guid(1)]["crm_read_at"] == datetime(1970, 1, 1, tzinfo=UTC)
    sandbox.load(sandbox.begin(minutes=2), [words.row(1, 2, name="Ada"), words.row(2, 1)])
    assert {row["crm_read_at"] for row in sandbox.held().values()} == {words.at(2)}


def test_a_field_that_left_the_catalogue_keeps_its_column(sandbox, words):
    sandbox.load(sandbox.begin(), [words.row(1, 1, name="Ada", notes="kept")])
    fields = words.entity("sample").model_dump()["fields"]
    del fields["notes"]
    shorter = words.entity("sample", fields=fields)
    assert ensure_tables(sandbox.db, shorter) == ()
    sandbox.load(sandbox.begin(), [words.row(1, 2, name="Grace")], entity=shorter)
    row = sandbox.held()[words.guid(1)]
    assert (row["name"], row["notes"]) == ("Grace", "kept")


@pytest.mark.parametrize("field_type", ["integer", "money", "boolean", "float"])
def test_a_column_of_another_type_is_a_conflict_and_nothing_is_changed(sandbox, words, field_type):
    before = columns_of(sandbox.db, "sample")
    changed = with_field(words, name={"column": "name", "type": field_type}, fax={"column": "fax", "type": "text"})
    with pytest.raises(ColumnConflict, match=r"column sample\.name is of type VARCHAR\(20\)"):
        ensure_tables(sandbox.db, changed)
    assert columns_of(sandbox.db, "sample") == before


def test_money_does_not_become_a_decimal(sandbox, words):
    with pytest.raises(ColumnConflict, match=r"NUMERIC\(19, 4\), the catalogue needs NUMERIC\(38, 10\)"):
        ensure_tables(sandbox.db, with_field(words, revenue={"column": "revenue", "type": "decimal"}))


@pytest.mark.parametrize("length", [30, None])
def test_a_text_may_grow(sandbox, words, length):
    longer = with_field(words, name={"column": "name", "type": "text", "length": length})
    done = ensure_tables(sandbox.db, longer)
    if sandbox.db.dialect_name == "postgresql":
        wanted = "VARCHAR(30)" if length else "TEXT"
        assert done == (f"widened column sample.name to {wanted}",)
        assert columns_of(sandbox.db, "sample")["name"] == wanted
    sandbox.load(sandbox.begin(), [words.row(1, 1, name="x" * 30)], entity=longer)
    assert sandbox.held(longer)[words.guid(1)]["name"] == "x" * 30


def test_a_text_that_became_shorter_keeps_its_column(sandbox, words):
    shorter = with_field(
        words,
        name={"column": "name", "type": "text", "length": 10},
        notes={"column": "notes", "type": "text", "length": 10},
    )
    before = columns_of(sandbox.db, "sample")
    assert ensure_tables(sandbox.db, shorter) == ()
    assert columns_of(sandbox.db, "sample") == before


def test_a_text_grows_also_under_the_view_that_shows_it(db, words):
    ensure_tables(db, words.entity("opportunity"))
    ensure_tables(db, words.entity("connection"))
    assert ensure_views(db)
    entity = words.entity("opportunity")
    fields = {**entity.model_dump()["fields"], "customerid": {"column": "customer", "type": "lookup"}}
    fields["customerid"]["targets"] = ["account", "contact"]
    fields["name"] = {"column": "name", "type": "text", "length": 400}
    ensure_tables(db, words.entity("opportunity", fields=fields))
    assert not ensure_views(db)
    assert columns_of(db, VIEW)


@pytest.mark.parametrize("kind", ["VIEW", "MATERIALIZED VIEW"])
def test_a_text_does_not_grow_under_a_view_of_the_team(postgresql_url, clock, sample, words, kind):
    with MarketingDatabase.open(postgresql_url, clock=clock) as db:
        ensure_tables(db, sample)
        with db.writing() as connection:
            connection.execute(sa.text(f"CREATE {kind} team_report AS SELECT name FROM sample"))
        before = columns_of(db, "sample")
        name = {"column": "name", "type": "text", "length": 30}
        longer = with_field(words, name=name, fax={"column": "fax", "type": "text"})
        with pytest.raises(ColumnConflict, match=r"column sample\.name cannot get longer: a view of your own"):
            ensure_tables(db, longer)
        assert columns_of(db, "sample") == before
        with db.writing() as connection:
            connection.execute(sa.text(f"DROP {kind} team_report"))
        assert ensure_tables(db, longer) == ("added column sample.fax", "widened column sample.name to VARCHAR(30)")


def test_a_table_that_is_not_ours_is_left_alone(db, sample):
    with db.writing() as connection:
        connection.execute(sa.text("CREATE TABLE sample (sample_id INTEGER, name TEXT)"))
    with pytest.raises(ColumnConflict, match="table sample exists, but has no column crm_version"):
        ensure_tables(db, sample)
    assert list(columns_of(db, "sample")) == ["sample_id", "name"]


EXTREMES = [
    {"name": "", "notes": ""},
    {"name": None, "notes": None},
    {"name": "👩‍💻 Ada", "notes": "שלום · مرحبا · 你好 · \u202eright to left\u202c"},
    {"notes": "tab\t, line\n, return\r, back\\slash, \\N, \\., 'quote', \"quote\", %s, :name, $1, {}"},
    {"notes": "\\."},
    {"notes": "\\N", "name": "\\"},
    {"notes": "\n\\.\n"},
    {"employees": 2**63 - 1},
    {"employees": -(2**63)},
    {"latitude": 1.7976931348623157e308},
    {"latitude": -5e-324},
    {"latitude": 0.1},
    {"do_not_email": True},
    {"do_not_email": False},
    {"created_at": datetime(1753, 1, 1, tzinfo=UTC)},
    {"created_at": datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)},
    {"created_at": datetime(2024, 2, 29, 12, 0, 0, 1, tzinfo=UTC)},
    {"born_on": date(1753, 1, 1)},
    {"born_on": date(9999, 12, 31)},
    {"origin_id": "ffffffff-ffff-ffff-ffff-ffffffffffff"},
    {"owner_id": "00000000-0000-0000-0000-000000000000", "owner_type": "team"},
    {"rating_code": -(2**31), "rating_label": "Hot 🔥", "interests_code": "1;2", "interests_label": "a;b"},
    {"revenue": Decimal("0.0001"), "rate": Decimal("0.0000000001")},
    {"revenue": Decimal("99999999999.9999"), "rate": Decimal("-99999.9999999999")},
    {"revenue": Decimal("100000000000.0000"), "rate": Decimal("0E-10")},
    {"rate": Decimal("100000000000.1000000000")},
]


def test_values_come_back_as_they_were_put_in_and_are_seen_as_unchanged(sandbox, words):
    rows = [words.row(number, 1, **values) for number, values in enumerate(EXTREMES)]
    assert sandbox.load(sandbox.begin(), rows).inserted == len(rows)
    assert sandbox.load(sandbox.begin(), rows).unchanged == len(rows)
    held = sandbox.held()
    for number, values in enumerate(EXTREMES):
        row = held[words.guid(number)]
        assert {name: row[name] for name in values} == values
        types = {name: type(row[name]) for name in values}
        assert types == {name: type(value) for name, value in values.items()}
        rest = row.keys() - values.keys() - {"sample_id", "crm_version", "crm_read_at", "updated_at"}
        assert {row[name] for name in rest} == {None}


def test_numbers_keep_as_many_digits_as_the_database_says(sandbox, words):
    largest = {"revenue": Decimal("-922337203685477.5807"), "rate": Decimal("9999999999999999999999999999.9999999999")}
    sandbox.load(sandbox.begin(), [words.row(1, 1, **largest)])
    row = sandbox.held()[words.guid(1)]
    is_exact = {name: row[name] for name in largest} == largest
    assert is_exact == (sandbox.db.exact_digits is None)


def test_instants_sort_as_time_does(sandbox, words):
    instants = [
        datetime(year, 1, 1, 0, 0, second, tzinfo=UTC) for year in (1753, 1999, 2024, 9999) for second in (0, 1)
    ]
    sandbox.load(sandbox.begin(), [words.row(n, 1, created_at=instant) for n, instant in enumerate(instants)])
    table = entity_table(sandbox.entity)
    rows = sandbox.query(sa.select(table.c.created_at).order_by(table.c.created_at))
    assert [row["created_at"] for row in rows] == instants
    (later,) = sandbox.query(sa.select(sa.func.count().label("n")).where(table.c.created_at > instants[4]))
    assert later["n"] == 3
