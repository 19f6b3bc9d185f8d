"""What the database itself fills in where marketing writes a row: its GUID, and when it changed."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement


class new_guid(FunctionElement[str]):  # noqa: N801 - named as SQL functions are
    """A random GUID (version 4), as text in lower case where the database has no type for it."""

    inherit_cache = True
    type = sa.CHAR(36)


class current_instant(FunctionElement[Any]):  # noqa: N801 - named as SQL functions are
    """The instant of the statement, not of its transaction, in the form in which the sync keeps instants."""

    inherit_cache = True
    type = sa.DateTime(timezone=True)


@compiles(new_guid, "postgresql")
def _new_guid_postgresql(*_: Any, **__: Any) -> str:
    return "gen_random_uuid()"


@compiles(new_guid, "sqlite")
def _new_guid_sqlite(*_: Any, **__: Any) -> str:
    groups = ("hex(randomblob(4))", "hex(randomblob(2))", "'4' || substr(hex(randomblob(2)), 2)")
    variant = "substr('89ab', 1 + (random() & 3), 1) || substr(hex(randomblob(2)), 2)"
    joined = " || '-' || ".join((*groups, variant, "hex(randomblob(6))"))
    return f"lower({joined})"


@compiles(current_instant, "postgresql")
def _current_instant_postgresql(*_: Any, **__: Any) -> str:
    return "clock_timestamp()"


@compiles(current_instant, "sqlite")
def _current_instant_sqlite(*_: Any, **__: Any) -> str:
    return "strftime('%Y-%m-%d %H:%M:%f000', 'now')"


def ensure_touch_trigger(connection: sa.Connection, table: sa.Table, untouched: Sequence[str]) -> None:
    """Let the table set `updated_at` whenever a row is updated by somebody who changes none of the columns `untouched`.

    The sync always changes one of them, and says itself when a value changed. Those who write plain SQL do not.
    """
    name = f"{table.name}_touch"
    if _has_trigger(connection, table, name):
        return
    quote = connection.dialect.identifier_preparer.quote
    target, trigger, stamp = quote(table.name), quote(name), quote("updated_at")
    same = "IS NOT DISTINCT FROM" if connection.dialect.name == "postgresql" else "IS"
    condition = " AND ".join(f"NEW.{quote(column)} {same} OLD.{quote(column)}" for column in untouched)
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(
            "CREATE OR REPLACE FUNCTION dynamics_sync_touch() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN NEW.updated_at := clock_timestamp(); RETURN NEW; END $$"
        )
        connection.exec_driver_sql(
            f"CREATE TRIGGER {trigger} BEFORE UPDATE ON {target} FOR EACH ROW WHEN ({condition}) "
            "EXECUTE FUNCTION dynamics_sync_touch()"
        )
        return
    (key,) = (quote(column.name) for column in table.primary_key)
    now = _current_instant_sqlite()
    # With PRAGMA recursive_triggers an update that changes nothing would call the trigger again and again.
    connection.exec_driver_sql(
        f"CREATE TRIGGER {trigger} AFTER UPDATE ON {target} FOR EACH ROW WHEN {condition} "
        f"BEGIN UPDATE {target} SET {stamp} = {now} WHERE {key} = NEW.{key} AND {stamp} IS NOT {now}; END"
    )


def _has_trigger(connection: sa.Connection, table: sa.Table, name: str) -> bool:
    if connection.dialect.name == "postgresql":
        query = "SELECT 1 FROM pg_trigger WHERE tgname = :name AND tgrelid = to_regclass(:table)"
        held = connection.execute(sa.text(query), {"name": name, "table": _qualified(connection, table)})
    else:
        query = "SELECT 1 FROM sqlite_master WHERE type = 'trigger' AND name = :name AND tbl_name = :table"
        held = connection.execute(sa.text(query), {"name": name, "table": table.name})
    return held.first() is not None


def _qualified(connection: sa.Connection, table: sa.Table) -> str:
    return connection.dialect.identifier_preparer.format_table(table)
