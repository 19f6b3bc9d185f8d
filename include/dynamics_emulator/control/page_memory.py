"""What was answered while a fault was on that needs to know it."""

import threading
from collections import OrderedDict

_KEPT = 20_000


class PageMemory:
    """Texts by a key; the oldest is forgotten when there are too many."""

    def __init__(self) -> None:
        self._texts: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, key: str, text: str) -> None:
        """Remember a text."""
        with self._lock:
            self._texts[key] = text
            self._texts.move_to_end(key)
            while len(self._texts) > _KEPT:
                self._texts.popitem(last=False)

    def find(self, key: str) -> str | None:
        """A text that is remembered."""
        with self._lock:
            return self._texts.get(key)
