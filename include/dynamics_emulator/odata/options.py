"""Query options of a request: decoded form-style, checked by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote

from dynamics_emulator.errors import DataverseError, bad_query

KNOWN_OPTIONS = frozenset(
    {"$select", "$expand", "$orderby", "$filter", "$top", "$count", "$skiptoken", "$deltatoken", "$apply", "$id"}
)
KEPT_IN_LINKS = "!$'()*,/:;=@?"
"""Characters that stand unencoded in the values of a link."""


@dataclass(frozen=True)
class QueryOptions:
    """``values`` holds the ``$`` options, ``aliases`` the values of ``@name``, ``others`` the rest."""

    values: Mapping[str, str]
    aliases: Mapping[str, str]
    others: Mapping[str, str]

    def get(self, name: str) -> str | None:
        """An option's text, or None when it is absent."""
        return self.values.get(name)

    @property
    def top(self) -> int | None:
        """``$top`` as a number. Raises a 400 when it is none."""
        text = self.get("$top")
        if text is None:
            return None
        if not text.isdecimal():
            message = f"Invalid value '{text}' for $top query option found."
            raise bad_query(message)
        return int(text)

    @property
    def wants_count(self) -> bool:
        """Whether ``$count=true`` was given."""
        return self.get("$count") == "true"

    def link(self, **replaced: str) -> str:
        """The options as the query of a link, some replaced or added, encoded the way Dataverse does it.

        A keyword is an option without its ``$``; its value is taken as already encoded.
        """
        kept = {name: text for name, text in self.values.items() if name not in ("$skiptoken", "$deltatoken")}
        pairs = {**kept, **self.aliases, **self.others}
        parts = [f"{name}={quote(text, safe=KEPT_IN_LINKS)}" for name, text in pairs.items()]
        parts += [f"${name}={text}" for name, text in replaced.items()]
        return "&".join(parts)


def parse_options(query: str) -> QueryOptions:
    """Read a raw query string. Raises a 400 for options that Dataverse does not support."""
    values: dict[str, str] = {}
    aliases: dict[str, str] = {}
    others: dict[str, str] = {}
    for name, text in parse_qsl(query, keep_blank_values=True):
        if name.startswith("@"):
            aliases[name] = text
        elif not name.startswith("$"):
            others[name] = text
        elif name in KNOWN_OPTIONS:
            values[name] = text
        else:
            message = f"The query parameter {name} is not supported."
            raise bad_query(message)
    return QueryOptions(values, aliases, others)


def refuse_unbuilt(options: QueryOptions) -> None:
    """Say plainly what this emulator does not have, instead of answering something else (501)."""
    for name in ("fetchXml", "sql", "savedQuery", "userQuery"):
        if name in options.others:
            text = f"The query option '{name}' is not supported by this emulator."
            raise DataverseError(501, "0x8006088a", text)


def split_outside(text: str, separator: str) -> list[str]:
    """Split at a separator that stands outside of quotes and parentheses; blanks around parts are cut."""
    parts: list[str] = []
    depth, quoted, start = 0, False, 0
    for position, character in enumerate(text):
        if character == "'":
            quoted = not quoted
        elif quoted:
            continue
        elif character in "([":
            depth += 1
        elif character in ")]":
            depth -= 1
        elif character == separator and depth == 0:
            parts.append(text[start:position].strip())
            start = position + 1
    parts.append(text[start:].strip())
    return [part for part in parts if part]
