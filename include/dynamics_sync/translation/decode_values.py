"""From one value of JSON to one value of a staged column."""

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Context, Decimal, InvalidOperation
from typing import Any

from dynamics_sync.translation.fields import FieldPlan, Wire

INT64 = range(-(2**63), 2**63)

#: A decimal as text, which servers write that are asked for `IEEE754Compatible`; Arrow's reader takes it too.
_DECIMAL_TEXT = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")

#: Python refuses to read longer numbers as integers; none of our types has half as many digits.
_MOST_DIGITS = 100


class Unfit(Exception):
    """A value is not of its column's type."""


def fit_value(value: Any, plan: FieldPlan) -> Any:
    """Return a value, which is not null, as its staged column holds it; Unfit if it cannot."""
    return _FITTERS[plan.wire](value, plan)


def read_number(text: str) -> Decimal:
    """Read a number with a point or an exponent, exactly."""
    try:
        return Decimal(text)
    except InvalidOperation:  # The exponent is beyond what Decimal can hold.
        return Decimal("Infinity")


def read_whole(text: str) -> int | Decimal:
    """Read a whole number, however long."""
    return int(text) if len(text) <= _MOST_DIGITS else Decimal(text)


def _fit_text(value: Any, _: FieldPlan) -> str:
    if not isinstance(value, str):
        raise Unfit
    try:
        value.encode()
    except UnicodeEncodeError as error:  # Half of a surrogate pair is valid JSON, but no text.
        raise Unfit from error
    return value


def _fit_integer(value: Any, _: FieldPlan) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value not in INT64:
        raise Unfit
    return value


def _fit_decimal(value: Any, plan: FieldPlan) -> Decimal:
    if isinstance(value, str) and _DECIMAL_TEXT.fullmatch(value):
        value = read_number(value)
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        raise Unfit
    kind = plan.arrow_type
    number = Decimal(value)
    try:
        fitted = number.quantize(Decimal(1).scaleb(-kind.scale), context=Context(prec=kind.precision))
    except InvalidOperation as error:  # More digits than the column has, or infinity.
        raise Unfit from error
    if fitted != number:
        raise Unfit
    return fitted


def _fit_float(value: Any, _: FieldPlan) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        raise Unfit
    number = float(Decimal(value))
    if not math.isfinite(number):
        raise Unfit
    return number


def _fit_boolean(value: Any, _: FieldPlan) -> bool:
    if not isinstance(value, bool):
        raise Unfit
    return value


def _fit_instant(value: Any, _: FieldPlan) -> datetime:
    try:
        instant = datetime.fromisoformat(value)
        return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
    except (TypeError, ValueError, OverflowError) as error:
        raise Unfit from error


def _fit_date(value: Any, _: FieldPlan) -> date:
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise Unfit from error


_FITTERS: Mapping[Wire, Callable[[Any, FieldPlan], Any]] = {
    Wire.TEXT: _fit_text,
    Wire.INTEGER: _fit_integer,
    Wire.DECIMAL: _fit_decimal,
    Wire.FLOAT: _fit_float,
    Wire.BOOLEAN: _fit_boolean,
    Wire.INSTANT: _fit_instant,
    Wire.DATE: _fit_date,
}
