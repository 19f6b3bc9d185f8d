"""What a person decides is done as it was decided: about the values that were seen, once, and never the other way."""

from typing import Any

import pytest


@pytest.fixture
def sides(sync: Any) -> Any:
    """A lead of which both sides have another job title, and of which a person is to decide."""
    sync.changed["lead"] = {"wins": "review"}
    sync.key = sync.create("leads", lastname="Lee", jobtitle="CEO", address1_city="Oslo")
    sync.run("lead")
    sync.write("UPDATE lead SET job_title = 'ours'")
    sync.api("PATCH", f"leads({sync.key})", {"jobtitle": "theirs"}, **{"If-Match": "*"})
    sync.run("lead")
    return sync


def titles(sync: Any) -> tuple[str, str]:
    """Here and there."""
    there = sync.api("GET", f"leads({sync.key})").json()
    return sync.rows("lead")[sync.key]["job_title"], there["jobtitle"]


def decide(sync: Any, decision: str) -> None:
    sync.write("UPDATE sync_conflict SET decision = :decision WHERE resolved_at IS NULL", decision=decision)


@pytest.mark.parametrize("decision", ["ours", "theirs"])
def test_a_decision_outlives_an_edit_of_another_field_while_its_plan_waits(sides: Any, decision: str) -> None:
    sides.write("UPDATE lead SET city = 'Bergen'")
    decide(sides, decision)
    run_key = sides.collect()
    (reference,) = sides.plan(run_key)
    # All of the record is left for the next run.
    sides.write("UPDATE lead SET city = 'Tromsø'")
    sides.apply(reference)
    sides.record(run_key)
    (conflict,) = sides.sql("SELECT * FROM sync_conflict")
    assert (conflict["outcome"], conflict["decision"]) == ("open", decision)
    sides.reverse()
    assert titles(sides) == (decision, decision)
    (conflict,) = sides.sql("SELECT * FROM sync_conflict")
    assert (conflict["outcome"], conflict["resolved_at"] is None) == (decision, False)


@pytest.mark.parametrize("decision", ["ours", "theirs"])
def test_a_decision_is_taken_back_when_the_value_here_becomes_another(sides: Any, decision: str) -> None:
    decide(sides, decision)
    sides.write("UPDATE lead SET job_title = 'never seen'")
    sides.reverse()
    assert titles(sides) == ("never seen", "theirs")
    (conflict,) = sides.sql("SELECT * FROM sync_conflict")
    assert [conflict[name] for name in ("ours", "theirs", "decision", "outcome")] == [
        "never seen", "theirs", None, "open",
    ]  # fmt: skip
    decide(sides, "ours")
    sides.reverse()
    assert titles(sides) == ("never seen", "never seen")
