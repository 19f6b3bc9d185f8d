"""Faults that a test or a demo switches on: what goes wrong, how often, and on which requests."""

import re
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b

from dynamics_emulator.control.page_memory import PageMemory

_KEYS = re.compile(r"\([^)]*\)")


class Fault(StrEnum):
    """The named faults, each with what it does in a sentence."""

    description: str

    def __new__(cls, value: str, description: str = "") -> "Fault":
        """A name together with its description, which no caller gives: ``Fault("slow")`` looks the member up."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.description = description
        return member

    DROP_BEFORE = "drop-before", "The connection breaks before the request is carried out; nothing is written."
    DROP_DURING = (
        "drop-during",
        "The connection breaks within the answer, or before one without a body; a write is done.",
    )
    DROP_AFTER = "drop-after", "The connection breaks before the answer is sent; a write is done."
    WRONG_LENGTH = (
        "wrong-content-length",
        "The answer promises more bytes than it sends, or breaks if it has no body; a write is done.",
    )
    TRUNCATED_JSON = "truncated-json", "The body ends in the middle, yet its length says that it is whole."
    BAD_GZIP = "bad-gzip", "The compressed body is damaged; only callers that take gzip meet it."
    HTML_200 = "html-200", "A sign-in page in HTML comes with status 200 in place of the answer; a write is done."
    EMPTY_ANSWER = "empty-answer", "A page comes without rows and without a link to the next."
    REPEAT_PAGE = "repeat-page", "The link to the next page leads to the same rows once more."
    LOOP_LINK = "loop-link", "The link to the next page is the address that was just asked."
    FOREIGN_LINK = "foreign-link", "The link to the next page leads to another host."
    DUPLICATE_ROW = "duplicate-row", "A page begins with the last row of the page before it."
    SHUFFLED_ROWS = "shuffled-rows", "The rows of a page come in another order; a page of changes is left alone."
    SHUFFLED_CHANGES = "shuffled-changes", "The entries of a page of changes come in another order, deletes among them."
    STALE_ROWS = (
        "stale-rows",
        "Rows come as they were when last read since the fault was switched on; change tracking knows better.",
    )
    MISSING_DELTA_LINK = "missing-delta-link", "The last page of a tracked read has no link for the next read."
    STATUS_429 = "status-429", "429 with Retry-After in seconds; nothing is written."
    RETRY_AFTER_DATE = "retry-after-date", "429 with Retry-After as a date; nothing is written."
    STATUS_500 = "status-500", "500; nothing is written."
    STATUS_502 = "status-502", "502; nothing is written."
    STATUS_503 = "status-503", "503; nothing is written."
    STATUS_504 = "status-504", "504; nothing is written."
    TOKEN_EXPIRED_401 = (
        "token-expired-401",
        "401, as if the token had expired; with a probability never at its first use; nothing is written.",
    )
    SLOW = "slow", "The answer comes late, by the setting slow_milliseconds."


WITHIN_BATCHES = frozenset(
    {
        *(Fault.STATUS_429, Fault.RETRY_AFTER_DATE, Fault.TOKEN_EXPIRED_401),
        *(Fault.STATUS_500, Fault.STATUS_502, Fault.STATUS_503, Fault.STATUS_504),
        Fault.TRUNCATED_JSON,
    }
)
"""The faults that can strike inside of a batch as well."""


@dataclass
class ActiveFault:
    """A fault that is switched on for requests whose address contains ``match``.

    It strikes ``times`` more times (None: without end) with a probability; or, if ``at`` names any, at these of the
    requests that it could strike, counted from 1. Draws depend on the seed, the path and how often that path was met,
    and not on what other paths are asked for meanwhile, so that a run with threads can be repeated.

    With ``in_batch`` it leaves whole requests alone and strikes the parts of batches that write, one by one, their
    method before their address; a fault of bodies then strikes the answers to batches that write.
    """

    fault: Fault
    times: int | None
    probability: float
    match: str
    at: tuple[int, ...] = ()
    in_batch: bool = False
    hits: int = 0
    met: int = 0
    _met_by_path: Counter[str] = field(default_factory=Counter, repr=False)

    @property
    def is_spent(self) -> bool:
        """Whether it cannot strike any more."""
        return self.times == 0 or (bool(self.at) and self.met >= max(self.at))

    def meets(self, seed: int, url: str, *, spared: bool) -> bool:
        """Count a request that could be struck, and say whether it is; chance does not hit one that is spared."""
        path = _KEYS.sub("()", url.partition("?")[0].partition("/api/data/")[2])
        self.met += 1
        self._met_by_path[path] += 1
        if spared and self.probability < 1:
            return False
        if not self._draws(f"{seed} {self.fault} {path} {self._met_by_path[path]}"):
            return False
        self.hits += 1
        if self.times is not None:
            self.times -= 1
        return True

    def _draws(self, occasion: str) -> bool:
        if self.at:
            return self.met in self.at
        digest = blake2b(occasion.encode(), digest_size=8).digest()
        return int.from_bytes(digest) < self.probability * 2**64

    def describe(self) -> dict[str, object]:
        """The fault as the control API shows it."""
        return {
            "name": self.fault.value,
            "times": self.times,
            "probability": self.probability,
            "at": list(self.at),
            "match": self.match,
            "in_batch": self.in_batch,
            "met": self.met,
            "hits": self.hits,
        }


class Faults:
    """The faults that are switched on."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._active: list[ActiveFault] = []
        self._lock = threading.Lock()
        self.memory = PageMemory()

    def add(
        self,
        name: str,
        times: int | None = None,
        probability: float | None = None,
        match: str = "",
        at: Sequence[int] = (),
        *,
        in_batch: bool = False,
    ) -> ActiveFault:
        """Switch a fault on; without ``times``, ``probability`` and ``at`` it strikes once.

        Raises ValueError for an unknown name, for a probability outside of 0 to 1, for ``times`` or an ``at`` below 1,
        for ``at`` beside one of the others, and for ``in_batch`` with a fault that strikes whole requests only.
        """
        _require_sense(times, probability, at)
        if times is None and probability is None and not at:
            times = 1
        if in_batch and Fault(name) not in WITHIN_BATCHES:
            message = f"{name} strikes whole requests only; within batches go {', '.join(sorted(WITHIN_BATCHES))}"
            raise ValueError(message)
        chance = 1.0 if probability is None else probability
        active = ActiveFault(Fault(name), times, chance, match, tuple(sorted(at)), in_batch)
        with self._lock:
            self._active.append(active)
        return active

    def clear(self, name: str | None = None) -> None:
        """Switch one fault off, or all. Raises ValueError for an unknown name."""
        fault = None if name is None else Fault(name)
        with self._lock:
            self._active = [active for active in self._active if fault is not None and active.fault is not fault]

    def active(self) -> list[ActiveFault]:
        """The faults that can still strike."""
        with self._lock:
            return list(self._active)

    @property
    def are_on(self) -> bool:
        """Whether any fault can still strike."""
        return bool(self._active)

    def is_on(self, fault: Fault) -> bool:
        """Whether this one can still strike."""
        return any(active.fault is fault for active in self._active)

    def is_first_use(self, token: str) -> bool:
        """Whether a token comes for the first time while faults are on: it cannot have expired since it was given."""
        if not self._active:
            return False
        key = f"token {blake2b(token.encode(), digest_size=16).hexdigest()}"
        known = self.memory.find(key) is not None
        self.memory.keep(key, "")
        return not known

    def strikes(self, fault: Fault, url: str, *, spared: bool = False, in_batch: bool = False) -> bool:
        """Whether this fault hits this request, or this part of a batch, whose method then stands before its address.

        A hit is used up. Chance does not hit one that is ``spared``.
        """
        if not self._active:  # The usual case, which must cost nothing.
            return False
        with self._lock:
            for active in self._active:
                if active.fault is fault and active.in_batch is in_batch and active.match in url:
                    struck = active.meets(self._seed, url, spared=spared)
                    self._active = [item for item in self._active if not item.is_spent]
                    if struck:
                        return True
        return False


def _require_sense(times: int | None, probability: float | None, at: Sequence[int]) -> None:
    if at and (times is not None or probability is not None):
        message = "a fault at certain requests has neither a number of times nor a probability"
    elif any(number < 1 for number in (*at, 1 if times is None else times)):
        message = "requests and times are counted from 1"
    elif probability is not None and not 0 <= probability <= 1:
        message = "a probability lies between 0 and 1"
    else:
        return
    raise ValueError(message)
