"""``$batch``: several requests in one, and change sets that succeed or fail as a whole."""

import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from urllib.parse import unquote

from dynamics_emulator.api.messages import ApiRequest, ApiResponse, error_response
from dynamics_emulator.api.multipart import (
    InnerRequest,
    Part,
    batch_error,
    boundary_of,
    printed,
    read_inner,
    split_parts,
)
from dynamics_emulator.control.striking import spoil_batch, struck_part
from dynamics_emulator.errors import DataverseError
from dynamics_emulator.organisation import Organisation

Answer = Callable[[Organisation, ApiRequest], ApiResponse]
_LIMIT = 1000
_ROOT = re.compile(r"^/?(?:api/data/v9\.[012]/)?")
_HOST = re.compile(r"^https?://[^/]*", re.IGNORECASE)
_REFERENCE = re.compile(r"^/?\$(\w+)(?=/|$)")
_RESERVED = frozenset({"batch", "metadata"})
_REFERRING_MEMBER = re.compile(rb'("[^"]*@odata\.(?:bind|id)"\s*:\s*)("[^"]*"|\[[^\]]*\])')
_BODY_REFERENCE = re.compile(rb'"/?\$(\w+)"')


class _ChangeSetFailed(Exception):
    def __init__(self, answer: ApiResponse, content_id: str | None) -> None:
        super().__init__()
        self.answer = answer
        self.content_id = content_id


@dataclass
class _Run:
    """One batch under way; ``addresses`` are the rows written so far by their Content-ID."""

    organisation: Organisation
    request: ApiRequest
    answer: Answer
    addresses: dict[str, str] = field(default_factory=dict)
    writing: ExitStack = field(default_factory=ExitStack)
    is_writing: bool = False
    has_written: bool = False

    def begin_writing(self) -> None:
        """Let the writes that follow share one commit; each can still fail for itself."""
        if not self.is_writing:
            self.writing.enter_context(self.organisation.database.transaction())
            self.is_writing = self.has_written = True

    def end_writing(self) -> None:
        """Commit what was written, so that reads and other callers see it."""
        self.writing.close()
        self.is_writing = False


def answer_batch(organisation: Organisation, request: ApiRequest, answer: Answer) -> ApiResponse:
    """Run the parts in order. Without ``odata.continue-on-error`` the first failure ends it, with outer status 400.

    Raises a 400 when the batch itself is bad; its answer is then plain JSON.
    """
    parts = [(part, _members(part)) for part in _parts(request)]
    if sum(len(members) for _, members in parts) > _LIMIT:
        message = f"The number of requests in the batch exceeds the limit of {_LIMIT}."
        raise batch_error(message)
    go_on = "odata.continue-on-error" in request.preferences
    name, written, failed = f"batchresponse_{uuid.uuid4()}", bytearray(), False
    with _running(_Run(organisation, request, answer)) as run:
        for part, members in parts:
            text, ok = _change_set(run, members) if part.is_change_set else _single(run, part)
            written += f"--{name}\r\n".encode() + text
            failed = failed or not ok
            if not ok and not go_on:
                break
    written += f"--{name}--\r\n".encode()
    status = 400 if failed and not go_on else 200
    found = ApiResponse(status, {"Content-Type": f"multipart/mixed; boundary={name}"}, bytes(written))
    return spoil_batch(organisation, request, found) if run.has_written else found


@contextmanager
def _running(run: _Run) -> Iterator[_Run]:
    with run.writing:
        yield run


def _parts(request: ApiRequest) -> list[Part]:
    if request.method != "POST":
        raise DataverseError(
            405, "0x8006088a", f"The requested resource does not support http method '{request.method}'."
        )
    parts = split_parts(request.body, boundary_of(request.headers.get("content-type", "")))
    if not parts:
        message = "The batch request holds no part between its boundaries."
        raise batch_error(message)
    return parts


def _members(part: Part) -> list[Part]:
    """The parts of a change set, or the part itself."""
    return split_parts(part.content, boundary_of(part.headers["content-type"])) if part.is_change_set else [part]


def _single(run: _Run, part: Part) -> tuple[bytes, bool]:
    content_id = part.headers.get("content-id")
    try:
        inner = read_inner(part)
        content_id = inner.content_id
        if inner.method == "GET":
            run.end_writing()
        else:
            run.begin_writing()
        found = _answered(run, inner, run.addresses)
    except DataverseError as error:
        found = error_response(error, annotated=False)
    return printed(found, content_id), found.status < 400


