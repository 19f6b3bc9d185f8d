"""The sample organisation: the same for the same seed, big enough, whole, and odd enough."""

import time
import unicodedata
from pathlib import Path

import pytest

from dynamics_emulator.sample.seeding import make_draft, seed_organisation
from dynamics_emulator.schema.model import TEXT_TYPES
from dynamics_emulator.schema.source import default_schema
from dynamics_emulator.storage.database import Database
from dynamics_emulator.testing_client import Client


def test_same_seed_same_rows() -> None:
    assert make_draft(300, 5).rows == make_draft(300, 5).rows
    assert make_draft(300, 5).rows != make_draft(300, 6).rows


def test_default_size_is_made_quickly_and_once(tmp_path: Path) -> None:
    started = time.process_time()
    seed_organisation(tmp_path)
    spent = time.process_time() - started
    seed_organisation(tmp_path)

    database = Database(tmp_path / "organisation.sqlite")
    counts = {name: database.count(name) for name in default_schema().tables}
    database.close()
    assert sum(counts.values()) >= 10_000
    assert counts["contact"] > 4000
    assert spent < 10


def test_values_fit_their_columns(sample: Client) -> None:
    for table in default_schema().tables.values():
        for row in sample.emulator.database.rows(table.name):
            for column in table.columns.values():
                value = row[column.name]
                if column.type in TEXT_TYPES and isinstance(value, str) and column.max_length:
                    assert len(value) <= column.max_length, (table.name, column.name)
                if column.options and isinstance(value, int):
                    assert value in column.labels, (table.name, column.name, value)


def test_lookups_point_at_rows(sample: Client) -> None:
    schema, database = default_schema(), sample.emulator.database
    keys = {name: {row[table.primary_id] for row in database.rows(name)} for name, table in schema.tables.items()}

    for table in schema.tables.values():
        for row in database.rows(table.name):
            for column in table.columns.values():
                if column.is_lookup and row[column.name] is not None:
                    target = row[column.type_column] if column.is_polymorphic else column.targets[0]
                    assert row[column.name] in keys[str(target)], (table.name, column.name)


def test_connections_come_in_reciprocal_pairs(sample: Client) -> None:
    rows = {row["connectionid"]: row for row in sample.emulator.database.rows("connection")}

    for row in rows.values():
        other = rows[row["relatedconnectionid"]]
        assert other["relatedconnectionid"] == row["connectionid"]
        assert (other["record1id"], other["record2id"]) == (row["record2id"], row["record1id"])


@pytest.mark.parametrize(
    ("what", "found"),
    [
        ("leads?$filter=statecode eq 1", 1),
        ("leads?$filter=statecode eq 2", 1),
        ("systemusers?$filter=isdisabled eq true", 1),
        ("contacts?$filter=parentcustomerid_contact/lastname ne null", 1),
        ("opportunities?$filter=customerid_contact/lastname ne null", 1),
        ("leads?$filter=mkt_lastinterestingmomentdate eq 1753-01-01T00:00:00Z", 1),
        ("leads?$filter=mkt_lastinterestingmomentdate gt 9999-01-01T00:00:00Z", 1),
        ("leads?$filter=emailaddress1 eq 'twice@mail.example'", 2),
        ("acme_eventattendanceset?$filter=acme_fee lt 0", 1),
    ],
)
def test_what_clients_trip_over_is_there(sample: Client, what: str, found: int) -> None:
    assert len(sample.rows(what)) >= found


def test_several_scripts(sample: Client) -> None:
    names = "".join(str(row["lastname"]) for row in sample.emulator.database.rows("contact"))

    scripts = {"LATIN", "CYRILLIC", "HEBREW", "ARABIC", "CJK"}
    assert scripts <= {unicodedata.name(letter, "").split(" ")[0] for letter in names}
