"""The tables of the entities: made from the catalogue, extended when it grows, never cut back.

An entity that goes both ways has two: its own, which marketing writes to, and `<table>_base`, which holds what Dynamics
last said. What differs between the two is what has to be written to Dynamics.
"""

from functools import lru_cache
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from dynamics_sync.entity import Column, Entity
from dynamics_sync.errors import ColumnConflict
from dynamics_sync.store import views
from dynamics_sync.store.column_types import Instant, arrow_type, guid_type, sql_type
from dynamics_sync.store.database import MarketingDatabase, take_lock
from dynamics_sync.store.defaults import current_instant, ensure_touch_trigger, new_guid
from dynamics_sync.store.sync_tables import SCHEMA_LOCK, ensure_sync_tables

VERSION = "crm_version"
DELETED_AT = "crm_deleted_at"
READ_AT = "crm_read_at"
UPDATED_AT = "updated_at"
#: Of base tables only: the `updated_at` that the sync itself last gave the row here, ...
WRITTEN_AT = "written_at"
#: ... and the one that a person's edit had given it, before the sync wrote to the same row.
EDITED_AT = "edited_at"

#: What `crm_read_at` is in rows that were loaded before the column was there: older than any run.
_NEVER_READ = "1970-01-01 00:00:00.000000"


def entity_table(entity: Entity) -> sa.Table:
    """Return the entity's table: key, the catalogue's columns in order, version, deletion, reading and last change."""
    # The catalogue's models hold a mapping and cannot be hashed; what the table is made of can.
    return _build_table(
        entity.table, entity.entity, entity.key.column, entity.key.name, entity.columns, _comment(entity)
    )


def base_table(entity: Entity) -> sa.Table:
    """Return the table of a two-way entity that holds what Dynamics last said of each record, in our format."""
    comment = f"What Dynamics last said of each row of {entity.table}. Written by the sync only"
    return _build_base(entity.table, entity.entity, entity.key.column, entity.key.name, entity.columns, comment)


def mirror_table(entity: Entity) -> sa.Table:
    """Return the table that mirrors Dynamics: the base of a two-way entity, the one table of any other."""
    return base_table(entity) if entity.is_two_way else entity_table(entity)


def _comment(entity: Entity) -> str:
    return " ".join(f"{entity.title}. {entity.description}".split())


@lru_cache(maxsize=256)
def _build_table(
    name: str, logical_name: str, key: str, key_name: str, columns: tuple[Column, ...], comment: str
) -> sa.Table:
    return sa.Table(
        name,
        sa.MetaData(),
        # Who inserts a row need not think of a key or an instant.
        sa.Column(key, guid_type(), primary_key=True, server_default=new_guid(), comment=f"{logical_name}.{key_name}"),
        *_value_columns(logical_name, columns),
        sa.Column(VERSION, sa.BigInteger, comment="Dynamics' versionnumber; null while the record is not in Dynamics"),
        *_state_columns(),
        sa.Column(
            UPDATED_AT,
            Instant,
            nullable=False,
            server_default=current_instant(),
            comment="When a value of this row last changed here",
        ),
        # SQLite takes any text for a GUID. In upper case it would be another record than the one that Dynamics names.
        sa.CheckConstraint(f"{key} = lower({key}) AND length({key}) = 36", name=f"{name}_key_form").ddl_if("sqlite"),
        # Those who read what changed since they last looked need this one; a lookup's index is theirs to add,
        # as each index slows down every load.
        sa.Index(f"{name}_updated_at", UPDATED_AT),
        comment=comment,
    )


@lru_cache(maxsize=256)
def _build_base(
    table: str, logical_name: str, key: str, key_name: str, columns: tuple[Column, ...], comment: str
) -> sa.Table:
    return sa.Table(
        f"{table}_base",
        sa.MetaData(),
        sa.Column(key, guid_type(), primary_key=True, comment=f"{logical_name}.{key_name}"),
        *_value_columns(logical_name, columns),
        sa.Column(VERSION, sa.BigInteger, nullable=False, comment="Dynamics' versionnumber of these values"),
        *_state_columns(),
        sa.Column(UPDATED_AT, Instant, nullable=False, comment="When Dynamics last said something else"),
        sa.Column(WRITTEN_AT, Instant, comment=f"The updated_at that the sync last gave the row of {table}"),
        sa.Column(EDITED_AT, Instant, comment=f"The updated_at of {table} that an edit had given it before that"),
        # Each run asks which records are gone; they are few, and those that live cost this index nothing.
        sa.Index(
            f"{table}_base_deleted",
            DELETED_AT,
            postgresql_where=sa.text(f"{DELETED_AT} IS NOT NULL"),
            sqlite_where=sa.text(f"{DELETED_AT} IS NOT NULL"),
        ),
        comment=comment,
    )


