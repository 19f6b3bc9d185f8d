"""Turns values of a query or of a body into the form in which they are stored, and refuses what does not fit."""

from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from uuid import UUID

from dynamics_emulator.clock import wire_time
from dynamics_emulator.schema.model import Column


def guid_text(text: str) -> str:
    """A GUID in lower case without braces. Raises ValueError for other text."""
    return str(UUID(text))


def instant_text(text: str) -> str:
    """``2026-03-01T08:15:00Z`` for any ISO instant or date; without a zone it is read as UTC.

    Raises ValueError for other text.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return wire_time(moment)


def date_text(text: str) -> str:
    """``2026-03-01`` for an ISO date, or for the date part of an instant. Raises ValueError for other text."""
    return date.fromisoformat(text[:10]).isoformat()


def exact_number_text(text: str, precision: int) -> str:
    """A decimal with exactly ``precision`` decimals, rounded as the decimal context says: half to even, if nobody
    changed it. Raises ValueError for other text.
    """
    try:
        return f"{Decimal(text):z.{precision}f}"  # With "z", what is rounded to zero has no sign.
    except InvalidOperation as problem:
        message = f"{text!r} is not a number"
        raise ValueError(message) from problem


def moment_text(column: Column, text: str) -> str:
    """The stored form of an instant or date for a DateTime column."""
    return date_text(text) if column.is_date_only else instant_text(text)
