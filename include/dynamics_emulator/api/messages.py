"""Requests and answers of the Web API, free of HTTP machinery, so that ``$batch`` can carry them too."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from dynamics_emulator.errors import DataverseError
from dynamics_emulator.odata.annotations import AnnotationFilter
from dynamics_emulator.odata.options import QueryOptions, parse_options
from dynamics_emulator.security.rights import Rights

JSON_TYPE = "application/json; odata.metadata=minimal"
_PREFERENCE = re.compile(r'([\w.\-]+)(?:\s*=\s*(?:"([^"]*)"|([^,;\s]+)))?')


@dataclass(frozen=True)
class Caller:
    """The user on whose behalf a request runs."""

    user_id: str
    client_id: str
    acting_user_id: str | None = None
    """With impersonation the user who really sent the request; ``user_id`` is then the impersonated one."""
    rights: Rights | None = field(default=None, compare=False)
    """What the caller may do, as it stood when the request came in."""


@dataclass(frozen=True)
class ApiRequest:
    """One request: ``path`` is what follows ``/api/data/v9.x/``, decoded; header names are in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    base: str
    caller: Caller
    url: str = ""
    token_is_new: bool = False
    """Whether the token came for the first time while faults were on."""

    @cached_property
    def options(self) -> QueryOptions:
        """The query options. Raises a 400 for unknown ones."""
        return parse_options(self.query)

    @cached_property
    def preferences(self) -> Mapping[str, str]:
        """The ``Prefer`` header: name to value, which is empty for a preference without one."""
        found = _PREFERENCE.finditer(self.headers.get("prefer", ""))
        return {match[1].lower(): match[2] or match[3] or "" for match in found}

    @cached_property
    def annotations(self) -> AnnotationFilter:
        """The annotations that the caller wants."""
        return AnnotationFilter(self.preferences.get("odata.include-annotations", ""))

    @property
    def tracks_changes(self) -> bool:
        """Whether the caller asked for change tracking."""
        return "odata.track-changes" in self.preferences

    @property
    def wants_representation(self) -> bool:
        """Whether the caller wants the written row back."""
        return self.preferences.get("return") == "representation"

    @property
    def wants_details(self) -> bool:
        """Whether an error is to be told with its annotations."""
        return self.annotations.wants("Microsoft.PowerApps.CDS.HelpLink")

    def page_size(self, limit: int) -> int | None:
        """The asked page size, at most ``limit``; None when none was asked for."""
        text = self.preferences.get("odata.maxpagesize", "")
        return min(int(text), limit) if text.isdecimal() and int(text) > 0 else None

    def json_body(self) -> dict[str, Any]:
        """The body as a JSON object; numbers with a fraction stay text-exact. Raises a 400 otherwise."""
        try:
            found = json.loads(self.body, parse_float=ExactNumber)
        except (ValueError, RecursionError) as problem:
            message = "An error occurred while validating input parameters: the body is not valid JSON."
            raise DataverseError(400, "0x80048d19", message) from problem
        if not isinstance(found, dict):
            message = "An error occurred while validating input parameters: the body is not a JSON object."
            raise DataverseError(400, "0x80048d19", message)
        return found


class ExactNumber(str):
    """A JSON number with a fraction, as it was written."""

    __slots__ = ()


@dataclass(frozen=True)
class ApiResponse:
    """One answer; ``body`` is already encoded."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    cookies: tuple[str, ...] = ()
    """``Set-Cookie`` values; several cookies cannot share one header."""
    row_address: str = ""
    """Address of the row that was written, for later parts of a batch; not every answer shows it in its headers."""

    def with_headers(self, **added: str) -> "ApiResponse":
        """The same answer with more headers; underscores in names become hyphens."""
        more = {name.replace("_", "-"): value for name, value in added.items()}
        return replace(self, headers={**self.headers, **more})


def json_response(content: object, status: int = 200) -> ApiResponse:
    """An answer with a JSON body."""
    return raw_json(json.dumps(content, ensure_ascii=False, separators=(",", ":")), status)


def raw_json(text: str, status: int = 200) -> ApiResponse:
    """An answer whose JSON text is ready."""
    return ApiResponse(status, {"Content-Type": JSON_TYPE}, text.encode(errors="replace"))


def plain_text(text: str) -> ApiResponse:
    """An answer of plain text. The byte order mark that Dataverse puts before a count is left out."""
    return ApiResponse(200, {"Content-Type": "text/plain"}, text.encode())


def row_listing(before: str, rows: Sequence[bytes], after: str) -> ApiResponse:
    """An answer around rows whose JSON is ready: ``before`` ends with ``[`` and ``after`` begins with ``]``."""
    body = b"".join((before.encode(errors="replace"), b",".join(rows), after.encode(errors="replace")))
    return ApiResponse(200, {"Content-Type": JSON_TYPE}, body)


def error_response(error: DataverseError, *, annotated: bool) -> ApiResponse:
    """The envelope of an error, with details when annotations were asked for; an error without a code has no body."""
    if not error.code:
        return ApiResponse(error.status, error.headers)
    content: dict[str, object] = {"code": error.code, "message": error.message}
    if annotated:
        link = (
            "http://go.microsoft.com/fwlink/?LinkID=398563&error=Microsoft.Crm.CrmException%3a"
            f"{error.code.removeprefix('0x')}&client=platform"
        )
        content |= {
            "@Microsoft.PowerApps.CDS.ErrorDetails.OperationStatus": "0",
            "@Microsoft.PowerApps.CDS.ErrorDetails.SubErrorCode": "2147746581",
            "@Microsoft.PowerApps.CDS.HelpLink": link,
            "@Microsoft.PowerApps.CDS.TraceText": "",
            "@Microsoft.PowerApps.CDS.InnerError.Message": error.message,
        }
    answer = json_response({"error": content}, error.status)
    return replace(answer, headers={**answer.headers, **error.headers})
