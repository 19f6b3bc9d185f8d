"""What the demo does in Dynamics moves exactly the rows that it says it moves."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from dynamics_demo.changes import WORK, Moved, make_changes
from dynamics_demo.comparison import expected_rows
from dynamics_demo.dynamics import DynamicsApi
from dynamics_demo.entities import Entity, read_entities
from dynamics_demo.problems import DemoError
from dynamics_emulator.testing import RunningEmulator, running_emulator

ENTITIES = read_entities(Path(__file__).resolve().parents[2] / "include" / "entities")


@pytest.fixture(scope="module")
def emulator() -> Iterator[RunningEmulator]:
    with running_emulator(rows=1500) as running:
        yield running


@pytest.fixture
def connection(emulator: RunningEmulator) -> dict[str, str]:
    words = ("url", "authority", "tenant_id", "client_id", "client_secret", "ca_file")
    return {word: str(getattr(emulator, word)) for word in words}


def _versions(dynamics: DynamicsApi, entity: Entity) -> Mapping[object, object]:
    return {row[entity.key_column]: row["crm_version"] for row in expected_rows(entity, dynamics)}


def test_exactly_these_rows_move(connection: dict[str, str]) -> None:
    dynamics = DynamicsApi(connection)
    before = {entity.name: _versions(dynamics, entity) for entity in ENTITIES}
    done = make_changes(dynamics, lambda _: frozenset(), "2026-03-01 08:15:00")
    for entity in ENTITIES:
        old, new = before[entity.name], _versions(dynamics, entity)
        changed = sum(1 for key in old.keys() & new.keys() if old[key] != new[key])
        moved = Moved(len(new.keys() - old.keys()), changed, len(old.keys() - new.keys()))
        assert moved == done.get(entity.name, Moved()), entity.name


def test_something_is_created_changed_and_deleted(connection: dict[str, str]) -> None:
    done = make_changes(DynamicsApi(connection), lambda _: frozenset(), "2026-03-01 08:16:00")
    for work in WORK:
        assert done[work.entity] == Moved(work.creations, work.changes, work.deletions)
    assert done["teammembership"] == Moved(created=1, deleted=1)


def test_rows_in_quarantine_are_left_alone(connection: dict[str, str]) -> None:
    dynamics = DynamicsApi(connection)
    everything = {
        work.entity: frozenset(row[work.key] for row in dynamics.rows(work.entity, (work.key,))) for work in WORK
    }
    done = make_changes(dynamics, lambda entity: everything[entity], "2026-03-01 08:17:00")
    assert all(done[work.entity] == Moved(created=work.creations) for work in WORK)


def test_a_refusal_names_the_request_and_not_the_token(connection: dict[str, str]) -> None:
    dynamics = DynamicsApi(connection)
    with pytest.raises(DemoError, match=r"Dynamics answered 404 to DELETE https://localhost:\d+/api/data/v9.2/leads"):
        dynamics.delete("lead", "00000000-0000-0000-0000-000000000001")


def test_a_wrong_secret_is_a_plain_message(connection: dict[str, str]) -> None:
    dynamics = DynamicsApi(connection | {"client_secret": "wrong"})
    with pytest.raises(DemoError, match="refused the demo's sign-in"):
        dynamics.shape("lead")
