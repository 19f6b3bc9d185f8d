"""Airflow's connections and settings, as the sync reads them."""

from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Connection

from dynamics_sync.airflow_services import marketing_url, staging_root
from dynamics_sync.errors import MarketingConnectionError
from dynamics_sync.settings import Settings


def connection(**words: Any) -> Connection:
    return Connection(conn_id="marketing_db", **words)


def test_sqlite_is_a_file() -> None:
    assert marketing_url(connection(conn_type="sqlite", host="/data/marketing.db")).render_as_string() == (
        "sqlite:////data/marketing.db"
    )


def test_postgres_over_the_network() -> None:
    given = connection(
        conn_type="postgres",
        host="db.example.org",
        port=5433,
        schema="marketing",
        login="sync",
        password="p@ss/word",
        extra='{"sslmode": "verify-full", "cursor": "dictcursor"}',
    )
    url = marketing_url(given)
    assert (url.host, url.port, url.database, url.username, url.password) == (
        "db.example.org",
        5433,
        "marketing",
        "sync",
        "p@ss/word",
    )
    # What is Airflow's own does not reach libpq, which would refuse it.
    assert dict(url.query) == {"sslmode": "verify-full"}
    assert "p@ss" not in str(url)


def test_postgres_over_a_unix_socket() -> None:
    url = marketing_url(connection(conn_type="postgres", host="/run/postgresql", schema="marketing", login="sync"))
    assert (url.host, dict(url.query)) == (None, {"host": "/run/postgresql"})


def test_other_databases_are_refused_by_name() -> None:
    with pytest.raises(MarketingConnectionError, match="mysql"):
        marketing_url(connection(conn_type="mysql", host="db.example.org"))


def test_default_staging_is_open_to_its_owner_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    assert str(staging_root(Settings())) == f"file://{tmp_path}/dynamics_staging"
    assert (tmp_path / "dynamics_staging").stat().st_mode & 0o777 == 0o700


def test_staging_of_other_stores_is_left_to_them() -> None:
    assert str(staging_root(Settings(staging="memory://bucket/sync"))) == "memory://bucket/sync"
