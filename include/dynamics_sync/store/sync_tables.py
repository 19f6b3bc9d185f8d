"""The sync's own tables: runs, slices, quarantine and environment. Users read them with SQL."""

import sqlalchemy as sa

from dynamics_sync.store.column_types import Instant
from dynamics_sync.store.database import MarketingDatabase, take_lock

#: Who creates or extends a table holds this lock, so that several tasks can begin at the same moment.
SCHEMA_LOCK = "dynamics_sync:schema"

_METADATA = sa.MetaData()


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, server_default=sa.text("0"))


SYNC_RUN = sa.Table(
    "sync_run",
    _METADATA,
    sa.Column("entity", sa.String(100), primary_key=True),
    sa.Column("run_id", sa.String(250), primary_key=True),
    sa.Column(
        "run_key",
        sa.Text,
        nullable=False,
        unique=True,
        comment="One attempt at the run; new when it is cleared",
    ),
    sa.Column("mode", sa.String(50), nullable=False),
    sa.Column("state", sa.String(10), nullable=False, comment="running, success or failed"),
    sa.Column("begun_at", Instant, nullable=False),
    sa.Column("finished_at", Instant),
    _count("read_rows"),
    _count("inserted"),
    _count("updated"),
    _count("unchanged"),
    _count("filtered"),
    _count("rejected"),
    _count("deleted"),
    sa.Column("error_code", sa.String(10)),
    sa.Column("error", sa.Text),
    comment="One row a run and entity. read_rows = inserted + updated + unchanged + filtered + rejected",
)

SYNC_SLICE = sa.Table(
    "sync_slice",
    _METADATA,
    sa.Column("run_key", sa.Text, primary_key=True),
    sa.Column("slice", sa.Integer, primary_key=True, autoincrement=False),
    _count("read_rows"),
    _count("inserted"),
    _count("updated"),
    _count("unchanged"),
    _count("filtered"),
    _count("rejected"),
    sa.Column("committed_at", Instant, nullable=False),
    comment="One row a slice that was loaded, written with its rows: a repeated load finds it and does nothing",
)

SYNC_QUARANTINE = sa.Table(
    "sync_quarantine",
    _METADATA,
    sa.Column("entity", sa.String(100), primary_key=True),
    sa.Column(
        "record_key",
        sa.String(80),
        primary_key=True,
        comment="The GUID, or sha256: of the payload if it has none",
    ),
    sa.Column("code", sa.String(10), nullable=False),
    sa.Column("column_name", sa.String(100)),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("payload", sa.Text, nullable=False, comment="The row as Dynamics gave it, as JSON"),
    sa.Column("crm_version", sa.BigInteger),
    sa.Column("run_id", sa.String(250), nullable=False, comment="The last run that refused the row"),
    sa.Column("first_seen_at", Instant, nullable=False),
    sa.Column("last_seen_at", Instant, nullable=False),
    sa.Column("resolved_at", Instant, comment="Null as long as the row is open"),
    comment="Rows that could not be applied. The table of the entity keeps what it held before",
)

SYNC_ENVIRONMENT = sa.Table(
    "sync_environment",
    _METADATA,
    sa.Column("organization_id", sa.String(100), primary_key=True),
    sa.Column("environment_id", sa.String(100), nullable=False),
    sa.Column("unique_name", sa.String(200), nullable=False),
    sa.Column("tenant_id", sa.String(100), nullable=False),
    sa.Column("url_name", sa.String(200), nullable=False),
    sa.Column("recorded_at", Instant, nullable=False),
    comment="The Dynamics organisation that all rows came from; one row at most",
)


def ensure_sync_tables(db: MarketingDatabase) -> None:
    """Create the sync's own tables where they are missing. Asks the database once for each `db`."""
    if db.has_sync_tables:
        return
    with db.writing() as connection:
        take_lock(connection, SCHEMA_LOCK)
        _METADATA.create_all(connection)
    db.has_sync_tables = True
