"""How fast changed contacts are written to Dynamics, beside one PATCH after another over one connection."""

import json
import time
from pathlib import Path

import requests
import sqlalchemy as sa

from bench.emulator_process import Client, emulator_process
from bench.figures import Figure
from bench.sides import Sides, postgresql

CHANGED = 10_000
ONE_BY_ONE = 500
LATENCY_MILLISECONDS = 50

_ROWS = 60_000  # of the sample organisation, of which a sixth and more are active contacts


def measure(folder: Path) -> list[Figure]:
    """Change CHANGED contacts here, and write them; then ONE_BY_ONE by hand, scaled to as many."""
    with postgresql(folder) as url, emulator_process(folder / "dynamics", _ROWS, "--control-port", "0") as emulator:
        sides = Sides(emulator, url, folder, ("contact",))
        (contact,) = sides.entities
        for _ in range(2):
            sides.copy(contact)
        engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
        with engine.begin() as connection:
            query = "SELECT contact_id FROM contact WHERE state_code = 0 ORDER BY contact_id LIMIT :most"
            keys = list(connection.execute(sa.text(query), {"most": CHANGED + ONE_BY_ONE}).scalars())
            others = keys[CHANGED:]
            keys = keys[:CHANGED]
            change = "UPDATE contact SET job_title = 'Bench', department = 'Measured' WHERE contact_id = ANY(:keys)"
            connection.execute(sa.text(change), {"keys": keys})
        engine.dispose()
        _be_late(emulator.connection["control_url"])
        # Other contacts, so that the versions of those that are to be written stay as they are.
        slow = _one_by_one(Client(emulator), others) * len(keys) / ONE_BY_ONE
        sides.wire.requests = 0
        begun = time.perf_counter()
        counts = sides.reverse()["contact"]
        seconds = time.perf_counter() - begun
    written = counts["updated"]
    if written != CHANGED:
        message = f"{written} of {CHANGED} contacts were written: {counts}"
        raise RuntimeError(message)
    print(f"  {written:,} contacts in {seconds:.1f} s, one by one {slow:.0f} s; {sides.wire.requests} requests")
    return [
        Figure(
            "reverse_vs_one_by_one",
            f"{CHANGED:,} changed contacts, {LATENCY_MILLISECONDS} ms a request: times as fast as one PATCH at a time",
            slow / seconds,
            at_least=25,
        ),
        Figure(
            "reverse_requests_per_10k",
            f"requests to Dynamics for {CHANGED:,} changed contacts",
            sides.wire.requests,
            at_most=CHANGED / 250 + 20,
        ),
    ]


def _be_late(control_url: str) -> None:
    with requests.Session() as session:
        session.trust_env = False
        settings = {"latency_milliseconds": LATENCY_MILLISECONDS}
        session.post(f"{control_url}/settings", json=settings, timeout=10).raise_for_status()


def _one_by_one(client: Client, keys: list[object]) -> float:
    """Seconds that one PATCH after another takes over one connection."""
    begun = time.perf_counter()
    for key in keys:
        body = json.dumps({"jobtitle": "Bench", "department": "Measured"}).encode()
        client.send("PATCH", f"contacts({key})", body, If_Match="*", Content_Type="application/json")
    return time.perf_counter() - begun
