"""`$batch`: several calls in one POST. Builds the multipart body, and reads the answers in their order."""

import http.client
import io
import re
from collections.abc import Callable, Iterator, Sequence
from email.message import Message
from email.parser import BytesParser

import requests

from dynamics_sync.dataverse.wire import Answer, Request, incomplete, request_note
from dynamics_sync.errors import UnexpectedAnswer

MOST_PARTS = 1_000
_STATUS_LINE = re.compile(rb"HTTP/\d(?:\.\d)? (\d{3})\b")


def build_batch(calls: Sequence[Request], url_of: Callable[[Request], str], boundary: str) -> Request:
    """Return the POST that carries `calls`, at most MOST_PARTS; `url_of` gives the address of each.

    One failing call does not stop the others.
    """
    if len(calls) > MOST_PARTS:
        message = f"a batch takes {MOST_PARTS} calls, not {len(calls)}"
        raise ValueError(message)
    parts = b"".join(b"--%s\r\n%s\r\n" % (boundary.encode(), _part(call, url_of(call))) for call in calls)
    return Request(
        "$batch",
        prefer=("odata.continue-on-error",),
        method="POST",
        headers={"Content-Type": f'multipart/mixed; boundary="{boundary}"'},
        body=parts + b"--%s--\r\n" % boundary.encode(),
        repeatable=all(call.reads for call in calls),
    )


def _part(call: Request, url: str) -> bytes:
    headers = {"Accept": "application/json", **call.headers}
    if call.prefer:
        headers["Prefer"] = ",".join(call.prefer)
    if call.body is not None:
        headers.setdefault("Content-Type", "application/json")
    lines = [
        "Content-Type: application/http",
        "Content-Transfer-Encoding: binary",
        "",
        # A blank or a line break in the address would end it here, so that it is encoded if it is not.
        f"{call.method} {requests.utils.requote_uri(url)} HTTP/1.1",
        *(f"{name}: {value}" for name, value in headers.items()),
        "",
        "",
    ]
    return "\r\n".join(lines).encode() + (call.body or b"")


def is_multipart(answer: Answer) -> bool:
    """Whether the body holds parts; it does also under an outer 400, when one of the calls failed."""
    return answer.content_type == "multipart/mixed"


def parse_batch(answer: Answer, calls: Sequence[Request]) -> list[Answer]:
    """Return one answer for each call, in order; fewer when the server stopped at a failure.

    Raises IncompleteAnswer when the body is cut, UnexpectedAnswer when it cannot be read.
    """
    head = f"Content-Type: {answer.headers['Content-Type']}\r\n\r\n".encode()
    message = BytesParser().parsebytes(head + answer.body)
    if not message.is_multipart():
        raise _unreadable(answer)
    # The closing boundary is the only sign that the last part is whole.
    if any(type(defect).__name__ == "CloseBoundaryNotFoundDefect" for defect in message.defects):
        raise incomplete(answer)
    leaves = list(_leaves(message))
    if len(leaves) > len(calls):
        raise _unreadable(answer)
    return [_inner_answer(answer, leaf, call) for leaf, call in zip(leaves, calls, strict=False)]


def _leaves(message: Message) -> Iterator[Message]:
    """Yield the parts, those of change sets in their place."""
    for part in message.walk():
        if not part.is_multipart():
            yield part


def _inner_answer(outer: Answer, part: Message, call: Request) -> Answer:
    payload = part.get_payload(decode=True)
    stream = io.BytesIO(payload.lstrip() if isinstance(payload, bytes) else b"")
    status = _STATUS_LINE.match(stream.readline())
    if status is None:
        raise _unreadable(outer)
    headers = requests.structures.CaseInsensitiveDict(http.client.parse_headers(stream).items())
    return Answer(int(status[1]), headers, stream.read(), call)


def _unreadable(answer: Answer) -> UnexpectedAnswer:
    what = f"The answer to $batch cannot be taken apart{request_note(answer)}"
    return UnexpectedAnswer(what, not_done="None of its parts was used")
