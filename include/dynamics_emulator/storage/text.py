"""Text as the organisation compares it: without case, with SQL Server's wildcards, by the user's day."""

import re
import unicodedata
from datetime import datetime
from functools import lru_cache
from zoneinfo import ZoneInfo


def fold(text: str | float | None) -> str | float | None:
    """Text without its case; other values pass."""
    return text.casefold() if isinstance(text, str) else text


def fold_plain(text: str | float | None) -> str | float | None:
    """Text without its case and without accents; other values pass."""
    if not isinstance(text, str):
        return text
    letters = unicodedata.normalize("NFD", text.casefold())
    return "".join(letter for letter in letters if not unicodedata.combining(letter))


def matches(text: object, pattern: str) -> bool | None:
    """Whether text fits a pattern with the wildcards ``% _ [] [^]``, ignoring case; None for no text.

    Both sides are folded first, so a letter that folds to two, such as ß, counts as two.
    """
    if text is None:
        return None
    return compiled_pattern(pattern.casefold()).fullmatch(str(text).casefold()) is not None


def matches_plain(text: object, pattern: str) -> bool | None:
    """As :func:`matches`, without accents."""
    return None if text is None else matches(fold_plain(str(text)), str(fold_plain(pattern)))


@lru_cache(maxsize=512)
def compiled_pattern(pattern: str) -> re.Pattern[str]:
    """Turn an SQL Server LIKE pattern into a regular expression over the whole text."""
    parts: list[str] = []
    position = 0
    while position < len(pattern):
        character = pattern[position]
        end = pattern.find("]", position + 2) if character == "[" else -1
        if end > 0:
            parts.append(_character_set(pattern[position + 1 : end]))
            position = end
        else:
            parts.append({"%": ".*", "_": "."}.get(character, re.escape(character)))
        position += 1
    return re.compile("".join(parts), re.DOTALL)


def _character_set(inside: str) -> str:
    """``abc``, ``a-f`` and ``^a-f``; a range that runs backwards holds nothing, as in SQL Server."""
    negated, letters = inside.startswith("^"), inside.removeprefix("^")
    members = []
    position = 0
    while position < len(letters):
        low = letters[position]
        if letters[position + 1 : position + 2] == "-" and position + 2 < len(letters):
            high = letters[position + 2]
            members += [f"{re.escape(low)}-{re.escape(high)}"] if low <= high else []
            position += 3
        else:
            members.append(re.escape(low))
            position += 1
    if not members:
        return "." if negated else "(?!)"
    return f"[{'^' if negated else ''}{''.join(members)}]"


def local_day(instant: str | None, zone: str) -> str | None:
    """The calendar day (``2026-03-01``) of a stored instant in a time zone; a stored date is its own day."""
    if instant is None or len(instant) == len("2026-03-01"):
        return instant
    return datetime.fromisoformat(instant).astimezone(ZoneInfo(zone)).date().isoformat()
