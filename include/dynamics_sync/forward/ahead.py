"""Fetch the next item while this one is worked on: the network and the processor are not idle by turns."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

_END: Any = object()


def read_ahead(items: Iterator[T]) -> Iterator[T]:
    """Yield the items in order, each fetched by a thread while the one before it is in use; two are held at a time.

    What fetching an item raises is raised in its place. Whoever stops early waits for the fetch that is under way.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as thread:
        following = thread.submit(next, items, _END)
        while (item := following.result()) is not _END:
            following = thread.submit(next, items, _END)
            yield item
