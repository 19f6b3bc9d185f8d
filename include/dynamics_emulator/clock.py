"""The emulator's clock, which tests and demos can move."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta


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
        """Move the clock by ``seconds``; a negative number moves it back."""
        if self._stopped_at is not None:
            self._stopped_at += timedelta(seconds=seconds)
        else:
            self._offset += timedelta(seconds=seconds)

    def stop_at(self, instant: datetime) -> None:
        """Stand still at ``instant`` (with a time zone) until :meth:`resume`."""
        self._stopped_at = instant.astimezone(UTC)

    def resume(self) -> None:
        """Follow the system's time again, without an offset."""
        self._stopped_at = None
        self._offset = timedelta()


def wire_time(instant: datetime) -> str:
    """Print an instant the way Dataverse does: ``2026-03-01T08:15:00Z``."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
