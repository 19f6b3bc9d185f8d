"""Service protection: how much one user may ask for within a sliding window."""

import threading
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from dynamics_emulator.errors import DataverseError
from dynamics_emulator.settings import Settings


@dataclass
class _Usage:
    """One user's requests in the window: when each began, and its milliseconds once it ended."""

    requests: deque[tuple[datetime, float]] = field(default_factory=deque)
    running: int = 0
    refused: int = 0


class ProtectionLimits:
    """Counts requests, execution time and concurrency for each user."""

    def __init__(self) -> None:
        self._users: dict[str, _Usage] = {}
        self._lock = threading.Lock()

    def enter(self, user_id: str, now: datetime, settings: Settings) -> None:
        """Begin a request.

        Raises a 429 when a limit is passed; its Retry-After grows while the caller pushes on.
        """
        with self._lock:
            usage = self._users.setdefault(user_id, _Usage())
            _forget(usage, now, settings)
            refusal = _refusal(usage, settings)
            if refusal:
                usage.refused += 1
                seconds = settings.retry_after_seconds * usage.refused
                raise DataverseError(429, refusal[0], refusal[1], {"Retry-After": str(seconds)})
            usage.refused = 0
            usage.running += 1

    def leave(self, user_id: str, now: datetime, milliseconds: float) -> None:
        """End a request that took so long."""
        with self._lock:
            usage = self._users[user_id]
            usage.running -= 1
            usage.requests.append((now, milliseconds))

    def remaining(self, user_id: str, settings: Settings) -> tuple[int, float]:
        """How many requests, and how many seconds of execution, the user has left."""
        with self._lock:
            usage = self._users.get(user_id, _Usage())
            spent = sum(milliseconds for _, milliseconds in usage.requests)
            requests = settings.request_limit - len(usage.requests)
            return max(requests, 0), max(settings.execution_milliseconds_limit - spent, 0.0) / 1000


def _forget(usage: _Usage, now: datetime, settings: Settings) -> None:
    start = now - timedelta(seconds=settings.limit_window_seconds)
    while usage.requests and usage.requests[0][0] <= start:
        usage.requests.popleft()


def _refusal(usage: _Usage, settings: Settings) -> tuple[str, str] | None:
    window = settings.limit_window_seconds
    if usage.running >= settings.concurrency_limit:
        text = f"Number of concurrent requests exceeded the limit of {settings.concurrency_limit}."
        return "0x80072326", text
    if len(usage.requests) + usage.running >= settings.request_limit:
        text = (
            f"Number of requests exceeded the limit of {settings.request_limit} over time window of {window} seconds."
        )
        return "0x80072322", text
    if sum(milliseconds for _, milliseconds in usage.requests) >= settings.execution_milliseconds_limit:
        text = (
            "Combined execution time of incoming requests exceeded limit of "
            f"{settings.execution_milliseconds_limit:,} milliseconds over time window of {window} seconds. "
            "Decrease number of concurrent requests or reduce the duration of requests and try again later."
        )
        return "0x80072321", text
    return None
