"""A round waits for every entity, triggers what the schedule does not start, and reports what failed."""

import itertools
from typing import Any

import pytest

from dynamics_demo.airflow_api import AirflowApi
from dynamics_demo.entities import REVERSE, Entity
from dynamics_demo.problems import DemoError
from dynamics_demo.rounds import Round, rest

ENTITIES = tuple(Entity(name, name, name, f"{name}id", f"{name}_id", ()) for name in ("lead", "contact"))


def _round(airflow: AirflowApi, **options: float) -> Round:
    seconds = itertools.count()
    return Round(airflow, ENTITIES, "Runs", clock=lambda: float(next(seconds)), sleep=lambda _: None, **options)


def _triggered(stand_in: Any) -> list[str]:
    return [request for request in stand_in.requests if request.startswith("POST")]


def test_the_first_round_is_left_to_the_schedule(airflow: AirflowApi, stand_in: Any) -> None:
    runs = _round(airflow).run()
    assert {name: run.state for name, run in runs.items()} == {"lead": "success", "contact": "success"}
    assert _triggered(stand_in) == []


def test_a_later_round_is_triggered(airflow: AirflowApi, stand_in: Any) -> None:
    _round(airflow).run()
    runs = _round(airflow).run()
    assert all(run.run_id.startswith("manual") for run in runs.values())
    assert len(_triggered(stand_in)) == 2


def test_what_the_schedule_does_not_start_is_triggered(airflow: AirflowApi, stand_in: Any) -> None:
    stand_in.runs_by_schedule = False
    _round(airflow).run()
    assert sorted(_triggered(stand_in)) == ["POST /dags/dynamics_contact/dagRuns", "POST /dags/dynamics_lead/dagRuns"]


def test_a_run_that_is_still_under_way_is_waited_for(airflow: AirflowApi, stand_in: Any) -> None:
    stand_in.states = ("queued", *["running"] * 10, "success")
    runs = _round(airflow).run()
    assert all(run.is_finished for run in runs.values())


def test_a_failed_task_is_named(airflow: AirflowApi, stand_in: Any) -> None:
    stand_in.states = ("running", "failed")
    with pytest.raises(DemoError, match=r"dynamics_lead: load\[2\]"):
        _round(airflow).run()


def test_a_round_does_not_wait_for_ever(airflow: AirflowApi, stand_in: Any) -> None:
    stand_in.states = ("running",)
    with pytest.raises(DemoError, match="within 30 seconds"):
        _round(airflow, deadline=30.0).run()


def test_a_dag_without_a_schedule_is_triggered_with_its_parameters(airflow: AirflowApi, stand_in: Any) -> None:
    runs = Round(airflow, [REVERSE], "Run", parameters={"dry_run": True}, sleep=lambda _: None).run()
    assert runs["reverse"].run_id.startswith("manual")
    assert [run["conf"] for run in stand_in.runs if run["dag_id"] == "dynamics_reverse"] == [{"dry_run": True}]


def _rest(airflow: AirflowApi, deadline: float = 300.0) -> Any:
    seconds = itertools.count()
    return rest(airflow, ENTITIES, deadline=deadline, clock=lambda: float(next(seconds)), sleep=lambda _: None)


def test_dags_are_at_rest_until_the_block_ends(airflow: AirflowApi, stand_in: Any) -> None:
    stand_in.start_run("dynamics_contact", "scheduled")
    with _rest(airflow):
        assert stand_in.paused == {"dynamics_lead", "dynamics_contact"}
        assert all(stand_in.shown(run)["state"] == "success" for run in stand_in.runs)
    assert stand_in.paused == set()


def test_a_run_that_an_asset_is_about_to_bring_about_is_waited_for(airflow: AirflowApi, stand_in: Any) -> None:
    stand_in.queued_events = [{"asset_id": 1}]
    with _rest(airflow):
        assert stand_in.queued_events == []
        assert stand_in.paused == {"dynamics_lead", "dynamics_contact"}


def test_a_run_that_does_not_end_is_not_waited_for_for_ever(airflow: AirflowApi, stand_in: Any) -> None:
    stand_in.states = ("running",)
    stand_in.start_run("dynamics_contact", "scheduled")
    with pytest.raises(DemoError, match="dynamics_contact did not end in 30 seconds"), _rest(airflow, 30.0):
        pytest.fail("the block ran while something was under way")
    assert stand_in.paused == set()
