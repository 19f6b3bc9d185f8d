"""Each value of the sample fits the metadata in force, and the odd ones are there."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal

import pytest

from dynamics_emulator.organisation import Organisation
from dynamics_emulator.sample.fitting import cut
from dynamics_emulator.sample.oddities import ODDITIES, Oddities
from dynamics_emulator.sample.seeding import fill
from dynamics_emulator.schema.model import Column, ColumnType, Table
from dynamics_emulator.storage.database import SqlValue
from dynamics_emulator.testing_client import Client

Row = Mapping[str, SqlValue]
FORMS = {
    ColumnType.UNIQUEIDENTIFIER: r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    ColumnType.DATE_TIME: r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ",
}


def all_rows(organisation: Organisation) -> Iterator[tuple[Table, Row]]:
    for table in organisation.schema.tables.values():
        for row in organisation.database.rows(table.name):
            yield table, row


def test_every_value_fits_the_metadata_in_force(sample_organisation: Organisation) -> None:
    wrong = Counter(
        f"{table.name}.{column.name}: {problem}"
        for table, row in all_rows(sample_organisation)
        for column in table.columns.values()
        if (problem := misfit(column, row[column.name]))
    )
    assert wrong == {}


def test_every_status_belongs_to_its_state(sample_organisation: Organisation) -> None:
    for table, row in all_rows(sample_organisation):
        status = table.find("statuscode")
        if status and status.options:
            states = {option.value: option.state for option in status.options}
            assert states[int(str(row["statuscode"]))] == row["statecode"], table.name


def test_what_is_required_is_filled(sample_organisation: Organisation) -> None:
    """Leaves out the rows without which an sample_organisation cannot be, which have only what the server needs."""
    founded = "7e57ab1e-"
    missing = Counter(
        f"{table.name}.{column.name}"
        for table, row in all_rows(sample_organisation)
        if not str(row[table.primary_id]).startswith(founded) and (table.name in SAMPLED or "_" in table.name)
        for column in table.columns.values()
        if column.required in ("ApplicationRequired", "SystemRequired") and row[column.name] is None
    )
    assert missing == {}


SAMPLED = (
    "account", "contact", "lead", "opportunity", "opportunityclose", "connection", "connectionrole", "campaign", "list",
    "listmember", "campaignitem", "systemuser", "team", "teammembership", "systemuserroles", "teamroles",
    "businessunit", "transactioncurrency", "acme_event", "acme_eventattendance", "acme_attendancefeedback",
    "acme_interest", "acme_interest_contact",
)  # fmt: skip


def test_each_table_of_the_sample_has_rows(sample_organisation: Organisation) -> None:
    assert [name for name in SAMPLED if not sample_organisation.database.count(name)] == []


def test_custom_tables_that_no_generator_knows_are_filled_too(sample_organisation: Organisation) -> None:
    custom = [table for table in sample_organisation.schema.tables.values() if "_" in table.name]
    assert [table.name for table in custom if not sample_organisation.database.count(table.name)] == []


def misfit(column: Column, value: SqlValue) -> str | None:
    """What is wrong with a stored value; None when it is right."""
    if value is None:
        return "blank" if column.type is ColumnType.BOOLEAN else None
    match column.type:
        case ColumnType.STRING | ColumnType.MEMO:
            units = len(str(value).encode("utf-16-le")) // 2
            right = 0 < units <= (column.max_length or units)
        case ColumnType.BOOLEAN | ColumnType.PICKLIST | ColumnType.STATE | ColumnType.STATUS:
            right = isinstance(value, int) and value in column.labels
        case ColumnType.MULTI_SELECT:
            right = all(int(part) in column.labels for part in str(value).split(","))
        case ColumnType.INTEGER | ColumnType.BIG_INT:
            right = isinstance(value, int) and in_range(column, value)
        case ColumnType.DOUBLE:
            right = isinstance(value, float | int) and in_range(column, value)
        case ColumnType.DECIMAL | ColumnType.MONEY:
            digits = str(value).partition(".")[2]
            right = len(digits) == column.precision and in_range(column, Decimal(str(value)))
        case ColumnType.DATE_TIME if column.is_date_only:
            right = re.fullmatch(r"\d{4}-\d\d-\d\d", str(value)) is not None
        case _:
            form = FORMS.get(column.type, FORMS[ColumnType.UNIQUEIDENTIFIER])
            right = re.fullmatch(form, str(value)) is not None
    return None if right else repr(value)[:60]


def in_range(column: Column, value: float | Decimal) -> bool:
    low, high = column.minimum, column.maximum
    return (low is None or value >= low) and (high is None or value <= high)


@pytest.mark.parametrize(
    ("text", "length", "kept"),
    [("abc", 2, "ab"), ("a👍b", 2, "a"), ("a👍b", 3, "a👍"), ("", 9, None), ("abc", None, "abc"), ("👍👍", 4, "👍👍")],
)
def test_texts_are_cut_between_characters(text: str, length: int | None, kept: str | None) -> None:
    assert cut(text, length) == kept


@pytest.mark.parametrize(
    ("what", "found"),
    [
        ("leads?$filter=statecode eq 1", 1),
        ("leads?$filter=statecode eq 2", 1),
        ("leads?$filter=merged eq true", 1),
        ("systemusers?$filter=isdisabled eq true", 1),
        ("contacts?$filter=parentcustomerid_contact/lastname ne null", 1),
        ("opportunities?$filter=customerid_contact/lastname ne null", 1),
        ("leads?$filter=mkt_lastinterestingmomentdate eq 1753-01-01T00:00:00Z", 1),
        ("leads?$filter=mkt_lastinterestingmomentdate gt 9999-01-01T00:00:00Z", 1),
        ("leads?$filter=emailaddress1 eq 'twice@mail.example'", 2),
        ("leads?$filter=emailaddress1 eq 'admin@mail.example'", 2),
        ("acme_eventattendanceset?$filter=acme_fee lt 0", 1),
        ("acme_attendancefeedbackcollection?$filter=acme_AttendanceId/acme_EventId/acme_name ne null", 1),
    ],
)
def test_what_clients_trip_over_is_there(sample: Client, what: str, found: int) -> None:
    assert len(sample.rows(what)) >= found


def test_several_scripts(sample: Client) -> None:
    names = "".join(str(row["lastname"]) for row in sample.emulator.database.rows("contact"))

    scripts = {"LATIN", "CYRILLIC", "GREEK", "HEBREW", "ARABIC", "CJK", "HANGUL", "DEVANAGARI", "THAI"}
    assert scripts <= {unicodedata.name(letter, "").split(" ")[0] for letter in names}


def test_the_longest_memo_reaches_the_limit_of_its_column(sample_organisation: Organisation) -> None:
    limit = sample_organisation.schema.table("lead").columns["description"].max_length
    lengths = [
        len(str(row["description"]).encode("utf-16-le")) // 2
        for row in sample_organisation.database.rows("lead")
        if row["description"]
    ]
    assert max(lengths) == limit


def test_each_gentle_oddity_stands_in_a_row(open_folder: Callable[..., Organisation]) -> None:
    organisation = open_folder()
    fill(organisation, 2500, 7)
    rows = {oddity.table: organisation.database.rows(oddity.table) for oddity in ODDITIES}

    lost = [
        oddity.name
        for oddity in ODDITIES
        if not oddity.legacy and not any(holds(row, oddity.values) for row in rows[oddity.table])
    ]
    assert lost == []


def holds(row: Row, values: Mapping[str, SqlValue]) -> bool:
    return all(
        str(value).startswith(str(row[name])) if row[name] else row[name] == value for name, value in values.items()
    )


def test_legacy_oddities_are_all_that_does_not_fit_and_only_when_asked_for(
    open_folder: Callable[..., Organisation],
) -> None:
    organisation = open_folder()
    fill(organisation, 2500, 7, Oddities.ALL)
    misfits = {
        (table.name, column.name)
        for table, row in all_rows(organisation)
        for column in table.columns.values()
        if misfit(column, row[column.name])
    }

    assert misfits == {(oddity.table, name) for oddity in ODDITIES if oddity.legacy for name in oddity.values}
