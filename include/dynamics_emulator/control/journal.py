"""The last requests, for people to look at: what was asked and how it went, without ids, values and personal data."""

import re
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from urllib.parse import unquote_plus

_KEPT = 200
_KEY = re.compile(r"\([^()]*\)")


@dataclass(frozen=True)
class RequestEntry:
    """One request; ``status`` is None when its connection broke before an answer began."""

    at: datetime
    method: str
    path: str
    status: int | None
    milliseconds: float
    bytes_sent: int

    def describe(self) -> dict[str, object]:
        """The entry as the control API shows it."""
        return {
            "at": self.at.isoformat(),
            "method": self.method,
            "path": self.path,
            "status": self.status,
            "milliseconds": round(self.milliseconds, 1),
            "bytes": self.bytes_sent,
        }


class RequestJournal:
    """The last two hundred requests and the number of all."""

    def __init__(self) -> None:
        self._entries: deque[RequestEntry] = deque(maxlen=_KEPT)
        self.total = 0

    def add(self, entry: RequestEntry) -> None:
        """Write a request down."""
        self.total += 1
        self._entries.append(entry)

    def latest(self, count: int) -> list[RequestEntry]:
        """The newest requests, the latest first."""
        return list(islice(reversed(self._entries), count))


def plain_path(path: str, query: str) -> str:
    """A path whose keys and arguments are hidden, with the names of its query options and not their values."""
    names = [unquote_plus(part.partition("=")[0]) for part in query.split("&") if part]
    shown = [name for name in names if name.startswith("$") and name[1:].isalpha()]
    hidden = ["…"] if len(shown) < len(names) else []
    plain = _KEY.sub("(…)", path) if "(" in path else path
    return plain + ("?" + "&".join([*shown, *hidden]) if names else "")
