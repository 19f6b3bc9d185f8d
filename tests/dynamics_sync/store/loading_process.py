"""A process that loads slices of the sample entity, and can die at a given point. Started by test_concurrency.py.

It prints `ready`, waits for a line on its standard input, loads, and prints one line of counts for each slice.
"""

import json
import os
import signal
import sys
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from uuid import UUID

import pyarrow as pa
import sqlalchemy as sa

from dynamics_sync.catalogue import load_entity
from dynamics_sync.store.database import MarketingDatabase
from dynamics_sync.store.merge import load_slice
from dynamics_sync.store.runs import RunIdentity
from dynamics_sync.store.schema import rows_schema


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    order = json.loads(sys.argv[1])
    entity = load_entity(Path(__file__).parent / "entities" / "sample.yaml")
    run = RunIdentity("sample", order["run_id"], order["run_key"], datetime.fromisoformat(order["begun_at"]))
    schema = rows_schema(entity)
    with MarketingDatabase.open(order["url"]) as db:
        say("ready")
        sys.stdin.readline()
        if order["dies"] == "before the commit":
            sa.event.listen(db.engine, "commit", die)
        for number, slice_rows in enumerate(order["slices"]):
            rows = [
                {"sample_id": str(UUID(int=key)), "crm_version": version, "name": f"state {version}"}
                for key, version in slice_rows
            ]
            table = pa.Table.from_pylist([{n: row.get(n) for n in schema.names} for row in rows], schema=schema)
            counts = load_slice(db, entity, run, number, [table], [], read=len(rows), filtered=0)
            if order["dies"] == "after the commit":
                die()
            say(json.dumps(asdict(counts)))


main()
