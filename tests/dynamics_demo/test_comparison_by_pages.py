"""The judge that reads page by page finds what the one that holds all rows finds, and rows that nobody asked for."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from dynamics_demo.comparison import compare_pages
from dynamics_demo.dynamics import DynamicsApi
from dynamics_demo.entities import Entity, Field
from dynamics_demo.installation import Marketing
from dynamics_demo.marketing import MarketingDatabase
from dynamics_emulator.testing import running_emulator

LEADS = 25
ENTITY = Entity("lead", "Leads", "lead", "leadid", "lead_id", (Field("lastname", "last_name", "text"),))


@dataclass(slots=True)
class Sides:
    """Both sides, equal at first."""

    dynamics: DynamicsApi
    marketing: MarketingDatabase

    def sql(self, statement: str) -> None:
        self.marketing.write(statement)

    def differences(self) -> list[str]:
        result = compare_pages(ENTITY, self.dynamics, self.marketing, page_size=10)
        return [str(difference) for difference in result.differences]


@pytest.fixture
def sides(tmp_path: Path) -> Iterator[Sides]:
    marketing = MarketingDatabase(Marketing.SQLITE, tmp_path / "marketing.db", tmp_path)
    with running_emulator(rows=0) as emulator:
        words = ("url", "authority", "client_id", "client_secret", "ca_file")
        dynamics = DynamicsApi({word: str(getattr(emulator, word)) for word in words})
        for number in range(LEADS):
            dynamics.create("lead", {"lastname": f"Lee {number}"})
        with closing(sqlite3.connect(marketing.file)) as file, file:
            file.execute("CREATE TABLE lead (lead_id TEXT, last_name TEXT, crm_version INTEGER, crm_deleted_at TEXT)")
            file.execute(
                "CREATE TABLE sync_quarantine (entity TEXT, record_key TEXT, resolved_at TEXT, direction TEXT)"
            )
            rows = dynamics.rows("lead", ("leadid", "lastname", "versionnumber"))
            held = [(row["leadid"], row["lastname"], row["versionnumber"]) for row in rows]
            file.executemany("INSERT INTO lead VALUES (?, ?, ?, NULL)", held)
        yield Sides(dynamics, marketing)


def test_equal_sides_are_equal_on_each_page(sides: Sides) -> None:
    told: list[int] = []
    result = compare_pages(ENTITY, sides.dynamics, sides.marketing, page_size=10, progress=told.append)
    assert (result.rows, result.values, result.differences) == (LEADS, LEADS * 3, ())
    assert told == [10, 20, 25]


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE lead SET last_name = 'x' WHERE last_name = 'Lee 24'", "last_name: Dynamics 'Lee 24'"),
        ("DELETE FROM lead WHERE last_name = 'Lee 3'", "has the row"),
        ("UPDATE lead SET crm_deleted_at = '2026' WHERE last_name = 'Lee 3'", "has the row"),
        ("INSERT INTO lead VALUES ('aaaaaaaa-0000-4000-8000-000000000000', 'x', 1, NULL)", "has 26"),
        ("INSERT INTO lead SELECT * FROM lead WHERE last_name = 'Lee 3'", "has 26"),
    ],
    ids=["value", "missing", "deleted", "foreign", "twice"],
)
def test_a_difference_is_found_on_whichever_page(sides: Sides, statement: str, found: str) -> None:
    sides.sql(statement)
    assert any(found in difference for difference in sides.differences())


def test_a_row_in_quarantine_is_neither_compared_nor_missed(sides: Sides) -> None:
    sides.sql(
        "INSERT INTO sync_quarantine SELECT 'lead', lead_id, NULL, 'from_dynamics' FROM lead WHERE last_name = 'Lee 7'"
    )
    sides.sql("UPDATE lead SET last_name = 'old' WHERE last_name = 'Lee 7'")
    assert sides.differences() == []
    sides.sql("DELETE FROM lead WHERE last_name = 'old'")
    assert sides.differences() == []
