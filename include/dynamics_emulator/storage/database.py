"""SQLite connections, transactions and the organisation's row versions."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dynamics_emulator.schema.model import Schema
from dynamics_emulator.storage import functions, layout

SqlValue = str | int | float | None
FIRST_VERSION = 1_000_000


class Database:
    """The organisation's rows in one file.

    Each thread has a connection of its own. Writers take turns, so that row versions rise in the order of commits: a
    reader that has seen a version has seen all lower ones.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._writer = threading.RLock()

    def create(self, schema: Schema) -> None:
        """Build missing tables and indexes."""
        with self.transaction() as connection:
            for statement in layout.statements(schema):
                connection.execute(statement)

    @property
    def connection(self) -> sqlite3.Connection:
        """This thread's connection."""
        found: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if found is None:
            found = self._open()
            self._local.connection = found
        return found

    def close(self) -> None:
        """Close every connection, of whatever thread."""
        for connection in self._opened:
            connection.close()
        self._opened.clear()
        self._local = threading.local()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Write inside; all or nothing. Transactions nest: an inner one that fails undoes only itself."""
        with self._writer:
            connection = self.connection
            depth = getattr(self._local, "depth", 0)
            begin, commit, undo = _nesting(depth)
            connection.execute(begin)
            self._local.depth = depth + 1
            try:
                yield connection
            except BaseException:
                connection.execute(undo)
                if depth:
                    connection.execute(commit)
                raise
            else:
                connection.execute(commit)
            finally:
                self._local.depth = depth

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Read several times from one state of the data."""
        connection = self.connection
        if connection.in_transaction:
            yield connection
            return
        connection.execute("BEGIN")
        try:
            yield connection
        finally:
            with suppress(sqlite3.OperationalError):
                connection.execute("ROLLBACK")

    def next_version(self) -> int:
        """Draw a row version; only inside :meth:`transaction`."""
        self.reserve_versions(1)
        return self.current_version()

    def reserve_versions(self, count: int) -> int:
        """Draw ``count`` versions at once and return the first; only inside :meth:`transaction`."""
        first = self.current_version() + 1
        self.write_state("version", str(first + count - 1))
        return first

    def current_version(self) -> int:
        """The newest version that was given."""
        return int(self.read_state("version") or FIRST_VERSION)

    def read_state(self, key: str) -> str | None:
        """A value of the emulator's own, or None."""
        row = self.connection.execute('SELECT value FROM "_state" WHERE key = ?', (key,)).fetchone()
        return None if row is None else str(row[0])

    def write_state(self, key: str, value: str) -> None:
        """Keep a value of the emulator's own; inside :meth:`transaction`."""
        self.connection.execute('INSERT OR REPLACE INTO "_state" VALUES (?, ?)', (key, value))

    def count(self, table: str) -> int:
        """Number of rows of a table."""
        query = f"SELECT count(*) FROM {layout.quote(table)}"
        return int(self.connection.execute(query).fetchone()[0])

    def rows(self, table: str) -> list[dict[str, SqlValue]]:
        """All rows as stored, in the order of their key."""
        cursor = self.connection.execute(f"SELECT * FROM {layout.quote(table)} ORDER BY 1")
        names = [entry[0] for entry in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=30)
        connection.execute("PRAGMA page_size = 8192")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA cache_size = -65536")
        functions.register(connection)
        self._opened.append(connection)
        return connection


def _nesting(depth: int) -> tuple[str, str, str]:
    """Statements that begin, keep and undo a transaction at this depth."""
    if depth == 0:
        return "BEGIN IMMEDIATE", "COMMIT", "ROLLBACK"
    name = f"level_{depth}"
    return f"SAVEPOINT {name}", f"RELEASE {name}", f"ROLLBACK TO {name}"
