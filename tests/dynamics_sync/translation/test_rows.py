"""transform: pure, loses no row, and sets aside each row that its table cannot hold."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dynamics_sync.entity import Entity
from dynamics_sync.errors import ROW_PROBLEMS, UnexpectedAnswer
from dynamics_sync.forward.manifest import Manifest
from dynamics_sync.forward.request import Mode
from dynamics_sync.forward.slices import whole_table
from dynamics_sync.forward.transform import transform_slice
from dynamics_sync.staging import StagingFolder
from dynamics_sync.store.runs import RunIdentity
from dynamics_sync.store.schema import rows_schema
from dynamics_sync.translation.fields import FORMATTED_VALUE, LOOKUP_TYPE, ReadPlan, plan_reading
from dynamics_sync.translation.rejected import Rejected, rejected_from_json, rejected_to_json
from dynamics_sync.translation.rows import Transformed, transform_rows

GUID = "AAAAAAAA-bbbb-CCCC-dddd-000000000001"
OTHER = "AAAAAAAA-bbbb-CCCC-dddd-000000000002"
GOOD: dict[str, Any] = {
    "sampleid": GUID,
    "versionnumber": 42,
    "name": "Zoë 😀",
    "count": 7,
    "rate": Decimal("0.1234567890"),
    "price": Decimal("12.3400"),
    "score": 1.5,
    "active": True,
    "seenon": datetime(2026, 3, 1, 8, 15, tzinfo=UTC),
    "born": date(1, 1, 1),
    "other": OTHER,
    "rating": 1,
    "interests": "2,1",
    "_owner_value": OTHER,
    f"_owner_value@{LOOKUP_TYPE}": "team",
    f"_owner_value@{FORMATTED_VALUE}": "Sales",
    "_parent_value": OTHER,
}


@pytest.fixture(scope="session")
def transform(entity: Entity, plan: ReadPlan) -> Callable[..., Transformed]:
    """Return a function from staged rows to what becomes of them."""

    def run(
        rows: Sequence[dict[str, Any]],
        *,
        exact_digits: int | None = None,
        entity: Entity = entity,
        plan: ReadPlan = plan,
    ) -> Transformed:
        staged = pa.Table.from_pylist(list(rows), schema=plan.staged_schema)
        return transform_rows(staged, entity, plan, rows_schema(entity), exact_digits=exact_digits)

    return run


Transform = Callable[..., Transformed]


def test_a_row_in_our_format(transform: Transform) -> None:
    done = transform([GOOD])
    assert done.rejected == ()
    assert done.rows.to_pylist() == [
        {
            "sample_id": GUID.lower(),
            "name": "Zoë 😀",
            "count": 7,
            "rate": Decimal("0.1234567890"),
            "price": Decimal("12.3400"),
            "score": 1.5,
            "is_active": True,
            "seen_at": datetime(2026, 3, 1, 8, 15, tzinfo=UTC),
            "born_on": date(1, 1, 1),
            "other_id": OTHER.lower(),
            "rating_code": 1,
            "rating_label": "One",
            "interests_code": "2,1",
            "interests_label": "Two; One",
            "owner_id": OTHER.lower(),
            "owner_type": "team",
            "owner_name": "Sales",
            "parent_id": OTHER.lower(),
            "absent": None,
            "crm_version": 42,
        }
    ]


def test_a_row_of_nulls_is_a_row(transform: Transform, entity: Entity) -> None:
    done = transform([{"sampleid": GUID, "versionnumber": 1}])
    assert done.rejected == ()
    (row,) = done.rows.to_pylist()
    assert {name: value for name, value in row.items() if value is not None} == {
        "sample_id": GUID.lower(),
        "crm_version": 1,
    }
    assert done.rows.schema == rows_schema(entity)


def test_a_field_that_the_organisation_lacks_is_null_in_its_own_type(transform: Transform) -> None:
    column = transform([GOOD, GOOD]).rows["absent"]
    assert column.type == pa.decimal128(19, 4)
    assert column.null_count == 2


def test_an_empty_page_has_the_columns_of_the_store(transform: Transform, entity: Entity) -> None:
    done = transform([])
    assert done == Transformed(rows_schema(entity).empty_table(), ())


def test_a_page_whose_rows_are_all_set_aside(transform: Transform, entity: Entity) -> None:
    done = transform([{"versionnumber": 1}, {"sampleid": GUID}])
    assert done.rows.schema == rows_schema(entity)
    assert done.rows.num_rows == 0
    assert [row.code for row in done.rejected] == ["DS-601", "DS-606"]


# --- row problems -----------------------------------------------------------------------------------

PROBLEMS = [
    ({"sampleid": None}, "DS-601", "sampleid"),
    ({"sampleid": ""}, "DS-602", "sampleid"),
    ({"sampleid": f"{{{GUID}}}"}, "DS-602", "sampleid"),
    ({"sampleid": GUID + "0"}, "DS-602", "sampleid"),
    ({"sampleid": GUID + "\n"}, "DS-602", "sampleid"),
    ({"versionnumber": None}, "DS-606", "versionnumber"),
    ({"name": "nul \x00"}, "DS-602", "name"),
    ({f"_owner_value@{FORMATTED_VALUE}": "nul \x00"}, "DS-602", "owner"),
    ({"name": "12345678901"}, "DS-603", "name"),
    ({"other": "none"}, "DS-602", "other"),
    ({"_owner_value": "none"}, "DS-602", "owner"),
    ({"_parent_value": ""}, "DS-602", "parent"),
    ({"rating": 3}, "DS-604", "rating"),
    ({"rating": -1}, "DS-604", "rating"),
    ({"interests": "1,3"}, "DS-604", "interests"),
    ({"interests": ""}, "DS-604", "interests"),
    ({"interests": "1,,2"}, "DS-604", "interests"),
    ({"interests": "--1"}, "DS-604", "interests"),
    ({"interests": "1_0"}, "DS-604", "interests"),
    ({"interests": "9" * 5_000}, "DS-604", "interests"),
    ({"price": Decimal("999999999999999.9999")}, "DS-605", "price"),
    ({"rate": Decimal("123456789.0123456789")}, "DS-605", "rate"),
]


@pytest.mark.parametrize(("change", "code", "field"), PROBLEMS)
def test_each_problem_sets_aside_its_row_and_no_other(
    transform: Transform, change: dict[str, Any], code: str, field: str
) -> None:
    done = transform([GOOD, {**GOOD, **change}, GOOD], exact_digits=15)
    assert done.rows.num_rows == 2
    (row,) = done.rejected
    assert (row.code, row.field) == (code, field)
    assert row.reason.endswith(f": {field}")
    key = change.get("sampleid", GUID)
    assert row.record_key == (None if key is None else key.lower())
    assert row.version == change.get("versionnumber", 42)
    payload = json.loads(row.payload, parse_constant=pytest.fail)
    assert payload["score"] == GOOD["score"]
    for name, value in change.items():
        assert payload[name] == (str(value) if isinstance(value, Decimal) else value)


def test_every_row_problem_is_tested() -> None:
    assert {code for _, code, _ in PROBLEMS} == {problem.code for problem in ROW_PROBLEMS}


def test_the_first_problem_of_a_row_stands(transform: Transform) -> None:
    (row,) = transform([{"sampleid": None, "versionnumber": None, "name": "\x00", "rating": 9}]).rejected
    assert (row.code, row.field) == ("DS-601", "sampleid")


def test_a_reason_holds_no_value(transform: Transform) -> None:
    (row,) = transform([{**GOOD, "name": "swordfish and more"}]).rejected
    assert "swordfish" not in row.reason
    assert "swordfish" in row.payload


def test_lengths_are_counted_in_characters(transform: Transform) -> None:
    done = transform([{**GOOD, "name": text} for text in ("é" * 10, "😀" * 10, "é" * 11, "😀" * 11)])
    assert done.rows["name"].to_pylist() == ["é" * 10, "😀" * 10]
    assert [row.code for row in done.rejected] == ["DS-603"] * 2


# --- options and lookups ----------------------------------------------------------------------------


def test_unknown_options_can_be_kept(transform: Transform, make_entity: Any) -> None:
    entity = make_entity(unknown_options="keep")
    rows = [{**GOOD, "rating": 3, "interests": "1,3"}, {**GOOD, "rating": None, "interests": "2"}]
    done = transform(rows, entity=entity)
    assert done.rejected == ()
    assert done.rows.select(["rating_code", "rating_label", "interests_code", "interests_label"]).to_pylist() == [
        {"rating_code": 3, "rating_label": None, "interests_code": "1,3", "interests_label": None},
        {"rating_code": None, "rating_label": None, "interests_code": "2", "interests_label": "Two"},
    ]


def test_blanks_between_chosen_options_do_not_matter(transform: Transform) -> None:
    assert transform([{**GOOD, "interests": " 2 , 1"}]).rows["interests_label"].to_pylist() == ["Two; One"]


def test_a_lookup_whose_table_dynamics_does_not_say_stops_the_slice(transform: Transform) -> None:
    with pytest.raises(UnexpectedAnswer, match="which table the ids of owner belong to"):
        transform([GOOD, {**GOOD, f"_owner_value@{LOOKUP_TYPE}": None}])


def test_a_lookup_without_an_id_needs_no_table(transform: Transform) -> None:
    empty = {"_owner_value": None, f"_owner_value@{LOOKUP_TYPE}": None, f"_owner_value@{FORMATTED_VALUE}": None}
    (row,) = transform([{**GOOD, **empty}]).rows.to_pylist()
    assert row["owner_id"] is row["owner_type"] is row["owner_name"] is None


def test_a_field_that_holds_a_guid_may_be_a_lookup_in_dynamics(
    transform: Transform, make_entity: Any, make_metadata: Any
) -> None:
    entity = make_entity({"owner": {"column": "owner_id", "type": "guid"}})
    table = make_metadata({"sampleid": ("Uniqueidentifier", None), "owner": ("Lookup", None)})
    plan = plan_reading(entity, table)
    rows = [{"sampleid": GUID, "versionnumber": 1, "_owner_value": OTHER}]
    assert transform(rows, entity=entity, plan=plan).rows["owner_id"].to_pylist() == [OTHER.lower()]


# --- numbers ----------------------------------------------------------------------------------------


def survives_a_double(number: Decimal, scale: int) -> bool:
    """Whether a number that is kept as a double is read back as the same, to so many digits behind the point."""
    return Decimal(f"{float(number):.{scale}f}") == number


@settings(deadline=None, derandomize=True)
@given(
    prices=st.lists(st.integers(-(10**19) + 1, 10**19 - 1).map(lambda n: Decimal(n).scaleb(-4)), max_size=20),
    rates=st.lists(st.integers(-(10**19), 10**19).map(lambda n: Decimal(n).scaleb(-10)), max_size=20),
)
@example([Decimal("111111111111.1111"), Decimal("0.1000"), Decimal("-999999999999999.9999")], [Decimal("0.1")])
def test_numbers_are_set_aside_where_a_double_would_change_them(
    transform: Transform, prices: list[Decimal], rates: list[Decimal]
) -> None:
    rows = [{**GOOD, "price": number} for number in prices] + [{**GOOD, "rate": number} for number in rates]
    done = transform(rows, exact_digits=15)
    expected = [n for n in prices if survives_a_double(n, 4)], [n for n in rates if survives_a_double(n, 10)]
    held = done.rows["price"].to_pylist(), done.rows["rate"].to_pylist()
    assert held[0][: len(expected[0])] == expected[0]
    assert held[1][len(expected[0]) :] == expected[1]
    assert done.rows.num_rows + len(done.rejected) == len(rows)
    assert {row.code for row in done.rejected} <= {"DS-605"}
    assert transform(rows).rejected == ()


@pytest.mark.parametrize(
    ("name", "number"),
    [("price", "612693310309.6309"), ("price", "-647131345245.4534"), ("rate", "545195.6185151828")],
)
def test_a_number_is_not_set_aside_for_the_way_in_which_arrow_divides(
    transform: Transform, name: str, number: str
) -> None:
    # Arrow's own cast from decimal to double is off by one unit in the last place for these.
    assert survives_a_double(Decimal(number), 4 if name == "price" else 10)
    assert transform([{**GOOD, name: Decimal(number)}], exact_digits=15).rejected == ()


@pytest.mark.parametrize("digits", range(1, 20))
def test_a_price_of_up_to_fifteen_digits_is_always_held(transform: Transform, digits: int) -> None:
    number = Decimal("1234567890123456789"[:digits]).scaleb(-4)
    rejected = transform([{**GOOD, "price": number}], exact_digits=15).rejected
    assert bool(rejected) == (not survives_a_double(number, 4))
    assert digits > 15 or not rejected


# --- properties -------------------------------------------------------------------------------------

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
IDS = st.one_of(st.none(), st.uuids().map(str), st.uuids().map(lambda value: str(value).upper()), TEXTS)
ROWS = st.fixed_dictionaries(
    {},
    optional={
        "sampleid": IDS,
        "versionnumber": st.none() | st.integers(-(2**63), 2**63 - 1),
        "name": st.none() | TEXTS,
        "count": st.none() | st.integers(-(2**63), 2**63 - 1),
        "rate": st.none() | st.integers(-(10**38) + 1, 10**38 - 1).map(lambda n: Decimal(f"{n}e-10")),
        "price": st.none() | st.integers(-(10**19) + 1, 10**19 - 1).map(lambda n: Decimal(f"{n}e-4")),
        "score": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "active": st.none() | st.booleans(),
        "seenon": st.none() | st.datetimes(timezones=st.just(UTC)),
        "born": st.none() | st.dates(),
        "other": IDS,
        "rating": st.none() | st.integers(-1, 4),
        "interests": st.none() | st.sampled_from(["1", "2,1", "1,9", "", ",", "--2"]) | TEXTS,
        "_parent_value": IDS,
        f"_owner_value@{FORMATTED_VALUE}": st.none() | TEXTS,
    },
)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(rows=st.lists(ROWS, max_size=8), exact_digits=st.sampled_from([None, 15]))
def test_no_row_is_lost_and_the_same_rows_give_the_same_answer(
    transform: Transform, entity: Entity, rows: list[dict[str, Any]], exact_digits: int | None
) -> None:
    done = transform(rows, exact_digits=exact_digits)
    assert done.rows.num_rows + len(done.rejected) == len(rows)
    assert done.rows.schema == rows_schema(entity)
    done.rows.validate(full=True)
    again = transform(rows, exact_digits=exact_digits)
    assert done.rows.equals(again.rows)
    assert done.rejected == again.rejected
    # Each row is decided for itself: one page and many pages give the same.
    alone = [transform([row], exact_digits=exact_digits) for row in rows]
    assert sum((one.rejected for one in alone), ()) == done.rejected
    assert done.rows.equals(
        pa.concat_tables([rows_schema(entity).empty_table(), *(one.rows for one in alone)]).combine_chunks()
    )


@settings(deadline=None, derandomize=True, max_examples=40)
@given(rows=st.lists(ROWS, max_size=8))
def test_what_is_kept_fits_its_table(transform: Transform, rows: list[dict[str, Any]]) -> None:
    for row in transform(rows, exact_digits=15).rows.to_pylist():
        assert row["sample_id"] == row["sample_id"].lower()
        assert row["crm_version"] is not None
        texts = [value for value in row.values() if isinstance(value, str)]
        assert not any("\x00" in text for text in texts)
        assert len(row["name"] or "") <= 10
        assert (row["rating_code"] is None) == (row["rating_label"] is None)
        assert (row["interests_code"] is None) == (row["interests_label"] is None)
        for name, scale in (("price", 4), ("rate", 10)):
            assert row[name] is None or survives_a_double(row[name], scale)


@settings(deadline=None, derandomize=True, max_examples=40)
@given(rows=st.lists(ROWS, max_size=8))
def test_the_payload_of_a_rejected_row_is_the_row(
    transform: Transform, plan: ReadPlan, rows: list[dict[str, Any]]
) -> None:
    rejected = list(transform(rows).rejected)
    for row in rejected:
        payload = json.loads(row.payload, parse_constant=pytest.fail)
        assert list(payload) == plan.staged_schema.names
        # The payload says enough to find the row that it came from.
        assert any(
            all(
                payload[name] == (value if isinstance(value, (str, int, float)) or value is None else payload[name])
                for name, value in one.items()
            )
            for one in rows
        )


# --- a slice ----------------------------------------------------------------------------------------


def test_a_slice_brings_all_its_pages_and_what_extract_set_aside(
    tmp_path: Path, entity: Entity, plan: ReadPlan
) -> None:
    folder = StagingFolder(tmp_path)
    unread = Rejected(GUID, "DS-602", "count", "no integer", "{}", 3)
    pages = [[GOOD, {**GOOD, "rating": 9}], [], [{**GOOD, "versionnumber": 43}]]
    for number, rows in enumerate(pages, start=1):
        name = f"slice-0001/page-{number:05d}"
        folder.write_table(f"{name}.arrow", pa.Table.from_pylist(rows, schema=plan.staged_schema))
        folder.write_json(f"{name}.json", {"rejected": rejected_to_json([unread] if number == 2 else [])})
    folder.write_json("slice-0001/extract.json", {"pages": 3, "rows": 4})
    run = RunIdentity("sample", "run", "key", datetime(2026, 3, 1, tzinfo=UTC))
    manifest = Manifest(
        run,
        Mode.FULL,
        plan,
        tuple(whole_table(4)),
        5,
        None,
        pages_of_all_keys=None,
        allow_deletions=False,
        seen_at=run.begun_at,
        catalogue="",
    )
    for _ in range(2):  # A task that is repeated gives the same.
        assert transform_slice(manifest, 1, folder, entity, rows_schema(entity), exact_digits=None) == 2
        names = [f"slice-0001/page-{number:05d}.rows" for number in (1, 2, 3)]
        tables = [folder.read_table(f"{name}.arrow") for name in names]
        assert [table["crm_version"].to_pylist() for table in tables] == [[42], [], [43]]
        assert all(table.schema == rows_schema(entity) for table in tables)
        rejected = [rejected_from_json(folder.read_json(f"{name}.rejected.json")) for name in names]
        assert [[row.code for row in rows] for rows in rejected] == [["DS-604"], ["DS-602"], []]
        assert unread in rejected[1]


def test_a_slice_without_pages_is_an_empty_one(tmp_path: Path, entity: Entity, plan: ReadPlan) -> None:
    folder = StagingFolder(tmp_path)
    folder.write_json("slice-0001/extract.json", {"pages": 0, "rows": 0})
    run = RunIdentity("sample", "run", "key", datetime(2026, 3, 1, tzinfo=UTC))
    manifest = Manifest(
        run,
        Mode.FULL,
        plan,
        tuple(whole_table(0)),
        5,
        None,
        pages_of_all_keys=None,
        allow_deletions=False,
        seen_at=run.begun_at,
        catalogue="",
    )
    assert transform_slice(manifest, 1, folder, entity, rows_schema(entity), exact_digits=None) == 0
