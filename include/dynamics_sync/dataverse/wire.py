"""What goes over the wire: one request and one answer, without the token."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from dynamics_sync.errors import IncompleteAnswer, UnexpectedAnswer

T = TypeVar("T")

_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.\-]*:")
_QUOTED = re.compile(r"'(?:[^']|'')*'")
_METADATA = re.compile(r"^(EntityDefinitions|GlobalOptionSetDefinitions|RelationshipDefinitions)\b")
_ROW_WRITES = frozenset({"PUT", "PATCH", "DELETE"})
_REPEATABLE = frozenset({"GET", "HEAD", *_ROW_WRITES})


@dataclass(frozen=True)
class Request:
    """One call of the Web API.

    `path` is relative to the API root (`leads?$select=lastname`), or an absolute link that the server gave.
    `repeatable` says that a POST changes nothing, so that it may be sent again when its answer was lost. `guarded`
    says of a `$batch` that each call in it reads or is conditional, so that it may be sent again as well; `calls` says
    how many they are.
    The repr shows no query, header or body: they may hold values of records.
    """

    path: str = field(repr=False)
    prefer: tuple[str, ...] = ()
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    repeatable: bool = False
    guarded: bool = False
    calls: int = 1

    def __repr__(self) -> str:
        return f"Request({self.label!r})"

    @property
    def is_absolute(self) -> bool:
        """Whether `path` is a link with a scheme."""
        return bool(_SCHEME.match(self.path))

    @property
    def reads(self) -> bool:
        """Whether the call changes nothing in Dynamics."""
        return self.method == "GET" or self.repeatable

    @property
    def conditional(self) -> bool:
        """Whether it is a write of one row that bears the row's version, or creates the row only if it is absent.

        Carrying it out again changes nothing: the second time it is answered 412 or 404, whatever happened between.
        `If-Match: *` is not enough, since it would undo what somebody else wrote meanwhile.
        """
        if self.method not in _ROW_WRITES:
            return False
        given = {name.lower(): value.strip() for name, value in self.headers.items()}
        return given.get("if-match", "*") not in ("", "*") or given.get("if-none-match") == "*"

    @property
    def changes_once(self) -> bool:
        """Whether sending it again changes nothing more, even when Dynamics carried it out and broke then."""
        return self.reads or self.conditional or self.guarded

    @property
    def may_be_repeated(self) -> bool:
        """Whether sending it twice has the effect of sending it once."""
        return self.changes_once or self.method in _REPEATABLE

    @property
    def label(self) -> str:
        """Method and path for messages: no query, and no values of alternate keys."""
        path = re.split(r"[?#]", self.path, maxsplit=1)[0]
        if self.is_absolute:
            path = path.partition("/api/data/")[2].partition("/")[2] or "<link>"
        return f"{self.method} {path if _METADATA.match(path) else _QUOTED.sub('…', path)}"


@dataclass(frozen=True)
class Answer:
    """What came back. `headers` is asked without regard to case; the repr shows neither headers nor body."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    request: Request

    @property
    def request_id(self) -> str:
        """The id under which Microsoft's support finds the call, or an empty text."""
        for name in ("x-ms-service-request-id", "REQ_ID", "x-ms-request-id"):
            if found := self.headers.get(name):
                return found.partition(",")[0].strip()[:64]
        return ""

    @property
    def content_type(self) -> str:
        """The media type in lower case, without parameters."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    def json(self) -> dict[str, Any]:
        """Return the body as a JSON object.

        Raises IncompleteAnswer when it is cut or no JSON, and UnexpectedAnswer when it is JSON but no object.
        """
        return decode(self, msgspec.json.Decoder(dict[str, Any]))


def decode(answer: Answer, decoder: "msgspec.json.Decoder[T]") -> T:
    """Decode the body with a typed decoder.

    Raises IncompleteAnswer when the body is cut or no JSON, and UnexpectedAnswer when its shape is another.
    """
    try:
        return decoder.decode(answer.body)
    except msgspec.ValidationError:
        # The decoder's own text can quote a value, so it is not passed on.
        message = f"{answer.request.label} answered JSON of another shape than documented{request_note(answer)}"
        raise UnexpectedAnswer(message, not_done="None of its content was used") from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise incomplete(answer) from None


def incomplete(answer: Answer) -> IncompleteAnswer:
    """Return the error for a body that is cut, empty or no JSON."""
    kind = answer.content_type or "no content type"
    size = f"{len(answer.body)} bytes of {kind}"
    message = f"{answer.request.label} answered {answer.status} with {size}, which are no complete JSON"
    not_done = "None of its content was used" if answer.request.reads else "Whether it was written is not known"
    return IncompleteAnswer(message + request_note(answer), not_done=not_done)


def request_note(answer: Answer) -> str:
    """Return ` (request id …)`, or an empty text when the server gave none."""
    return f" (request id {answer.request_id})" if answer.request_id else ""
