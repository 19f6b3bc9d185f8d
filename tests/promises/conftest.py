"""Whole forward runs, task by task as Airflow calls them, between the local Dynamics and both marketing databases."""

import json
import os
import signal
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import pytest
import requests
import sqlalchemy as sa

from dynamics_emulator.testing import running_emulator
from dynamics_sync.catalogue import load_catalogue
from dynamics_sync.dataverse.auth import Credentials, MsalTokenProvider
from dynamics_sync.dataverse.client import DataverseClient
from dynamics_sync.dataverse.session import open_session
from dynamics_sync.entity import Entity
from dynamics_sync.errors import SyncError
from dynamics_sync.forward import tasks
from dynamics_sync.reverse import tasks as reverse_tasks
from dynamics_sync.services import Services
from dynamics_sync.settings import Settings
from dynamics_sync.store.database import MarketingDatabase
from dynamics_sync.store.schema import entity_table
from dynamics_sync.watermark import Watermark, variable_name

#: Read once: the files do not change, and reading them takes longer than a run.
catalogue = cache(load_catalogue)


class DictVariables(dict[str, str]):
    """Stands in for Airflow's Variables."""

    def set(self, key: str, value: str) -> None:
        self[key] = value


class Wire(requests.adapters.HTTPAdapter):
    """The way to Dynamics, on which a test can let something happen before a request leaves, and after its answer came.

    Each of `before` and `after` is called with the request; `writes` says whether it is a batch that writes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.before: list[Callable[[requests.PreparedRequest], object]] = []
        self.after: list[Callable[[requests.PreparedRequest], object]] = []
        self.sent: list[str] = []

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:  # type: ignore[override]
        for call in list(self.before):
            call(request)
        answer = super().send(request, *args, **options)
        self.sent.append(f"{request.method} {request.path_url}")
        for call in list(self.after):
            call(request)
        return answer


def writes(request: requests.PreparedRequest) -> bool:
    """Whether a request is a `$batch` that changes something."""
    body = request.body if isinstance(request.body, bytes) else b""
    return any(word in body for word in (b"\r\nPATCH ", b"\r\nDELETE "))


@dataclass
class Sync:
    """One local Dynamics, one marketing database, and the runs between them."""

    dynamics: Any
    database_url: str
    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)
    variables: DictVariables = field(default_factory=DictVariables)
    runs: int = 0
    wire: Wire = field(default_factory=Wire)
    tokens: MsalTokenProvider | None = None
    #: Seconds that a client was told to wait.
    waits: list[float] = field(default_factory=list)
    #: Words of the catalogue that a test sets otherwise, by entity.
    changed: dict[str, dict[str, Any]] = field(default_factory=dict)
    _made: dict[str, Any] = field(default_factory=dict)
    _databases: dict[str, MarketingDatabase] = field(default_factory=dict)

    @property
    def services(self) -> Services:
        return Services(
            Settings(**self.settings),
            self.variables,
            self.folder,
            dynamics=self.client,
            marketing=lambda: self.database,
        )

    def client(self, **options: Any) -> DataverseClient:
        credentials = Credentials(
            tenant_id=self.dynamics.tenant_id,
            client_id=self.dynamics.client_id,
            client_secret=self.dynamics.client_secret,
            authority=self.dynamics.authority,
            ca_file=str(self.dynamics.ca_file),
        )
        if self.tokens is None:
            # One sign-in for all runs of a test; that each run signs in by itself is shown elsewhere.
            self.tokens = MsalTokenProvider(credentials, self.dynamics.url)
        session = open_session(credentials.ca_file)
        session.mount("https://", self.wire)
        options = {"sleep": self.waits.append, **options}
        return DataverseClient(self.dynamics.url, session, self.tokens, **options)

    @property
    def database(self) -> MarketingDatabase:
        """The marketing database, for all tasks of a test: its engine keeps the statements that it has compiled."""
        if self.database_url not in self._databases:
            self._databases[self.database_url] = MarketingDatabase.open(self.database_url)
        return self._databases[self.database_url]

    def close(self) -> None:
        for database in self._databases.values():
            database.close()
        self.marketer.dispose()

    def open_database(self) -> MarketingDatabase:
        return MarketingDatabase.open(self.database_url)

    def entity(self, name: str) -> Entity:
        entity = catalogue().entity(name)
        words = self.changed.get(name)
        if not words:
            return entity
        if self._made.get(name, ({}, None))[0] != words:
            self._made[name] = (dict(words), Entity.model_validate({**entity.model_dump(by_alias=True), **words}))
        return self._made[name][1]

    def run(self, name: str, **params: Any) -> dict[str, Any]:
        """Run an entity's DAG from begin to finish; return its row of sync_run."""
        return self.run_entity(self.entity(name), **params)

    def run_entity(self, entity: Entity, **params: Any) -> dict[str, Any]:
        return self._run(entity, self.trigger(**params))

    def backfill(self, name: str, start: datetime, end: datetime) -> dict[str, Any]:
        self.runs += 1
        trigger = tasks.Trigger(f"run {self.runs}", is_backfill=True, interval_start=start, interval_end=end)
        return self._run(self.entity(name), trigger)

    def _run(self, entity: Entity, trigger: tasks.Trigger) -> dict[str, Any]:
        run_key, references = self.begin(entity, trigger)
        for reference in references:
            self.copy(entity, reference)
        self.finish(entity, trigger, run_key)
        return self.last_run(entity.entity)

    def begin(self, entity: Entity, trigger: tasks.Trigger) -> tuple[str, list[dict[str, Any]]]:
        run_key, references = tasks.begin(entity, self.services, trigger)
        return run_key, json.loads(json.dumps(references))  # As they come out of XCom.

    def finish(self, entity: Entity, trigger: tasks.Trigger, run_key: str) -> None:
        tasks.finish(entity, self.services, trigger.run_id, run_key)

    def trigger(self, **params: Any) -> tasks.Trigger:
        self.runs += 1
        return tasks.Trigger(f"run {self.runs}", params)

    def copy(self, entity: Entity, reference: dict[str, Any]) -> None:
        tasks.load(
            entity,
            self.services,
            tasks.transform(entity, self.services, tasks.extract(entity, self.services, reference)),
        )

    # --- the way back ------------------------------------------------------------------------------

    @property
    def two_way(self) -> list[Entity]:
        """The entities that go both ways; a test may change their words in `changed`."""
        found = [entity for entity in catalogue().entities if entity.is_two_way]
        return [self.entity(entity.entity) for entity in found]

    def reverse(self, **params: Any) -> dict[str, dict[str, int]]:
        """Run dynamics_reverse from collect to record; return the counts by entity."""
        run_key = self.collect(**params)
        for reference in self.plan(run_key):
            self.apply(reference)
        return self.record(run_key)

    def collect(self, **params: Any) -> str:
        self.runs += 1
        return reverse_tasks.collect(self.two_way, self.services, f"reverse {self.runs}", params)

    def plan(self, run_key: str) -> list[dict[str, Any]]:
        _, references = reverse_tasks.plan(self.two_way, self.services, run_key)
        return json.loads(json.dumps(references))  # As they come out of XCom.

    def apply(self, reference: dict[str, Any]) -> dict[str, int]:
        return reverse_tasks.apply(self.two_way, self.services, reference)

    def record(self, run_key: str) -> dict[str, dict[str, int]]:
        return reverse_tasks.record(self.two_way, self.services, run_key)

    def write(self, statement: str, **values: Any) -> None:
        """Do what a marketer does: write to the marketing database with plain SQL, by a connection of one's own."""
        with self.marketer.begin() as connection:
            connection.execute(sa.text(statement), values)

    @cached_property
    def marketer(self) -> sa.Engine:
        """Plain SQLAlchemy, with nothing of ours."""
        url = self.database.engine.url
        return sa.create_engine(url, poolclass=sa.NullPool if url.get_backend_name() == "sqlite" else None)

    def last_run(self, name: str) -> dict[str, Any]:
        mine = "entity = :entity and direction = 'from_dynamics'"
        return self.sql(f"select * from sync_run where {mine} order by begun_at desc limit 1", entity=name)[0]

    def rows(self, name: str) -> dict[str, dict[str, Any]]:
        """The rows of an entity by their key, typed as the store reads them."""
        entity = self.entity(name)
        with self.open_database() as database, database.reading() as connection:
            result = connection.execute(sa.select(entity_table(entity))).mappings()
            return {row[entity.key.column]: dict(row) for row in result}

    def living(self, name: str) -> dict[str, dict[str, Any]]:
        return {key: row for key, row in self.rows(name).items() if row["crm_deleted_at"] is None}

    def sql(self, statement: str, **values: Any) -> list[dict[str, Any]]:
        with self.open_database() as database, database.reading() as connection:
            return [dict(row) for row in connection.execute(sa.text(statement), values).mappings()]

    def watermark(self, name: str) -> Watermark | None:
        return self.services.watermark(self.entity(name)).read()

    def watermark_text(self, name: str) -> str | None:
        return self.variables.get(variable_name(name))

    # --- the other side: Dynamics through its Web API, with nothing of ours in between ----------------

    @cached_property
    def session(self) -> requests.Session:
        session = requests.Session()
        session.verify = str(self.dynamics.ca_file)
        session.trust_env = False
        form = {
            "grant_type": "client_credentials",
            "client_id": self.dynamics.client_id,
            "client_secret": self.dynamics.client_secret,
            "scope": self.dynamics.scope,
        }
        answer = session.post(f"{self.dynamics.authority}/oauth2/v2.0/token", data=form, timeout=30)
        session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        return session

    def api(self, method: str, path: str, body: Mapping[str, Any] | None = None, **headers: str) -> requests.Response:
        url = path if path.startswith("https://") else f"{self.dynamics.api}/{path}"
        answer = self.session.request(method, url, json=body, headers=headers, timeout=60)
        answer.raise_for_status()
        return answer

    def create(self, set_name: str, **columns: Any) -> str:
        """Create a record; return its id."""
        answer = self.api("POST", set_name, columns)
        return answer.headers["OData-EntityId"].rsplit("(", 1)[1].rstrip(")")

    def their_rows(self, set_name: str, key: str) -> dict[str, dict[str, Any]]:
        """All rows of a table in Dynamics, with all columns."""
        rows: dict[str, dict[str, Any]] = {}
        path: str | None = set_name
        while path:
            page = self.api("GET", path).json()
            rows |= {row[key]: row for row in page["value"]}
            path = page.get("@odata.nextLink")
        return rows


