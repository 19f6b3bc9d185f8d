"""The last requests, for people to look at: what was asked and how it went, without ids, values and personal data."""

import re
from collections import Counter, deque
from collections.abc import Container
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from urllib.parse import unquote_plus

from dynamics_emulator.odata.options import KNOWN_OPTIONS
from dynamics_emulator.schema.described import CRM

_KEPT = 200
_HIDDEN = "…"
_ROOT = re.compile(r"^/api/data/v[\d.]+(?=/|$)")


@dataclass(frozen=True)
class RequestEntry:
    """One request; ``status`` is None when its connection broke before an answer began."""

    at: datetime
    method: str
    path: str
    status: int | None
    milliseconds: float
    bytes_sent: int

    @property
    def kind(self) -> str:
        """Method and path below the API's root, without options: ``GET /leads(…)``, ``POST /…/oauth2/v2.0/token``."""
        return f"{self.method} {_ROOT.sub('', self.path.partition('?')[0]) or '/'}"

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
    """The last two hundred requests, and the number of all, by their kind too."""

    def __init__(self) -> None:
        self._entries: deque[RequestEntry] = deque(maxlen=_KEPT)
        self.total = 0
        self._by_kind: Counter[str] = Counter()

    def add(self, entry: RequestEntry) -> None:
        """Write a request down."""
        self.total += 1
        self._by_kind[entry.kind] += 1
        self._entries.append(entry)

    def by_kind(self) -> dict[str, int]:
        """How many requests there were of each kind, see :attr:`RequestEntry.kind`; a batch is one."""
        return dict(self._by_kind)

    def latest(self, count: int) -> list[RequestEntry]:
        """The newest requests, the latest first."""
        return list(islice(reversed(self._entries), count))


def plain_path(path: str, query: str, names: Container[str]) -> str:
    """A path of these names, with the names of its query options: all else, which may be somebody's data, is hidden."""
    plain = "/".join(_plain_segment(segment, names) for segment in path.split("/"))
    asked = [unquote_plus(part.partition("=")[0]) for part in query.split("&") if part]
    shown = [name for name in asked if name in KNOWN_OPTIONS]
    hidden = [_HIDDEN] if len(shown) < len(asked) else []
    return plain + ("?" + "&".join([*shown, *hidden]) if asked else "")


def _plain_segment(segment: str, names: Container[str]) -> str:
    name, parenthesis, _ = segment.partition("(")
    known = not name or name.removeprefix(f"{CRM}.") in names
    return (name if known else _HIDDEN) + (f"({_HIDDEN})" if parenthesis else "")
