"""The ASGI application: HTTP in front of the gateway, the sign-in service and the front page."""

import gzip
from collections.abc import Mapping

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from dynamics_emulator.api.gateway import Gateway
from dynamics_emulator.api.messages import ApiRequest, Caller
from dynamics_emulator.control.faults import Fault
from dynamics_emulator.control.front_page import FrontPage
from dynamics_emulator.line import Line
from dynamics_emulator.organisation import Organisation
from dynamics_emulator.signin.entra import Entra
from dynamics_emulator.signin.forms import read_form
from dynamics_emulator.signin.refusals import SignInError

_VERSIONS = "/api/data/{version:str}"
_METHODS = ["GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE"]
"""The API refuses the last ones itself, in its own envelope."""
_SERVED = ("v9.0", "v9.1", "v9.2")
_GZIP_FROM = 1024


def build_application(organisation: Organisation, entra: Entra, page: FrontPage) -> ASGIApp:
    """The application of one organisation, its sign-in service and its front page."""
    gateway = Gateway(organisation, entra.desk)

    async def serve_api(request: Request) -> Response:
        if request.path_params["version"] not in _SERVED:
            return JSONResponse({"error": {"code": "0x8006088a", "message": "Unknown version of the API."}}, 404)
        body = await _body(request, organisation.settings.body_limit_bytes)
        return await run_in_threadpool(_answered, organisation, gateway, _api_request(request, body))

    async def serve_discovery(request: Request) -> Response:
        try:
            return JSONResponse(entra.discovery(request.path_params["tenant"], _host(request)))
        except SignInError as error:
            return JSONResponse(entra.error_body(error), error.status, error.headers)

    async def serve_token(request: Request) -> Response:
        form = read_form(await request.body(), request.headers.get("authorization"))
        endpoint = f"{_host(request)}{request.url.path}"
        try:
            return JSONResponse(entra.token(request.path_params["tenant"], form, endpoint))
        except SignInError as error:
            return JSONResponse(entra.error_body(error), error.status, error.headers)

    async def serve_front_page(request: Request) -> Response:
        refresh = request.query_params.get("refresh", "")
        return HTMLResponse(await run_in_threadpool(page.html, _host(request), refresh))

    routes = [
        Route("/", serve_front_page),
        Route(f"{_VERSIONS}/{{path:path}}", serve_api, methods=_METHODS),
        Route(_VERSIONS, serve_api, methods=_METHODS),
        Route("/{tenant:str}/v2.0/.well-known/openid-configuration", serve_discovery),
        Route("/{tenant:str}/oauth2/v2.0/token", serve_token, methods=["POST"]),
    ]
    return Line(Starlette(routes=routes), organisation)


async def _body(request: Request, limit: int) -> bytes:
    """The body; of one beyond the limit no more than shows that it is."""
    found = bytearray()
    async for chunk in request.stream():
        found += chunk
        if len(found) > limit:
            break
    return bytes(found[: limit + 1])


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
    headers, body, level = dict(found.headers), found.body, organisation.settings.gzip_level
    if level and len(body) >= _GZIP_FROM and "gzip" in asked.headers.get("accept-encoding", ""):
        body = gzip.compress(body, level)
        if organisation.faults.strikes(Fault.BAD_GZIP, asked.url):
            body = _damaged(body)
        headers |= {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
    response = Response(body, found.status)
    # Starlette would write these names in lower case; Dataverse does not.
    response.raw_headers += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    response.raw_headers += [(b"Set-Cookie", cookie.encode("latin-1")) for cookie in found.cookies]
    return response


def _damaged(packed: bytes) -> bytes:
    """A compressed body with wrong bytes in its middle."""
    middle = len(packed) // 2
    return packed[:middle] + bytes(byte ^ 0x55 for byte in packed[middle : middle + 16]) + packed[middle + 16 :]
