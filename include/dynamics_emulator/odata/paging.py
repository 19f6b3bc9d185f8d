"""Pages by key: the skip token of a nextLink holds where the page before ended."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import unescape
from urllib.parse import quote, unquote

from dynamics_emulator.errors import DataverseError
from dynamics_emulator.storage.database import SqlValue

_OUTER = re.compile(r'<cookie pagenumber="(\d+)" pagingcookie="([^"]*)" istracking="(True|False)"')
_ESCAPE = re.compile(r"%[0-9A-F]{2}")
_TERM = re.compile(r'<(\w+) (?:last="([^"]*)"|lastnull="1")[^>]*/>')


@dataclass(frozen=True)
class Position:
    """Where to go on: the page's number and the sort values of the last row before it.

    ``bound`` is the row version at which a tracked read began; 0 for a plain read. ``first`` are the sort values of the
    page's first row, if they are known; the cookie shows them, and nothing reads them.
    """

    number: int
    after: tuple[SqlValue, ...]
    bound: int = 0
    first: tuple[SqlValue, ...] = ()


@dataclass(frozen=True)
class SortTerm:
    """One part of the order: a name for the cookie, the SQL expression, its direction, whether it is a number.

    ``braced`` says that the cookie shows the value in braces, as it does with the primary key.
    """

    name: str
    sql: str
    descending: bool = False
    numeric: bool = False
    braced: bool = False


def skip_token(position: Position, terms: Sequence[SortTerm], *, says_tracking: bool) -> str:
    """The encoded text of ``$skiptoken``: the outer cookie encoded once, the inner one twice."""
    ends = {"last": position.after, "first": position.first}
    inner = "".join(_element(term, ends, index) for index, term in enumerate(terms))
    bound = f'<versionbound last="{position.bound}" />' if position.bound else ""
    cookie = f'<cookie page="{position.number - 1}">{inner}{bound}</cookie>'
    once = _ESCAPE.sub(lambda match: match.group().lower(), quote(cookie, safe=""))
    twice = quote(once, safe="")
    outer = f'<cookie pagenumber="{position.number}" pagingcookie="{twice}" istracking="{says_tracking}" />'
    # The inner cookie's second encoding is the outer one's only encoding, so the percent signs stay.
    return quote(outer, safe='%="/').replace('"', "%22")


def _element(term: SortTerm, ends: Mapping[str, tuple[SqlValue, ...]], index: int) -> str:
    marks = " ".join(_mark(term, name, values[index]) for name, values in ends.items() if values)
    return f"<{term.name} {marks} />"


def _mark(term: SortTerm, name: str, value: SqlValue) -> str:
    if value is None:
        return f'{name}null="1"'
    text = f"{{{value}}}" if term.braced else str(value)
    text = text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
    return f'{name}="{text}"'


def read_skip_token(text: str, terms: Sequence[SortTerm]) -> Position:
    """Read a decoded ``$skiptoken``. Raises a 400 (0x8004112a) when it is not one of ours for this query."""
    outer = _OUTER.search(text)
    if outer is None:
        raise _bad_cookie()
    inner = _decoded(outer.group(2))
    found = {name: None if 'lastnull="1"' in whole else last for whole, name, last in _elements(inner)}
    try:
        after = tuple(_typed(found[term.name], term) for term in terms)
    except (KeyError, ValueError) as problem:
        raise _bad_cookie() from problem
    return Position(int(outer.group(1)), after, int(found.get("versionbound") or 0))


def _decoded(text: str) -> str:
    """Decode until the cookie shows: clients may have decoded the link more or less often than we encoded it."""
    for _ in range(3):
        if text.startswith("<"):
            return text
        text = unquote(text)
    raise _bad_cookie()


def _elements(inner: str) -> list[tuple[str, str, str]]:
    return [(match.group(), match.group(1), unescape(match.group(2) or "")) for match in _TERM.finditer(inner)]


def _typed(text: str | None, term: SortTerm) -> SqlValue:
    if text is None or not term.numeric:
        return text.strip("{}") if text and term.braced else text
    return float(text) if "." in text or "e" in text or "inf" in text else int(text)


def _bad_cookie() -> DataverseError:
    return DataverseError(400, "0x8004112a", "Invalid page number in paging cookie.")


def order_clause(terms: Sequence[SortTerm]) -> str:
    """ORDER BY for the terms; rows without a value come first in ascending order, as in SQL Server."""
    return ", ".join(f"{term.sql}{' DESC' if term.descending else ''}" for term in terms)


def after_condition(terms: Sequence[SortTerm], placeholders: Sequence[str], values: Sequence[SqlValue]) -> str:
    """Condition for the rows that follow a position."""
    alternatives = []
    for index, term in enumerate(terms):
        same = [f"{earlier.sql} IS {placeholders[at]}" for at, earlier in enumerate(terms[:index])]
        alternatives.append(" AND ".join([*same, _beyond(term, placeholders[index], values[index])]))
    return "(" + " OR ".join(f"({text})" for text in alternatives) + ")"


def _beyond(term: SortTerm, placeholder: str, value: SqlValue) -> str:
    if term.descending:
        if value is None:
            return "0"
        return f"({term.sql} < {placeholder} OR {term.sql} IS NULL)"
    return f"{term.sql} IS NOT NULL" if value is None else f"{term.sql} > {placeholder}"
