"""The marketing database: one door to SQLite and PostgreSQL, with the same transactions and the same errors behind it.

A task opens its own, after the fork of Airflow's task runner, and closes it at its end. In between one connection is
kept for the next transaction, and no temporary table outlives its own.
"""

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Literal, Self

import psycopg
import sqlalchemy as sa

from dynamics_sync.errors import (
    MarketingConnectionError,
    MarketingDatabaseBusy,
    MarketingDatabaseRefused,
    SyncError,
)
from dynamics_sync.store.sqlite_file import forget_file

DialectName = Literal["sqlite", "postgresql"]
Clock = Callable[[], datetime]

#: Names under which people know PostgreSQL; all of them are reached through psycopg 3.
_POSTGRESQL_NAMES = frozenset({"postgres", "postgresql"})

#: SQLite keeps numbers as doubles, which hold any decimal number of so many digits and give it back unchanged.
_DIGITS_OF_DOUBLE = 15

#: Seconds. Several slices of one entity wait for each other, and each may take some seconds.
LOCK_TIMEOUT = 300.0

#: 64 MB. GUIDs arrive in no order, so that a merge touches pages all over the table.
_SQLITE_CACHE_KIB = 65_536

#: Seconds. A connection's own `connect_timeout` goes before it.
CONNECT_TIMEOUT = 10

#: What a PostgreSQL server, or its driver, says of a set-up that no later try will change. An error of a connection has
#: no SQLSTATE, and its text names role, database and host.
_WRONG_SETUP = {
    "password authentication failed": "the server refused the password",
    "no password supplied": "the server asks for a password, and the connection has none",
    "authentication failed": "the server did not authenticate the user",
    "no pg_hba.conf entry": "the server's pg_hba.conf does not let this user in from here",
    "is not permitted to log in": "the user may not log in",
    "permission denied for database": "the user may not connect to the database",
}
_MISSING = re.compile(r'(role|database) ".*" does not exist', re.DOTALL)

_NOTHING_STORED = "The transaction was rolled back, nothing of it is stored"


def utc_now() -> datetime:
    """Return the instant, aware, in UTC."""
    return datetime.now(UTC)