@pytest.fixture
def empty_dynamics() -> Iterator[Any]:
    """A local Dynamics without rows."""
    with running_emulator(rows=0) as dynamics:
        yield dynamics


@pytest.fixture
def make_sync() -> Iterator[Callable[..., Sync]]:
    """For tests that bring a Dynamics of their own."""
    made: list[Sync] = []

    def make(*arguments: Any, kind: type[Sync] = Sync, **words: Any) -> Sync:
        made.append(kind(*arguments, **words))
        return made[-1]

    yield make
    for sync in made:
        sync.close()


@pytest.fixture
def sync(make_sync: Callable[..., Sync], empty_dynamics: Any, database_url: str, tmp_path: Path) -> Sync:
    """A local Dynamics without rows and a marketing database without tables."""
    return make_sync(empty_dynamics, database_url, tmp_path / "staging")


@pytest.fixture
def sqlite_sync(make_sync: Callable[..., Sync], empty_dynamics: Any, tmp_path: Path) -> Sync:
    """As `sync`, on SQLite only: for what does not depend on the database."""
    return make_sync(empty_dynamics, f"sqlite:///{tmp_path / 'marketing.db'}", tmp_path / "staging")


@pytest.fixture
def one_field_entity() -> Callable[..., Entity]:
    """Make an entity with one text field."""

    def make(table: str, key: str, column: str, **words: Any) -> Entity:
        return Entity.model_validate(
            {
                "entity": table,
                "table": f"{table}_sample",
                "title": table,
                "key": {"name": key, "column": f"{table}_key_id"},
                "fields": {column: {"column": "text", "type": "text", **words}},
            }
        )

    return make


