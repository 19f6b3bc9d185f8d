"""Resource paths: segments with keys, and references such as ``/contacts(<guid>)``."""

import re
from dataclasses import dataclass

from dynamics_emulator.errors import bad_query, unrecognized_path
from dynamics_emulator.odata.literals import guid_text
from dynamics_emulator.odata.options import split_outside

_SEGMENT = re.compile(r"(?P<name>[$\w.]+)(?:\((?P<key>.*)\))?", re.DOTALL)
_BASE = re.compile(r"^(?:https://[^/]+)?/?(?:api/data/v9\.[012]/)?")


@dataclass(frozen=True)
class Segment:
    """One part of a path; ``key`` is the text in its parentheses, or None without parentheses."""

    name: str
    key: str | None


def parse_path(path: str) -> list[Segment]:
    """Cut a decoded path into segments. Raises a 400 for text that is no path."""
    path = path.strip("/")
    parts = split_outside(path, "/") if "/" in path else [path] if path else []
    return [_parse_segment(part) for part in parts]


def _parse_segment(text: str) -> Segment:
    match = _SEGMENT.fullmatch(text)
    if match is None:
        raise unrecognized_path()
    return Segment(match["name"], match["key"])


def parse_reference(reference: str) -> Segment:
    """The set and key that a bind names: absolute, or relative with or without a leading slash."""
    segments = parse_path(_BASE.sub("", reference, count=1))
    if len(segments) != 1 or segments[0].key is None:
        raise unrecognized_path()
    return segments[0]


def guid_key(key: str) -> str:
    """The GUID in a key. Raises a 400 for other text."""
    try:
        return guid_text(key.strip("'"))
    except ValueError as problem:
        message = f"Unrecognized 'Edm.Guid' literal '{key}' in the key of the URL."
        raise bad_query(message) from problem


def named_keys(key: str) -> dict[str, str]:
    """``name='value'`` pairs of a key, without their quotes; empty when the key is a bare value."""
    pairs = [part.partition("=") for part in split_outside(key, ",")]
    if not pairs or any(not sign for _, sign, _ in pairs):
        return {}
    return {name.strip(): value.strip().strip("'").replace("''", "'") for name, _, value in pairs}
