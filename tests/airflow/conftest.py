"""One installation for all tests: a local Dynamics, PostgreSQL and `airflow standalone`, in a folder of its own."""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import psutil
import psycopg
import pytest
import requests

from dynamics_demo.airflow_api import AirflowApi
from dynamics_demo.comparison import Comparison, compare_entity
from dynamics_demo.dynamics import DynamicsApi
from dynamics_demo.entities import read_entities
from dynamics_demo.installation import (
    PREFERRED_PORTS,
    Installation,
    Marketing,
    airflow_environment,
    choose_ports,
    metadata_url,
    read_password,
)
from dynamics_demo.marketing import MarketingDatabase
from dynamics_demo.ports import choose_port
from dynamics_demo.postgres import postgres_url
from dynamics_demo.processes import start_process
from dynamics_demo.services import Sample, Services
from dynamics_demo.start import start_installation

ROOT = Path(__file__).parents[2]

#: Seconds. Far more than an idle machine needs; a busy one may take it.
PATIENCE = 180.0

#: A plan with more records of an entity than these has to be approved.
APPROVE_ABOVE = 2

_ROWS = 1_500
#: Small enough that the sample's leads and contacts make several slices, and a slice several pages.
_CUTS = {"rows_per_slice": 120, "page_size": 60}

#: Words that stand in no other place.
_PERSONAL = {
    "lastname": "Zwiebelkuchen",
    "emailaddress1": "hemmelig@example.org",
    "jobtitle": "Fritvalgsordning",
    "description": "Tavshedspligt",
}

_Answer = TypeVar("_Answer")


#: What Airflow's REST API gives: a run, a task instance.
Json = Mapping[str, Any]


def _place(part: Json) -> str:
    """Return the path of a run; `part` is the run, or one of its tasks."""
    return f"/dags/{part['dag_id']}/dagRuns/{part['dag_run_id']}"


def wait_for(question: Callable[[], _Answer], what: str, *, seconds: float = PATIENCE, every: float = 0.25) -> _Answer:
    """Ask until the answer is true; AssertionError with the last answer after so many seconds."""
    deadline = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s, the last answer was {answer!r}"
        time.sleep(every)
    return answer


