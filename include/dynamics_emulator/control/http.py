"""The control API: the verbs of :class:`dynamics_emulator.control.actions.Control` over plain HTTP on a loopback port.

It has no sign-in, so it is off unless a port is named, listens on the loopback address only, and takes nothing that a
web page could send from a browser: the host must be local and a body must be declared as JSON.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dynamics_emulator.control.actions import Control

Endpoint = Callable[[Request], Awaitable[Response]]
BodyModel = TypeVar("BodyModel", bound=BaseModel)
_ANY_OBJECT = TypeAdapter(dict[str, object])


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FaultBody(_Body):
    """``POST /faults``."""

    name: str
    times: int | None = Field(default=None, ge=1)
    probability: float | None = Field(default=None, ge=0, le=1)
    match: str = ""


class ClockBody(_Body):
    """``POST /clock``: one of the three."""

    advance_seconds: float | None = None
    stop_at: datetime | None = None
    resume: bool = False


class PrivilegeBody(_Body):
    """``POST /privileges``."""

    table: str
    read: bool


class ExpireBody(_Body):
    """``POST /tracking/expire``; without a table, all tables."""

    table: str | None = None


class ColumnBody(_Body):
    """``POST /columns``."""

    table: str
    column: str
    action: Literal["drop", "rename", "shorten"]
    to: str = ""
    length: int = Field(default=1, ge=1)


class OptionBody(_Body):
    """``POST /options``."""

    table: str
    column: str
    value: int
    action: Literal["remove", "relabel"]
    label: str = ""


class RawBody(_Body):
    """``POST /raw``."""

    table: str
    id: str
    values: dict[str, str | int | float | None]


def build_control_application(control: Control) -> Starlette:
    """The control API as an application."""

    def add_fault(body: FaultBody) -> object:
        return control.add_fault(body.name, body.times, body.probability, body.match).describe()

    async def clear_faults(_request: Request) -> Response:
        control.clear_faults()
        return JSONResponse({})

    async def list_faults(_request: Request) -> Response:
        return JSONResponse({"faults": control.active_faults()})

    routes = [
        Route("/faults", _endpoint(FaultBody, add_fault), methods=["POST"]),
        Route("/faults", clear_faults, methods=["DELETE"]),
        Route("/faults", list_faults, methods=["GET"]),
        Route("/settings", _free_endpoint(lambda body: control.change_settings(**body).model_dump()), methods=["POST"]),
        Route("/clock", _endpoint(ClockBody, lambda body: _move_clock(control, body)), methods=["POST"]),
        Route("/organization", _free_endpoint(lambda body: _swap(control, body)), methods=["POST"]),
        Route(
            "/privileges",
            _endpoint(PrivilegeBody, lambda body: control.set_read(body.table, allowed=body.read)),
            methods=["POST"],
        ),
        Route(
            "/tracking/expire",
            _endpoint(ExpireBody, lambda body: control.expire_tracking(body.table)),
            methods=["POST"],
        ),
        Route("/columns", _endpoint(ColumnBody, lambda body: _change_column(control, body)), methods=["POST"]),
        Route("/options", _endpoint(OptionBody, lambda body: _change_option(control, body)), methods=["POST"]),
        Route(
            "/raw",
            _endpoint(RawBody, lambda body: control.write_raw(body.table, body.id, body.values)),
            methods=["POST"],
        ),
    ]
    local = Middleware(TrustedHostMiddleware, allowed_hosts=["localhost", "127.0.0.1"])
    return Starlette(routes=routes, middleware=[local])


def _move_clock(control: Control, body: ClockBody) -> None:
    if body.resume:
        control.resume_clock()
    if body.stop_at:
        control.stop_clock(body.stop_at)
    if body.advance_seconds:
        control.advance_clock(body.advance_seconds)


def _swap(control: Control, body: dict[str, object]) -> None:
    control.swap_organization(**{name: str(value) for name, value in body.items()})


def _change_column(control: Control, body: ColumnBody) -> None:
    match body.action:
        case "drop":
            control.drop_column(body.table, body.column)
        case "rename":
            control.rename_column(body.table, body.column, body.to)
        case "shorten":
            control.shorten_column(body.table, body.column, body.length)


def _change_option(control: Control, body: OptionBody) -> None:
    match body.action:
        case "remove":
            control.remove_option(body.table, body.column, body.value)
        case "relabel":
            control.relabel_option(body.table, body.column, body.value, body.label)


def _endpoint(model: type[BodyModel], act: Callable[[BodyModel], object]) -> Endpoint:
    return _json_endpoint(lambda raw: act(model.model_validate_json(raw or b"{}")))


def _free_endpoint(act: Callable[[dict[str, object]], object]) -> Endpoint:
    return _json_endpoint(lambda raw: act(_ANY_OBJECT.validate_json(raw or b"{}")))


def _json_endpoint(act: Callable[[bytes], object]) -> Endpoint:
    async def serve(request: Request) -> Response:
        if not request.headers.get("content-type", "").startswith("application/json"):
            return JSONResponse({"error": "the Content-Type must be application/json"}, 415)
        try:
            answer = await run_in_threadpool(act, await request.body())
        except ValidationError as problem:
            return JSONResponse({"error": str(problem)}, 400)
        except (KeyError, TypeError, ValueError) as problem:
            return JSONResponse({"error": f"{type(problem).__name__}: {problem}"}, 400)
        return JSONResponse(answer if answer is not None else {})

    return serve
