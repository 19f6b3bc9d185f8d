"""Which exchanges pass the gate, and what it is told of their answers."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from dynamics_sync.dataverse.budget import Wait
from dynamics_sync.dataverse.client import Request
from dynamics_sync.errors import BudgetSpent, Throttled

MULTIPART = {"Content-Type": "multipart/mixed; boundary=b"}
READ = Request("leads")
WRITES = [Request(f"leads({number})", method="PATCH", headers={"If-Match": 'W/"7"'}, body=b"{}") for number in range(3)]


@dataclass
class Gate:
    """Answers what a test gives it, and keeps what it was told."""

    waits: list[Wait | None] = field(default_factory=list)
    told: list[tuple[str, Any]] = field(default_factory=list)

    def enter(self, calls: int) -> Wait | None:
        wait = self.waits.pop(0) if self.waits else None
        self.told.append(("enter", calls) if wait is None else ("wait", calls))
        return wait

    def hinted(self, tasks: int) -> None:
        self.told.append(("hint", tasks))

    def throttled(self, seconds: float | None) -> None:
        self.told.append(("429", seconds))

    def waited(self, seconds: float) -> None:
        self.told.append(("waited", seconds))


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def gated(rig: Callable[..., Any], gate: Gate) -> Callable[..., Any]:
    return lambda answers, **options: rig(answers, gate=gate, **options)


def test_each_exchange_passes_the_gate_and_tells_the_hint(gated: Any, gate: Gate, reply: Any) -> None:
    made = gated([reply(headers={"x-ms-dop-hint": "4"}), reply()])
    made.client.send(READ)
    made.client.send(READ)
    assert gate.told == [("enter", 1), ("hint", 4), ("enter", 1)]


@pytest.mark.parametrize("hint", ["", "0", "many", "-3", "4.5"])
def test_a_hint_that_is_none_is_left_alone(gated: Any, gate: Gate, reply: Any, hint: str) -> None:
    gated([reply(headers={"x-ms-dop-hint": hint})]).client.send(READ)
    assert gate.told == [("enter", 1)]


def test_repeated_calls_pass_the_gate_each_time(gated: Any, gate: Gate, reply: Any, refused: Any) -> None:
    throttled = refused(429, "0x80072322", **{"Retry-After": "7"})
    made = gated([reply(401), throttled, reply()])
    made.client.send(READ)
    assert gate.told == [("enter", 1), ("enter", 1), ("429", 7.0), ("waited", 7.0), ("enter", 1)]
    assert made.slept == [7.0]


def test_a_429_without_a_time_is_told_as_such(gated: Any, gate: Gate, refused: Any) -> None:
    with pytest.raises(Throttled):
        gated([refused(429, "0x80072322")], attempts=1).client.send(READ)
    assert ("429", None) in gate.told


def test_a_batch_is_one_request_of_several_calls_and_its_parts_may_be_throttled(
    gated: Any, gate: Gate, reply: Any
) -> None:
    done, slow_down = "HTTP/1.1 204 X\r\n", "HTTP/1.1 429 X\r\nRetry-After: 9\r\n"

    def batch(*parts: str) -> Any:
        body = "".join(f"--b\r\nContent-Type: application/http\r\n\r\n{part}\r\n\r\n" for part in parts)
        return reply(200, f"{body}--b--".encode(), MULTIPART)

    made = gated(
        [
            batch(slow_down, slow_down.replace("After: 9", "After: 8"), slow_down),
            batch(done, slow_down, done),
            batch(done),
        ]
    )
    made.client.write_each(WRITES)
    # However many parts were refused, all tasks are told once.
    assert gate.told == [
        *[("enter", 3), ("429", 9.0), ("waited", 9.0)],
        *[("enter", 3), ("429", 9.0), ("waited", 9.0), ("enter", 1)],
    ]


def test_a_short_wait_is_slept_before_anything_is_sent(gated: Any, gate: Gate, reply: Any) -> None:
    made = gated([reply()])
    gate.waits = [Wait(30, Throttled("wait", retry_after=30)), Wait(1, Throttled("wait", retry_after=1))]
    made.client.send(READ)
    assert (made.slept, len(made.wire.asked)) == ([30, 1], 1)
    assert gate.told == [("wait", 1), ("waited", 30), ("wait", 1), ("waited", 1), ("enter", 1)]


@pytest.mark.parametrize("waits", [[61.0], [30.0, 31.0], [1.0] * 61])
def test_a_long_wait_is_left_to_the_caller_and_nothing_is_sent(gated: Any, gate: Gate, waits: list[float]) -> None:
    made = gated([])
    error = BudgetSpent("spent", retry_after=40_000)
    gate.waits = [Wait(seconds, error) for seconds in waits]
    with pytest.raises(BudgetSpent) as caught:
        made.client.send(READ)
    assert caught.value is error
    assert (made.wire.asked, made.slept) == ([], waits[:-1])
