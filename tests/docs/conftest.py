"""The papers as data: their tables, fenced blocks, links and headings. And a small sync, to do what they say."""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from dynamics_emulator.testing import RunningEmulator, running_emulator
from dynamics_sync.dataverse.auth import Credentials
from dynamics_sync.dataverse.client import DataverseClient, Request, open_client
from dynamics_sync.entity import Entity
from dynamics_sync.forward import tasks
from dynamics_sync.reverse import tasks as reverse_tasks
from dynamics_sync.services import Services
from dynamics_sync.settings import Settings
from dynamics_sync.store.database import MarketingDatabase
from dynamics_sync.store.schema import entity_table

ROOT = Path(__file__).resolve().parents[2]
_FENCED = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


@dataclass(frozen=True, slots=True)
class Paper:
    """One Markdown file."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def prose(self) -> str:
        """The text without its fenced blocks."""
        return _FENCED.sub("", self.text)

    @property
    def anchors(self) -> set[str]:
        """What a link may name behind `#`, as GitHub makes it of the headings."""
        headings = re.findall(r"^#+ (.*)$", self.prose, re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

    @property
    def links(self) -> list[tuple[bool, str]]:
        """Each link: whether it shows an image, and where it leads."""
        return [(bang == "!", target) for bang, _, target in _LINK.findall(self.prose)]

    def blocks(self, language: str) -> list[str]:
        """The fenced blocks of a language."""
        return [body for _, word, body in _FENCED.findall(self.text) if word == language]

    def table(self, *header: str) -> list[list[str]]:
        """The rows of the first table with that header; KeyError if there is none."""
        for table in self._tables():
            if table[0] == list(header):
                return table[2:]
        raise KeyError(header)

    def words(self, *header: str) -> dict[str, str]:
        """First and second column of a table, without backticks."""
        return {row[0].strip("`"): row[1].strip("`") for row in self.table(*header)}

    def _tables(self) -> Iterator[list[list[str]]]:
        for block in re.findall(r"(?:^ *\|.*\n)+", self.prose + "\n", re.MULTILINE):
            lines = [line.strip() for line in block.splitlines()]
            if len(lines) > 2:
                yield [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.fixture(scope="session", autouse=True)
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Airflow makes folders where it is imported; they belong into none that is kept."""
    with pytest.MonkeyPatch.context() as patch:
        if "AIRFLOW_HOME" not in os.environ:
            patch.setenv("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow")))
        yield


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the project."""
    return ROOT


@pytest.fixture(scope="session")
def papers() -> Mapping[str, Paper]:
    """All papers by their path from the root."""
    files = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return {str(path.relative_to(ROOT)): Paper(path) for path in files}


class Memory(dict[str, Any]):
    """Stands in for Airflow's Variables."""

    def set(self, key: str, value: Any) -> None:
        self[key] = value


@dataclass(slots=True)
class Sync:
    """A local Dynamics, a marketing database in SQLite, and runs between them without Airflow."""

    dynamics: RunningEmulator
    folder: Path
    variables: Memory = field(default_factory=Memory)
    runs: int = 0

    def run(self, entity: Entity, **params: Any) -> None:
        """Do what the tasks of one run do."""
        self.runs += 1
        services, run_id = self.services, f"run {self.runs}"
        run_key, references = tasks.begin(entity, services, tasks.Trigger(run_id, params))
        for reference in references:
            staged = tasks.extract(entity, services, reference)
            tasks.load(entity, services, tasks.transform(entity, services, staged))
        tasks.finish(entity, services, run_id, run_key)

    def reverse(self, entities: Sequence[Entity], **params: Any) -> dict[str, dict[str, int]]:
        """Do what the tasks of a run of dynamics_reverse do; return the counts by entity."""
        self.runs += 1
        run_key = reverse_tasks.collect(entities, self.services, f"run {self.runs}", params)
        _, references = reverse_tasks.plan(entities, self.services, run_key)
        for reference in references:
            reverse_tasks.apply(entities, self.services, reference)
        return reverse_tasks.record(entities, self.services, run_key)

    @property
    def services(self) -> Services:
        return Services(
            Settings(), self.variables, self.folder / "staging", dynamics=self.client, marketing=self.open_database
        )

    def client(self) -> DataverseClient:
        credentials = Credentials(
            tenant_id=self.dynamics.tenant_id,
            client_id=self.dynamics.client_id,
            client_secret=self.dynamics.client_secret,
            authority=self.dynamics.authority,
            ca_file=str(self.dynamics.ca_file),
        )
        return open_client(credentials, self.dynamics.url)

    def create(self, set_name: str, **columns: Any) -> str:
        """Create a record in Dynamics; return its id."""
        answer = self.client().send(Request(set_name, method="POST", body=json.dumps(columns).encode()))
        return answer.headers["OData-EntityId"].rpartition("(")[2].rstrip(")")

    def open_database(self) -> MarketingDatabase:
        return MarketingDatabase.open(f"sqlite:///{self.folder / 'marketing.db'}")

    def rows(self, entity: Entity, *, order: str) -> list[dict[str, Any]]:
        """The rows of an entity, typed as the store reads them."""
        with self.open_database() as database, database.reading() as connection:
            table = entity_table(entity)
            return [dict(row) for row in connection.execute(sa.select(table).order_by(table.c[order])).mappings()]

    def sql(self, statement: str) -> list[dict[str, Any]]:
        """Run one statement; its rows, where it has some."""
        with self.open_database() as database, database.writing() as connection:
            result = connection.execute(sa.text(statement))
            return [dict(row) for row in result.mappings()] if result.returns_rows else []


@pytest.fixture
def sync(tmp_path: Path) -> Iterator[Sync]:
    """A local Dynamics without rows and a marketing database without tables."""
    with running_emulator(rows=0) as dynamics:
        yield Sync(dynamics, tmp_path)
