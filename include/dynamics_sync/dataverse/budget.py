"""What a client asks before each exchange and tells after each answer, so that all tasks keep the limits together.

The client knows neither the other tasks nor the database in which they meet: whoever makes it hands in a Gate.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from dynamics_sync.dataverse.refusals import retry_after
from dynamics_sync.dataverse.wire import Answer, Request
from dynamics_sync.errors import TryAgain

_HINT = "x-ms-dop-hint"


@dataclass(frozen=True, slots=True)
class Wait:
    """Not now. Ask again in so many seconds; who cannot wait that long raises `error`, which knows the whole wait."""

    seconds: float
    error: TryAgain


class Gate(Protocol):
    """Lets requests through, one after another."""

    def enter(self, calls: int) -> Wait | None:
        """Let one request pass that carries so many calls, and count it; or say how long to wait."""

    def hinted(self, tasks: int) -> None:
        """Note how many tasks at once Dynamics recommends."""

    def throttled(self, seconds: float | None) -> None:
        """Note a 429, and the seconds that it asked to wait, if it did."""

    def waited(self, seconds: float) -> None:
        """Note that the caller stands still for so many seconds."""


class Turns:
    """The client's side of a gate: waits for its turn if that is short, and reads what concerns the gate from answers.

    Without a gate each request has its turn at once. A wait that would exceed `longest_wait` seconds is raised, so that
    the caller can free the worker meanwhile.
    """

    def __init__(
        self,
        gate: Gate | None,
        *,
        sleep: Callable[[float], None],
        clock: Callable[[], float],
        longest_wait: float,
    ) -> None:
        self._gate = gate
        self._sleep = sleep
        self._clock = clock
        self._longest_wait = longest_wait

    def take(self, request: Request) -> None:
        """Return when the request may be sent. Raises the gate's error: Throttled, NoPlaceFree or BudgetSpent."""
        waited = 0.0
        while self._gate is not None and (wait := self._gate.enter(request.calls)) is not None:
            waited += wait.seconds
            if waited > self._longest_wait:
                raise wait.error
            self.sleep(wait.seconds)

    def note(self, answer: Answer) -> None:
        """Tell the gate what an answer says about limits."""
        if self._gate is None:
            return
        hint = answer.headers.get(_HINT, "").strip()
        if hint.isdecimal() and int(hint) > 0:
            self._gate.hinted(int(hint))
        self.note_parts([answer])

    def note_parts(self, answers: Sequence[Answer]) -> None:
        """Tell the gate once if parts of an answer were refused for a limit, and of the longest wait among them."""
        refused = [answer.headers.get("Retry-After") for answer in answers if answer.status == 429]
        if self._gate is None or not refused:
            return
        waits = [seconds for text in refused if (seconds := retry_after(text, self._clock)) is not None]
        self._gate.throttled(max(waits, default=None))

    def sleep(self, seconds: float) -> None:
        """Stand still, and say so."""
        if self._gate is not None:
            self._gate.waited(seconds)
        self._sleep(seconds)