def _value_columns(logical_name: str, columns: tuple[Column, ...]) -> list[sa.Column[Any]]:
    return [sa.Column(column.name, sql_type(column), comment=f"{logical_name}.{column.field}") for column in columns]


def _state_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column(
            DELETED_AT,
            Instant,
            comment="When a run found the record deleted in Dynamics; null while it is alive",
        ),
        sa.Column(
            READ_AT,
            Instant,
            nullable=False,
            server_default=sa.text(f"'{_NEVER_READ}'"),
            comment="When the run began that brought this version",
        ),
    ]


def rows_schema(entity: Entity) -> pa.Schema:
    """Return the Arrow schema of the rows that `load_slice` takes: key, the catalogue's columns, `crm_version`."""
    key = pa.field(entity.key.column, pa.string(), nullable=False)
    version = pa.field(VERSION, pa.int64(), nullable=False)
    return pa.schema([key, *(pa.field(column.name, arrow_type(column)) for column in entity.columns), version])


def has_table(db: MarketingDatabase, entity: Entity) -> bool:
    """Say whether the entity's table is there."""
    with db.reading() as connection:
        return sa.inspect(connection).has_table(entity.table)


def ensure_tables(db: MarketingDatabase, entity: Entity) -> tuple[str, ...]:
    """Create the entity's table, or add and widen columns so that the catalogue's fields fit; drop nothing.

    Returns what was done, one sentence each; nothing if all was there. Several processes may call it at once.
    Raises ColumnConflict, with nothing changed, if a column cannot hold what the catalogue says.
    """
    ensure_sync_tables(db)
    table = entity_table(entity)
    with db.writing() as connection:
        take_lock(connection, SCHEMA_LOCK)
        inspector = sa.inspect(connection)
        was_there = inspector.has_table(table.name)
        done = _ensure_table(connection, table)
        if entity.is_two_way:
            base = base_table(entity)
            if was_there and not inspector.has_table(base.name):
                # It went one way until now, so that what is held is what Dynamics said.
                done = (*done, *_ensure_table(connection, base), _fill_base(connection, table, base))
            else:
                had_base = inspector.has_table(base.name)
                grown = _ensure_table(connection, base)
                done = (*done, *grown)
                if had_base and any(step.startswith("added column") for step in grown):
                    # What Dynamics has in the new columns is not known. No version of it is: a write is then refused
                    # and the record read first, and the next comparison of keys fetches all.
                    connection.execute(base.update().values({VERSION: 0}))
                if had_base and not was_there:
                    # A table that is gone is not a table of which all rows were deleted.
                    done = (*done, _fill_from_base(connection, table, base))
            ensure_touch_trigger(connection, table, (UPDATED_AT, VERSION, READ_AT, DELETED_AT))
        return done


def _ensure_table(connection: sa.Connection, table: sa.Table) -> tuple[str, ...]:
    if sa.inspect(connection).has_table(table.name):
        return _extend(connection, table)
    table.create(connection)
    return (f"created table {table.name}",)


def _fill_from_base(connection: sa.Connection, table: sa.Table, base: sa.Table) -> str:
    names = [column.name for column in table.columns]
    connection.execute(table.insert().from_select(names, sa.select(*(base.c[name] for name in names))))
    same = [ours == theirs for ours, theirs in zip(table.primary_key, base.primary_key, strict=True)]
    connection.execute(base.update().where(*same).values({WRITTEN_AT: table.c[UPDATED_AT], EDITED_AT: None}))
    return f"filled table {table.name} from {base.name}"


def _fill_base(connection: sa.Connection, table: sa.Table, base: sa.Table) -> str:
    names = [column.name for column in base.columns if column.name in table.columns]
    rows = sa.select(*(table.c[name] for name in names), table.c[UPDATED_AT])
    connection.execute(base.insert().from_select([*names, WRITTEN_AT], rows.where(table.c[VERSION].is_not(None))))
    return f"filled table {base.name} from {table.name}"


def _extend(connection: sa.Connection, table: sa.Table) -> tuple[str, ...]:
    held = _held_types(connection, table)
    missing = [column for column in table.columns if column.name not in held]
    _check_own_columns(table, missing)
    retyped = [
        column
        for column in table.columns
        if column.name in held and held[column.name] != _type_text(connection, column)
    ]
    widened = [column for column in retyped if _must_widen(connection, column, held[column.name])]
    for column in missing:
        _add_column(connection, column)
    if widened and connection.dialect.name == "postgresql":
        _widen_columns(connection, widened)
        done = [f"widened column {table.name}.{c.name} to {_type_text(connection, c)}" for c in widened]
    else:
        done = []
    return (*(f"added column {table.name}.{column.name}" for column in missing), *done)


def _held_types(connection: sa.Connection, table: sa.Table) -> dict[str, str]:
    """Return the columns that the table has, each with its type as its database writes it."""
    columns = sa.inspect(connection).get_columns(table.name)
    return {column["name"]: column["type"].compile(connection.dialect) for column in columns}


def _type_text(connection: sa.Connection, column: sa.Column[object]) -> str:
    return column.type.compile(connection.dialect)


def _check_own_columns(table: sa.Table, missing: list[sa.Column[object]]) -> None:
    """Refuse a table that was there before the sync: one without the columns that every table of ours has."""
    own = {*table.primary_key.columns.keys(), VERSION, DELETED_AT, UPDATED_AT, WRITTEN_AT, EDITED_AT}
    for column in missing:
        if column.name in own:
            message = f"table {table.name} exists, but has no column {column.name}, so the sync did not make it"
            step = "Rename that table, or give the entity another `table` in the catalogue"
            raise ColumnConflict(message, not_done="Nothing was changed", next_step=step)


def _must_widen(connection: sa.Connection, column: sa.Column[object], held: str) -> bool:
    """Say whether a text column has to grow; ColumnConflict for any other difference of types."""
    wanted = column.type
    if isinstance(wanted, sa.String) and not isinstance(wanted, sa.CHAR):
        if held == "TEXT":
            return False
        if held.startswith("VARCHAR("):
            length = int(held.removeprefix("VARCHAR(").removesuffix(")"))
            return wanted.length is None or wanted.length > length
    message = (
        f"column {column.table.name}.{column.name} is of type {held},"
        f" the catalogue needs {_type_text(connection, column)}"
    )
    raise ColumnConflict(message, not_done="Nothing was changed")


def _add_column(connection: sa.Connection, column: sa.Column[object]) -> None:
    dialect = connection.dialect
    table = dialect.identifier_preparer.format_table(column.table)
    definition = sa.schema.CreateColumn(column).compile(dialect=dialect)
    connection.execute(sa.text(f"ALTER TABLE {table} ADD COLUMN {definition}"))
    if dialect.supports_comments:
        connection.execute(sa.schema.SetColumnComment(column))


def _widen_columns(connection: sa.Connection, columns: list[sa.Column[object]]) -> None:
    """Let text columns of PostgreSQL grow. SQLite enforces no length, there is nothing to do."""
    preparer = connection.dialect.identifier_preparer
    # PostgreSQL changes no column that a view shows; ours are taken away for the length of this transaction.
    dropped = views.drop_views(connection, views.views_over(columns[0].table.name))
    for column in columns:
        table, name = preparer.format_table(column.table), preparer.format_column(column)
        text = f"ALTER TABLE {table} ALTER COLUMN {name} TYPE {_type_text(connection, column)}"
        try:
            connection.execute(sa.text(text))
        except sa.exc.NotSupportedError:
            raise _in_use(column) from None
    views.create_views(connection, dropped)


def _in_use(column: sa.Column[object]) -> ColumnConflict:
    message = f"column {column.table.name}.{column.name} cannot get longer: a view of your own depends on it"
    step = "Drop that view, run the DAG, and create the view again; or take the longer `length` out of the catalogue"
    return ColumnConflict(message, not_done="Nothing was changed", next_step=step)
