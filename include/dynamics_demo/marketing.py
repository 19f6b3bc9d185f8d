"""The marketing database, read and written with plain SQL as any user of it would."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from dynamics_demo.entities import Entity
from dynamics_demo.installation import Installation, Marketing
from dynamics_demo.postgres import postgres_program, postgres_url
from dynamics_demo.settings_file import Connection


@dataclass(frozen=True, slots=True)
class RunCounts:
    """One row of `sync_run`, of a run that reads from Dynamics."""

    entity: str
    run_id: str
    state: str
    inserted: int
    updated: int
    deleted: int


@dataclass(frozen=True, slots=True)
class MarketingDatabase:
    """Either the SQLite file or the PostgreSQL database."""

    kind: Marketing
    file: Path
    socket_folder: Path

    @property
    def stores_doubles(self) -> bool:
        """Whether numbers with a point are doubles, exact to 15 significant digits only."""
        return self.kind is Marketing.SQLITE

    @property
    def url(self) -> str:
        """The libpq URL of the PostgreSQL database."""
        return postgres_url(self.socket_folder, "marketing")

    @property
    def place(self) -> str:
        """Where it is, and how to open it."""
        if self.kind is Marketing.SQLITE:
            return f"sqlite3 {self.file}"
        return f'{postgres_program("psql")} "{self.url}"'

    def connection(self) -> Connection:
        """Return the Airflow connection that leads to it."""
        if self.kind is Marketing.SQLITE:
            return Connection(conn_id="marketing_db", conn_type="sqlite", conn_host=str(self.file))
        return Connection(
            conn_id="marketing_db",
            conn_type="postgres",
            conn_host=str(self.socket_folder),
            conn_schema="marketing",
            conn_login="postgres",
        )

    def rows(self, query: str, parameters: Sequence[str] = ()) -> Iterator[Mapping[str, Any]]:
        """Run a SELECT, its parameters written as `?`; each row is a mapping from column to value."""
        if self.kind is Marketing.SQLITE:
            with _open_sqlite(self.file) as connection:
                connection.execute("PRAGMA query_only = on")
                yield from (dict(row) for row in connection.execute(query, parameters))
            return
        with psycopg.connect(self.url, row_factory=dict_row) as connection:
            yield from connection.execute(query.replace("?", "%s").encode(), parameters)

    def write(self, statement: str, parameters: Sequence[str] = ()) -> int:
        """Run one statement that writes, its parameters written as `?`; returns how many rows it changed."""
        if self.kind is Marketing.SQLITE:
            with _open_sqlite(self.file) as connection, connection:
                return connection.execute(statement, parameters).rowcount
        with psycopg.connect(self.url) as database:
            return database.execute(statement.replace("?", "%s").encode(), parameters).rowcount

    def number(self, query: str, parameters: Sequence[str] = ()) -> int:
        """Run a SELECT of one figure."""
        return int(next(iter(next(self.rows(query, parameters)).values())))

    def has_runs(self) -> bool:
        """Whether the sync has ever written to this database."""
        return self.has_table("sync_run") and self.number("SELECT count(*) FROM sync_run") > 0

    def has_table(self, name: str) -> bool:
        """Whether there is a table of that name."""
        if self.kind is Marketing.POSTGRES:
            return self.number("SELECT count(*) FROM information_schema.tables WHERE table_name = ?", [name]) > 0
        return self.file.exists() and self.number("SELECT count(*) FROM sqlite_master WHERE name = ?", [name]) > 0

    def runs(self) -> list[RunCounts]:
        """Return what each run of each entity brought from Dynamics."""
        if not self.has_runs():
            return []
        counts = "SELECT entity, run_id, state, inserted, updated, deleted FROM sync_run"
        return [_run_counts(row) for row in self.rows(f"{counts} WHERE direction = 'from_dynamics'")]

    def quarantined(self, entity: str) -> frozenset[str]:
        """Return the keys of an entity's rows from Dynamics that stand in quarantine."""
        query = "SELECT record_key FROM sync_quarantine WHERE entity = ? AND resolved_at IS NULL"
        rows = self.rows(f"{query} AND direction = 'from_dynamics'", [entity])
        return frozenset(str(row["record_key"]) for row in rows)

    def deleted_here(self, entity: Entity) -> frozenset[str]:
        """Return the keys of records that Dynamics has as far as is known, and whose rows were deleted here."""
        base, key = f"{entity.table}_base", entity.key_column
        if not (entity.is_two_way and self.has_table(base)):
            return frozenset()
        query = f'SELECT "{key}" AS record FROM "{base}" AS b WHERE crm_deleted_at IS NULL AND NOT EXISTS '
        rows = self.rows(f'{query}(SELECT 1 FROM "{entity.table}" AS t WHERE t."{key}" = b."{key}")')
        return frozenset(str(row["record"]) for row in rows)


def _run_counts(row: Mapping[str, Any]) -> RunCounts:
    counts = {name: int(row[name] or 0) for name in ("inserted", "updated", "deleted")}
    return RunCounts(str(row["entity"]), str(row["run_id"]), str(row["state"]), **counts)


@contextmanager
def _open_sqlite(file: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(file, timeout=30)
    connection.row_factory = sqlite3.Row
    try:
        yield connection
    finally:
        connection.close()


def open_marketing(installation: Installation, kind: Marketing, socket_folder: Path) -> MarketingDatabase:
    """Return the marketing database of an installation."""
    return MarketingDatabase(kind, installation.marketing_file, socket_folder)
