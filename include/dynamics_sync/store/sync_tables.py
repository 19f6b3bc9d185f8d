"""The sync's own tables: runs, slices, quarantine, environment; conflicts, history and plans of what goes both ways;
and how the limits of Dynamics are kept by all tasks together.

Users read them with SQL, and decide there: `decision` of `sync_conflict` is theirs to write.
"""

import sqlalchemy as sa

from dynamics_sync.errors import ColumnConflict
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
    sa.Column(
        "direction",
        sa.String(20),
        primary_key=True,
        server_default="from_dynamics",
        comment="from_dynamics or to_dynamics",
    ),
    sa.Column("run_id", sa.String(250), primary_key=True),
    sa.Column(
        "run_key",
        sa.Text,
        nullable=False,
        unique=True,
        comment="One attempt at the run; new when it is cleared",
    ),
    sa.Column("mode", sa.String(50), nullable=False),
    sa.Column("state", sa.String(10), nullable=False, comment="running, waiting, success or failed"),
    sa.Column("begun_at", Instant, nullable=False),
    sa.Column("finished_at", Instant),
    _count("read_rows"),
    _count("inserted"),
    _count("updated"),
    _count("unchanged"),
    _count("filtered"),
    _count("rejected"),
    _count("postponed"),
    _count("deleted"),
    sa.Column("error_code", sa.String(10)),
    sa.Column("error", sa.Text),
    comment="One row a run and entity. read_rows = inserted + updated + unchanged + filtered + rejected + postponed",
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
    _count("postponed"),
    sa.Column("committed_at", Instant, nullable=False),
    comment="One row a slice that was loaded, written with its rows: a repeated load finds it and does nothing",
)

SYNC_QUARANTINE = sa.Table(
    "sync_quarantine",
    _METADATA,
    sa.Column("entity", sa.String(100), primary_key=True),
    sa.Column(
        "direction",
        sa.String(20),
        primary_key=True,
        server_default="from_dynamics",
        comment="from_dynamics or to_dynamics",
    ),
    sa.Column(
        "record_key",
        sa.String(80),
        primary_key=True,
        comment="The GUID, or sha256: of the payload if it has none",
    ),
    sa.Column("code", sa.String(10), nullable=False),
    sa.Column("column_name", sa.String(100)),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("payload", sa.Text, nullable=False, comment="The row as Dynamics gave it, or what was sent, as JSON"),
    sa.Column("dataverse_code", sa.String(10), comment="What Dynamics itself called the refusal"),
    sa.Column("crm_version", sa.BigInteger),
    sa.Column("attempts", sa.Integer, nullable=False, server_default=sa.text("1")),
    sa.Column("retry_at", Instant, comment="to_dynamics: tried again from then on, or when the row changes"),
    sa.Column("row_updated_at", Instant, comment="to_dynamics: updated_at of the row that was refused"),
    sa.Column("run_id", sa.String(250), nullable=False, comment="The last run that refused the row"),
    sa.Column("first_seen_at", Instant, nullable=False),
    sa.Column("last_seen_at", Instant, nullable=False),
    sa.Column("resolved_at", Instant, comment="Null as long as the row is open"),
    comment="Rows that could not be applied. The table of the entity keeps what it held before",
)

#: SQLite counts up by itself only what is called INTEGER.
_ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

SYNC_CONFLICT = sa.Table(
    "sync_conflict",
    _METADATA,
    sa.Column("conflict_id", _ROW_NUMBER, sa.Identity(always=False), primary_key=True),
    sa.Column("entity", sa.String(100), nullable=False),
    sa.Column("record_id", sa.String(36), nullable=False),
    sa.Column(
        "column_name",
        sa.String(100),
        nullable=False,
        comment="Empty where it is about the whole record: deleted on one side and edited on the other",
    ),
    sa.Column("base", sa.Text, comment="The last value on which both sides agreed"),
    sa.Column("ours", sa.Text, comment="The marketing database's value"),
    sa.Column("theirs", sa.Text, comment="Dynamics' value"),
    sa.Column("rule", sa.String(20), nullable=False, comment="The catalogue's rule at that time"),
    sa.Column("outcome", sa.String(20), nullable=False, comment="ours, theirs, open or agreed: whose value stands"),
    sa.Column(
        "decision",
        sa.String(10),
        sa.CheckConstraint("decision IN ('ours', 'theirs')", name="sync_conflict_decision"),
        comment="Of an open one: write ours or theirs here; the next run of dynamics_reverse does it",
    ),
    sa.Column("run_id", sa.String(250), nullable=False),
    sa.Column("detected_at", Instant, nullable=False),
    sa.Column("resolved_at", Instant, comment="Null as long as nobody decided"),
    sa.Index("sync_conflict_record", "entity", "record_id"),
    sa.Index(
        "sync_conflict_open",
        "entity",
        "record_id",
        "column_name",
        unique=True,
        postgresql_where=sa.text("resolved_at IS NULL"),
        sqlite_where=sa.text("resolved_at IS NULL"),
    ),
    comment="One row for each field that both sides had changed to different values. The loser's value is kept here",
)