def _change_set(run: _Run, members: list[Part]) -> tuple[bytes, bool]:
    name, addresses = f"changesetresponse_{uuid.uuid4()}", dict(run.addresses)
    seen: set[str] = set()
    written = bytearray()
    run.begin_writing()
    try:
        with run.organisation.database.transaction():
            for member in members:
                inner = read_inner(member)
                _require_new_id(inner.content_id, seen)
                found = _run_change(run, inner, addresses)
                written += f"--{name}\r\n".encode() + printed(found, inner.content_id)
    except _ChangeSetFailed as failure:
        return _failed(run, name, failure.answer, failure.content_id), False
    except DataverseError as error:
        return _failed(run, name, error_response(error, annotated=False), None), False
    run.addresses.update(addresses)
    return _enclosed(name, bytes(written)), True


def _failed(run: _Run, name: str, answer: ApiResponse, content_id: str | None) -> bytes:
    text = printed(answer, content_id)
    if run.organisation.settings.change_set_failure_parts == "one":
        return text
    return _enclosed(name, f"--{name}\r\n".encode() + text)


def _enclosed(name: str, parts: bytes) -> bytes:
    return f"Content-Type: multipart/mixed; boundary={name}\r\n\r\n".encode() + parts + f"--{name}--\r\n".encode()


def _require_new_id(content_id: str | None, seen: set[str]) -> None:
    if content_id is None:
        return
    if content_id in seen:
        message = f"The Content-ID '{content_id}' is not unique within the change set."
        raise batch_error(message)
    seen.add(content_id)


def _run_change(run: _Run, inner: InnerRequest, addresses: dict[str, str]) -> ApiResponse:
    if inner.method == "GET":
        message = "A change set must not contain a GET request."
        raise batch_error(message)
    found = _answered(run, inner, addresses)
    if found.status >= 400:
        raise _ChangeSetFailed(found, inner.content_id)
    return found


def _answered(run: _Run, inner: InnerRequest, addresses: dict[str, str]) -> ApiResponse:
    asked = _api_request(run.request, inner, addresses)
    if asked.path.startswith("$batch"):
        message = "A batch must not contain another batch."
        raise batch_error(message)
    settings = run.organisation.settings
    if len(asked.url) > settings.batch_url_limit:
        message = f"The length of the URL exceeds the limit of {settings.batch_url_limit} characters."
        raise DataverseError(settings.url_too_long_status, "0x8006088a", message)
    found = struck_part(run.organisation, asked) or run.answer(run.organisation, asked)
    if inner.content_id and found.row_address:
        addresses[inner.content_id] = found.row_address
    return found


def _api_request(request: ApiRequest, inner: InnerRequest, addresses: Mapping[str, str]) -> ApiRequest:
    target = inner.target
    reference = _REFERENCE.match(target)
    if reference and reference[1] not in _RESERVED:
        target = _address(addresses, reference[1]) + target[reference.end() :]
    path, _, query = _ROOT.sub("", _below_host(request, target), count=1).partition("?")
    return replace(
        request,
        method=inner.method,
        path=unquote(path),
        query=query,
        headers=inner.headers,
        body=_resolved(inner.body, addresses),
        url=f"{request.base}/{path}{'?' + query if query else ''}",
    )


def _below_host(request: ApiRequest, target: str) -> str:
    """A target without the address of this organisation. Raises a 400 for that of another."""
    host = _HOST.match(target)
    if host is None:
        return target
    if host[0].lower() != request.base.partition("/api/")[0].lower():
        message = "The batch request contains a part for another host."
        raise batch_error(message)
    return target[host.end() :]


def _resolved(body: bytes, addresses: Mapping[str, str]) -> bytes:
    """The body with the addresses of earlier rows in place of ``$n``, in binds and references only."""
    if b'"$' not in body and b'"/$' not in body:
        return body

    def named(match: re.Match[bytes]) -> bytes:
        return f'"{_address(addresses, match[1].decode())}"'.encode()

    return _REFERRING_MEMBER.sub(lambda member: member[1] + _BODY_REFERENCE.sub(named, member[2]), body)


def _address(addresses: Mapping[str, str], name: str) -> str:
    if name not in addresses:
        message = f"Content-ID Reference: '${name}' does not exist in the batch context."
        raise batch_error(message)
    return addresses[name]
