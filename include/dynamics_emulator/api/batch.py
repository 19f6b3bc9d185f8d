"""``$batch``: several requests in one, and change sets that succeed or fail as a whole."""

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from urllib.parse import unquote

from dynamics_emulator.api.messages import ApiRequest, ApiResponse, error_response
from dynamics_emulator.errors import DataverseError
from dynamics_emulator.organisation import Organisation

Answer = Callable[[Organisation, ApiRequest], ApiResponse]
_LIMIT = 1000
_BOUNDARY = re.compile(r'boundary="?([^";,]+)"?', re.IGNORECASE)
_ROOT = re.compile(r"^(?:https://[^/]+)?/?(?:api/data/v9\.[012]/)?")
_REFERENCE = re.compile(r"^\$(\w+)(?=/|$)")
_BODY_REFERENCE = re.compile(rb'"/?\$(\w+)"')
_REASONS = {200: "OK", 201: "Created", 204: "No Content", 304: "Not Modified", 400: "Bad Request", 403: "Forbidden"}
_REASONS |= {404: "Not Found", 405: "Method Not Allowed", 412: "Precondition Failed", 429: "Too Many Requests"}


@dataclass(frozen=True)
class Part:
    """One part of a multipart body: headers in lower case, content without them."""

    headers: Mapping[str, str]
    content: bytes


class _ChangeSetFailed(Exception):
    def __init__(self, answer: ApiResponse) -> None:
        super().__init__()
        self.answer = answer


def answer_batch(organisation: Organisation, request: ApiRequest, answer: Answer) -> ApiResponse:
    """Run the parts in order. Without ``odata.continue-on-error`` the first failure ends it, with outer status 400."""
    parts = split_parts(request.body, _boundary(request.headers.get("content-type", "")))
    if len(parts) > _LIMIT:
        message = f"The number of requests in the batch exceeds the limit of {_LIMIT}."
        raise DataverseError(400, "0x8006088a", message)
    go_on = "odata.continue-on-error" in request.preferences
    name, written, failed = f"batchresponse_{uuid.uuid4()}", bytearray(), False
    for part in parts:
        text, ok = _answer_part(organisation, request, part, answer)
        written += f"--{name}\r\n".encode() + text
        failed = failed or not ok
        if not ok and not go_on:
            break
    written += f"--{name}--\r\n".encode()
    status = 400 if failed and not go_on else 200
    return ApiResponse(status, {"Content-Type": f"multipart/mixed; boundary={name}"}, bytes(written))


def _boundary(content_type: str) -> str:
    match = _BOUNDARY.search(content_type)
    if match is None:
        message = "The Content-Type of a batch must be multipart/mixed with a boundary."
        raise DataverseError(400, "0x8006088a", message)
    return match[1].strip()


def split_parts(body: bytes, boundary: str) -> list[Part]:
    """Cut a multipart body at its boundary; line ends may be CRLF or LF."""
    marker = re.compile(rb"(?:^|\r?\n)--" + re.escape(boundary.encode()) + rb"(?:--)?[ \t]*(?:\r?\n|$)")
    pieces = marker.split(body)[1:]
    return [_part(piece) for piece in pieces if piece.strip()]


def _part(text: bytes) -> Part:
    head, _, content = text.replace(b"\r\n", b"\n").partition(b"\n\n")
    return Part(_headers(head), content)


def _headers(head: bytes) -> dict[str, str]:
    lines = [line.partition(":") for line in head.decode().splitlines() if ":" in line]
    return {name.strip().lower(): value.strip() for name, _, value in lines}


def _answer_part(organisation: Organisation, request: ApiRequest, part: Part, answer: Answer) -> tuple[bytes, bool]:
    kind = part.headers.get("content-type", "")
    if kind.lower().startswith("multipart/mixed"):
        return _answer_change_set(organisation, request, part, answer)
    try:
        found = _run(organisation, _inner_request(request, part, {}), answer)
    except DataverseError as error:
        found = _refusal(error)
    return _printed(found, part.headers.get("content-id")), found.status < 400


