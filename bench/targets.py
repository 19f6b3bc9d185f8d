"""Marketing databases to copy into: each of a run of its own, and empty."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

import psycopg
from psycopg import sql

from bench.airflow_runs import BenchAirflow
from dynamics_demo.postgres import ensure_database, postgres_url
from dynamics_demo.settings_file import Connection


class Target(Protocol):
    """An empty database."""

    @property
    def url(self) -> str:
        """Its URL, for libpq and for SQLAlchemy."""

    @property
    def connection(self) -> Connection:
        """The Airflow connection that leads to it."""

    def count(self) -> int:
        """How many leads this project has brought there."""

    def remove(self) -> None:
        """Remove it with all that it holds."""


@dataclass(frozen=True, slots=True)
class PostgresTarget:
    """A database of its own in the PostgreSQL that also holds Airflow's metadata."""

    socket_folder: Path
    name: str

    @property
    def url(self) -> str:
        """Its URL; the host is the folder of a socket."""
        return f"postgresql://postgres:@/{self.name}?host={quote(str(self.socket_folder))}"

    @property
    def connection(self) -> Connection:
        """The Airflow connection that leads to it."""
        return Connection(
            conn_id="marketing_db",
            conn_type="postgres",
            conn_host=str(self.socket_folder),
            conn_schema=self.name,
            conn_login="postgres",
        )

    def count(self) -> int:
        """How many leads this project has brought there."""
        with psycopg.connect(self.url) as connection:
            row = connection.execute("SELECT count(*) FROM lead").fetchone()
        return int(row[0]) if row else 0

    def remove(self) -> None:
        """Drop it."""
        with psycopg.connect(postgres_url(self.socket_folder, "postgres"), autocommit=True) as connection:
            drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(self.name))
            connection.execute(drop)
            # What is written later of this one must not slow down the next.
            connection.execute("CHECKPOINT")


@dataclass(frozen=True, slots=True)
class SqliteTarget:
    """A file."""

    file: Path

    @property
    def url(self) -> str:
        """Its URL."""
        return f"sqlite:///{self.file}"

    @property
    def connection(self) -> Connection:
        """The Airflow connection that leads to it."""
        return Connection(conn_id="marketing_db", conn_type="sqlite", conn_host=str(self.file))

    def count(self) -> int:
        """How many leads this project has brought there."""
        with closing(sqlite3.connect(self.file)) as connection:
            return int(connection.execute("SELECT count(*) FROM lead").fetchone()[0])

    def remove(self) -> None:
        """Remove the file and its journals."""
        for file in self.file.parent.glob(f"{self.file.name}*"):
            file.unlink()


def new_target(airflow: BenchAirflow, kind: str, name: str) -> Target:
    """Make an empty database: `kind` is postgres or sqlite, `name` one that was not used before."""
    if kind == "postgres":
        ensure_database(airflow.socket_folder, name)
        return PostgresTarget(airflow.socket_folder, name)
    return SqliteTarget(airflow.figures.parent / f"{name}.db")
