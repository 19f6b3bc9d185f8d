"""Views over the entities' tables, for those who write SQL: made once what they read is there, and kept up to date."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import psycopg
import sqlalchemy as sa

from dynamics_sync.errors import ColumnConflict
from dynamics_sync.store.database import MarketingDatabase, take_lock
from dynamics_sync.store.person_view import person_query
from dynamics_sync.store.role_view import role_query
from dynamics_sync.store.sync_tables import SCHEMA_LOCK

VIEW = "opportunity_contact_role"
PERSON = "person"


@dataclass(frozen=True)
class View:
    """A view of the sync's own. `query` gives what it shows of the tables as they are; None if too little is there."""

    name: str
    comment: str
    tables: frozenset[str]
    query: Callable[[sa.Connection], sa.SelectBase | None]


VIEWS = (
    View(
        VIEW,
        "Contacts of each opportunity: its customer, and its connections",
        frozenset({"opportunity", "connection"}),
        role_query,
    ),
    View(
        PERSON,
        "People, one row each: leads and contacts, without those that another row stands for",
        frozenset({"lead", "contact", "account"}),
        person_query,
    ),
)


def ensure_views(db: MarketingDatabase) -> bool:
    """Create the views, or replace those whose definition changed; say whether something was done.

    A view without the tables or columns that it reads is left out, or as it is. Raises ColumnConflict, with nothing
    changed, if a view of the team's own builds on one that has to be replaced, or a table has the name of a view.
    """
    with db.writing() as connection:
        take_lock(connection, SCHEMA_LOCK)
        outdated = [view for view in VIEWS if _is_outdated(connection, view)]
        drop_views(connection, outdated)
        create_views(connection, outdated)
    return bool(outdated)


def views_over(table: str) -> list[View]:
    """Return the views that read the table."""
    return [view for view in VIEWS if table in view.tables]


def drop_views(connection: sa.Connection, views: Iterable[View]) -> list[View]:
    """Take away those of the views that are there; return them. ColumnConflict if another view builds on one."""
    there = set(sa.inspect(connection).get_view_names())
    dropped = [view for view in views if view.name in there]
    for view in dropped:
        _drop_view(connection, view)
    return dropped


def create_views(connection: sa.Connection, views: Iterable[View]) -> None:
    """Create the views, as far as what they read is there; they must not be there themselves."""
    for view in views:
        query = view.query(connection)
        if query is not None:
            _create_view(connection, view, query)


def _drop_view(connection: sa.Connection, view: View) -> None:
    try:
        connection.execute(sa.schema.DropView(sa.Table(view.name, sa.MetaData())))
    except sa.exc.DBAPIError as error:
        if not isinstance(error.orig, psycopg.errors.DependentObjectsStillExist):
            raise
        message = f"the view {view.name} has to be made anew, but a view of your own builds on it"
        step = f"Drop that view, run the DAG, and build the view on the tables under {view.name}"
        raise ColumnConflict(message, not_done="Nothing was changed", next_step=step) from None


def _create_view(connection: sa.Connection, view: View, query: sa.SelectBase) -> None:
    if sa.inspect(connection).has_table(view.name):
        message = f"the sync makes a view {view.name}, but a table of your own has that name"
        step = "Rename that table, and run the DAG"
        raise ColumnConflict(message, not_done="Nothing was changed", next_step=step)
    connection.execute(sa.schema.CreateView(query, view.name))
    if connection.dialect.name == "postgresql":
        name = connection.dialect.identifier_preparer.quote(view.name)
        comment = sa.literal(_definition(connection, view, query)).compile(
            dialect=connection.dialect, compile_kwargs={"literal_binds": True}
        )
        connection.execute(sa.text(f"COMMENT ON VIEW {name} IS {comment}"))


def _is_outdated(connection: sa.Connection, view: View) -> bool:
    query = view.query(connection)
    return query is not None and _held_definition(connection, view) != _definition(connection, view, query)


def _definition(connection: sa.Connection, view: View, query: sa.SelectBase) -> str:
    """Return what `_held_definition` returns if the view is up to date."""
    statement = str(sa.schema.CreateView(query, view.name).compile(dialect=connection.dialect)).strip()
    if connection.dialect.name == "sqlite":
        return statement
    digest = hashlib.sha256(statement.encode()).hexdigest()[:16]
    return f"{view.comment}. Definition {digest}"


def _held_definition(connection: sa.Connection, view: View) -> str | None:
    """Return the view's text from SQLite, its comment from PostgreSQL, which rewrites the text; None without a view."""
    if connection.dialect.name == "sqlite":
        schema = sa.table("sqlite_master", sa.column("type"), sa.column("name"), sa.column("sql"))
        query = sa.select(schema.c.sql).where(schema.c.type == "view", schema.c.name == view.name)
    else:
        query = sa.select(sa.func.obj_description(sa.func.to_regclass(view.name), "pg_class"))
    held = connection.execute(query).scalar_one_or_none()
    return None if held is None else str(held).strip()
