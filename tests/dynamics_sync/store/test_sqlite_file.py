"""The file through which new rows reach SQLite: where it lies, who may read it, and what is left of it."""

import os
import resource
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

from dynamics_sync.errors import MarketingDatabaseRefused
from dynamics_sync.store.bulk import append
from dynamics_sync.store.database import MarketingDatabase
from dynamics_sync.store.sqlite_file import remove_leftover

PEOPLE = sa.Table("people", sa.MetaData(), sa.Column("id", sa.BigInteger, primary_key=True), sa.Column("name", sa.Text))
ADA, GRACE = (pa.table({"id": [number], "name": [name]}) for number, name in ((1, "Ada"), (2, "Grace")))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "marketing.db"


@pytest.fixture
def database(path: Path) -> Iterator[MarketingDatabase]:
    with MarketingDatabase.open(f"sqlite:///{path}") as opened:
        with opened.writing() as connection:
            PEOPLE.create(connection)
        yield opened


def add(database: MarketingDatabase, *pages: pa.Table) -> int:
    with database.writing() as connection:
        return append(connection, PEOPLE, pages)


def held(database: MarketingDatabase) -> list[tuple[Any, ...]]:
    with database.reading() as connection:
        return [tuple(row) for row in connection.execute(sa.select(PEOPLE).order_by("id"))]


def files(path: Path) -> set[str]:
    return {file.name for file in path.parent.iterdir()} - {f"{path.name}-wal", f"{path.name}-shm"}


def test_the_file_is_its_owners_only_and_goes_with_the_transaction(database: MarketingDatabase, path: Path) -> None:
    modes = []

    def pages() -> Iterator[pa.Table]:
        for page in (ADA, GRACE):
            modes.append(stat.S_IMODE(path.with_name("marketing.db-dynamics-sync").stat().st_mode))
            yield page

    before = os.umask(0)
    try:
        with database.writing() as connection:
            assert append(connection, PEOPLE, pages()) == 2
    finally:
        os.umask(before)
    assert modes == [0o600, 0o600]
    assert held(database) == [(1, "Ada"), (2, "Grace")]
    assert files(path) == {"marketing.db"}


def test_transaction_after_transaction_has_a_file_of_its_own(database: MarketingDatabase, path: Path) -> None:
    for pages, added in (((ADA,), 1), ((), 0), ((GRACE,), 1)):
        assert add(database, *pages) == added
        assert files(path) == {"marketing.db"}
    assert held(database) == [(1, "Ada"), (2, "Grace")]


def test_what_is_rolled_back_leaves_neither_rows_nor_a_file(database: MarketingDatabase, path: Path) -> None:
    def torn() -> Iterator[pa.Table]:
        yield ADA
        message = "on purpose"
        raise OSError(message)

    with pytest.raises(OSError, match="on purpose"), database.writing() as connection:
        append(connection, PEOPLE, torn())
    assert files(path) == {"marketing.db"}
    with pytest.raises(MarketingDatabaseRefused, match="SQLITE_CONSTRAINT"):
        add(database, ADA, ADA)
    assert files(path) == {"marketing.db"}
    assert held(database) == []
    assert add(database, ADA) == 1


KILLED = """
import os, signal, sys
from tests.dynamics_sync.store.test_sqlite_file import ADA, GRACE, PEOPLE
from dynamics_sync.store.bulk import append
from dynamics_sync.store.database import MarketingDatabase

def pages():
    yield ADA
    if sys.argv[2] == "filling":
        os.kill(os.getpid(), signal.SIGKILL)
    yield GRACE

with MarketingDatabase.open(sys.argv[1]) as database, database.writing() as connection:
    append(connection, PEOPLE, pages())
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize(("moment", "left"), [("filling", {"marketing.db-dynamics-sync"}), ("filled", set())])
def test_what_a_killed_task_left_is_replaced_by_the_next(
    database: MarketingDatabase, path: Path, moment: str, left: set[str]
) -> None:
    command = [sys.executable, "-c", KILLED, f"sqlite:///{path}", moment]
    killed = subprocess.run(command, cwd=Path(__file__).parents[3], check=False)
    assert killed.returncode == -9
    assert held(database) == []
    assert files(path) == {"marketing.db", *left}
    assert add(database, GRACE) == 1
    assert held(database) == [(2, "Grace")]
    assert files(path) == {"marketing.db"}


def test_a_disk_that_is_full_is_an_error_of_ours_without_a_value(database: MarketingDatabase, path: Path) -> None:
    page = pa.table({"id": range(20_000), "name": ["Zwiebelkuchen"] * 20_000})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(
            MarketingDatabaseRefused, match=r"marketing\.db-dynamics-sync .*could not be filled"
        ) as caught:
            add(database, page)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "Zwiebelkuchen" not in str(caught.value)
    assert files(path) == {"marketing.db"}
    assert held(database) == []
    assert add(database, page) == 20_000


def test_a_file_that_cannot_be_made_is_an_error_of_ours(database: MarketingDatabase, path: Path) -> None:
    path.with_name("marketing.db-dynamics-sync").mkdir()
    with pytest.raises(MarketingDatabaseRefused, match=r"marketing\.db-dynamics-sync cannot be made"):
        add(database, ADA)
    assert held(database) == []


def test_what_was_left_goes_with_the_next_load_also_of_rows_that_are_held(
    database: MarketingDatabase, path: Path
) -> None:
    path.with_name("marketing.db-dynamics-sync").write_text("rows of customers")
    with database.writing() as connection:
        remove_leftover(connection)
    assert files(path) == {"marketing.db"}


def test_loads_that_wait_for_each_other_leave_the_files_alone(path: Path, database: MarketingDatabase) -> None:
    """The log is emptied into the database after the lock is given back: the next one fills its file by then."""
    size, loads = 30_000, 8

    def load(number: int) -> int:
        first = number * size
        page = pa.table({"id": range(first, first + size), "name": [f"a name of some length, {number}" * 4] * size})
        with MarketingDatabase.open(f"sqlite:///{path}") as own:
            return add(own, page)

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(load, range(loads))) == [size] * loads
    assert len(held(database)) == loads * size
    assert files(path) == {"marketing.db"}


def test_a_linked_database_has_the_file_where_it_lies_itself(path: Path, database: MarketingDatabase) -> None:
    link = path.parent / "elsewhere" / "linked.db"
    link.parent.mkdir()
    link.symlink_to(path)
    found = []

    def pages() -> Iterator[pa.Table]:
        found.append(files(path))
        yield ADA

    with MarketingDatabase.open(f"sqlite:///{link}") as linked, linked.writing() as connection:
        assert append(connection, PEOPLE, pages()) == 1
    assert found == [{"marketing.db", "marketing.db-dynamics-sync", "elsewhere"}]
    assert held(database) == [(1, "Ada")]


def test_a_database_in_another_encoding_takes_rows_too(tmp_path: Path) -> None:
    path = tmp_path / "wide.db"
    with closing(sqlite3.connect(path)) as made:
        made.executescript("PRAGMA encoding = 'UTF-16le'; CREATE TABLE people (id BIGINT PRIMARY KEY, name TEXT)")
    page = pa.table({"id": [1], "name": ["Zoë 😀"]})
    with MarketingDatabase.open(f"sqlite:///{path}") as database:
        assert add(database, page) == 1
        assert held(database) == [(1, "Zoë 😀")]
