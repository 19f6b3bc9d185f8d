"""Writes that go out in one batch, some of them in several rounds: what is known of each, and which go again."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dynamics_sync.dataverse.wire import Answer, Request
from dynamics_sync.errors import SyncError, TokenRefused, TryAgain

Outcome = Answer | SyncError


@dataclass
class Rounds:
    """The outcome of each call of a batch; `token_is_new` says that the token was renewed since the first round.

    A call that was answered for good is never among those that go again.
    """

    outcomes: list[Outcome]
    token_is_new: bool = False

    @property
    def again(self) -> list[int]:
        """The positions of the calls that failed in passing: one more round can bring another outcome."""
        passing = TryAgain if self.token_is_new else (TryAgain, TokenRefused)
        return [number for number, outcome in enumerate(self.outcomes) if isinstance(outcome, passing)]

    @property
    def needs_token(self) -> bool:
        """Whether the token ended within the batch."""
        return not self.token_is_new and any(isinstance(outcome, TokenRefused) for outcome in self.outcomes)

    @property
    def waits_for_server(self) -> bool:
        """Whether something else than the token keeps a call from being carried out."""
        return any(isinstance(outcome, TryAgain) for outcome in self.outcomes)

    @property
    def told_wait(self) -> float | None:
        """The longest wait in seconds that a part was answered with; None if none was told."""
        told = [outcome.retry_after for outcome in self.outcomes if isinstance(outcome, TryAgain)]
        return max((seconds for seconds in told if seconds is not None), default=None)

    def note(self, numbers: Sequence[int], outcomes: Iterable[Outcome]) -> None:
        """Replace the outcomes of the calls at these positions."""
        for number, outcome in zip(numbers, outcomes, strict=True):
            self.outcomes[number] = outcome

    def hold_up(self) -> None:
        """Give calls that only lack a new token the error of the longest wait: they wait, too, and are not refused."""
        waiting = [outcome for outcome in self.outcomes if isinstance(outcome, TryAgain)]
        longest = max(waiting, key=lambda error: error.retry_after or 0)
        lacking = [number for number in self.again if isinstance(self.outcomes[number], TokenRefused)]
        self.note(lacking, [longest] * len(lacking))


def require_guarded(calls: Iterable[Request]) -> None:
    """Raise ValueError if sending one of the calls again could change something once more."""
    for call in calls:
        if not (call.reads or call.conditional):
            message = f"{call.label} names no version of its row, so that it cannot be sent again"
            raise ValueError(message)