def _answer_change_set(
    organisation: Organisation, request: ApiRequest, part: Part, answer: Answer
) -> tuple[bytes, bool]:
    name, written = f"changesetresponse_{uuid.uuid4()}", bytearray()
    addresses: dict[str, str] = {}
    try:
        with organisation.database.transaction():
            for inner_part in split_parts(part.content, _boundary(part.headers["content-type"])):
                content_id = inner_part.headers.get("content-id")
                found = _run_change(organisation, request, inner_part, addresses, answer)
                if content_id and "OData-EntityId" in found.headers:
                    addresses[content_id] = found.headers["OData-EntityId"]
                written += f"--{name}\r\n".encode() + _printed(found, content_id)
    except _ChangeSetFailed as failure:
        return _printed(failure.answer, None), False
    except DataverseError as error:
        return _printed(_refusal(error), None), False
    written += f"--{name}--\r\n".encode()
    return f"Content-Type: multipart/mixed; boundary={name}\r\n\r\n".encode() + bytes(written), True


def _run_change(
    organisation: Organisation, request: ApiRequest, part: Part, addresses: Mapping[str, str], answer: Answer
) -> ApiResponse:
    inner = _inner_request(request, part, addresses)
    if inner.method == "GET":
        message = "A change set must not contain a GET request."
        raise DataverseError(400, "0x8006088a", message)
    found = _run(organisation, inner, answer)
    if found.status >= 400:
        raise _ChangeSetFailed(found)
    return found


def _run(organisation: Organisation, inner: ApiRequest, answer: Answer) -> ApiResponse:
    if inner.path.startswith("$batch"):
        return _refusal(DataverseError(400, "0x8006088a", "A batch must not contain another batch."))
    limit = organisation.settings.batch_url_limit
    if len(inner.url) > limit:
        message = f"The length of the URL exceeds the limit of {limit} characters."
        return _refusal(DataverseError(organisation.settings.url_too_long_status, "0x8006088a", message))
    return answer(organisation, inner)


def _refusal(error: DataverseError) -> ApiResponse:
    return error_response(error, annotated=False)


def _inner_request(request: ApiRequest, part: Part, addresses: Mapping[str, str]) -> ApiRequest:
    head, _, content = part.content.lstrip().partition(b"\n\n")
    line, _, rest = head.partition(b"\n")
    words = line.decode().split(" ")
    method, target = words[0].upper(), " ".join(words[1:-1] if words[-1].startswith("HTTP/") else words[1:])
    reference = _REFERENCE.match(target)
    if reference:
        target = _address(addresses, reference[1]) + target[reference.end() :]
    path, _, query = _ROOT.sub("", target, count=1).partition("?")
    return replace(
        request,
        method=method,
        path=unquote(path),
        query=query,
        headers=_headers(rest),
        body=_BODY_REFERENCE.sub(lambda match: _named(match, addresses), content.strip()),
        url=f"{request.base}/{path}{'?' + query if query else ''}",
    )


def _address(addresses: Mapping[str, str], name: str) -> str:
    if name not in addresses:
        message = f"Content-ID Reference: '${name}' does not exist in the batch context."
        raise DataverseError(400, "0x8006088a", message)
    return addresses[name]


def _named(match: re.Match[bytes], addresses: Mapping[str, str]) -> bytes:
    name = match[1].decode()
    return f'"{addresses[name]}"'.encode() if name in addresses else match[0]


def _printed(found: ApiResponse, content_id: str | None) -> bytes:
    head = ["Content-Type: application/http", "Content-Transfer-Encoding: binary"]
    if content_id:
        head.append(f"Content-ID: {content_id}")
    head += ["", f"HTTP/1.1 {found.status} {_REASONS.get(found.status, 'Error')}"]
    head += [f"{name}: {value}" for name, value in found.headers.items()]
    if found.status >= 400:
        head.append(f"REQ_ID: {uuid.uuid4()}")
    head.append("OData-Version: 4.0")
    return "\r\n".join(head).encode() + b"\r\n\r\n" + found.body + b"\r\n"
