"""Paths of reads: columns, filters, and how many ids one URL can carry."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import quote
from uuid import UUID

from dynamics_sync.errors import RequestRefused

Literal = str | int | bool | Decimal | UUID | datetime | None

GET_URL_LIMIT = 32_768
GUID_LENGTH = 36
# Left free for the host, the API root, a tag and what a proxy adds.
_HEADROOM = 1_024
# Legal in a query and needed by OData; a plus sign is not among them, as servers read it as a blank.
_SAFE = "(),$'*:@/!=;"


def select_path(
    set_name: str,
    columns: Sequence[str],
    *,
    filter: str | None = None,
    orderby: str | None = None,
    top: int | None = None,
    count: bool = False,
) -> str:
    """Return the percent-encoded path of a read, relative to the API root.

    `columns` are OData names (`_ownerid_value` for a lookup). Never combine `top` with a page size: Dynamics
    then ignores it.
    """
    options = {
        "$select": ",".join(columns),
        "$filter": filter,
        "$orderby": orderby,
        "$top": None if top is None else str(top),
        "$count": "true" if count else None,
    }
    return set_name + _query({name: value for name, value in options.items() if value})


def function_path(call: str, parameters: dict[str, str]) -> str:
    """Return the path of a function call, with its parameter aliases (`@p1`) percent-encoded."""
    return call + _query(parameters)


def _query(options: dict[str, str]) -> str:
    pairs = "&".join(f"{name}={quote(value, safe=_SAFE)}" for name, value in options.items())
    return f"?{pairs}" if pairs else ""


def in_filter(column: str, values: Sequence[str]) -> str:
    """Return a filter for rows whose `column` is one of `values`.

    It uses the Dataverse function, as the OData 4.01 operator `in` is not served. `column` is the logical
    name.
    """
    listed = json.dumps(list(values), ensure_ascii=False, separators=(",", ":"))
    return f"Microsoft.Dynamics.CRM.In(PropertyName={_text(column)},PropertyValues={listed})"


def between(column: str, start: datetime | None, end: datetime | None) -> str:
    """Return a filter for `start <= column < end`; None leaves that side open. Instants must be aware."""
    parts = [f"{column} {op} {instant(at)}" for op, at in (("ge", start), ("lt", end)) if at is not None]
    return " and ".join(parts)


def equals(column: str, value: Literal) -> str:
    """Return a filter for `column eq value`.

    Dynamics ignores case and reads `%`, `_` and `[]` in a text as wildcards, so the caller compares the
    answer again. Pass a GUID as UUID: Dynamics takes it unquoted.
    """
    return f"{column} eq {_literal(value)}"


def instant(at: datetime) -> str:
    """Return an aware datetime as an OData instant in UTC (`2026-03-01T08:15:00Z`)."""
    if at.tzinfo is None:
        message = "an instant without a time zone cannot be compared"
        raise ValueError(message)
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def ids_per_url(set_name: str, columns: Sequence[str], column: str, *, limit: int = GET_URL_LIMIT) -> int:
    """Return how many GUIDs an `in_filter` on `column` may list so that the encoded URL stays below `limit`.

    Raises RequestRefused when the columns alone fill the URL.
    """
    one, two = (len(select_path(set_name, columns, filter=in_filter(column, ["0" * GUID_LENGTH] * n))) for n in (1, 2))
    room = (limit - _HEADROOM - one) // (two - one) + 1
    if room < 1:
        what = f"The {len(columns)} columns of {set_name} fill a URL, so that no id fits into it"
        raise RequestRefused(what, not_done="Nothing was read", next_step="Take columns out of the catalogue")
    return room


def ids_chunks(ids: Sequence[str], per_url: int) -> Iterator[list[str]]:
    """Cut ids into lists of at most `per_url` (see `ids_per_url`), in order."""
    for start in range(0, len(ids), per_url):
        yield list(ids[start : start + per_url])


def _literal(value: Literal) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case datetime():
            return instant(value)
        case str():
            return _text(value)
        case Decimal():
            return format(value, "f")
        case _:
            return str(value)


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
