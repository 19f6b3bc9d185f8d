"""The line between callers and the Web API: its latency, its bandwidth, its faults, and the journal of requests."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dynamics_emulator.control.faults import Fault
from dynamics_emulator.control.journal import RequestEntry, plain_path
from dynamics_emulator.control.path_names import PathNames
from dynamics_emulator.organisation import Organisation

_API = "/api/data/"
_SLICES_PER_SECOND = 20
_PROMISED_TOO_MUCH = 64


class Line:
    """Carries requests to an application; those of the Web API as slowly and as badly as the switchboard says."""

    def __init__(self, application: ASGIApp, organisation: Organisation) -> None:
        self._application = application
        self._organisation = organisation
        self._names = PathNames()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and write it down."""
        if scope["type"] != "http" or scope["path"] == "/":
            await self._application(scope, receive, send)
            return
        started = time.perf_counter()
        meter = Meter(send, lambda: self._write_down(scope, meter, time.perf_counter() - started))
        try:
            if _API in scope["path"]:
                await self._carry(scope, receive, meter)
            else:
                await self._application(scope, receive, meter)
        finally:
            meter.end()

    async def _carry(self, scope: Scope, receive: Receive, send: "Meter") -> None:
        settings, faults = self._organisation.settings, self._organisation.faults
        address = f"{scope['path']}?{scope['query_string'].decode('latin-1')}"
        if settings.latency_milliseconds:
            await asyncio.sleep(settings.latency_milliseconds / 1000)
        if faults.strikes(Fault.SLOW, address):
            await asyncio.sleep(settings.slow_milliseconds / 1000)
        paced = Pace(send, settings.bandwidth_bytes_per_second) if settings.bandwidth_bytes_per_second else send
        if faults.strikes(Fault.DROP_BEFORE, address):
            await send.abort(receive)
        elif faults.strikes(Fault.DROP_AFTER, address):
            await self._application(scope, receive, _swallow)
            await send.abort(receive)
        elif faults.strikes(Fault.DROP_DURING, address):
            await self._application(scope, receive, Unfinished(paced, _halved))
            await send.abort(receive)
        elif faults.strikes(Fault.WRONG_LENGTH, address):
            await self._application(scope, receive, Unfinished(paced, _overstated))
            await send.abort(receive)
        else:
            await self._application(scope, receive, paced)

    def _write_down(self, scope: Scope, meter: "Meter", seconds: float) -> None:
        names = self._names.of(self._organisation.schema)
        path = plain_path(scope["path"], scope["query_string"].decode("latin-1"), names)
        now = self._organisation.clock.now()
        entry = RequestEntry(now, scope["method"], path, meter.status, seconds * 1000, meter.bytes_sent)
        self._organisation.journal.add(entry)


async def _swallow(_message: Message) -> None:
    """Take an answer and send nothing."""


class Meter:
    """Sends an answer, and knows its status and how many bytes of its body have gone; says once that it ends."""

    def __init__(self, send: Send, ends: Callable[[], None]) -> None:
        self._send = send
        self._ends = ends
        self._is_over = False
        self.status: int | None = None
        self.bytes_sent = 0

    async def __call__(self, message: Message) -> None:
        """Send a part of the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
        self.bytes_sent += len(message.get("body", b""))
        if message["type"] == "http.response.body" and not message.get("more_body"):
            # Before the caller can know of it: who has an answer finds it in the journal.
            self.end()
        await self._send(message)

    def end(self) -> None:
        """Say that the answer ends; a second call does nothing."""
        if not self._is_over:
            self._is_over = True
            self._ends()

    async def abort(self, receive: Receive) -> None:
        """Break the connection, and wait until the server has noticed: it would miss the rest of the answer."""
        # ASGI has no message for it, so this reaches through uvicorn's send() to the transport.
        self.end()
        cycle = getattr(self._send, "__self__")  # noqa: B009 - a plain attribute would not type-check on a callable
        cycle.transport.abort()
        while (await receive())["type"] != "http.disconnect":
            pass


class Unfinished:
    """Sends an answer as ``spoil`` makes its parts, and never ends it.

    Of an answer without a body nothing is sent: a client that has the head of a 204 has all of it.
    """

    def __init__(self, send: Send, spoil: Callable[[Message], Message]) -> None:
        self._send = send
        self._spoil = spoil
        self._head: Message | None = None

    async def __call__(self, message: Message) -> None:
        """Send a part of the answer."""
        if message["type"] == "http.response.start":
            self._head = message
        elif message.get("body"):
            if self._head is not None:
                await self._send(self._spoil(self._head))
                self._head = None
            await self._send(self._spoil({**message, "more_body": True}))


def _halved(message: Message) -> Message:
    body = message.get("body", b"")
    return {**message, "body": body[: len(body) // 2]} if body else message


def _overstated(message: Message) -> Message:
    if "headers" not in message:
        return message
    return {**message, "headers": [(name, _promised(name, value)) for name, value in message["headers"]]}


def _promised(name: bytes, value: bytes) -> bytes:
    return str(int(value) + _PROMISED_TOO_MUCH).encode() if name.lower() == b"content-length" else value


class Pace:
    """Sends the body of an answer in slices, so that no more than so many bytes go in a second."""

    def __init__(
        self, send: Send, bytes_per_second: int, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._send = send
        self._rate = bytes_per_second
        self._sleep = sleep

    async def __call__(self, message: Message) -> None:
        """Send a part of the answer."""
        body = message.get("body", b"")
        size = max(1, self._rate // _SLICES_PER_SECOND)
        slices = [body[start : start + size] for start in range(0, len(body), size)] or [body]
        for part in slices[:-1]:
            await self._send({**message, "body": part, "more_body": True})
            await self._sleep(size / self._rate)
        await self._send({**message, "body": slices[-1]} if body else message)