# --- two sides that people work on ---------------------------------------------------------------------


class FileVariables:
    """Stands in for Airflow's Variables, and outlives a killed process as they do."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def get(self, key: str) -> str | None:
        return self._held().get(key)

    def set(self, key: str, value: str) -> None:
        draft = self.path.with_suffix(".draft")
        draft.write_text(json.dumps({**self._held(), key: value}))
        draft.replace(self.path)

    def clear(self) -> None:
        self.path.unlink(missing_ok=True)

    def _held(self) -> dict[str, str]:
        return json.loads(self.path.read_text()) if self.path.exists() else {}


@dataclass
class Countdown:
    """Kills the process at the n-th moment at which something leaves it: a request, its answer, a commit."""

    at: int
    passed: int = 0

    def moment(self, *_: object) -> None:
        self.passed += 1
        if self.passed == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


def dies_at(sync: "Sync", moment: int, step: Callable[[], object]) -> bool:
    """Run a step in a child that is killed at the n-th moment; say whether it got so far."""
    return was_killed(begin_child(sync, moment, step))


def begin_child(sync: "Sync", moment: int, step: Callable[[], object]) -> int:
    """Begin a step in a child that is killed at the n-th moment; return the child."""
    with warnings.catch_warnings():
        # Newer Pythons warn that the emulator's thread does not come along; the child has no need of it.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        code = 1
        try:
            # The connections that are open belong to the parent.
            sync.database.engine.dispose(close=False)
            sync.marketer.dispose(close=False)
            sync.wire.init_poolmanager(1, 1)
            countdown = Countdown(moment)
            sync.wire.before.append(countdown.moment)
            sync.wire.after.append(countdown.moment)
            sa.event.listen(sync.database.engine, "commit", countdown.moment)
            sa.event.listen(sync.database.engine, "checkin", countdown.moment)
            step()
            code = 0
        except SyncError:
            code = 2
        finally:
            os._exit(code)
    return child


def was_killed(child: int) -> bool:
    """Wait for a child; say whether it was killed. It may have failed by an error of the sync."""
    _, status = os.waitpid(child, 0)
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    assert killed or os.WEXITSTATUS(status) in (0, 2)
    return killed


@dataclass
class TwoSides(Sync):
    """Leads and contacts with a few fields each, emptied between examples, settled and compared at their end."""

    def empty(self) -> None:
        """Take all rows away on both sides. Watermarks stay: the next run hears of deletions of unknown records."""
        for set_name, key in (("leads", "leadid"), ("contacts", "contactid")):
            for row in self.their_rows(set_name, key):
                self.api("DELETE", f"{set_name}({row})")
        kept = {"sync_run", "sync_slice", "sync_environment"}
        with self.marketer.begin() as connection:
            for table in sorted(set(sa.inspect(connection).get_table_names()) - kept):
                connection.execute(sa.text(f"DELETE FROM {table}"))
        if self.variables.get(variable_name("contact")) is None:
            for name in ("lead", "contact"):
                self.run(name)

    def keys_here(self, entity: str) -> set[str]:
        return {str(row["key"]) for row in self.sql(f"SELECT {entity}_id AS key FROM {entity}")}

    def edit_there(self, set_name: str, key: str, values: Mapping[str, Any]) -> bool:
        """Change a record; say whether Dynamics took it (a qualified lead is read-only)."""
        url = f"{self.dynamics.api}/{set_name}({key})"
        answer = self.session.patch(url, json=dict(values), headers={"If-Match": "*"}, timeout=60)
        return answer.status_code == 204

    def qualify(self, key: str) -> set[str]:
        """Qualify a lead into a contact; return the ids of what was made of it."""
        body = {"CreateAccount": False, "CreateContact": True, "CreateOpportunity": False, "Status": 3}
        url = f"{self.dynamics.api}/leads({key})/Microsoft.Dynamics.CRM.QualifyLead"
        answer = self.session.post(url, json=body, timeout=60)
        return {row["contactid"] for row in answer.json()["value"]} if answer.ok and answer.content else set()

    def decide(self, number: int, side: str) -> None:
        rows = self.sql("SELECT conflict_id FROM sync_conflict WHERE resolved_at IS NULL ORDER BY conflict_id")
        if rows:
            key = rows[number % len(rows)]["conflict_id"]
            self.write("UPDATE sync_conflict SET decision = :side WHERE conflict_id = :key", side=side, key=key)

    def crash(self, moment: int, step: Callable[[], object]) -> None:
        dies_at(self, moment, step)
        self.runs += 1  # The child counted for itself; no two runs bear the same name.

    def settle(self) -> None:
        """Let runs follow until nothing is left to do, and then show that writes have stopped."""
        for _ in range(8):
            copied = [self.run(name) for name in ("lead", "contact")]
            self.write(
                "UPDATE sync_conflict SET decision = CASE WHEN conflict_id % 2 = 0 THEN 'ours' ELSE 'theirs' END"
                " WHERE resolved_at IS NULL"
            )
            done = self.reverse(mode="full")
            left = self.sql("SELECT 1 FROM sync_conflict WHERE resolved_at IS NULL")
            found = sum(counts["read"] for counts in done.values())
            found += sum(run["inserted"] + run["updated"] + run["deleted"] for run in copied)
            if not found and not left:
                break
        else:
            raise AssertionError(done)
        # Once more with what stands in quarantine; what is refused again stays there.
        if any(self.refused(entity) for entity in ("lead", "contact")):
            again = self.reverse(mode="quarantine")
            assert all(counts["read"] == counts["rejected"] + counts["unchanged"] for counts in again.values())
            done = self.reverse(mode="full")
            assert [counts["read"] for counts in done.values()] == [0, 0]

    def refused(self, entity: str) -> set[str]:
        query = "SELECT record_key FROM sync_quarantine WHERE entity = :entity AND resolved_at IS NULL"
        return {row["record_key"] for row in self.sql(query, entity=entity)}

    def linked(self, entity: str) -> dict[str, str]:
        """The records with which rows were linked, by the GUIDs with which these were born."""
        query = "SELECT old_value, new_value FROM sync_history WHERE entity = :entity AND column_name = :key"
        return {row["old_value"]: row["new_value"] for row in self.sql(query, entity=entity, key=f"{entity}_id")}

    def kept_values(self, entity: str) -> dict[tuple[str, str], set[str]]:
        """All values that history and conflicts know of, by record and column."""
        kept: dict[tuple[str, str], set[str]] = defaultdict(set)
        for table, names in (
            ("sync_history", ("old_value", "new_value")),
            ("sync_conflict", ("base", "ours", "theirs")),
        ):
            for row in self.sql(f"SELECT * FROM {table} WHERE entity = :entity", entity=entity):
                kept[row["record_id"], row["column_name"]] |= {str(row[name]) for name in names}
        return kept

    def written_values(self, entity: str) -> set[str]:
        """The values that the history says were written to Dynamics."""
        query = "SELECT new_value FROM sync_history WHERE entity = :entity AND side = 'dynamics'"
        return {str(row["new_value"]) for row in self.sql(query, entity=entity)}


@pytest.fixture
def make_two_way(
    make_sync: Callable[..., Any], empty_dynamics: Any, database_url: str, tmp_path: Path
) -> Callable[..., TwoSides]:
    """Make two sides with the fields that are given by entity."""

    def make(fields: Mapping[str, Mapping[str, Any]], **words: Any) -> TwoSides:
        # The people of a test ask more often within minutes than Dynamics lets one user ask.
        empty_dynamics.control.change_settings(request_limit=10**9, execution_milliseconds_limit=10**9)
        changed = {name: {"fields": given, "match": (), **words} for name, given in fields.items()}
        sync: TwoSides = make_sync(empty_dynamics, database_url, tmp_path / "staging", changed=changed, kind=TwoSides)
        sync.variables = FileVariables(tmp_path / "variables.json")
        return sync

    return make


@pytest.fixture(name="dies_at")
def _dies_at() -> Callable[..., bool]:
    return dies_at


@pytest.fixture
def at_once() -> Callable[..., None]:
    """Run steps at the same time, each in a process of its own."""

    def run(sync: Sync, *steps: Callable[[], object]) -> None:
        children = [begin_child(sync, 10**6, step) for step in steps]
        killed = [was_killed(child) for child in children]  # Each is waited for.
        assert not any(killed)

    return run


@pytest.fixture(name="writes")
def _writes() -> Callable[[requests.PreparedRequest], bool]:
    return writes
