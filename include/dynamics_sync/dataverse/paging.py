"""Page after page of one read, each with its links, until the server gives no next link."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from hashlib import blake2b

import msgspec

from dynamics_sync.dataverse.client import DataverseClient
from dynamics_sync.dataverse.wire import Answer, Request, decode
from dynamics_sync.errors import IncompleteAnswer, PagingLoop


@dataclass(frozen=True)
class Page:
    """One page. `number` counts from 1; `body` is the JSON as it came; `rows` counts the entries of `value`,
    and `digest` is a hash of their number, the first and the last.

    `next_link` is None on the last page; only there a tracked read has a `delta_link`.
    """

    number: int
    answer: Answer = field(repr=False)
    next_link: str | None = field(repr=False)
    delta_link: str | None = field(repr=False)
    rows: int
    digest: bytes = field(repr=False)

    @property
    def body(self) -> bytes:
        """The page's JSON as it came."""
        return self.answer.body


class _Envelope(msgspec.Struct):
    # Raw checks that a row is complete JSON but builds nothing of it, so that a page of 7 MB takes
    # milliseconds and a text inside a row that looks like a link stays a text.
    value: list[msgspec.Raw]
    next_link: str | None = msgspec.field(default=None, name="@odata.nextLink")
    delta_link: str | None = msgspec.field(default=None, name="@odata.deltaLink")


_ENVELOPE = msgspec.json.Decoder(_Envelope)


def read_pages(
    client: DataverseClient, first: Request, *, resume_link: str | None = None, start_number: int = 1
) -> Iterator[Page]:
    """Yield the pages of `first`, or those from `resume_link` on (the `next_link` of a page that was kept).

    Each page is asked for with the preferences and headers of `first`: Dynamics forgets a page size that is
    not repeated. Raises PagingLoop, ForeignLink and IncompleteAnswer, besides what `DataverseClient.send`
    raises.
    """
    request = first if resume_link is None else replace(first, path=resume_link)
    followed, seen = {request.path}, set[bytes]()
    number = start_number
    while True:
        page = split_page(client.send(request), number)
        for link in (page.next_link, page.delta_link):
            if link is not None:
                client.check_link(link)
        # A server whose cookie does not advance may give a fresh link each time, but the same rows.
        if page.next_link in followed or page.digest in seen:
            raise _loop(request, number)
        yield page
        if page.next_link is None:
            return
        followed.add(page.next_link)
        if page.rows:
            seen.add(page.digest)
        request, number = replace(request, path=page.next_link), number + 1


def split_page(answer: Answer, number: int) -> Page:
    """Return the page in an answer; raises IncompleteAnswer (cut) or UnexpectedAnswer (no page)."""
    envelope = _read_envelope(answer)
    digest = blake2b(str(len(envelope.value)).encode(), digest_size=16)
    # Each row bears its key, so that these two tell pages apart; a hash of all rows took a tenth of the work of a page.
    for row in (*envelope.value[:1], *envelope.value[-1:]):
        digest.update(row)
    return Page(number, answer, envelope.next_link, envelope.delta_link, len(envelope.value), digest.digest())


def _read_envelope(answer: Answer) -> _Envelope:
    try:
        return decode(answer, _ENVELOPE)
    except IncompleteAnswer:
        # msgspec also refuses half a surrogate and NaN. They spoil one value and must cost one row, not the table.
        try:
            document = json.loads(answer.body)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict) or not isinstance(document.get("value"), list):
            raise
    rows = [msgspec.Raw(json.dumps(row).encode()) for row in document["value"]]
    return _Envelope(rows, document.get("@odata.nextLink"), document.get("@odata.deltaLink"))


def _loop(request: Request, number: int) -> PagingLoop:
    what = f"Page {number} of {request.label} leads back to a page that was read already"
    return PagingLoop(what, not_done="The pages before it are whole, those after it were not read")
