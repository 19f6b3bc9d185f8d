"""The ASGI application: HTTP in front of the gateway, the sign-in service and the front page."""

import asyncio
import gzip
import html
from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dynamics_emulator.api.gateway import Gateway
from dynamics_emulator.api.messages import ApiRequest, ApiResponse, Caller
from dynamics_emulator.control.faults import Fault, Faults
from dynamics_emulator.organisation import Organisation
from dynamics_emulator.signin.entra import Entra, SignInError

_VERSIONS = "/api/data/{version:str}"
_METHODS = ["GET", "POST", "PATCH", "PUT", "DELETE"]
_SERVED = ("v9.0", "v9.1", "v9.2")
_GZIP_FROM = 1024


def build_application(organisation: Organisation, entra: Entra) -> ASGIApp:
    """The application of one organisation and its sign-in service."""
    gateway = Gateway(organisation, entra.desk)

    async def serve_api(request: Request) -> Response:
        if request.path_params["version"] not in _SERVED:
            return JSONResponse({"error": {"code": "0x8006088a", "message": "Unknown version of the API."}}, 404)
        body = await request.body()
        asked = _api_request(request, body)
        if organisation.faults.strikes(Fault.SLOW, asked.url):
            await asyncio.sleep(organisation.settings.slow_milliseconds / 1000)
        return await run_in_threadpool(_answered, organisation, gateway, asked)

    async def serve_discovery(request: Request) -> Response:
        try:
            return JSONResponse(entra.discovery(request.path_params["tenant"], _host(request)))
        except SignInError as error:
            return JSONResponse(entra.error_body(error), error.status)

    async def serve_token(request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode(), keep_blank_values=True))
        endpoint = f"{_host(request)}{request.url.path}"
        try:
            return JSONResponse(entra.token(request.path_params["tenant"], form, endpoint))
        except SignInError as error:
            return JSONResponse(entra.error_body(error), error.status)

    async def serve_front_page(_request: Request) -> Response:
        return HTMLResponse(await run_in_threadpool(front_page, organisation))

    routes = [
        Route("/", serve_front_page),
        Route(f"{_VERSIONS}/{{path:path}}", serve_api, methods=_METHODS),
        Route(_VERSIONS, serve_api, methods=_METHODS),
        Route("/{tenant:str}/v2.0/.well-known/openid-configuration", serve_discovery),
        Route("/{tenant:str}/oauth2/v2.0/token", serve_token, methods=["POST"]),
    ]
    return DroppedConnections(Starlette(routes=routes), organisation.faults)


def front_page(organisation: Organisation) -> str:
    """Tables and their row counts, without any data."""
    names = sorted(organisation.schema.tables)
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{organisation.database.count(name):,}</td></tr>" for name in names
    )
    title = html.escape(organisation.identity.friendly_name)
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title></head><body>'
        f"<h1>{title}</h1><p>A local emulator of the Dataverse Web API.</p>"
        f"<table><tr><th>Table</th><th>Rows</th></tr>{rows}</table></body></html>"
    )


def _host(request: Request) -> str:
    return f"https://{request.headers.get('host', 'localhost')}"


def _api_request(request: Request, body: bytes) -> ApiRequest:
    version, query = request.path_params["version"], request.url.query
    base = f"{_host(request)}/api/data/{version}"
    path = request.path_params.get("path", "")
    return ApiRequest(
        method=request.method,
        path=path,
        query=query,
        headers=_joined_headers(request),
        body=body,
        base=base,
        caller=Caller("", ""),
        url=f"{base}/{path}{'?' + query if query else ''}",
    )


def _joined_headers(request: Request) -> Mapping[str, str]:
    """Header values by lower-case name; a repeated header counts as one with commas."""
    found: dict[str, str] = {}
    for name, value in request.headers.items():
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


def _answered(organisation: Organisation, gateway: Gateway, asked: ApiRequest) -> Response:
    found = gateway.answer(asked)
    return _http(found, asked, organisation.settings.gzip_level)


def _http(found: ApiResponse, asked: ApiRequest, level: int) -> Response:
    headers, body = dict(found.headers), found.body
    if level and len(body) >= _GZIP_FROM and "gzip" in asked.headers.get("accept-encoding", ""):
        body = gzip.compress(body, level)
        headers |= {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    response = Response(body, found.status)
    # Starlette would write these names in lower case; Dataverse does not.
    response.raw_headers += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    return response


class DroppedConnections:
    """Breaks connections where a fault says so: before the work, in the middle of the answer, or after the work."""

    def __init__(self, application: ASGIApp, faults: Faults) -> None:
        self._application = application
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, unless its connection is to break."""
        path = scope.get("path", "")
        if scope["type"] != "http" or "/api/data/" not in path:
            await self._application(scope, receive, send)
        elif self._faults.strikes(Fault.DROP_BEFORE, path):
            _abort(send)
        elif self._faults.strikes(Fault.DROP_AFTER, path):
            await self._application(scope, receive, _swallow)
            _abort(send)
        elif self._faults.strikes(Fault.DROP_DURING, path):
            await self._application(scope, receive, _Half(send))
            _abort(send)
        else:
            await self._application(scope, receive, send)


async def _swallow(_message: Message) -> None:
    """Take an answer and send nothing."""


class _Half:
    """Sends the head of an answer and half of its body."""

    def __init__(self, send: Send) -> None:
        self._send = send

    async def __call__(self, message: Message) -> None:
        body = message.get("body", b"")
        if message["type"] == "http.response.body":
            message = {**message, "body": body[: len(body) // 2], "more_body": True}
        await self._send(message)


def _abort(send: Send) -> None:
    # ASGI has no message for a broken connection, so this reaches through uvicorn's send() to the transport.
    cycle = getattr(send, "__self__")  # noqa: B009 - a plain attribute would not type-check on a callable
    cycle.transport.abort()
