"""The next item is on its way while this one is in use, and no further one."""

import threading
from collections.abc import Iterator

import pytest

from dynamics_sync.forward.ahead import read_ahead


def test_items_come_in_order() -> None:
    assert list(read_ahead(iter(range(100)))) == list(range(100))
    assert list(read_ahead(iter(()))) == []


def test_one_item_is_fetched_ahead_and_no_more() -> None:
    fetched: list[int] = []
    arrived = [threading.Event() for _ in range(4)]

    def fetch() -> Iterator[int]:
        for number in range(4):
            fetched.append(number)
            arrived[number].set()
            yield number

    items = read_ahead(fetch())
    assert next(items) == 0
    # Nobody asked for it yet.
    assert arrived[1].wait(10)
    assert fetched == [0, 1]
    assert list(items) == [1, 2, 3]


def test_a_failure_comes_in_its_place() -> None:
    def fetch() -> Iterator[int]:
        yield 1
        message = "the second"
        raise OSError(message)

    items = read_ahead(fetch())
    assert next(items) == 1
    with pytest.raises(OSError, match="the second"):
        next(items)


def test_whoever_stops_early_leaves_no_thread() -> None:
    items = read_ahead(iter(range(100)))
    next(items)
    items.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read-ahead")]
