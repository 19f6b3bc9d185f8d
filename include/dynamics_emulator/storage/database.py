"""SQLite connections, transactions and the organisation's row versions."""

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dynamics_emulator.schema.model import Schema
from dynamics_emulator.storage import functions, layout
from dynamics_emulator.storage.engine import sqlite3
from dynamics_emulator.storage.sorted_keys import SortedKeys

SqlValue = str | int | float | None
FIRST_VERSION = 1_000_000
_STATEMENTS = 512
"""Prepared statements that a connection keeps: a deletion alone asks a hundred different questions."""


class Database:
    """The organisation's rows in one file.

    Each thread has a connection of its own. Writers take turns, so that row versions rise in the order of commits: a
    reader that has seen a version has seen all lower ones.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self._leases: weakref.WeakSet[_Lease] = weakref.WeakSet()
        self._writer = threading.RLock()
        self._drawn: int | None = None
        self._commits = 0
        self.sorted_keys = SortedKeys()

    def create(self, schema: Schema) -> None:
        """Build what the stored tables lack: tables, columns and indexes."""
        with self.transaction() as connection:
            for statement in layout.statements(schema, self.stored_columns()):
                connection.execute(statement)

    def create_bookkeeping(self) -> None:
        """Build the emulator's own tables, from which the schema of an organisation is known."""
        with self.transaction() as connection:
            for statement in layout.BOOKKEEPING:
                connection.execute(statement)

    def stored_columns(self) -> dict[str, frozenset[str]]:
        """Names of the stored columns by table, whether or not the schema still has them."""
        query = (
            "SELECT tables.name, group_concat(columns.name, ' ') FROM sqlite_schema AS tables, "
            "pragma_table_info(tables.name) AS columns WHERE tables.type = 'table' GROUP BY tables.name"
        )
        return {table: frozenset(names.split()) for table, names in self.connection.execute(query).fetchall()}

    def indexes_on(self, table: str, column: str) -> list[str]:
        """Names of the indexes that a stored column is part of."""
        query = (
            "SELECT DISTINCT indexes.name FROM pragma_index_list(?) AS indexes, "
            "pragma_index_info(indexes.name) AS parts WHERE parts.name = ? AND indexes.origin = 'c'"
        )
        return [str(name) for (name,) in self.connection.execute(query, (table, column)).fetchall()]

    @property
    def connection(self) -> sqlite3.Connection:
        """This thread's connection."""
        lease: _Lease | None = getattr(self._local, "lease", None)
        if lease is None:
            lease = self._local.lease = _Lease(self._open())
            self._leases.add(lease)
        return lease.connection

    def close(self) -> None:
        """Close every connection, of whatever thread."""
        for lease in list(self._leases):
            lease.connection.close()
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
                if not depth:
                    self._keep_version()
            except BaseException:
                connection.execute(undo)
                if depth:
                    connection.execute(commit)
                raise
            else:
                connection.execute(commit)
                if not depth:
                    # Afterwards: a snapshot that begins meanwhile may be of the state before it.
                    self._commits += 1
            finally:
                self._local.depth = depth
                if not depth:
                    self._drawn = None

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Read several times from one state of the data."""
        connection = self.connection
        if connection.in_transaction:
            yield connection
            return
        self._local.state = self._commits
        connection.execute("BEGIN")
        try:
            yield connection
        finally:
            self._local.state = None
            with suppress(sqlite3.OperationalError):
                connection.execute("ROLLBACK")

    @property
    def state(self) -> int | None:
        """What this thread's snapshot sees: the same number, the same rows. None outside, and within writes."""
        state: int | None = getattr(self._local, "state", None)
        return state

    def next_version(self) -> int:
        """Draw a row version; only inside :meth:`transaction`."""
        return self.reserve_versions(1)

    def reserve_versions(self, count: int) -> int:
        """Draw ``count`` versions at once and return the first; only inside :meth:`transaction`."""
        first = self.current_version() + 1
        # Kept in memory until the end of the transaction; what is undone leaves a gap, as in SQL Server.
        self._drawn = first + count - 1
        return first

    def current_version(self) -> int:
        """The newest version that was given, as far as this thread can know of it."""
        if self._drawn is not None and getattr(self._local, "depth", 0) > 0:
            return self._drawn
        return int(self.read_state("version") or FIRST_VERSION)

    def _keep_version(self) -> None:
        if self._drawn is not None:
            self.write_state("version", str(self._drawn))

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
        connection = sqlite3.connect(
            self._path, isolation_level=None, check_same_thread=False, timeout=30, cached_statements=_STATEMENTS
        )
        connection.execute("PRAGMA page_size = 8192")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = OFF")
        # Small, as each thread has one: what it misses lies in the page cache of the system.
        connection.execute("PRAGMA cache_size = -16384")
        functions.register(connection)
        return connection


class _Lease:
    """A thread's hold on its connection, which is closed when the thread has ended."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        weakref.finalize(self, connection.close)


def _nesting(depth: int) -> tuple[str, str, str]:
    """Statements that begin, keep and undo a transaction at this depth."""
    if depth == 0:
        return "BEGIN IMMEDIATE", "COMMIT", "ROLLBACK"
    name = f"level_{depth}"
    return f"SAVEPOINT {name}", f"RELEASE {name}", f"ROLLBACK TO {name}"
