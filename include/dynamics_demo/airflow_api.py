"""Airflow's REST API, as far as the demo needs it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests

from dynamics_demo.problems import DemoError

_TIMEOUT = (5, 60)
_COMPONENTS = ("metadatabase", "scheduler", "dag_processor", "triggerer")
_FINISHED = frozenset({"success", "failed"})


@dataclass(frozen=True, slots=True)
class Run:
    """A DAG run; `seconds` is how long it has run, 0 if it has not begun."""

    dag_id: str
    run_id: str
    state: str
    seconds: float

    @property
    def is_finished(self) -> bool:
        """Whether nothing more will happen in this run."""
        return self.state in _FINISHED


class AirflowApi:
    """A client that signs in with user and password when it must; errors are DemoError or requests' own."""

    def __init__(self, address: str, username: str, password: str) -> None:
        self.address = address
        self._credentials = {"username": username, "password": password}
        self._session = requests.Session()
        self._session.trust_env = False

    def close(self) -> None:
        """Close the connections that are kept open."""
        self._session.close()

    def call(
        self, method: str, path: str, *, accept: frozenset[int] = frozenset(), **options: Any
    ) -> requests.Response:
        """Send a request below /api/v2; DemoError for a status of 400 or more that is not in `accept`."""
        answer = self._send(method, path, **options)
        if answer.status_code == 401:
            self._sign_in()
            answer = self._send(method, path, **options)
        if answer.status_code >= 400 and answer.status_code not in accept:
            message = f"Airflow answered {answer.status_code} to {method} {path}: {answer.text[:300]}"
            raise DemoError(message)
        return answer

    def _send(self, method: str, path: str, **options: Any) -> requests.Response:
        return self._session.request(method, f"{self.address}/api/v2{path}", timeout=_TIMEOUT, **options)

    def _sign_in(self) -> None:
        answer = self._session.post(f"{self.address}/auth/token", json=self._credentials, timeout=_TIMEOUT)
        if answer.status_code != 201:
            message = (
                f"The Airflow at {self.address} refused the demo's user: it may be another one, which took that port "
                "while this one was starting. Run `make stop` and try again; a port that is taken is not chosen."
            )
            raise DemoError(message)
        self._session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def missing_components(self) -> tuple[str, ...]:
        """Return the components that are not healthy yet; all of them while nothing answers."""
        try:
            answer = self._session.get(f"{self.address}/api/v2/monitor/health", timeout=_TIMEOUT)
            health = answer.json() if answer.ok else {}
        except (requests.RequestException, ValueError):
            return ("api_server", *_COMPONENTS)
        return tuple(part for part in _COMPONENTS if (health.get(part) or {}).get("status") != "healthy")

    def put(self, kind: str, name: str, body: Mapping[str, Any]) -> None:
        """Create or replace a connection, pool or Variable; `kind` is the path's word for it."""
        if self.call("PATCH", f"/{kind}/{name}", json=body, accept=frozenset({404})).status_code == 404:
            self.call("POST", f"/{kind}", json=body)

    def read_variable(self, name: str) -> str | None:
        """Return a Variable's text, or None if there is none."""
        answer = self.call("GET", f"/variables/{name}", accept=frozenset({404}))
        return None if answer.status_code == 404 else str(answer.json()["value"])

    def test_connection(self, body: Mapping[str, Any]) -> tuple[bool, str]:
        """Do what the button Test of the form does; returns whether it worked, and the text."""
        answer = self.call("POST", "/connections/test", json=dict(body)).json()
        return bool(answer["status"]), str(answer["message"])

    def dag_ids(self, tag: str) -> frozenset[str]:
        """Return the ids of the DAGs that bear the tag, paused ones included."""
        answer = self.call("GET", "/dags", params={"tags": tag, "limit": 100, "exclude_stale": True}).json()
        return frozenset(str(dag["dag_id"]) for dag in answer["dags"])

    def import_errors(self) -> list[str]:
        """Return one text for each DAG file that could not be read."""
        errors = self.call("GET", "/importErrors").json()["import_errors"]
        return [f"{error['filename']}: {error['stack_trace'].strip()}" for error in errors]

    def unpause(self, dag_id: str) -> None:
        """Let the schedule of a DAG, and its triggered runs, begin."""
        self.call("PATCH", f"/dags/{dag_id}", json={"is_paused": False})

    def pause(self, dag_id: str) -> None:
        """Let no further run of a DAG begin; one that is under way would stand still."""
        self.call("PATCH", f"/dags/{dag_id}", json={"is_paused": True})

    def trigger(self, dag_id: str, parameters: Mapping[str, Any] | None = None) -> Run:
        """Start a run, with the words of the trigger form if there are any."""
        body: dict[str, Any] = {"logical_date": None, "conf": dict(parameters or {})}
        return _run(self.call("POST", f"/dags/{dag_id}/dagRuns", json=body).json())

    def latest_runs(self) -> list[Run]:
        """Return the latest hundred runs over all DAGs, the newest first."""
        answer = self.call("GET", "/dags/~/dagRuns", params={"order_by": "-run_after", "limit": 100})
        return [_run(row) for row in answer.json()["dag_runs"]]

    def is_busy(self, dag_id: str) -> bool:
        """Whether a run of a DAG has not ended, or an asset that was updated is about to bring one about."""
        parameters: dict[str, Any] = {"state": ["queued", "running"]}
        if self.call("GET", f"/dags/{dag_id}/dagRuns", params=parameters).json()["dag_runs"]:
            return True
        return bool(self.call("GET", f"/dags/{dag_id}/assets/queuedEvents").json()["queued_events"])

    def running_tasks(self) -> list[str]:
        """Return which tasks run or wait to be tried again, as `lead begin`."""
        parameters: dict[str, Any] = {"state": ["running", "up_for_retry"], "limit": 100}
        rows = self.call("GET", "/dags/~/dagRuns/~/taskInstances", params=parameters).json()["task_instances"]
        return sorted(_running_task(row) for row in rows)

    def failed_tasks(self, run: Run) -> list[str]:
        """Return the tasks of a run that failed themselves, with their map index where they have one."""
        rows = self.call("GET", f"/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances").json()["task_instances"]
        return [_task_name(row) for row in rows if row["state"] == "failed"]


def _running_task(row: Mapping[str, Any]) -> str:
    again = " (waits to be tried again)" if row["state"] == "up_for_retry" else ""
    return f"{row['dag_id'].removeprefix('dynamics_')} {_task_name(row)}{again}"


def _task_name(row: Mapping[str, Any]) -> str:
    index = row.get("map_index", -1)
    return f"{row['task_id']}[{index}]" if index >= 0 else str(row["task_id"])


def _run(row: Mapping[str, Any]) -> Run:
    return Run(str(row["dag_id"]), str(row["dag_run_id"]), str(row["state"]), float(row.get("duration") or 0.0))
