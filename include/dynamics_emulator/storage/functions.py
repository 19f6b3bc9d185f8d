"""SQL functions that SQLite lacks: comparison without case, Dataverse's wildcards, and printed values."""

import json
import re
import sqlite3
from datetime import datetime
from functools import lru_cache


def register(connection: sqlite3.Connection) -> None:
    """Give a connection the functions ``fold``, ``matches``, ``show_number``, ``show_options`` and
    ``show_time``."""
    connection.create_function("fold", 1, fold, deterministic=True)
    connection.create_function("matches", 2, matches, deterministic=True)
    connection.create_function("show_number", 2, show_number, deterministic=True)
    connection.create_function("show_options", 2, show_options, deterministic=True)
    connection.create_function("show_time", 1, show_time, deterministic=True)


def fold(text: str | float | None) -> str | float | None:
    """Text without its case; other values pass."""
    return text.casefold() if isinstance(text, str) else text


def matches(text: object, pattern: str) -> bool | None:
    """Whether text fits a pattern with the wildcards ``% _ [] [^]``, ignoring case; None for no text."""
    if text is None:
        return None
    return compiled_pattern(pattern).fullmatch(str(text)) is not None


@lru_cache(maxsize=512)
def compiled_pattern(pattern: str) -> re.Pattern[str]:
    """Turn an SQL Server LIKE pattern into a regular expression over the whole text."""
    return re.compile(_translate(pattern), re.IGNORECASE | re.DOTALL)


def _translate(pattern: str) -> str:
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
    return "".join(parts)


def _character_set(inside: str) -> str:
    negated, letters = inside.startswith("^"), inside.removeprefix("^")
    body = "".join(letter if letter == "-" else re.escape(letter) for letter in letters)
    return f"[{'^' if negated else ''}{body}]" if body else "(?!)"


def show_number(value: object, digits: int) -> str | None:
    """A number as people read it: thousands separated, a fixed number of decimals."""
    if value is None:
        return None
    try:
        return f"{float(str(value)):,.{digits}f}"
    except ValueError:
        return str(value)


def show_time(value: str | None) -> str | None:
    """A date or instant as an English user reads it: ``3/1/2026 8:15 AM``; odd text is returned as it is."""
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return value
    date = f"{moment.month}/{moment.day}/{moment.year}"
    if len(value) == len("2026-03-01"):
        return date
    return f"{date} {moment.hour % 12 or 12}:{moment.minute:02d} {'AM' if moment.hour < 12 else 'PM'}"


def show_options(value: str | None, labels: str) -> str | None:
    """Labels of a multi-select value such as ``1,3``, joined by ``; ``; ``labels`` is JSON, label by value."""
    if not value:
        return None
    known: dict[str, str] = json.loads(labels)
    return "; ".join(known.get(part, part) for part in value.split(","))