@dataclass(frozen=True, slots=True)
class Site:
    """A running installation, as its people see it: Airflow's REST API, Dynamics' Web API, SQL."""

    services: Services
    airflow: AirflowApi
    dynamics: DynamicsApi
    connection: Mapping[str, str]
    marketing: MarketingDatabase
    metadata: str
    taken: list[str] = field(default_factory=list)

    @property
    def password(self) -> str:
        """The password of `admin`."""
        return read_password(self.services.installation)

    #: For the tests, which import nothing from here.
    wait_for = staticmethod(wait_for)

    def get(self, path: str, **parameters: Any) -> Any:
        """Read from Airflow's REST API."""
        return self.airflow.call("GET", path, params=parameters).json()

    def variable(self, name: str) -> str:
        """The text of an Airflow Variable; DemoError if there is none."""
        return str(self.get(f"/variables/{name}")["value"])

    def set_variable(self, name: str, value: str) -> None:
        """Write an Airflow Variable, as a person does under Admin > Variables."""
        self.airflow.call("PATCH", f"/variables/{name}", json={"key": name, "value": value})

    def trigger(self, dag_id: str, **conf: Any) -> Json:
        """Start a run with these parameters, and return it."""
        answer = self.airflow.call("POST", f"/dags/{dag_id}/dagRuns", json={"logical_date": None, "conf": conf})
        return dict(answer.json())

    def runs(self, dag_id: str, run_type: str) -> list[Json]:
        """The runs of a DAG that came about in this way, the latest last."""
        return list(self.get(f"/dags/{dag_id}/dagRuns", run_type=run_type, order_by="run_after")["dag_runs"])

    def finished(self, run: Json) -> Json:
        """Wait until a run has ended, and return it. A task that failed twice is not waited for."""

        def ended() -> Json | None:
            assert all(task["try_number"] <= 2 for task in self.tasks(run)), self.logs(run)
            now: Json = self.get(_place(run))
            return now if now["state"] in {"success", "failed"} else None

        now = wait_for(ended, f"the end of {run['dag_run_id']} of {run['dag_id']}", every=0.5)
        assert now is not None
        return now

    def succeeded(self, run: Json) -> Json:
        """Wait until a run has ended well; if it has not, the logs of its tasks are the message."""
        now = self.finished(run)
        assert now["state"] == "success", self.logs(run)
        return now

    def tasks(self, run: Json) -> list[Json]:
        """The task instances of a run."""
        return list(self.get(f"{_place(run)}/taskInstances", limit=100)["task_instances"])

    def log(self, task: Json, attempt: int) -> str:
        """The log of one try of a task, as the UI shows it."""
        path = f"{_place(task)}/taskInstances/{task['task_id']}/logs/{attempt}"
        return json.dumps(self.get(path, map_index=task["map_index"], full_content=True), ensure_ascii=False)

    def logs(self, run: Json) -> str:
        """The logs of all tries of all tasks of a run."""
        tasks = self.tasks(run)
        return "\n".join(self.log(task, attempt + 1) for task in tasks for attempt in range(task["try_number"]))

    def task(self, run: Json, task_id: str) -> Json:
        """The one task instance of that name."""
        (found,) = (task for task in self.tasks(run) if task["task_id"] == task_id)
        return found

    def states(self, run: Json) -> dict[str, str]:
        """The state of each task of a run; of mapped ones, that of the last."""
        return {task["task_id"]: task["state"] for task in self.tasks(run)}

    def open_leads(self, count: int) -> list[str]:
        """Keys of leads that can be changed, each time others; not the first ones, nor the personal ones."""
        condition = f"statecode eq 0 and lastname ne '{_PERSONAL['lastname']}'"
        keys = [row["leadid"] for row in self.dynamics.rows("lead", ("leadid",), condition)]
        found = [key for key in reversed(keys) if key not in self.taken][:count]
        self.taken.extend(found)
        return found

    def titles(self, keys: list[str]) -> set[str | None]:
        """The job titles that leads have in Dynamics."""
        rows = self.dynamics.rows("lead", ("leadid", "jobtitle"))
        return {row["jobtitle"] for row in rows if row["leadid"] in keys}

    def entitle(self, keys: list[str], title: str) -> None:
        """Write a job title into the table of leads, as a marketer would."""
        for key in keys:
            assert self.marketing.write("UPDATE lead SET job_title = ? WHERE lead_id = ?", [title, key]) == 1

    def hold_history(self, key: str) -> psycopg.Connection[Any]:
        """Keep a title that is written to a lead from being recorded, until the connection is rolled back."""
        connection = psycopg.connect(postgres_url(self.marketing.socket_folder, "marketing"))
        # Whoever notes the same version of the same value has to wait whether this is committed.
        connection.execute(
            "INSERT INTO sync_history (entity, record_id, column_name, side, rule, crm_version, run_id, changed_at)"
            " SELECT 'lead', lead_id, 'job_title', 'dynamics', 'held', crm_version, 'held', now()"
            " FROM lead WHERE lead_id = %s",
            [key],
        )
        return connection

    def reverse_run(self, run: Json, entity: str = "lead") -> Json:
        """What the table sync_run says of a run of dynamics_reverse."""
        query = "SELECT * FROM sync_run WHERE direction = 'to_dynamics' AND entity = ? AND run_id = ?"
        (row,) = self.marketing.rows(query, [entity, run["dag_run_id"]])
        return row

    def request(self, run: Json) -> Json:
        """Wait until a run waits for a person, and return the request."""
        wait_for(lambda: self.states(run).get("approve") == "awaiting_input", "a run that waits for approval")
        # Airflow takes an answer for the end of a lost task if it comes before the scheduler knows that the task waits.
        parts = ("task_id=approve", f"run_id={run['dag_run_id']}", "state=awaiting_input", "executor_state=success")
        wait_for(lambda: any(all(part in line for part in parts) for line in self._scheduler_log()), "the scheduler")
        return dict(self.get(self._request_path(run)))

    def decide(self, run: Json, option: str) -> None:
        """Answer the request of a run."""
        self.airflow.call("PATCH", self._request_path(run), json={"chosen_options": [option], "params_input": {}})

    def _scheduler_log(self) -> list[str]:
        return self.services.log_of("airflow").read_text(errors="replace").splitlines()

    def _request_path(self, run: Json) -> str:
        return f"{_place(run)}/taskInstances/approve/-1/hitlDetails"

    def xcoms(self, run: Json) -> str:
        """All XComs of a run, keys and values."""
        path = f"{_place(run)}/taskInstances"
        entries = self.get(f"{path}/~/xcomEntries", limit=100)["xcom_entries"]
        values = [
            self.get(f"{path}/{entry['task_id']}/xcomEntries/{entry['key']}", map_index=entry["map_index"])
            for entry in entries
        ]
        return json.dumps(values, ensure_ascii=False)

    def copied(self, entity: str) -> Json:
        """Let the DAG's schedule begin, and return its first run once it has ended well."""
        dag_id = f"dynamics_{entity}"
        self.airflow.unpause(dag_id)
        first = wait_for(lambda: self.runs(dag_id, "scheduled"), f"a scheduled run of {dag_id}")[0]
        return self.succeeded(first)

    def modified_between(self, entity: str, start: str, end: str) -> int:
        """Ask Dynamics how many rows were modified from `start` on and before `end`."""
        condition = f"modifiedon ge {start} and modifiedon lt {end}"
        return sum(1 for _ in self.dynamics.rows(entity, ("modifiedon",), condition))

    def log_files(self) -> list[Path]:
        """All that Airflow's processes and tasks have written, as files."""
        tasks = (self.services.installation.airflow_home / "logs").rglob("*.log")
        return [*tasks, self.services.log_of("airflow")]

    def sync_run(self, run: Json) -> Json:
        """What the table sync_run says of a run."""
        query = "SELECT * FROM sync_run WHERE entity = ? AND run_id = ?"
        (row,) = self.marketing.rows(query, [run["dag_id"].removeprefix("dynamics_"), run["dag_run_id"]])
        return row

    def watermark_is_of_a_changes_run(self, entity: str) -> bool:
        """Whether the watermark stands where a run of mode changes left it, and no other run."""
        watermark = json.loads(self.variable(f"dynamics_watermark_{entity}"))
        begun_at = datetime.fromisoformat(watermark["begun_at"])
        rows = self.marketing.rows("SELECT begun_at FROM sync_run WHERE entity = ? AND mode = 'changes'", [entity])
        return begun_at in {row["begun_at"].astimezone(UTC) for row in rows}

    def compare(self, entity: str) -> Comparison:
        """Compare all rows of an entity on both sides, field by field."""
        entities = {each.name: each for each in read_entities(self.services.installation.catalogue)}
        return compare_entity(entities[entity], self.dynamics, self.marketing)

    def control(self, path: str, **body: Any) -> None:
        """Do something to Dynamics behind the back of its Web API."""
        requests.post(self.connection["control_url"] + path, json=body, timeout=30).raise_for_status()

    def environment(self) -> dict[str, str]:
        """The environment of a terminal in which `airflow` is this Airflow."""
        return airflow_environment(self.services.installation, self.services.ports, self.metadata)

    def worker(self, pid: int) -> psutil.Process:
        """Return a process of this Airflow; AssertionError if it is somebody else's."""
        record = self.services.records.read("airflow")
        assert record is not None
        process = psutil.Process(pid)
        assert record.pid in {parent.pid for parent in process.parents()}, f"{pid} does not belong to this Airflow"
        return process


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """An installation that is up, its DAGs paused and its marketing database empty; ended in any case."""
    # Not below pytest's own folder, which is closed to the user that PostgreSQL runs as.
    with tempfile.TemporaryDirectory(prefix="dynamics-site-") as folder, ExitStack() as stack:
        Path(folder).chmod(0o755)
        for name in ("dags", "plugins", "include", "airflow_settings.yaml"):
            (Path(folder) / name).symlink_to(ROOT / name)
        installation = Installation(Path(folder))
        installation.prepare()
        services = Services(installation, _ports(installation))
        stack.callback(services.stop)
        catalogue = _catalogue(Path(folder) / "catalogue")
        with pytest.MonkeyPatch.context() as patch:
            # What is started now keeps it; tests of others in this process must not.
            patch.setenv("DYNAMICS_SYNC_CATALOGUE", str(catalogue))
            started = _started(services)
        stack.callback(started.airflow.close)
        yield started


