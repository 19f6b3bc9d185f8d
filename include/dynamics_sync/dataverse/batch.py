"""`$batch`: several calls in one POST. Builds the multipart body, and reads the answers in their order."""

import re
from collections.abc import Callable, Sequence

import requests

from dynamics_sync.dataverse.multipart import CutMultipart, boundary_of, leaves, split_headers
from dynamics_sync.dataverse.wire import Answer, Request, incomplete, request_note
from dynamics_sync.errors import UnexpectedAnswer

MOST_PARTS = 1_000
_STATUS_LINE = re.compile(rb"\s*HTTP/\d(?:\.\d)? (\d{3})\b[^\n]*\n?")


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
        guarded=all(call.reads or call.conditional for call in calls),
        calls=len(calls),
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
    boundary = boundary_of(answer.headers["Content-Type"])
    if boundary is None:
        raise _unreadable(answer)
    try:
        contents = list(leaves(answer.body, boundary))
    except CutMultipart:
        raise incomplete(answer) from None
    if len(contents) > len(calls):
        raise _unreadable(answer)
    return [_inner_answer(answer, content, call) for content, call in zip(contents, calls, strict=False)]


def _inner_answer(outer: Answer, content: bytes, call: Request) -> Answer:
    status = _STATUS_LINE.match(content)
    if status is None:
        raise _unreadable(outer)
    headers, body = split_headers(content[status.end() :])
    return Answer(int(status[1]), headers, body, call)


def _unreadable(answer: Answer) -> UnexpectedAnswer:
    what = f"The answer to $batch cannot be taken apart{request_note(answer)}"
    return UnexpectedAnswer(what, not_done="None of its parts was used")
