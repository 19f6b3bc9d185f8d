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
    return sa.or_(*(one.c[column.name].is_distinct_from(other.c[column.name]) for column in field.compared))


def is_same(field: MappedField, one: sa.FromClause, other: sa.FromClause) -> sa.ColumnElement[bool]:
    """Return the condition that two tables hold the same value of a field."""
    return sa.and_(*(one.c[column.name].is_not_distinct_from(other.c[column.name]) for column in field.compared))


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
    match column.kind:
        case ColumnKind.BOOLEAN:
            return sa.case((value.is_(None), None), (value, "true"), else_="false")
        case ColumnKind.INSTANT if dialect == "postgresql":
            # The session's time zone is UTC.
            return sa.func.to_char(value, "YYYY-MM-DD HH24:MI:SS.US")
        case ColumnKind.FLOAT if dialect == "sqlite":
            # A cast would keep 15 digits.
            return sa.case((value.is_(None), None), else_=sa.func.printf("%.17g", value))
        case ColumnKind.INSTANT | ColumnKind.DATE if dialect == "sqlite":
            return sa.type_coerce(value, sa.Text)
        case _:
            return sa.cast(value, sa.Text)
