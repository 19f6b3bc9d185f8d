"""Random draws, a whole column at once: the same values for the same seed."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TypeVar

Item = TypeVar("Item")
_ID_BITS = 48
"""Leading bits of a GUID that say where it lies among the others of its table."""
_FIRST_DAY = datetime(2023, 1, 2, tzinfo=UTC)
_CREATION_DAYS = 3 * 365
_CHANGE_DAYS = 60
_DAYS = tuple(
    (_FIRST_DAY + timedelta(days=number)).strftime("%Y-%m-%d") for number in range(_CREATION_DAYS + _CHANGE_DAYS)
)
_TIMES = tuple(f"T{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}Z" for second in range(0, 86400, 37))


class Chance:
    """A source of chance. Each method draws ``count`` values."""

    def __init__(self, seed: str) -> None:
        self.random = Random(seed)

    def ids(self, count: int, part: int = 0, parts: int = 1) -> list[str]:
        """New GUIDs in ascending order; those of a later part are all greater, so that rows are stored in order."""
        low, high = (part << _ID_BITS) // parts, ((part + 1) << _ID_BITS) // parts
        draw, span = self.random.random, high - low
        heads = sorted(low + int(draw() * span) for _ in range(count))
        bits = self.random.getrandbits
        return [_guid(f"{head:012x}{bits(76):019x}") for head in heads]

    def choices(self, items: Sequence[Item], count: int) -> list[Item]:
        """Items, each as likely as the others."""
        return self.random.choices(items, k=count)

    def sometimes(self, probability: float, values: Sequence[Item]) -> "list[Item | None]":
        """The same values, but only as often as this; None for the others."""
        draw = self.random.random
        return [value if draw() < probability else None for value in values]

    def some(self, probability: float, items: Sequence[Item], count: int) -> "list[Item | None]":
        """Items as often as this; None for the others."""
        return self.sometimes(probability, self.choices(items, count))

    def flags(self, probability: float, count: int) -> list[int]:
        """1 as often as this, else 0."""
        draw = self.random.random
        return [int(draw() < probability) for _ in range(count)]

    def numbers(self, low: int, high: int, count: int) -> list[int]:
        """Whole numbers from ``low`` to ``high``, both included."""
        draw, span = self.random.random, high - low + 1
        return [low + int(draw() * span) for _ in range(count)]

    def places(self, size: int, count: int) -> list[int]:
        """Places in a list of this size, the first ones far more often: few accounts have most of the contacts."""
        draw = self.random.random
        return [int(draw() ** 2 * size) for _ in range(count)]

    def earlier(self, probability: float, values: Sequence[Item]) -> "list[Item | None]":
        """For each place one of the values before it, as often as this: a forest of parents without a circle."""
        draw = self.random.random
        return [values[int(draw() * place)] if place and draw() < probability else None for place in range(len(values))]

    def spans(self, count: int) -> tuple[list[str], list[str]]:
        """Instants of creation within three years, and of a change at that moment or up to two months later."""
        starts, times = self.numbers(0, _CREATION_DAYS - 1, count), self.choices(_TIMES, count)
        delays, later = self.numbers(0, _CHANGE_DAYS, count), self.choices(_TIMES, count)
        created = [_DAYS[start] + time for start, time in zip(starts, times, strict=True)]
        changed = [
            _DAYS[start + delay] + (other if delay else time)
            for start, delay, time, other in zip(starts, delays, times, later, strict=True)
        ]
        return created, changed

    def instants(self, count: int) -> list[str]:
        """Instants within three years."""
        days, times = self.choices(_DAYS, count), self.choices(_TIMES, count)
        return [day + time for day, time in zip(days, times, strict=True)]

    def days(self, count: int) -> list[str]:
        """Dates within three years."""
        return self.choices(_DAYS, count)


def _guid(digits: str) -> str:
    """A GUID of version 4 from 31 hexadecimal digits."""
    variant = "89ab"[int(digits[15], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[12:15]}-{variant}{digits[16:19]}-{digits[19:]}"
