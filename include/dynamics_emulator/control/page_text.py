"""The text of a finished page in pieces, so that its rows and links can be changed and no number is printed anew."""

import json
import re
from dataclasses import dataclass, replace

_VALUE = '"value":['
_NEXT = re.compile(r',?"@odata\.nextLink":("(?:[^"\\]|\\.)*")')
_DELTA = re.compile(r'"@odata\.deltaLink":"(?:[^"\\]|\\.)*",?')
_CONTEXT = re.compile(r'"@odata\.context":"[^"]*\$metadata#([^"]*)"')


@dataclass(frozen=True)
class PageText:
    """What stands before the rows, the text of each row, what stands after them, and the link to the next page."""

    head: str
    rows: tuple[str, ...]
    tail: str
    next_link: str | None

    @property
    def context(self) -> str:
        """What the page says that it holds: ``leads(lastname)``, ``leads(lastname)/$delta``."""
        found = _CONTEXT.search(self.head)
        return found[1] if found else ""

    @property
    def set_name(self) -> str:
        """The entity set, or its best guess."""
        return re.split(r"[(/]", self.context, maxsplit=1)[0]

    @property
    def is_of_changes(self) -> bool:
        """Whether it is an answer to a delta token."""
        return self.context.endswith("/$delta")

    @property
    def has_delta_link(self) -> bool:
        """Whether the next tracked read can begin here."""
        return _DELTA.search(self.head) is not None

    def without_delta_link(self) -> "PageText":
        """The same page, from which no tracked read can begin."""
        return replace(self, head=_DELTA.sub("", self.head))

    def text(self) -> str:
        """The page in one piece."""
        link = f',"@odata.nextLink":{json.dumps(self.next_link)}' if self.next_link else ""
        return f"{self.head}{_VALUE}{','.join(self.rows)}]{link}{self.tail}"


def split_page(text: str) -> PageText | None:
    """The pieces of a page; None when the text is none."""
    head, found, rest = text.partition(_VALUE)
    if not found or '"@odata.context"' not in head:
        return None
    decoder, rows, at = json.JSONDecoder(), [], 0
    while rest[at] != "]":
        start = at + (rest[at] == ",")
        _, at = decoder.raw_decode(rest, start)
        rows.append(rest[start:at])
    tail = rest[at + 1 :]
    link = _NEXT.search(tail)
    return PageText(head, tuple(rows), _NEXT.sub("", tail), json.loads(link[1]) if link else None)
