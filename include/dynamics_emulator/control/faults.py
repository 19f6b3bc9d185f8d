"""Faults that a test or a demo switches on: what goes wrong, how often, and on which requests."""

import random
import threading
from dataclasses import dataclass
from enum import StrEnum


class Fault(StrEnum):
    """The named faults."""

    TRUNCATED_JSON = "truncated-json"
    HTML_200 = "html-200"
    REPEAT_PAGE = "repeat-page"
    LOOP_LINK = "loop-link"
    FOREIGN_LINK = "foreign-link"
    DROP_BEFORE = "drop-before"
    DROP_DURING = "drop-during"
    DROP_AFTER = "drop-after"
    STATUS_429 = "status-429"
    STATUS_500 = "status-500"
    STATUS_502 = "status-502"
    STATUS_503 = "status-503"
    STATUS_504 = "status-504"
    RETRY_AFTER_DATE = "retry-after-date"
    TOKEN_EXPIRED_401 = "token-expired-401"  # noqa: S105 - the name of a fault, not a secret
    SLOW = "slow"
    EMPTY_ANSWER = "empty-answer"
    DUPLICATE_ROW = "duplicate-row"


@dataclass
class ActiveFault:
    """A fault that is switched on: for ``times`` more requests (None: without end), with a probability."""

    fault: Fault
    times: int | None
    probability: float
    match: str

    def describe(self) -> dict[str, object]:
        """The fault as the control API shows it."""
        return {
            "name": self.fault.value,
            "times": self.times,
            "probability": self.probability,
            "match": self.match,
        }


class Faults:
    """The faults that are switched on. Draws come from one seeded source, so that a run can be repeated."""

    def __init__(self, source: random.Random) -> None:
        self._random = source
        self._active: list[ActiveFault] = []
        self._lock = threading.Lock()

    def add(
        self, name: str, times: int | None = None, probability: float | None = None, match: str = ""
    ) -> ActiveFault:
        """Switch a fault on for requests whose path contains ``match``.

        Without ``times`` and ``probability`` it strikes once. Raises ValueError for an unknown name.
        """
        if times is None and probability is None:
            times = 1
        active = ActiveFault(Fault(name), times, 1.0 if probability is None else probability, match)
        with self._lock:
            self._active.append(active)
        return active

    def clear(self) -> None:
        """Switch all faults off."""
        with self._lock:
            self._active.clear()

    def active(self) -> list[ActiveFault]:
        """The faults that can still strike."""
        with self._lock:
            return list(self._active)

    def strikes(self, fault: Fault, path: str) -> bool:
        """Whether this fault hits this request; a hit is used up."""
        with self._lock:
            for active in self._active:
                if active.fault is fault and active.match in path and self._hits(active):
                    if active.times is not None:
                        active.times -= 1
                    self._active = [item for item in self._active if item.times != 0]
                    return True
        return False

    def _hits(self, active: ActiveFault) -> bool:
        return active.probability >= 1.0 or self._random.random() < active.probability
