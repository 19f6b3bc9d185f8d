"""The sample organisation: the same for the same seed, of any size, and made to its end whatever interrupts it."""

from collections.abc import Callable

import pytest

from dynamics_emulator.organisation import Organisation
from dynamics_emulator.sample.seeding import DEFAULT_ROWS, Plan, Sample, fill
from dynamics_emulator.schema.source import default_schema
from dynamics_emulator.storage.database import Database, SqlValue
from dynamics_emulator.testing_client import Client

Rows = dict[str, list[dict[str, SqlValue]]]


def stored(database: Database) -> Rows:
    return {name: database.rows(name) for name in default_schema().tables}


def test_same_seed_same_rows() -> None:
    def made(rows: int, seed: int) -> list[dict[str, list[SqlValue]]]:
        sample = Sample(Plan(rows, seed), default_schema(), "7e57ab1e-0000-4000-8000-000000000001")
        return [sheet.columns for sheets in sample.fitted() for sheet in sheets]

    assert made(300, 5) == made(300, 5)
    assert made(300, 5) != made(300, 6)


def test_default_size_is_made_once(open_folder: Callable[..., Organisation]) -> None:
    organisation = open_folder()
    fill(organisation, DEFAULT_ROWS, 7)
    counts = {name: organisation.database.count(name) for name in organisation.schema.tables}
    version = organisation.database.current_version()
    fill(organisation, 5, 2)

    assert {name: organisation.database.count(name) for name in counts} == counts
    assert organisation.database.current_version() == version
    assert 12_000 <= sum(counts.values()) <= 14_000
    assert counts["contact"] > 3500


def test_a_killed_filling_goes_on_as_it_was_begun(open_folder: Callable[..., Organisation]) -> None:
    class KilledError(Exception):
        """Stands for the end of the process."""

    def die(made: int, _: int) -> None:
        if made:
            raise KilledError

    one, other = open_folder("one"), open_folder("other")
    fill(one, 10_001, 3)
    with pytest.raises(KilledError):
        fill(other, 10_001, 3, report=die)
    half = other.database.count("lead")
    other.close()
    other = open_folder("other")
    fill(other, 7, 8)

    assert 0 < half < other.database.count("lead")
    assert stored(other.database) == stored(one.database)


def test_a_filled_organisation_has_its_indexes_even_after_a_kill(open_folder: Callable[..., Organisation]) -> None:
    organisation = open_folder()
    before = indexes(organisation.database)
    fill(organisation, 300, 7)
    after = indexes(organisation.database)
    for name in after:
        organisation.database.connection.execute(f'DROP INDEX "{name}"')
    organisation.close()

    assert after == before
    assert len(before) > 20
    assert indexes(open_folder().database) == before


def indexes(database: Database) -> dict[str, str]:
    query = "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL"
    return dict(database.connection.execute(query).fetchall())


def test_progress_is_told_part_by_part(open_folder: Callable[..., Organisation]) -> None:
    reports: list[tuple[int, int]] = []
    fill(open_folder(), 10_001, 7, report=lambda made, total: reports.append((made, total)))

    assert reports == [(0, 10_001), (5_000, 10_001), (10_001, 10_001)]


def test_versions_are_unique_and_not_in_the_order_of_keys(sample: Client) -> None:
    database = sample.emulator.database
    versions = [row["versionnumber"] for name in default_schema().tables for row in database.rows(name)]
    leads = [int(str(row["versionnumber"])) for row in database.rows("lead")]

    assert len(set(versions)) == len(versions)
    assert max(int(str(version)) for version in versions) <= database.current_version()
    assert leads != sorted(leads)


@pytest.mark.parametrize("rows", [1, 2, 9, 40])
def test_a_tiny_organisation_is_whole_too(open_folder: Callable[..., Organisation], rows: int) -> None:
    organisation = open_folder()
    fill(organisation, rows, rows)
    names = ("account", "contact", "lead", "opportunity", "connection", "acme_eventattendance", "listmember")
    assert 0 not in [organisation.database.count(name) for name in names]
