"""From an entity to its DAG: tasks, their order, pools and rules, the trigger form and the page in the UI."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from airflow.sdk import DAG, CronDataIntervalTimetable

from dynamics_sync.catalogue import load_catalogue
from dynamics_sync.dag_factory import POOL, asset_of, build_dag, document
from dynamics_sync.entity import Entity
from dynamics_sync.forward.request import Mode, request_from_params
from dynamics_sync.reverse_dag import build_reverse_dag

MakeEntity = Callable[..., Entity]


@pytest.fixture(scope="module")
def make_entity() -> MakeEntity:
    """Return a function from words of the catalogue to an entity."""

    def make(**words: Any) -> Entity:
        fields: Mapping[str, Any] = {
            "acme_name": {"column": "name", "type": "text"},
            "ownerid": {"column": "owner", "type": "lookup", "targets": ["systemuser", "team"], "name": True},
            "acme_status": {"column": "attendance", "type": "option"},
        }
        return Entity.model_validate(
            {
                "entity": "acme_visit",
                "table": "visit",
                "title": "Visits",
                "description": "Who came.",
                "tags": ["custom"],
                "owner": "events",
                "key": {"name": "acme_visitid", "column": "visit_id"},
                "fields": fields,
                **words,
            }
        )

    return make


@pytest.fixture(scope="module")
def dag(make_entity: MakeEntity) -> DAG:
    return build_dag(make_entity())


def test_the_dag_says_what_it_is(dag: DAG) -> None:
    assert dag.dag_id == "dynamics_acme_visit"
    assert dag.dag_display_name == "Dynamics: Visits"
    assert dag.description == "Who came."
    assert dag.tags == {"dynamics", "custom"}
    assert {task.owner for task in dag.tasks} == {"events"}


def test_begin_then_each_slice_then_finish(dag: DAG) -> None:
    assert {task.task_id: set(task.downstream_task_ids) for task in dag.tasks} == {
        "begin": {"slice.extract", "finish"},
        "slice.extract": {"slice.transform"},
        "slice.transform": {"slice.load"},
        "slice.load": {"finish"},
        "finish": set(),
    }


def test_only_tasks_that_talk_to_dynamics_take_its_pool(dag: DAG) -> None:
    assert {task.task_id for task in dag.tasks if task.pool == POOL} == {"begin", "slice.extract"}


def test_finish_runs_without_slices_and_never_after_a_failure(dag: DAG) -> None:
    rules = {task.task_id: task.trigger_rule.value for task in dag.tasks}
    assert rules.pop("finish") == "none_failed"
    assert set(rules.values()) == {"all_success"}


def test_only_finish_updates_the_asset(dag: DAG, make_entity: MakeEntity) -> None:
    asset = asset_of(make_entity())
    assert asset.name == "marketing.visit"
    assert {task.task_id: [outlet.name for outlet in task.outlets] for task in dag.tasks if task.outlets} == {
        "finish": [asset.name]
    }


def test_every_task_is_tried_again(dag: DAG) -> None:
    assert all(task.retries == 3 and task.retry_exponential_backoff for task in dag.tasks)


def test_a_scheduled_run_has_an_interval_and_runs_alone(dag: DAG) -> None:
    assert isinstance(dag.timetable, CronDataIntervalTimetable)
    assert dag.timetable.expression == "*/5 * * * *"
    assert (dag.catchup, dag.max_active_runs) == (False, 1)
    assert dag.start_date == datetime(2000, 1, 1, tzinfo=UTC)


def test_an_entity_without_a_schedule_runs_by_hand_only(make_entity: MakeEntity) -> None:
    assert not isinstance(build_dag(make_entity(schedule=None)).timetable, CronDataIntervalTimetable)


def test_the_form_offers_every_mode_and_its_defaults_read_changes(dag: DAG) -> None:
    assert dag.params.get_param("mode").schema["enum"] == list(Mode)
    assert request_from_params(dag.params.dump()).mode is Mode.CHANGES


def test_each_entry_of_the_form_is_explained(dag: DAG) -> None:
    assert list(dag.params) == ["mode", "window_start", "window_end", "ids", "allow_deletions"]
    for name in dag.params:
        param = dag.params.get_param(name)
        assert param.schema["title"]
        assert param.description
    schema = dag.params.get_param("mode").schema
    assert schema["enum"] == list(Mode)
    for mode in Mode:
        assert schema["values_display"][mode].endswith(f"({mode})")


@pytest.mark.parametrize(
    ("name", "value", "fits"),
    [
        ("mode", "full", True),
        ("mode", "everything", False),
        ("window_start", "2026-03-01T00:00:00Z", True),
        ("ids", "a\nb", True),
        ("ids", ["a"], False),
        ("allow_deletions", True, True),
        ("allow_deletions", "yes", False),
    ],
)
def test_the_form_checks_what_is_entered(dag: DAG, name: str, value: object, fits: bool) -> None:
    taken = dag.params.get_param(name).resolve(value, suppress_exception=True)
    assert taken == (value if fits else None)


def test_the_page_in_the_ui_names_every_column_and_the_way_out(make_entity: MakeEntity, dag: DAG) -> None:
    entity = make_entity()
    assert dag.doc_md == document(entity)
    for row in (
        "| `acme_visitid` | `visit_id` | guid, key |",
        "| `acme_name` | `name` | text |",
        "| `ownerid` (id) | `owner_id` | guid |",
        "| `ownerid` (type) | `owner_type` | text |",
        "| `ownerid` (name) | `owner_name` | text |",
        "| `acme_status` (code) | `attendance_code` | integer |",
        "| `acme_status` (label) | `attendance_label` | text |",
    ):
        assert row in document(entity).splitlines()
    for word in ("sync_run", "sync_quarantine", "crm_deleted_at", "dynamics_watermark_acme_visit", *Mode):
        assert word in document(entity)


def test_no_dag_waits_for_the_slices_of_another() -> None:
    """Airflow gives a free slot to the highest weight; a large copy has hundreds of slices."""
    entities = load_catalogue().entities
    dags = [*map(build_dag, entities), build_reverse_dag([entity for entity in entities if entity.is_two_way])]
    weights = {(task.task_id, task.priority_weight, str(task.weight_rule)) for dag in dags for task in dag.tasks}
    assert {weight for task_id, weight, _ in weights if task_id == "slice.extract"} == {1}
    assert {weight for task_id, weight, _ in weights if task_id != "slice.extract"} == {2}
    assert len({rule for *_, rule in weights}) == 1
