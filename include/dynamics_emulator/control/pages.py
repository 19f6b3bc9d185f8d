"""The faults of pages: rows that are missing, doubled, old or out of order, and links that lead astray."""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random
from urllib.parse import unquote, urlsplit

from dynamics_emulator.api.messages import ApiRequest, ApiResponse
from dynamics_emulator.control.faults import Fault, Faults
from dynamics_emulator.control.page_text import PageText, split_page
from dynamics_emulator.organisation import Organisation
from dynamics_emulator.schema.model import Table

_ELSEWHERE = "elsewhere.example"
_COOKIE = re.compile(r"(?<=pagingcookie=%22).*?(?=%22)")
_SKIP = re.compile(r"(?<=[?&])\$skiptoken=[^&]*&?")

Bend = Callable[[PageText], PageText]


def bent_page(organisation: Organisation, request: ApiRequest, found: ApiResponse) -> ApiResponse:
    """The answer as it is, or what the faults that strike it make of its page of rows."""
    faults = organisation.faults
    if not faults.are_on or request.method != "GET" or found.status != 200:
        return found
    page = split_page(found.body.decode())
    table = organisation.table_of_set(page.set_name) if page else None
    if page is None or table is None:
        return found
    for fault, bend in _possible(faults, table, request, page):
        if faults.strikes(fault, request.url):
            page = bend(page)
    _remember(faults, table, page)
    return replace(found, body=page.text().encode())


def _possible(faults: Faults, table: Table, request: ApiRequest, page: PageText) -> Iterator[tuple[Fault, Bend]]:
    """The faults that can strike this page, each with what it does."""
    url = request.url
    if page.next_link:
        yield Fault.REPEAT_PAGE, lambda page: replace(page, next_link=_repeated(url, page.next_link or ""))
        yield Fault.LOOP_LINK, lambda page: replace(page, next_link=url)
        yield Fault.FOREIGN_LINK, lambda page: replace(page, next_link=_foreign(page.next_link or ""))
    if page.rows and not request.tracks_changes and not page.is_of_changes:
        yield Fault.STALE_ROWS, lambda page: _stale(faults, table, page)
    if len(page.rows) > 1:
        fault = Fault.SHUFFLED_CHANGES if page.is_of_changes else Fault.SHUFFLED_ROWS
        yield fault, lambda page: replace(page, rows=_shuffled(page.rows, url))
    if before := faults.memory.find(_decoded(url)):
        yield Fault.DUPLICATE_ROW, lambda page: replace(page, rows=(before, *page.rows))
    if page.has_delta_link:
        yield Fault.MISSING_DELTA_LINK, PageText.without_delta_link
    if page.rows:
        yield Fault.EMPTY_ANSWER, lambda page: replace(page, rows=(), next_link=None)


def _stale(faults: Faults, table: Table, page: PageText) -> PageText:
    rows = ((_identity(table, page, row), row) for row in page.rows)
    return replace(page, rows=tuple(faults.memory.find(identity) or row for identity, row in rows))


def _remember(faults: Faults, table: Table, page: PageText) -> None:
    if page.next_link and page.rows and faults.is_on(Fault.DUPLICATE_ROW):
        faults.memory.keep(_decoded(page.next_link), page.rows[-1])
    if faults.is_on(Fault.STALE_ROWS):
        for row in page.rows:
            faults.memory.keep(_identity(table, page, row), row)


def _identity(table: Table, page: PageText, row: str) -> str:
    """The row's key and which of its columns are shown; for an entry without a key the entry itself."""
    key = re.search(f'"{table.primary_id}":"([^"]*)"', row)
    return f"{page.context.removesuffix('/$delta')} {key[1]}" if key else row


def _decoded(link: str) -> str:
    """A link without any encoding: clients may encode the one that they were given anew."""
    while (plain := unquote(link)) != link:
        link = plain
    return link


def _repeated(url: str, next_link: str) -> str:
    """A link whose page number moves on while its cookie stays where it was."""
    before = _COOKIE.search(url)
    return _COOKIE.sub(lambda _: before[0], next_link) if before else _SKIP.sub("", next_link).rstrip("?&")


def _foreign(link: str) -> str:
    return urlsplit(link)._replace(netloc=_ELSEWHERE).geturl()


def _shuffled(rows: tuple[str, ...], url: str) -> tuple[str, ...]:
    """The same rows in another order, which depends on the address only."""
    mixed = tuple(Random(url).sample(rows, len(rows)))
    return mixed if mixed != rows else rows[::-1]
