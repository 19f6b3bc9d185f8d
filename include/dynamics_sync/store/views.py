"""Views over the entities' tables, for those who write SQL.

`opportunity_contact_role` says which contacts take part in which opportunity. Marketo takes this from the same two
places: the opportunity's customer, where that is a contact, and the active connections between an opportunity and a
contact that give the contact a role.
"""

import hashlib

import psycopg
import sqlalchemy as sa

from dynamics_sync.errors import ColumnConflict
from dynamics_sync.store.database import MarketingDatabase, take_lock
from dynamics_sync.store.sync_tables import SCHEMA_LOCK

VIEW = "opportunity_contact_role"

#: `statecode` of a connection that holds; one that was ended is inactive.
_ACTIVE = sa.literal_column("0", sa.BigInteger)

_OPPORTUNITY = sa.table(
    "opportunity",
    sa.column("opportunity_id"),
    sa.column("customer_id"),
    sa.column("customer_type"),
    sa.column("crm_deleted_at"),
)
_CONNECTION = sa.table(
    "connection",
    *(sa.column(f"record{side}_{part}") for side in (1, 2) for part in ("id", "type", "role_id", "role_name")),
    sa.column("state_code"),
    sa.column("crm_deleted_at"),
)


def ensure_views(db: MarketingDatabase) -> bool:
    """Create `opportunity_contact_role`, or replace it if its definition changed; say whether something was done.

    Without the two tables that it reads, or without one of their columns, there is nothing to create.
    """
    with db.writing() as connection:
        take_lock(connection, SCHEMA_LOCK)
        if not _tables_are_there(connection) or _held_definition(connection) == _definition(connection):
            return False
        drop_view(connection)
        create_view(connection)
    return True


def drop_view(connection: sa.Connection) -> bool:
    """Take the view away if it is there; say whether it was. ColumnConflict if another view builds on it."""
    if not sa.inspect(connection).has_table(VIEW):
        return False
    try:
        connection.execute(sa.schema.DropView(sa.schema.CreateView(_roles(), VIEW).table))
    except sa.exc.DBAPIError as error:
        if not isinstance(error.orig, psycopg.errors.DependentObjectsStillExist):
            raise
        message = f"the view {VIEW} has to be made anew, but a view of your own builds on it"
        step = f"Drop that view, run the DAG, and build the view on the tables under {VIEW}"
        raise ColumnConflict(message, not_done="Nothing was changed", next_step=step) from None
    return True


def create_view(connection: sa.Connection) -> None:
    """Create the view; it must not be there."""
    connection.execute(sa.schema.CreateView(_roles(), VIEW))
    if connection.dialect.name == "postgresql":
        preparer = connection.dialect.identifier_preparer
        comment = sa.literal(_definition(connection)).compile(
            dialect=connection.dialect, compile_kwargs={"literal_binds": True}
        )
        connection.execute(sa.text(f"COMMENT ON VIEW {preparer.quote(VIEW)} IS {comment}"))


def _definition(connection: sa.Connection) -> str:
    """Return what `_held_definition` returns if the view is up to date."""
    text = str(sa.schema.CreateView(_roles(), VIEW).compile(dialect=connection.dialect)).strip()
    if connection.dialect.name == "sqlite":
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f"Contacts of each opportunity: its customer, and its connections. Definition {digest}"


def _held_definition(connection: sa.Connection) -> str | None:
    """Return the view's text from SQLite, its comment from PostgreSQL, which rewrites the text; None without a view."""
    if connection.dialect.name == "sqlite":
        schema = sa.table("sqlite_master", sa.column("type"), sa.column("name"), sa.column("sql"))
        query = sa.select(schema.c.sql).where(schema.c.type == "view", schema.c.name == VIEW)
    else:
        query = sa.select(sa.func.obj_description(sa.func.to_regclass(VIEW), "pg_class"))
    text = connection.execute(query).scalar_one_or_none()
    return None if text is None else str(text).strip()


def _tables_are_there(connection: sa.Connection) -> bool:
    inspector = sa.inspect(connection)
    return all(
        inspector.has_table(table.name)
        and {column.name for column in table.columns}
        <= {column["name"] for column in inspector.get_columns(table.name)}
        for table in (_OPPORTUNITY, _CONNECTION)
    )


def _roles() -> sa.CompoundSelect[object]:
    """Return the view's query. UNION takes out what Dynamics holds twice: each connection has a mirrored twin."""
    customers = sa.select(
        _OPPORTUNITY.c.opportunity_id,
        _OPPORTUNITY.c.customer_id.label("contact_id"),
        _text("Customer").label("role"),
        _text("customer").label("origin"),
        sa.true().label("is_primary"),
    ).where(
        _OPPORTUNITY.c.customer_type == _text("contact"),
        _OPPORTUNITY.c.customer_id.is_not(None),
        _OPPORTUNITY.c.crm_deleted_at.is_(None),
    )
    return sa.union(
        customers,
        _connected(opportunity_side=1, contact_side=2),
        _connected(opportunity_side=2, contact_side=1),
    )


def _connected(*, opportunity_side: int, contact_side: int) -> sa.Select[object]:
    """Return the active connections with the opportunity on one side and the contact, with a role, on the other."""
    columns = _CONNECTION.c
    opportunity_id, contact_id = columns[f"record{opportunity_side}_id"], columns[f"record{contact_side}_id"]
    return (
        sa.select(
            opportunity_id.label("opportunity_id"),
            contact_id.label("contact_id"),
            columns[f"record{contact_side}_role_name"].label("role"),
            _text("connection").label("origin"),
            sa.false().label("is_primary"),
        )
        .join_from(_CONNECTION, _OPPORTUNITY, _OPPORTUNITY.c.opportunity_id == opportunity_id)
        .where(
            columns[f"record{opportunity_side}_type"] == _text("opportunity"),
            columns[f"record{contact_side}_type"] == _text("contact"),
            columns[f"record{contact_side}_role_id"].is_not(None),
            columns.state_code == _ACTIVE,
            columns.crm_deleted_at.is_(None),
            _OPPORTUNITY.c.crm_deleted_at.is_(None),
        )
    )


def _text(value: str) -> sa.ColumnElement[str]:
    """Write a text into the query: a view's definition cannot have bound values."""
    return sa.cast(sa.literal(value, literal_execute=True), sa.Text)