SYNC_HISTORY = sa.Table(
    "sync_history",
    _METADATA,
    sa.Column("history_id", _ROW_NUMBER, sa.Identity(always=False), primary_key=True),
    sa.Column("entity", sa.String(100), nullable=False),
    sa.Column("record_id", sa.String(36), nullable=False),
    sa.Column("column_name", sa.String(100), nullable=False),
    sa.Column("old_value", sa.Text),
    sa.Column("new_value", sa.Text),
    sa.Column("side", sa.String(10), nullable=False, comment="Where the value was changed: marketing or dynamics"),
    sa.Column(
        "rule", sa.String(20), nullable=False, comment="Why: what changed on one side only, or the rule that decided"
    ),
    sa.Column(
        "crm_version",
        sa.BigInteger,
        nullable=False,
        comment="marketing: the version that brought the value; dynamics: the version that was replaced, 0 for none",
    ),
    sa.Column("run_id", sa.String(250), nullable=False),
    sa.Column("changed_at", Instant, nullable=False),
    sa.Index("sync_history_record", "entity", "record_id"),
    # A version can be replaced once, so that a write that is noted twice is noticed.
    sa.Index(
        "sync_history_written",
        "entity",
        "record_id",
        "column_name",
        "crm_version",
        unique=True,
        postgresql_where=sa.text("side = 'dynamics'"),
        sqlite_where=sa.text("side = 'dynamics'"),
    ),
    comment="One row for each value that the sync changed on either side. New rows from Dynamics are not listed",
)

SYNC_PLAN = sa.Table(
    "sync_plan",
    _METADATA,
    sa.Column("run_key", sa.Text, primary_key=True),
    sa.Column("entity", sa.String(100), primary_key=True),
    sa.Column("record_id", sa.String(36), primary_key=True),
    sa.Column("column_name", sa.String(100), primary_key=True, comment="Empty for an operation on the whole record"),
    sa.Column("run_id", sa.String(250), nullable=False),
    sa.Column("field", sa.String(100), nullable=False, comment="Logical name in Dynamics"),
    sa.Column(
        "operation",
        sa.String(20),
        nullable=False,
        comment="create, update, delete, deactivate, link, restore, ambiguous",
    ),
    sa.Column("old_value", sa.Text, comment="What Dynamics has; for restore, what is here"),
    sa.Column("new_value", sa.Text, comment="What will be written"),
    sa.Column("rule", sa.String(20), nullable=False, comment="What decided"),
    sa.Column(
        "crm_version", sa.BigInteger, nullable=False, comment="The version that it was planned against; 0 for none"
    ),
    sa.Column("batch", sa.Integer, nullable=False, server_default=sa.text("0")),
    sa.Column(
        "state",
        sa.String(20),
        nullable=False,
        comment="planned, sent, and then written, equal, refused or postponed",
    ),
    sa.Column("planned_at", Instant, nullable=False),
    sa.Index("sync_plan_batch", "run_key", "batch"),
    sa.Index(
        "sync_plan_sent",
        "entity",
        "record_id",
        postgresql_where=sa.text("state = 'sent'"),
        sqlite_where=sa.text("state = 'sent'"),
    ),
    comment="What each run of dynamics_reverse intends, or would do in a dry run: one row for each record and field",
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


SYNC_API_LIMIT = sa.Table(
    "sync_api_limit",
    _METADATA,
    sa.Column("limit_id", sa.Integer, primary_key=True, autoincrement=False, comment="Always 1"),
    sa.Column("allowed", sa.Integer, nullable=False, comment="How many tasks may talk to Dynamics at once just now"),
    sa.Column("hint", sa.Integer, comment="How many Dynamics recommends: the last x-ms-dop-hint"),
    sa.Column("paused_until", Instant, comment="Until then nobody asks Dynamics anything, as it said with a 429"),
    sa.Column("lowered_at", Instant, comment="When a 429 last lowered `allowed`"),
    sa.Column("raised_at", Instant, comment="When a quiet minute last raised `allowed`"),
    comment="How fast Dynamics may be asked just now, by all tasks together; one row at most",
)

SYNC_API_PLACE = sa.Table(
    "sync_api_place",
    _METADATA,
    sa.Column("holder", sa.Text, primary_key=True, comment="DAG, task, run, and the number of a mapped task"),
    sa.Column("taken_at", Instant, nullable=False),
    sa.Column("held_until", Instant, nullable=False, comment="Renewed while the task lives; then the place is free"),
    comment="One row a task that talks to Dynamics just now",
)

SYNC_API_USE = sa.Table(
    "sync_api_use",
    _METADATA,
    sa.Column("day", sa.Date, primary_key=True, comment="In UTC"),
    sa.Column("dag_id", sa.String(250), primary_key=True),
    sa.Column(
        "requests",
        sa.BigInteger,
        nullable=False,
        comment="HTTP requests, a $batch being one; counted before they are sent, some in advance while a task runs",
    ),
    sa.Column("calls", sa.BigInteger, nullable=False, comment="The same, with each call of a $batch counted"),
    sa.Column("throttled", sa.BigInteger, nullable=False, comment="Answers with 429, parts of batches among them"),
    sa.Column("seconds_waited", sa.Double, nullable=False, comment="How long tasks stood still in their worker slots"),
    comment="What was asked of Dynamics: one row a day and DAG",
)


def ensure_sync_tables(db: MarketingDatabase) -> None:
    """Create the sync's own tables where they are missing. Asks the database once for each `db`."""
    if db.has_sync_tables:
        return
    with db.writing() as connection:
        take_lock(connection, SCHEMA_LOCK)
        _METADATA.create_all(connection)
        _check_columns(connection)
    db.has_sync_tables = True


def _check_columns(connection: sa.Connection) -> None:
    found = sa.inspect(connection).get_multi_columns(filter_names=list(_METADATA.tables))
    columns = {name: {column["name"] for column in described} for (_, name), described in found.items()}
    for table in _METADATA.sorted_tables:
        held = columns.get(table.name, set())
        if missing := [column.name for column in table.columns if column.name not in held]:
            message = f"the table {table.name} is of another version of the sync: it has no column {missing[0]}"
            step = f"Rename {table.name}; the sync makes a new one with the next run"
            raise ColumnConflict(message, not_done="Nothing was changed", next_step=step)