class MarketingDatabase:
    """An opened marketing database. `reading` and `writing` give a transaction each."""

    def __init__(self, engine: sa.Engine, dialect_name: DialectName, clock: Clock) -> None:
        self.engine = engine
        self.dialect_name: DialectName = dialect_name
        self.now = clock
        #: True once this object saw to it that the sync's own tables are there.
        self.has_sync_tables = False
        self._writer = engine.execution_options(sqlite_begin="BEGIN IMMEDIATE")

    @classmethod
    def open(cls, url: str | sa.URL, *, clock: Clock = utc_now, lock_timeout: float = LOCK_TIMEOUT) -> Self:
        """Return the database of the URL; nothing is connected yet.

        `lock_timeout` is in seconds: a lock that lasts longer becomes MarketingDatabaseBusy.
        Raises MarketingConnectionError for a URL that names neither a SQLite file nor a PostgreSQL database.
        """
        parsed = _parse(url)
        if parsed.get_backend_name() == "sqlite":
            return cls(_sqlite_engine(parsed, lock_timeout), "sqlite", clock)
        return cls(_postgresql_engine(parsed, lock_timeout), "postgresql", clock)

    @property
    def exact_digits(self) -> int | None:
        """How many decimal digits a number may have and still be held exactly; None for as many as the column has."""
        return _DIGITS_OF_DOUBLE if self.dialect_name == "sqlite" else None

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """Give a transaction that changes no lasting table. Raises MarketingDatabaseBusy and its kin."""
        with _translated_errors(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Give a transaction that is committed at the end of the block, and rolled back by an exception.

        On SQLite it holds the write lock from the start, as a transaction that reads first cannot wait for it later.
        """
        with _translated_errors(), self._writer.begin() as connection:
            yield connection

    def close(self) -> None:
        """Release what the engine holds."""
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def take_lock(connection: sa.Connection, name: str, *, shared: bool = False) -> None:
    """Wait until no other transaction holds the lock of that name; it is freed with the transaction.

    `shared` lets others in that ask for it likewise (see `beside_others`). SQLite needs no lock: there is one writer at
    a time.
    """
    if connection.dialect.name == "postgresql":
        lock = sa.func.pg_advisory_xact_lock_shared if shared else sa.func.pg_advisory_xact_lock
        connection.execute(sa.select(lock(sa.func.hashtextextended(name, 0))))


class NotBesideOthers(Exception):
    """What a transaction has to do cannot be done beside others; nothing of it is stored, and it is done anew alone."""


@contextmanager
def beside_others() -> Iterator[None]:
    """Turn into NotBesideOthers what a transaction that shares its lock may meet, and may not when it is alone."""
    try:
        yield
    except (sa.exc.DBAPIError, psycopg.Error) as error:
        original = error.orig if isinstance(error, sa.exc.DBAPIError) else error
        if isinstance(original, (psycopg.errors.UniqueViolation, psycopg.errors.DeadlockDetected)):
            raise NotBesideOthers from None
        raise


def _parse(url: str | sa.URL) -> sa.URL:
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        # The text of the cause would quote the URL, and with it the password.
        message = "the URL of the marketing database cannot be read"
        raise MarketingConnectionError(message, not_done="Nothing was connected") from None
    backend = parsed.drivername.partition("+")[0]
    if backend in _POSTGRESQL_NAMES:
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        message = f"the marketing database is of type {backend}, which is not supported"
        raise MarketingConnectionError(message, not_done="Nothing was connected")
    if parsed.database in {None, "", ":memory:"}:
        message = "the connection names no file; a SQLite database in memory cannot be shared by tasks"
        raise MarketingConnectionError(message, not_done="Nothing was connected")
    return parsed.set(drivername="sqlite+pysqlite")


def _sqlite_engine(url: sa.URL, lock_timeout: float) -> sa.Engine:
    engine = sa.create_engine(url, pool_size=1, hide_parameters=True, connect_args={"timeout": lock_timeout})

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: sqlite3.Connection, _record: object) -> None:
        # Without this the driver opens transactions by its own rules, and `begin` below could not.
        connection.isolation_level = None
        connection.execute(f"PRAGMA cache_size = -{_SQLITE_CACHE_KIB}")
        _use_write_ahead_log(connection)

    @sa.event.listens_for(engine, "checkin")
    def _tidy(connection: sqlite3.Connection | None, _record: object) -> None:
        if connection is not None:
            forget_file(connection)
            # What PostgreSQL does at the end of a transaction (ON COMMIT DROP).
            left = connection.execute("SELECT name FROM sqlite_temp_master WHERE type = 'table'").fetchall()
            for (name,) in left:
                connection.execute(f'DROP TABLE temp."{name}"')

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("sqlite_begin", "BEGIN"))

    return engine


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Let readers go on while one writes. The mode stays with the file."""
    if connection.execute("PRAGMA journal_mode").fetchone() == ("wal",):
        return
    try:
        connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.OperationalError as error:
        # SQLite does not wait here. Whoever holds the lock of a new file is switching it at this moment.
        if _primary_code(error) not in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            raise


def _postgresql_engine(url: sa.URL, lock_timeout: float) -> sa.Engine:
    arguments = {} if "connect_timeout" in url.query else {"connect_timeout": CONNECT_TIMEOUT}
    engine = sa.create_engine(url, pool_size=1, hide_parameters=True, connect_args=arguments)

    @sa.event.listens_for(engine, "connect")
    def _prepare(connection: psycopg.Connection[Any], _record: object) -> None:
        # The year 9999 cannot be read in a time zone east of UTC: Python's datetime ends there.
        connection.execute("SET TIME ZONE 'UTC'")
        connection.execute("SELECT set_config('lock_timeout', %s, false)", [str(round(lock_timeout * 1000))])
        connection.commit()

    return engine


@contextmanager
def _translated_errors() -> Iterator[None]:
    """Turn the drivers' errors into ours, without their text: it quotes values of rows."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        raise _translate(error.orig) from None
    except (psycopg.Error, sqlite3.Error) as error:
        raise _translate(error) from None


def _translate(error: BaseException | None) -> SyncError:
    if isinstance(error, sqlite3.Error):
        return _translate_sqlite(error)
    sqlstate = getattr(error, "sqlstate", None)
    if isinstance(error, psycopg.OperationalError):
        wrong = None if sqlstate else _wrong_setup(str(error))
        if wrong:
            return MarketingConnectionError(
                f"the marketing database cannot be used: {wrong}",
                not_done="Nothing was connected",
                next_step="Correct login, password, schema and host of the connection, or the rights on the server",
            )
        # Without an SQLSTATE it comes from libpq and is about host, port and user only.
        reason = f"SQLSTATE {sqlstate}" if sqlstate else str(error).partition("\n")[0]
        return MarketingDatabaseBusy(
            f"the marketing database is locked or cannot be reached ({reason})", not_done=_NOTHING_STORED
        )
    return MarketingDatabaseRefused(
        f"the marketing database refused a statement ({type(error).__name__}, SQLSTATE {sqlstate})",
        not_done=_NOTHING_STORED,
    )


def _wrong_setup(text: str) -> str | None:
    """Say what is wrong with a connection for good; None if a later try may succeed."""
    missing = _MISSING.search(text)
    if missing:
        return f"the {missing[1]} does not exist"
    return next((reason for words, reason in _WRONG_SETUP.items() if words in text), None)


def _translate_sqlite(error: sqlite3.Error) -> SyncError:
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    match _primary_code(error):
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return MarketingDatabaseBusy(f"the marketing database is locked ({name})", not_done=_NOTHING_STORED)
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_READONLY:
            return MarketingConnectionError(
                f"the file of the marketing database cannot be used ({name})",
                not_done=_NOTHING_STORED,
                next_step="Check that the path of the connection leads to a SQLite file in a writable folder",
            )
        case _:
            return MarketingDatabaseRefused(
                f"the marketing database refused a statement ({type(error).__name__}, {name})",
                not_done=_NOTHING_STORED,
            )


def _primary_code(error: sqlite3.Error) -> int:
    """The kind of error; the higher bits say which variety of it."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF
