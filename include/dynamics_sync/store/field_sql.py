"""Fields in SQL: whether two tables hold the same value, and how a value is written as text.

The text is the same on both databases, so that conflicts, history and plans read alike, and `parse_value` of the
translation takes it back.
"""

from typing import Any

import sqlalchemy as sa

from dynamics_sync.entity import Column, ColumnKind, MappedField

#: Between the table that a lookup points at and its id, where it can point at several.
LOOKUP_SEPARATOR = "/"


def differs(field: MappedField, one: sa.FromClause, other: sa.FromClause) -> sa.ColumnElement[bool]:
    """Return the condition that two tables hold different values of a field; labels and names do not count."""
    first, *others = (one.c[column.name].is_distinct_from(other.c[column.name]) for column in field.compared)
    return sa.or_(first, *(sa.and_(_is_there(field, one), apart) for apart in others))


def is_same(field: MappedField, one: sa.FromClause, other: sa.FromClause) -> sa.ColumnElement[bool]:
    """Return the condition that two tables hold the same value of a field."""
    first, *others = (one.c[column.name].is_not_distinct_from(other.c[column.name]) for column in field.compared)
    return sa.and_(first, *(sa.or_(~_is_there(field, one), same) for same in others))


def _is_there(field: MappedField, table: sa.FromClause) -> sa.ColumnElement[bool]:
    """Return the condition that a lookup points somewhere: who empties it need not think of the table it pointed at."""
    return table.c[field.column].is_not(None)


def is_blank(field: MappedField, table: sa.FromClause) -> sa.ColumnElement[bool]:
    """Return the condition that a field has no value: null, or a text without characters."""
    first = field.columns[0]
    value = table.c[first.name]
    if first.kind is ColumnKind.TEXT:
        return sa.func.coalesce(value, "") == ""
    return value.is_(None)


def is_filled(field: MappedField, table: sa.FromClause) -> sa.ColumnElement[bool]:
    """Return the condition that a field has a value."""
    return ~is_blank(field, table)


def as_text(field: MappedField, table: sa.FromClause, dialect: str) -> sa.ColumnElement[Any]:
    """Return a field's value as text: a lookup that can point at several tables as `table/id`, null as null."""
    texts = [_column_text(column, table.c[column.name], dialect) for column in field.compared]
    if len(texts) == 1:
        return texts[0]
    by_part = {column.part: text for column, text in zip(field.compared, texts, strict=True)}
    # Who sets an id and forgets the table shall see that, and not an empty value.
    return sa.func.coalesce(by_part["type"], "").concat(LOOKUP_SEPARATOR).concat(by_part["id"])


def _column_text(column: Column, value: sa.ColumnElement[Any], dialect: str) -> sa.ColumnElement[Any]:
    if column.kind is ColumnKind.BOOLEAN:
        return sa.case((value.is_(None), None), (value, "true"), else_="false")
    return _sqlite_text(column, value) if dialect == "sqlite" else _postgresql_text(column, value)


def _postgresql_text(column: Column, value: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    match column.kind:
        case ColumnKind.INSTANT:
            # The session's time zone is UTC.
            return sa.func.to_char(value, "YYYY-MM-DD HH24:MI:SS.US")
        case ColumnKind.DATE:
            # A cast would follow the session's DateStyle.
            return sa.func.to_char(value, "YYYY-MM-DD")
        case _:
            return sa.cast(value, sa.Text)


def _sqlite_text(column: Column, value: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    short = sa.cast(value, sa.Text)
    match column.kind:
        case ColumnKind.FLOAT:
            # A cast keeps 15 digits. Where these are another number all are needed, which are 17, and take a "!".
            return sa.case((sa.cast(short, sa.REAL) != value, sa.func.printf("%!.17g", value)), else_=short)
        case ColumnKind.NUMBER:
            # A cast writes small numbers as 1.0e-05.
            is_small = sa.and_(sa.func.abs(value) < 0.0001, value != 0)
            return sa.case((is_small, sa.func.printf("%.10f", value)), else_=short)
        case ColumnKind.INSTANT | ColumnKind.DATE:
            return sa.type_coerce(value, sa.Text)
        case _:
            return short
