"""Whole forward runs, task by task as Airflow calls them, between the local Dynamics and both marketing databases."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
import sqlalchemy as sa
from dynamics_emulator.testing import running_emulator

from dynamics_sync.catalogue import Entity, load_catalogue
from dynamics_sync.dataverse.auth import Credentials
from dynamics_sync.dataverse.client import DataverseClient, open_client
from dynamics_sync.forward import tasks
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
    cursors: dict[str, DictCursor] = field(default_factory=dict)
    runs: int = 0

    @property
    def services(self) -> tasks.Services:
        return tasks.Services(
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
        return load_catalogue().entity(name)

    def run(self, name: str, **params: Any) -> dict[str, Any]:
        """Run an entity's DAG from begin to finish; return its row of sync_run."""
        entity = self.entity(name)
        trigger = self.trigger(**params)
        run_key, references = tasks.begin(entity, self.services, trigger)
        for reference in references:
            self.copy(entity, reference)
        tasks.finish(entity, self.services, trigger.run_id, run_key)
        return self.last_run(name)

    def trigger(self, **params: Any) -> tasks.Trigger:
        self.runs += 1
        return tasks.Trigger(f"run {self.runs}", params)

    def copy(self, entity: Entity, reference: dict[str, Any]) -> None:
        cursor = self.cursors.setdefault(f"{reference['run_key']}/{reference['slice']}", DictCursor())
        tasks.load(
            entity,
            self.services,
            tasks.transform(entity, self.services, tasks.extract(entity, self.services, reference, cursor)),
        )

    def last_run(self, name: str) -> dict[str, Any]:
        rows = self.sql("select * from sync_run where entity = :entity order by begun_at desc limit 1", entity=name)
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

    def api(self, method: str, path: str, body: Mapping[str, Any] | None = None, **headers: str) -> requests.Response:
        token = requests.post(
            f"{self.dynamics.authority}/oauth2/v2.0/token",
            data={
                "grant_type": "client_credentials",
                "client_id": self.dynamics.client_id,
                "client_secret": self.dynamics.client_secret,
                "scope": f"{self.dynamics.url}/.default",
            },
            verify=str(self.dynamics.ca_file),
            timeout=30,
        ).json()["access_token"]
        url = path if path.startswith("https://") else f"{self.dynamics.url}/api/data/v9.2/{path}"
        answer = requests.request(
            method,
            url,
            json=body,
            headers={"Authorization": f"Bearer {token}", **headers},
            verify=str(self.dynamics.ca_file),
            timeout=60,
        )
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
