"""The emulator's clock, which tests and demos can move."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

_FIRST = datetime(1753, 1, 1, tzinfo=UTC)
_LAST = datetime(9000, 1, 1, tzinfo=UTC)
"""Between Dataverse's first instant and one that leaves room for what expires later, such as tokens."""


def system_time() -> datetime:
    """The present instant in UTC."""
    return datetime.now(UTC)


class Clock:
    """Tells the time in UTC, shifted by an offset or stopped at an instant."""

    def __init__(self, source: Callable[[], datetime] = system_time) -> None:
        self._source = source
        self._offset = timedelta()
        self._stopped_at: datetime | None = None

    def now(self) -> datetime:
        """The emulated instant, with whole seconds, as Dataverse prints it."""
        instant = self._stopped_at or self._source() + self._offset
        return instant.replace(microsecond=0)

    def advance(self, seconds: float) -> None:
        """Move the clock by ``seconds``; a negative number moves it back.

        Raises ValueError when it would leave the years 1753 to 8999.
        """
        try:
            _require_known(self.now() + timedelta(seconds=seconds))
        except OverflowError as problem:
            raise _beyond() from problem
        if self._stopped_at is not None:
            self._stopped_at += timedelta(seconds=seconds)
        else:
            self._offset += timedelta(seconds=seconds)

    def stop_at(self, instant: datetime) -> None:
        """Stand still at ``instant`` (with a time zone) until :meth:`resume`.

        Raises ValueError when it is not in the years 1753 to 8999.
        """
        _require_known(instant)
        self._stopped_at = instant.astimezone(UTC)

    def resume(self) -> None:
        """Follow the system's time again, without an offset."""
        self._stopped_at = None
        self._offset = timedelta()


def _require_known(instant: datetime) -> None:
    if not _FIRST <= instant < _LAST:
        raise _beyond()


def _beyond() -> ValueError:
    return ValueError(f"the clock goes from {_FIRST.year} to {_LAST.year - 1}")


def wire_time(instant: datetime) -> str:
    """Print an instant the way Dataverse does: ``2026-03-01T08:15:00Z``."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
