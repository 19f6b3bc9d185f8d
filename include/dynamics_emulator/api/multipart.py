"""Multipart bodies of ``$batch``: cutting them into parts, and printing answers as parts."""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from dynamics_emulator.api.messages import ApiResponse
from dynamics_emulator.errors import DataverseError

_BOUNDARY = re.compile(r'boundary=(?:"([^"]+)"|([^";,\s]+))', re.IGNORECASE)


@dataclass(frozen=True)
class Part:
    """One part of a multipart body: headers in lower case, content without them, line ends as LF."""

    headers: Mapping[str, str]
    content: bytes

    @property
    def is_change_set(self) -> bool:
        """Whether the part holds parts of its own."""
        return self.headers.get("content-type", "").lower().startswith("multipart/mixed")


@dataclass(frozen=True)
class InnerRequest:
    """The request that a part carries, as it is written there."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    content_id: str | None


def batch_error(message: str) -> DataverseError:
    """A batch or a part of one that cannot be run (400, 0x8006088a)."""
    return DataverseError(400, "0x8006088a", message)


def boundary_of(content_type: str) -> str:
    """The boundary, quoted or not. Raises a 400 when the type is not multipart/mixed with a boundary."""
    match = _BOUNDARY.search(content_type)
    if match is None or not content_type.lower().lstrip().startswith("multipart/mixed"):
        message = "The Content-Type of a batch must be multipart/mixed with a boundary."
        raise batch_error(message)
    return match[1] or match[2]


def split_parts(body: bytes, boundary: str) -> list[Part]:
    """Cut a multipart body at its boundary; line ends may be CRLF or LF, and blank lines may come first."""
    marker = re.compile(rb"\n--" + re.escape(boundary.encode()) + rb"(--)?[ \t]*(?=\n|$)")
    pieces = marker.split(b"\n" + body.replace(b"\r\n", b"\n"))
    found = []
    # After what stands before the first boundary, ends of the marker and contents take turns.
    for closing, piece in zip(pieces[1::2], pieces[2::2], strict=True):
        if closing:
            break
        if piece.strip():
            found.append(_part(piece))
    return found


def read_inner(part: Part) -> InnerRequest:
    """The request in a part. Raises a 400 when its first line is none."""
    head, _, content = part.content.lstrip().partition(b"\n\n")
    line, _, rest = head.partition(b"\n")
    words = line.decode().strip().split(" ")
    if words[-1].startswith("HTTP/"):
        words.pop()
    if len(words) < 2:
        message = "The batch request contains a part whose request line is not valid."
        raise batch_error(message)
    headers = _headers(rest)
    content_id = part.headers.get("content-id") or headers.get("content-id")
    return InnerRequest(words[0].upper(), " ".join(words[1:]), headers, content.strip(), content_id)


def printed(found: ApiResponse, content_id: str | None) -> bytes:
    """An answer as a part, from its MIME headers to its body."""
    head = ["Content-Type: application/http", "Content-Transfer-Encoding: binary"]
    if content_id:
        head.append(f"Content-ID: {content_id}")
    head += ["", f"HTTP/1.1 {found.status} {HTTPStatus(found.status).phrase}"]
    head += [f"{name}: {value}" for name, value in found.headers.items()]
    if found.status >= 400:
        head.append(f"REQ_ID: {uuid.uuid4()}")
    head.append("OData-Version: 4.0")
    return "\r\n".join(head).encode() + b"\r\n\r\n" + found.body + b"\r\n"


def _part(text: bytes) -> Part:
    head, _, content = text.removeprefix(b"\n").partition(b"\n\n")
    return Part(_headers(head), content)


def _headers(head: bytes) -> dict[str, str]:
    lines = [line.partition(":") for line in head.decode().splitlines() if ":" in line]
    return {name.strip().lower(): value.strip() for name, _, value in lines}
