"""Whole forward runs, task by task as Airflow calls them, between the local Dynamics and both marketing databases."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import requests
import sqlalchemy as sa

from dynamics_emulator.testing import running_emulator
from dynamics_sync.catalogue import load_catalogue
from dynamics_sync.dataverse.auth import Credentials
from dynamics_sync.dataverse.client import DataverseClient, open_client
from dynamics_sync.entity import Entity
from dynamics_sync.forward import tasks
from dynamics_sync.reverse import tasks as reverse_tasks
from dynamics_sync.services import Services
from dynamics_sync.settings import Settings
from dynamics_sync.store.database import MarketingDatabase
from dynamics_sync.store.schema import entity_table
from dynamics_sync.watermark import Watermark, variable_name


class DictVariables(dict[str, str]):
    """Stands in for Airflow's Variables."""

    def set(self, key: str, value: str) -> None:
        self[key] = value


class DictCursor(dict[str, Any]):
    """Stands in for Airflow's task state store; what it holds must survive JSON, as there."""

    def set(self, key: str, value: Any) -> None:
        self[key] = json.loads(json.dumps(value))


@dataclass
class Sync:
    """One local Dynamics, one marketing database, and the runs between them."""

    dynamics: Any
    database_url: str
    folder: Path
    settings: dict[str, Any] = field(default_factory=dict)
    variables: DictVariables = field(default_factory=DictVariables)
    runs: int = 0
    #: Words of the catalogue that a test sets otherwise, by entity.
    changed: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def services(self) -> Services:
        return Services(
            Settings(**self.settings), self.variables, self.folder, dynamics=self.client, marketing=self.open_database
        )

    def client(self, **options: Any) -> DataverseClient:
        credentials = Credentials(
            tenant_id=self.dynamics.tenant_id,
            client_id=self.dynamics.client_id,
            client_secret=self.dynamics.client_secret,
            authority=self.dynamics.authority,
            ca_file=str(self.dynamics.ca_file),
        )
        return open_client(credentials, self.dynamics.url, **{"sleep": lambda _: None, **options})

    def open_database(self) -> MarketingDatabase:
        return MarketingDatabase.open(self.database_url)

    def entity(self, name: str) -> Entity:
        entity = load_catalogue().entity(name)
        words = self.changed.get(name)
        return Entity.model_validate({**entity.model_dump(by_alias=True), **words}) if words else entity

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
        run_key, references = tasks.begin(entity, self.services, trigger, DictCursor())
        return run_key, json.loads(json.dumps(references))  # As they come out of XCom.

    def finish(self, entity: Entity, trigger: tasks.Trigger, run_key: str) -> None:
        tasks.finish(entity, self.services, trigger.run_id, run_key)

    def trigger(self, **params: Any) -> tasks.Trigger:
        self.runs += 1
        return tasks.Trigger(f"run {self.runs}", params)

    def cursor(self) -> DictCursor:
        return DictCursor()

    def copy(self, entity: Entity, reference: dict[str, Any], cursor: DictCursor | None = None) -> None:
        cursor = DictCursor() if cursor is None else cursor
        tasks.load(
            entity,
            self.services,
            tasks.transform(entity, self.services, tasks.extract(entity, self.services, reference, cursor)),
        )

    # --- the way back ------------------------------------------------------------------------------

    @property
    def two_way(self) -> list[Entity]:
        """The entities that go both ways; a test may change their words in `changed`."""
        found = [entity for entity in load_catalogue().entities if entity.is_two_way]
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
        engine = sa.create_engine(MarketingDatabase.open(self.database_url).engine.url, poolclass=sa.NullPool)
        with engine.begin() as connection:
            connection.execute(sa.text(statement), values)

    def last_run(self, name: str) -> dict[str, Any]:
        query = "select * from sync_run where entity = :entity and direction = 'from_dynamics' order by begun_at desc limit 1"
        rows = self.sql(query, entity=name)
        return rows[0]

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
def sync(empty_dynamics: Any, database_url: str, tmp_path: Path) -> Sync:
    """A local Dynamics without rows and a marketing database without tables."""
    return Sync(empty_dynamics, database_url, tmp_path / "staging")


@pytest.fixture
def make_sync() -> type[Sync]:
    """For tests that bring a Dynamics of their own."""
    return Sync


@pytest.fixture
def sqlite_sync(empty_dynamics: Any, tmp_path: Path) -> Sync:
    """As `sync`, on SQLite only: for what does not depend on the database."""
    return Sync(empty_dynamics, f"sqlite:///{tmp_path / 'marketing.db'}", tmp_path / "staging")


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
