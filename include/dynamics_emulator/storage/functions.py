"""SQL functions that SQLite lacks: comparison without case, Dataverse's wildcards, and printed values."""

import json
from datetime import datetime
from typing import Any

from dynamics_emulator.storage import text
from dynamics_emulator.storage.engine import sqlite3
from dynamics_emulator.storage.sums import ExactSum


def register(connection: sqlite3.Connection) -> None:
    """Give a connection the functions of :mod:`dynamics_emulator.storage.text`, ``exact_sum`` and those below."""
    connection.create_function("fold", 1, text.fold, deterministic=True)
    connection.create_function("fold_plain", 1, text.fold_plain, deterministic=True)
    connection.create_function("matches", 2, text.matches, deterministic=True)
    connection.create_function("matches_plain", 2, text.matches_plain, deterministic=True)
    connection.create_function("local_day", 2, text.local_day, deterministic=True)
    exact_sum: Any = ExactSum  # typeshed wants an aggregate that returns a number
    connection.create_aggregate("exact_sum", 1, exact_sum)
    connection.create_function("show_number", 2, show_number, deterministic=True)
    connection.create_function("show_options", 2, show_options, deterministic=True)
    connection.create_function("show_time", 1, show_time, deterministic=True)


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
