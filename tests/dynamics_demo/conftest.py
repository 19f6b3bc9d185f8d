"""A small HTTP server that answers like Airflow's REST API, as far as the demo asks it; the fixtures serve it."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest

from dynamics_demo.airflow_api import AirflowApi

PASSWORD = "right"


@dataclass
class StandIn:
    """The state behind the server. Each look at the runs brings every run one state further."""

    address: str = ""
    states: tuple[str, ...] = ("queued", "running", "success")
    runs_by_schedule: bool = True
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    runs: list[dict[str, Any]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    tokens: int = 0
    unhealthy: tuple[str, ...] = ()
    paused: set[str] = field(default_factory=set)
    queued_events: list[dict[str, Any]] = field(default_factory=list)

    def start_run(self, dag_id: str, kind: str, conf: dict[str, Any] | None = None) -> dict[str, Any]:
        run = {"dag_id": dag_id, "dag_run_id": f"{kind}__{len(self.runs)}", "looks": 0, "duration": None, "conf": conf}
        self.runs.insert(0, run)
        return self.shown(run)

    def shown(self, run: dict[str, Any]) -> dict[str, Any]:
        return run | {"state": self.states[min(run["looks"], len(self.states) - 1)], "duration": run["looks"] * 1.5}

    def answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        match method, path.strip("/").split("/"):
            case "GET", ["monitor", "health"]:
                parts = ("metadatabase", "scheduler", "dag_processor", "triggerer")
                return 200, {part: {"status": "unhealthy" if part in self.unhealthy else "healthy"} for part in parts}
            case "GET", ["dags", dag_id, *listed] if listed[-1] in ("dagRuns", "queuedEvents"):
                return 200, self.look(dag_id) if listed == ["dagRuns"] else self.next_event()
            case "GET", ["dags", _, "dagRuns", _, "taskInstances"]:
                failed = {"dag_id": "dynamics_lead", "task_id": "load", "map_index": 2, "state": "failed"}
                return 200, {"task_instances": [failed] if "failed" in self.states else []}
            case "POST", ["dags", dag_id, "dagRuns"]:
                return 200, self.start_run(dag_id, "manual", body["conf"])
            case "PATCH", ["dags", dag_id]:
                self.pause(dag_id, is_paused=body["is_paused"])
                return 200, {}
            case _:
                return self.answer_object(method, path, body)

    def next_event(self) -> dict[str, Any]:
        """An event that an asset has brought about and no run has taken up; each is shown once."""
        return {"queued_events": [self.queued_events.pop()] if self.queued_events else []}

    def look(self, dag_id: str) -> dict[str, Any]:
        """All runs, or those of one DAG that have not ended."""
        shown = [self.shown(run) for run in self.runs]
        for run in self.runs:
            run["looks"] += 1
        if dag_id == "~":
            return {"dag_runs": shown}
        mine = [run for run in shown if run["dag_id"] == dag_id]
        return {"dag_runs": [run for run in mine if run["state"] in {"queued", "running"}]}

    def pause(self, dag_id: str, *, is_paused: bool) -> None:
        """The schedule runs a DAG that has never run as soon as it is unpaused."""
        if is_paused:
            self.paused.add(dag_id)
            return
        self.paused.discard(dag_id)
        if self.runs_by_schedule and not any(run["dag_id"] == dag_id for run in self.runs):
            self.start_run(dag_id, "scheduled")

    def answer_object(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Connections, pools and Variables: each a body under its path."""
        kind = path.strip("/").split("/")[0]
        name = body.get("connection_id") or body.get("name") or body.get("key")
        if method == "POST":
            self.objects[f"/{kind}/{name}"] = body
            return 201, body
        if path == "/variables":
            return 200, {"variables": [{"key": key.split("/")[2]} for key in self.objects if key.startswith(path)]}
        if path not in self.objects:
            return 404, {"detail": "not found"}
        if method == "DELETE":
            del self.objects[path]
        if method == "PATCH":
            self.objects[path] = body
        return 200, self.objects.get(path, {})


@contextmanager
def serving(stand_in: StandIn) -> Iterator[StandIn]:
    """Serve it on a free port of the loopback address until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_any(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else {}
            path = urlsplit(self.path).path
            if path == "/auth/token":
                stand_in.tokens += 1
                right = body.get("password") == PASSWORD
                self.reply(201 if right else 401, {"access_token": f"token-{stand_in.tokens}"})
            elif "/health" not in path and self.headers.get("Authorization") != f"Bearer token-{stand_in.tokens}":
                self.reply(401, {})
            else:
                stand_in.requests.append(f"{self.command} {path.removeprefix('/api/v2')}")
                self.reply(*stand_in.answer(self.command, path.removeprefix("/api/v2"), body))

        do_GET = do_POST = do_PATCH = do_DELETE = do_any  # noqa: N815 - the base class looks for these names

        def reply(self, status: int, body: dict[str, Any]) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: object) -> None:
            """Keep the test's output clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        stand_in.address = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield stand_in
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    """The stand-in, served."""
    with serving(StandIn()) as running:
        yield running


@pytest.fixture
def airflow(stand_in: StandIn) -> Iterator[AirflowApi]:
    """A client of the stand-in."""
    client = AirflowApi(stand_in.address, "admin", PASSWORD)
    yield client
    client.close()