def _catalogue(folder: Path) -> Path:
    """Copy the catalogue, with small limits for what may be written to Dynamics unseen."""
    folder.mkdir()
    for path in (ROOT / "include" / "entities").glob("*.yaml"):
        text = path.read_text(encoding="utf-8")
        limit = f"approve_above: {APPROVE_ABOVE}\n" if "direction: two_way\n" in text else ""
        (folder / path.name).write_text(text + limit, encoding="utf-8")
    return folder


def _ports(installation: Installation) -> Mapping[str, int]:
    """Choose ports that nobody else is likely to take before the servers listen there.

    They are not those that a demo on this machine would try, nor those that the system gives to clients.
    """
    ports: dict[str, int] = {}
    for name in PREFERRED_PORTS:
        ports[name] = choose_port(15_000 + os.getpid() * 8 % 15_000, frozenset(ports.values()))
    (installation.folder / "ports.json").write_text(json.dumps(ports))
    return choose_ports(installation, frozenset())


def _started(services: Services) -> Site:
    installation = services.installation
    # The demo's own Dynamics has no control API; one that runs already is left as it is.
    rows, port = str(_ROWS), str(services.ports["emulator"])
    serve = ["serve", "--folder", str(installation.emulator), "--rows", rows, "--port", port, "--control-port", "0"]
    start_process(
        "emulator",
        [sys.executable, "-m", "dynamics_emulator", *serve],
        environment=airflow_environment(installation, services.ports, ""),
        folder=installation.project,
        log=services.log_of("emulator"),
        records=services.records,
    )
    started = start_installation(installation, Marketing.POSTGRES, Sample(_ROWS))
    metadata = metadata_url(started.marketing.socket_folder)
    dynamics = DynamicsApi(started.dynamics)
    site = Site(services, started.airflow, dynamics, started.dynamics, started.marketing, metadata)
    _cut_small(site)
    _add_two_leads(site)
    return site


def _cut_small(site: Site) -> None:
    settings = json.loads(site.variable("dynamics_sync")) | _CUTS
    site.set_variable("dynamics_sync", json.dumps(settings))


def _add_two_leads(site: Site) -> None:
    for _ in range(2):
        site.dynamics.create("lead", _PERSONAL)
    *_, last = site.dynamics.rows("lead", ("leadid",), f"lastname eq '{_PERSONAL['lastname']}'")
    site.control("/raw", table="lead", id=last["leadid"], values={"leadsourcecode": 4711})


@pytest.fixture(scope="session")
def personal(site: Site) -> Mapping[str, str]:
    """Words that stand in two leads only, one of which cannot be applied; they were there before the first copy."""
    return _PERSONAL


# If the first copy fails, nothing that builds on it is tried.


@pytest.fixture(scope="session")
def first_copy(site: Site) -> Json:
    """The first run of dynamics_lead: a scheduled one, which has ended well."""
    return site.copied("lead")


@pytest.fixture(scope="session")
def copied_accounts(site: Site, first_copy: Json) -> Json:
    """The first run of dynamics_account, which has ended well."""
    return site.copied("account")
