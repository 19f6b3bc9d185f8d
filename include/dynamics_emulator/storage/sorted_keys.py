"""The keys of a filtered read, in order, kept while its pages are asked for.

Without them each page would look at all rows that fulfil the filter, to find the next few thousand in the order of the
key: a table that is read in windows of time would cost the square of a window's size.
"""

import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence

#: How many reads are remembered at once, and up to how many keys each.
_MOST_READS, _MOST_KEYS = 16, 300_000


class SortedKeys:
    """Remembers the keys of the latest reads. What was read of an earlier state is not found again, and makes way."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, Sequence[str]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def after(
        self, what: Hashable, last: str | None, size: int, find: Callable[[int], Sequence[str]]
    ) -> Sequence[str] | None:
        """Return the next keys after `last`, `size` + 1 at most; None if they are too many to keep.

        `what` names the read and the state of the data; `find` reads all of its keys in order, up to so many.
        """
        with self._lock:
            keys = self._kept.get(what)
        if keys is None:
            keys = find(_MOST_KEYS + 1)
            if len(keys) > _MOST_KEYS:
                return None
            if len(keys) > size:
                self._keep(what, keys)
        start = 0 if last is None else bisect_right(keys, last)
        return keys[start : start + size + 1]

    def _keep(self, what: Hashable, keys: Sequence[str]) -> None:
        with self._lock:
            self._kept[what] = keys
            while len(self._kept) > _MOST_READS:
                self._kept.popitem(last=False)
