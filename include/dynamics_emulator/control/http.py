"""The control API: the verbs of :class:`dynamics_emulator.control.actions.Control` over plain HTTP on a loopback port.

It has no sign-in, so it is off unless a port is named, listens on the loopback address only, and takes nothing that a
web page could send from a browser: the host must be local and a body must be declared as JSON.
"""

from collections.abc import Awaitable, Callable, Mapping

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dynamics_emulator.control import orders, schema_orders
from dynamics_emulator.control.actions import Control

Endpoint = Callable[[Request], Awaitable[Response]]

ORDERS: Mapping[str, type[orders.Order]] = {
    "/faults": orders.FaultOrder,
    "/settings": orders.SettingsOrder,
    "/clock": orders.ClockOrder,
    "/organization": orders.OrganizationOrder,
    "/environment": orders.EnvironmentOrder,
    "/jobs": orders.JobOrder,
    "/rules": orders.RuleOrder,
    "/privileges": orders.PrivilegeOrder,
    "/applications": orders.ApplicationOrder,
    "/sign-in-errors": orders.SignInOrder,
    "/tracking": schema_orders.TrackingOrder,
    "/tracking/expire": orders.ExpireOrder,
    "/raw": orders.RawOrder,
    "/columns": schema_orders.ColumnOrder,
    "/options": schema_orders.OptionOrder,
    "/keys": schema_orders.KeyOrder,
    "/publish": schema_orders.PublishOrder,
}
"""What is done by POST, by path; the body is the order as JSON."""


def build_control_application(control: Control) -> Starlette:
    """The control API as an application."""
    asked: Mapping[str, Callable[[], object]] = {
        "/faults": lambda: {"faults": control.active_faults(), "available": control.available_faults()},
        "/settings": control.settings,
        "/status": control.status,
    }
    undone: Mapping[str, Callable[[str | None], None]] = {
        "/faults": control.clear_faults,
        "/rules": lambda _: control.clear_rules(),
        "/sign-in-errors": lambda _: control.clear_sign_in_errors(),
    }
    routes = [
        *(Route(path, _order(order, control), methods=["POST"]) for path, order in ORDERS.items()),
        *(Route(path, _question(answer), methods=["GET"]) for path, answer in asked.items()),
        *(Route(path, _undoing(undo), methods=["DELETE"]) for path, undo in undone.items()),
    ]
    local = Middleware(TrustedHostMiddleware, allowed_hosts=["localhost", "127.0.0.1"])
    return Starlette(routes=routes, middleware=[local])


def _question(answer: Callable[[], object]) -> Endpoint:
    async def serve(_request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(answer))

    return serve


def _undoing(undo: Callable[[str | None], None]) -> Endpoint:
    async def serve(request: Request) -> Response:
        return await _answered(lambda: undo(request.query_params.get("name")))

    return serve


def _order(model: type[orders.Order], control: Control) -> Endpoint:
    def obey(raw: bytes) -> object:
        order = model.model_validate_json(raw or b"{}")
        return order.carry_out(control)

    async def serve(request: Request) -> Response:
        media_type = request.headers.get("content-type", "").partition(";")[0]
        if media_type.strip().lower() != "application/json":
            return JSONResponse({"error": "the Content-Type must be application/json"}, 415)
        raw = await request.body()
        return await _answered(lambda: obey(raw))

    return serve


async def _answered(act: Callable[[], object]) -> Response:
    try:
        answer = await run_in_threadpool(act)
    except ValidationError as problem:
        return JSONResponse({"error": "; ".join(_lines(problem))}, 400)
    except KeyError as problem:
        return JSONResponse({"error": f"there is no {', '.join(str(name) for name in problem.args)}"}, 400)
    except (TypeError, ValueError) as problem:
        return JSONResponse({"error": str(problem)}, 400)
    return JSONResponse(answer if answer is not None else {})


def _lines(problem: ValidationError) -> list[str]:
    found = problem.errors(include_url=False, include_context=False)
    return [f"{'.'.join(str(part) for part in error['loc']) or 'body'}: {error['msg']}" for error in found]
