"""Service protection: how much one user may ask of one web server within a sliding window."""

import threading
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from dynamics_emulator.errors import DataverseError
from dynamics_emulator.settings import Settings

Account = tuple[str, int]
"""What is counted together: a user's id and a server's number."""


@dataclass
class _Usage:
    """One account's requests in the window: when each ended and how long it took; and how hard it was pushed."""

    requests: deque[tuple[datetime, float]] = field(default_factory=deque)
    spent_milliseconds: float = 0.0
    running: int = 0
    pressure: int = 0
    refused_at: datetime | None = None


class ProtectionLimits:
    """Counts requests, execution time and concurrency for each account."""

    def __init__(self) -> None:
        self._accounts: dict[Account, _Usage] = {}
        self._lock = threading.Lock()

    def enter(self, account: Account, now: datetime, settings: Settings) -> None:
        """Begin a request.

        Raises a 429 when a limit is passed; its Retry-After grows while the caller pushes on.
        """
        with self._lock:
            usage = self._accounts.setdefault(account, _Usage())
            _forget(usage, now, settings)
            refusal = _refusal(usage, settings)
            if refusal:
                seconds = _push(usage, now, settings.retry_after_seconds)
                raise DataverseError(429, refusal[0], refusal[1], {"Retry-After": str(seconds)})
            usage.running += 1

    def leave(self, account: Account, now: datetime, milliseconds: float) -> None:
        """End a request that took so long."""
        with self._lock:
            usage = self._accounts[account]
            usage.running -= 1
            usage.requests.append((now, milliseconds))
            usage.spent_milliseconds += milliseconds

    def remaining(self, account: Account, settings: Settings) -> tuple[int, float]:
        """How many requests, and how many seconds of execution, the account has left."""
        with self._lock:
            usage = self._accounts.get(account, _Usage())
            requests = settings.request_limit - len(usage.requests)
            milliseconds = settings.execution_milliseconds_limit - usage.spent_milliseconds
            return max(requests, 0), max(milliseconds, 0.0) / 1000


def _push(usage: _Usage, now: datetime, step: int) -> int:
    """Seconds to wait: one step more for each refusal, one step less for each step that the caller waited since."""
    if usage.refused_at is not None and step:
        waited = (now - usage.refused_at).total_seconds()
        usage.pressure = max(0, usage.pressure - int(waited // step))
    usage.pressure += 1
    usage.refused_at = now
    return step * usage.pressure


def _forget(usage: _Usage, now: datetime, settings: Settings) -> None:
    start = now - timedelta(seconds=settings.limit_window_seconds)
    while usage.requests and usage.requests[0][0] <= start:
        usage.spent_milliseconds -= usage.requests.popleft()[1]
    if not usage.requests:
        usage.spent_milliseconds = 0.0


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
    if usage.spent_milliseconds >= settings.execution_milliseconds_limit:
        text = (
            "Combined execution time of incoming requests exceeded limit of "
            f"{settings.execution_milliseconds_limit:,} milliseconds over time window of {window} seconds. "
            "Decrease number of concurrent requests or reduce the duration of requests and try again later."
        )
        return "0x80072321", text
    return None
