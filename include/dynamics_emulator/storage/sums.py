"""An SQL aggregate that SQLite lacks: sums without rounding."""

from decimal import Decimal


class ExactSum:
    """Adds decimals that are stored as text; the result is text, or None when there was no value."""

    def __init__(self) -> None:
        self._total: Decimal | None = None

    def step(self, value: str | float | None) -> None:
        """Add one value."""
        if value is not None:
            self._total = (self._total or Decimal()) + Decimal(str(value))

    def finalize(self) -> str | None:
        """The sum."""
        return None if self._total is None else str(self._total)
