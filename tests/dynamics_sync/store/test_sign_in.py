"""A PostgreSQL server that lets nobody in: for good, or for the moment."""

import socket
import struct
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from dynamics_sync.errors import MarketingConnectionError, MarketingDatabaseBusy
from dynamics_sync.store.database import CONNECT_TIMEOUT, MarketingDatabase
from dynamics_sync.store.sync_tables import ensure_sync_tables

#: Requests for an encrypted connection, which come before the start-up message.
_ENCRYPTION = {80877103, 80877104}


def refuse(client: socket.socket, sqlstate: str, text: str) -> None:
    """Answer the start-up message with an error, as in the frontend/backend protocol."""
    while True:
        length, code = struct.unpack("!ii", client.recv(8, socket.MSG_WAITALL))
        client.recv(length - 8, socket.MSG_WAITALL)
        if code not in _ENCRYPTION:
            break
        client.sendall(b"N")
    fields = b"".join(
        name + value.encode() + b"\0"
        for name, value in ((b"S", "FATAL"), (b"V", "FATAL"), (b"C", sqlstate), (b"M", text))
    )
    client.sendall(b"E" + struct.pack("!i", len(fields) + 5) + fields + b"\0")


@contextmanager
def refusing_server(sqlstate: str, text: str) -> Iterator[int]:
    """Give the port of a server that refuses each connection, one after another."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                client, _ = listener.accept()
                with client:
                    if stopping.is_set():
                        return
                    refuse(client, sqlstate, text)

        stopping = threading.Event()
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            stopping.set()
            socket.create_connection(listener.getsockname()).close()
            thread.join()


@pytest.mark.parametrize(
    ("sqlstate", "text", "reason"),
    [
        ("28P01", 'password authentication failed for user "secret"', "the server refused the password"),
        ("28000", 'role "secret" does not exist', "the role does not exist"),
        ("3D000", 'database "secret" does not exist', "the database does not exist"),
        (
            "28000",
            'no pg_hba.conf entry for host "10.0.0.1", user "secret", database "secret", no encryption',
            "the server's pg_hba.conf does not let this user in from here",
        ),
        ("28000", 'Peer authentication failed for user "secret"', "the server did not authenticate the user"),
        ("28000", 'role "secret" is not permitted to log in', "the user may not log in"),
        ("42501", 'permission denied for database "secret"', "the user may not connect to the database"),
    ],
)
def test_a_set_up_that_no_later_try_will_change_stops_the_run(sqlstate, text, reason):
    with (
        refusing_server(sqlstate, text) as port,
        MarketingDatabase.open(f"postgresql://secret:secret@127.0.0.1:{port}/secret") as db,
        pytest.raises(
            MarketingConnectionError, match=f"DS-106 the marketing database cannot be used: {reason}"
        ) as raised,
    ):
        ensure_sync_tables(db)
    assert "secret" not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize(
    ("sqlstate", "text"),
    [
        ("57P03", "the database system is starting up"),
        ("57P03", "the database system is in recovery mode"),
        ("53300", "sorry, too many clients already"),
        ("28P01", "Words that no one translated"),
    ],
)
def test_a_server_that_takes_nobody_at_the_moment_is_tried_again(sqlstate, text):
    with (
        refusing_server(sqlstate, text) as port,
        MarketingDatabase.open(f"postgresql://user:secret@127.0.0.1:{port}/marketing") as db,
        pytest.raises(MarketingDatabaseBusy, match="DS-705") as raised,
    ):
        ensure_sync_tables(db)
    assert "secret" not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"username": "nobody_of_that_name"}, "the role does not exist"),
        ({"database": "none_of_that_name"}, "the database does not exist"),
    ],
)
def test_a_real_server_refuses_in_these_words(postgresql_url, changes, reason):
    url = sa.make_url(postgresql_url).set(**changes)
    with MarketingDatabase.open(url) as db, pytest.raises(MarketingConnectionError, match=reason) as raised:
        ensure_sync_tables(db)
    assert "of_that_name" not in "".join(traceback.format_exception(raised.value))


@pytest.mark.parametrize(("query", "timeout"), [("", CONNECT_TIMEOUT), ("?connect_timeout=3", "3")])
def test_a_server_that_is_silent_is_waited_for_so_many_seconds(query, timeout):
    asked = []

    def note(_dialect, _record, _arguments, named):
        asked.append(named["connect_timeout"])

    with (
        refusing_server("57P03", "the database system is starting up") as port,
        MarketingDatabase.open(f"postgresql://user@127.0.0.1:{port}/marketing{query}") as db,
    ):
        sa.event.listen(db.engine, "do_connect", note)
        with pytest.raises(MarketingDatabaseBusy):
            ensure_sync_tables(db)
    assert asked == [timeout]
