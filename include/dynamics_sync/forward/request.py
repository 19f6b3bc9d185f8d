"""What a run is asked to do: the trigger form, a schedule or a backfill, checked before anything is read."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from dynamics_sync.errors import RunParameterError

_GUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NOTHING_READ = "Nothing was read"


class Mode(StrEnum):
    """What a run reads."""

    #: What changed since the watermark; without one, everything.
    CHANGES = "changes"
    #: Everything, again.
    FULL = "full"
    #: What was modified within a window of time; also every backfill.
    WINDOW = "window"
    #: Named records.
    IDS = "ids"
    #: The records that stand in quarantine.
    QUARANTINE = "quarantine"


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What one run is asked to do. The window is half-open: start <= modifiedon < end, both in UTC."""

    mode: Mode = Mode.CHANGES
    window_start: datetime | None = None
    window_end: datetime | None = None
    ids: tuple[str, ...] = ()
    allow_deletions: bool = False

    @property
    def moves_watermark(self) -> bool:
        """Only runs that leave nothing out may move the watermark."""
        return self.mode in (Mode.CHANGES, Mode.FULL)


def request_for_backfill(start: datetime, end: datetime) -> RunRequest:
    """A backfill run reads its data interval."""
    return RunRequest(Mode.WINDOW, start, end)


def request_from_params(params: Mapping[str, Any]) -> RunRequest:
    """Read the trigger form; RunParameterError says which entry is wrong."""
    mode = _mode(str(params.get("mode") or Mode.CHANGES))
    start = _instant(params, "window_start")
    end = _instant(params, "window_end")
    ids = _ids(params.get("ids"))
    if mode is Mode.WINDOW:
        if start is None or end is None or start >= end:
            message = "a window needs window_start before window_end"
            raise RunParameterError(message, not_done=_NOTHING_READ)
    elif start or end:
        message = f"window_start and window_end belong to mode window, not to {mode}"
        raise RunParameterError(message, not_done=_NOTHING_READ)
    if bool(ids) != (mode is Mode.IDS):
        message = "ids belong to mode ids, and to no other" if ids else "mode ids needs at least one id"
        raise RunParameterError(message, not_done=_NOTHING_READ)
    return RunRequest(mode, start, end, ids, bool(params.get("allow_deletions")))


def _mode(text: str) -> Mode:
    try:
        return Mode(text)
    except ValueError:
        message = f"mode {text!r} is none of {', '.join(Mode)}"
        raise RunParameterError(message, not_done=_NOTHING_READ) from None


def _instant(params: Mapping[str, Any], name: str) -> datetime | None:
    text = params.get(name)
    if not text:
        return None
    try:
        instant = datetime.fromisoformat(str(text))
        return instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        message = f"{name} {str(text)!r} is no instant such as 2026-03-01T00:00:00Z"
        raise RunParameterError(message, not_done=_NOTHING_READ) from None


def _ids(value: Any) -> tuple[str, ...]:
    """Accept a list, or text with blanks, commas or line ends between the ids."""
    parts = re.split(r"[\s,;]+", value) if isinstance(value, str) else list(value or [])
    ids = dict.fromkeys(str(part).strip().strip("{}").lower() for part in parts if str(part).strip())
    for number, record_id in enumerate(ids, start=1):
        if not _GUID.fullmatch(record_id):
            message = f"entry {number} of ids is no GUID"
            raise RunParameterError(message, not_done=_NOTHING_READ)
    return tuple(ids)
