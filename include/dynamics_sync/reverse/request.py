"""What a run to Dynamics is asked to do: the words of the trigger form, checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from dynamics_sync.errors import RunParameterError


class ReverseMode(StrEnum):
    """Which rows a run looks at."""

    CHANGES = "changes"
    FULL = "full"
    QUARANTINE = "quarantine"


@dataclass(frozen=True, slots=True)
class ReverseRequest:
    """What to look at, whether anything is written, and whether the deletion breaker is open."""

    mode: ReverseMode = ReverseMode.CHANGES
    dry_run: bool = False
    allow_deletions: bool = False


def request_from_params(params: Mapping[str, Any]) -> ReverseRequest:
    """Read the form; a run of the schedule has none of its words. Raises RunParameterError."""
    word = params.get("mode") or ReverseMode.CHANGES
    try:
        mode = ReverseMode(word)
    except ValueError:
        message = f"`mode` cannot be {word!r}; valid are {', '.join(ReverseMode)}"
        raise RunParameterError(message, not_done="Nothing was written") from None
    return ReverseRequest(mode, bool(params.get("dry_run")), bool(params.get("allow_deletions")))
