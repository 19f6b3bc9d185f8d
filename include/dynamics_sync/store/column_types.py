"""How each kind of column is kept: its type in SQL on both databases, and its type in Arrow."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Context, Decimal
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from dynamics_sync.entity import Column, ColumnKind

#: Digits of a NUMERIC by its scale: money has 4 behind the point, a decimal 10.
_PRECISIONS = {4: 19, 10: 38}

#: Python's own context rounds to 28 digits.
_WIDE = Context(prec=60)


class Instant(sa.types.TypeDecorator[datetime]):
    """An instant, aware and in UTC on the way in and out.

    PostgreSQL keeps it as timestamptz, SQLite as text `YYYY-MM-DD HH:MM:SS.ffffff`, which sorts as time does.
    """

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Give SQLite the time in UTC without a zone, as its text has none."""
        if value is None:
            return None
        instant = value.astimezone(UTC)
        return instant.replace(tzinfo=None) if dialect.name == "sqlite" else instant

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Return an aware datetime in UTC on both databases."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


class ExactNumber(sa.types.TypeDecorator[Decimal]):
    """A NUMERIC that is a Decimal of the column's scale on both databases.

    SQLite keeps a double. SQLAlchemy would print it to the scale, which shows digits that nobody stored once more than
    15 are asked for; the shortest text that means the same double does not.
    """

    impl = sa.Numeric
    cache_ok = True

    def __init__(self, precision: int, scale: int) -> None:
        super().__init__(precision, scale)
        self._unit = Decimal(1).scaleb(-scale)

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """Read doubles from SQLite as they are."""
        impl = self.impl_instance
        if dialect.name == "sqlite" and isinstance(impl, sa.Numeric):
            return sa.Numeric(impl.precision, impl.scale, asdecimal=False)
        return impl

    def process_result_value(self, value: Decimal | float | None, dialect: sa.Dialect) -> Decimal | None:
        """Return the number with as many digits behind the point as the column has."""
        if value is None or dialect.name != "sqlite":
            return None if value is None else Decimal(value)
        return Decimal(repr(value)).quantize(self._unit, context=_WIDE)


def guid_type() -> sa.types.TypeEngine[str]:
    """Return the type of a GUID: `uuid` in PostgreSQL, CHAR(36) in SQLite; text in lower case to us."""
    return sa.CHAR(36).with_variant(postgresql.UUID(as_uuid=False), "postgresql")


def is_guid(kind: sa.types.TypeEngine[Any]) -> bool:
    """Say whether a type is that of `guid_type`."""
    return isinstance(kind, sa.CHAR) and kind.length == len("00000000-0000-0000-0000-000000000000")


#: The kinds whose types depend on nothing else in the column.
_PLAIN: Mapping[ColumnKind, tuple[sa.types.TypeEngine[Any], pa.DataType]] = {
    ColumnKind.INTEGER: (sa.BigInteger(), pa.int64()),
    ColumnKind.FLOAT: (sa.Double(), pa.float64()),
    ColumnKind.BOOLEAN: (sa.Boolean(), pa.bool_()),
    ColumnKind.INSTANT: (Instant(), pa.timestamp("us", tz="UTC")),
    ColumnKind.DATE: (sa.Date(), pa.date32()),
    ColumnKind.GUID: (guid_type(), pa.string()),
}


def sql_type(column: Column) -> sa.types.TypeEngine[Any]:
    """Return the type that the column has in the marketing database."""
    match column.kind:
        case ColumnKind.TEXT:
            return sa.Text() if column.length is None else sa.String(column.length)
        case ColumnKind.NUMBER:
            return ExactNumber(*_precision_and_scale(column))
        case kind:
            return _PLAIN[kind][0]


def arrow_type(column: Column) -> pa.DataType:
    """Return the type that the column has in the rows that `load_slice` takes."""
    match column.kind:
        case ColumnKind.TEXT:
            return pa.string()
        case ColumnKind.NUMBER:
            return pa.decimal128(*_precision_and_scale(column))
        case kind:
            return _PLAIN[kind][1]


def _precision_and_scale(column: Column) -> tuple[int, int]:
    if column.scale is None:
        message = f"column {column.name} is a number without a scale"
        raise ValueError(message)
    return _PRECISIONS[column.scale], column.scale
