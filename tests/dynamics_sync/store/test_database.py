"""URLs that are taken and refused, transactions, and errors that give nothing away."""

import socket
import traceback

import pytest
import sqlalchemy as sa

from dynamics_sync.errors import MarketingConnectionError, MarketingDatabaseBusy, MarketingDatabaseRefused
from dynamics_sync.store.database import MarketingDatabase
from dynamics_sync.store.sync_tables import SYNC_RUN, ensure_sync_tables


@pytest.mark.parametrize(
    ("url", "dialect", "driver", "digits"),
    [
        ("sqlite:////data/marketing.db", "sqlite", "pysqlite", 15),
        ("postgres://u:p@host/db", "postgresql", "psycopg", None),
        ("postgresql://u:p@host/db", "postgresql", "psycopg", None),
        ("postgresql+psycopg2://u:p@host/db", "postgresql", "psycopg", None),
        (sa.make_url("postgresql+psycopg://u:p@host/db"), "postgresql", "psycopg", None),
    ],
)
def test_urls_of_both_databases_are_taken_and_not_connected_yet(url, dialect, driver, digits):
    with MarketingDatabase.open(url) as db:
        assert (db.dialect_name, db.engine.driver, db.exact_digits) == (dialect, driver, digits)


@pytest.mark.parametrize(
    "url",
    ["mysql://u:secret@host/db", "no url with a secret", "sqlite://", "sqlite:///:memory:", "", "mssql+x://secret"],
)
def test_other_urls_are_refused_without_showing_them(url):
    with pytest.raises(MarketingConnectionError, match="DS-106") as raised:
        MarketingDatabase.open(url)
    assert "secret" not in "".join(traceback.format_exception(raised.value))


def test_a_file_that_cannot_be_opened(tmp_path):
    with (
        MarketingDatabase.open(f"sqlite:///{tmp_path}/missing/marketing.db") as db,
        pytest.raises(MarketingConnectionError, match="SQLITE_CANTOPEN"),
    ):
        ensure_sync_tables(db)


def test_a_file_that_is_no_database(tmp_path):
    (tmp_path / "marketing.db").write_text("this is a text file, and not even a short one\n" * 10)
    with (
        MarketingDatabase.open(f"sqlite:///{tmp_path}/marketing.db") as db,
        pytest.raises(MarketingConnectionError, match="SQLITE_NOTADB"),
    ):
        ensure_sync_tables(db)


def test_a_server_that_does_not_answer_is_tried_again():
    with socket.socket() as closed:
        # Bound, but not listening: connections are refused, and no one else can take the port.
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        with (
            MarketingDatabase.open(f"postgresql://user:secret@127.0.0.1:{port}/marketing") as db,
            pytest.raises(MarketingDatabaseBusy, match="DS-705") as raised,
        ):
            ensure_sync_tables(db)
    assert "secret" not in "".join(traceback.format_exception(raised.value))


def test_a_block_that_raises_is_rolled_back(db):
    ensure_sync_tables(db)

    def write_and_fail():
        values = {"entity": "e", "run_id": "r", "run_key": "k", "mode": "m", "state": "running", "begun_at": db.now()}
        with db.writing() as connection:
            connection.execute(SYNC_RUN.insert().values(values))
            message = "on purpose"
            raise RuntimeError(message)

    with pytest.raises(RuntimeError, match="on purpose"):
        write_and_fail()
    with db.reading() as connection:
        assert connection.execute(sa.select(SYNC_RUN)).all() == []


def test_a_refused_statement_shows_no_values(db):
    ensure_sync_tables(db)
    values = {"entity": "e", "run_id": "r", "run_key": "personal data", "mode": None, "state": "running"}

    def write():
        with db.writing() as connection:
            connection.execute(SYNC_RUN.insert().values(**values, begun_at=db.now()))

    with pytest.raises(MarketingDatabaseRefused, match=r"DS-707 .* \(") as raised:
        write()
    assert "personal" not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize("name", ["a personal name that is too long", "a personal\0name"])
def test_a_refused_row_shows_no_values(postgresql_url, clock, sample, words, name):
    refused = {"sample_id": words.guid(1), "crm_version": 1, "name": name}
    with MarketingDatabase.open(postgresql_url, clock=clock) as db:
        sandbox = words.sandbox(db, postgresql_url, clock, sample)
        run = sandbox.begin()
        with pytest.raises(MarketingDatabaseRefused, match="SQLSTATE 22") as raised:
            sandbox.load(run, [refused])
        assert "personal" not in "".join(traceback.format_exception(raised.value))
        assert sandbox.held() == {}
