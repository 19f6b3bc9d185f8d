"""A process that loads one slice of a two-way entity and dies before its commit. See test_three_way_concurrency.py."""

import json
import os
import signal
import sys
from datetime import datetime

import pyarrow as pa
import sqlalchemy as sa

from dynamics_sync.entity import Entity
from dynamics_sync.store.database import MarketingDatabase
from dynamics_sync.store.merge import load_slice
from dynamics_sync.store.runs import RunIdentity
from dynamics_sync.store.schema import rows_schema


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    order = json.loads(sys.argv[1])
    entity = Entity.model_validate(order["entity"])
    run = RunIdentity(entity.entity, order["run_id"], order["run_key"], datetime.fromisoformat(order["begun_at"]))
    schema = rows_schema(entity)
    page = pa.Table.from_pylist(
        [{name: row.get(name) for name in schema.names} for row in order["rows"]], schema=schema
    )
    with MarketingDatabase.open(order["url"]) as db:
        sa.event.listen(db.engine, "commit", die)
        load_slice(db, entity, run, 0, [page], [], read=len(order["rows"]), filtered=0)


main()
