"""How long planning takes: 1,000 differences among a million contacts in PostgreSQL, with and without the watermark."""

import time
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from bench.emulator_process import emulator_process
from bench.figures import Figure
from bench.sides import Sides, postgresql
from dynamics_sync.entity import ColumnKind, Entity
from dynamics_sync.store.schema import base_table, entity_table

ROWS = 1_000_000
DIFFERENCES = 1_000

#: A value of each kind, from the number of the row.
_VALUES = {
    ColumnKind.TEXT: "'value ' || n",
    ColumnKind.INTEGER: "mod(n, 1000)",
    ColumnKind.NUMBER: "n",
    ColumnKind.FLOAT: "n",
    ColumnKind.BOOLEAN: "mod(n, 2) = 0",
    ColumnKind.INSTANT: "timestamptz '2026-01-01' + n * interval '1 second'",
    ColumnKind.DATE: "date '2026-01-01' + mod(n, 365)",
    ColumnKind.GUID: "md5(n::text)::uuid",
}


def measure(folder: Path) -> list[Figure]:
    """Fill both tables, change DIFFERENCES rows, and time collect and plan together."""
    with postgresql(folder) as url, emulator_process(folder / "dynamics", 2_000) as emulator:
        sides = Sides(emulator, url, folder, ("contact",))
        (contact,) = sides.entities
        sides.copy(contact)
        engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
        _fill(engine, contact)
        # The first run compares everything and writes the watermark; nothing differs yet.
        sides.reverse()
        with engine.begin() as connection:
            change = (
                "UPDATE contact SET job_title = 'Bench' WHERE contact_id IN "
                "(SELECT contact_id FROM contact WHERE crm_version >= 1000000 ORDER BY contact_id LIMIT :most)"
            )
            connection.execute(sa.text(change), {"most": DIFFERENCES})
        engine.dispose()
        quick = _time_plan(sides, "changes")
        full = _time_plan(sides, "full")
    print(f"  {DIFFERENCES:,} of {ROWS:,} rows planned in {quick:.2f} s by the watermark, {full:.2f} s without")
    what = f"seconds to plan {DIFFERENCES:,} differences among {ROWS:,} rows"
    return [
        Figure("plan_1m_s", f"{what}, with the watermark", quick, at_most=2),
        Figure("plan_1m_full_s", f"{what}, all compared", full, at_most=20),
    ]


def _time_plan(sides: Sides, mode: str) -> float:
    begun = time.perf_counter()
    run_key = sides.collect(mode=mode, dry_run=True)
    sides.plan(run_key)
    return time.perf_counter() - begun


def _fill(engine: sa.Engine, contact: Entity) -> None:
    """Make ROWS contacts of which both sides say the same, a day ago."""
    columns = contact.columns
    names = [contact.key.column, *(column.name for column in columns)]
    values = ["md5('contact ' || n)::uuid", *(_VALUES[column.kind] for column in columns)]
    stamp = f"timestamptz '{datetime.now(UTC):%Y-%m-%d %H:%M:%S}' - interval '1 day'"
    held, base = entity_table(contact).name, base_table(contact).name
    with engine.begin() as connection:
        for table, more in ((held, ""), (base, ", written_at")):
            connection.exec_driver_sql(
                f"INSERT INTO {table} ({', '.join(names)}, crm_version, crm_read_at, updated_at{more}) "
                f"SELECT {', '.join(values)}, 1000000 + n, {stamp}, {stamp}{', ' + stamp if more else ''} "
                f"FROM generate_series(1, {ROWS}) AS n"
            )
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"VACUUM ANALYZE {held}")
        connection.exec_driver_sql(f"VACUUM ANALYZE {base}")
