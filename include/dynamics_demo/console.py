"""Text on the terminal: plain lines, a live line while waiting, and tables."""

import shutil
import sys
import time
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TextIO

#: Without a terminal each state is a line of its own; an unchanged one is repeated after so many seconds.
_REPEAT_AFTER = 10.0


def say(text: str = "") -> None:
    """Write one line to standard output, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


@dataclass(slots=True)
class Progress:
    """One line that is kept up to date while something is waited for; a terminal shows it in place."""

    label: str
    stream: TextIO = field(default_factory=lambda: sys.stdout)
    clock: Callable[[], float] = time.monotonic
    _begun: float = field(init=False)
    _last_text: str = field(init=False, default="")
    _last_at: float = field(init=False, default=float("-inf"))

    def __post_init__(self) -> None:
        self._begun = self.clock()

    @property
    def seconds(self) -> float:
        """Seconds since the line was first shown."""
        return self.clock() - self._begun

    def show(self, text: str) -> None:
        """Show the present state; call it as often as wanted."""
        now = self.clock()
        if self.stream.isatty():
            # A longer line would wrap, and only its last piece could be taken back.
            width = shutil.get_terminal_size().columns - 1
            self.stream.write(f"\r\033[K{self._line(text)[:width]}")
        elif text != self._last_text or now - self._last_at >= _REPEAT_AFTER:
            self.stream.write(self._line(text) + "\n")
            self._last_at = now
        self._last_text = text
        self.stream.flush()

    def done(self, text: str) -> None:
        """Leave the last state standing and go to the next line."""
        start = "\r\033[K" if self.stream.isatty() else ""
        self.stream.write(f"{start}{self._line(text)}\n")
        self.stream.flush()

    def _line(self, text: str) -> str:
        return f"  {self.seconds:4.0f} s  {self.label}: {text}"


def table(header: Sequence[str], rows: Sequence[Sequence[object]], *, texts: bool = False) -> str:
    """Lay out rows under a header: the first column to the left, the others, figures, to the right.

    With `texts` the others are to the left as well.
    """
    cells = [[_cell(value) for value in row] for row in (header, *rows)]
    widths = [max(_width(row[column]) for row in cells) for column in range(len(header))]
    lines = [_laid_out(row, widths, texts=texts) for row in cells]
    lines.insert(1, "-" * len(lines[0]))
    return "\n".join(f"  {line}".rstrip() for line in lines)


def _laid_out(row: Sequence[str], widths: Sequence[int], *, texts: bool) -> str:
    padded = [(text, " " * (width - _width(text))) for text, width in zip(row, widths, strict=True)]
    return "  ".join(text + pad if texts or not column else pad + text for column, (text, pad) in enumerate(padded))


def _width(text: str) -> int:
    """How many columns of a terminal a text takes."""
    marks = sum(1 for character in text if unicodedata.category(character) in {"Mn", "Me", "Cf"})
    return len(text) - marks + sum(1 for character in text if unicodedata.east_asian_width(character) in "WF")


def total(rows: Sequence[Sequence[object]]) -> tuple[object, ...]:
    """Return a last row that adds up the columns of whole numbers. Seconds are not added, as runs overlap."""
    return ("total", *(_sum(column) for column in list(zip(*rows, strict=True))[1:]))


def _sum(column: Sequence[object]) -> int | str:
    numbers = [value for value in column if isinstance(value, int)]
    return sum(numbers) if len(numbers) == len(column) else ""


def _cell(value: object) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:.1f}"
        case _:
            return str(value)
