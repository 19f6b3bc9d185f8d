"""Rows that are set aside on their way, and how they travel through staging."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Rejected:
    """One row that could not be applied. `payload` is the row as JSON; it stays in staging and quarantine."""

    record_key: str | None
    code: str
    field: str | None
    reason: str
    payload: str
    version: int | None


def rejected_to_json(rows: Iterable[Rejected]) -> list[dict[str, Any]]:
    """Write rejected rows down."""
    return [asdict(row) for row in rows]


def rejected_from_json(rows: Sequence[dict[str, Any]]) -> tuple[Rejected, ...]:
    """Read rejected rows that `rejected_to_json` wrote."""
    return tuple(Rejected(**row) for row in rows)
