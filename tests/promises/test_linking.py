"""A person who is new here and known there: one record at the end, with nothing lost that either row said."""

from collections.abc import Callable
from typing import Any

import pytest

MAIL = "ann@example.com"
#: Long before anything that a test does there.
LONG_AGO = "2020-01-01 00:00:00.000000"


@pytest.fixture
def sides(make_two_way: Callable[..., Any], request: pytest.FixtureRequest) -> Any:
    """Two sides whose leads are matched by e-mail; a test names the rule of the job title as its parameter."""
    text = {"type": "text"}
    lead = {
        "lastname": {"column": "last_name", **text},
        "emailaddress1": {"column": "email", **text},
        "jobtitle": {"column": "job_title", **text, "wins": getattr(request, "param", "marketing")},
        "modifiedon": {"column": "modified_at", "type": "instant", "direction": "from_dynamics"},
    }
    contact = {"lastname": {"column": "last_name", **text}}
    sides = make_two_way({"lead": lead, "contact": contact})
    sides.changed["lead"]["match"] = ("emailaddress1",)
    copy(sides)
    return sides


def copy(sides: Any) -> None:
    for name in ("lead", "contact"):
        sides.run(name)


def known(sides: Any, **words: Any) -> str:
    """A lead that is there and here; returns its GUID."""
    key: str = sides.create("leads", lastname="Lee", emailaddress1=MAIL, **words)
    copy(sides)
    return key


def insert(sides: Any, job_title: str | None, **words: Any) -> None:
    values = {"last_name": "Lee", "email": MAIL, "job_title": job_title, **words}
    names = ", ".join(values)
    sides.write(f"INSERT INTO lead ({names}) VALUES (:{', :'.join(values)})", **values)


def both(sides: Any) -> tuple[str, Any, Any]:
    """The one lead: its GUID, and its job title here and there."""
    (here,), (there,) = sides.rows("lead").values(), sides.their_rows("leads", "leadid").values()
    assert here["lead_id"] == there["leadid"]
    return here["lead_id"], here["job_title"], there["jobtitle"]


@pytest.mark.parametrize("sides", ["review"], indirect=True)
@pytest.mark.parametrize(("decision", "title"), [("ours", "CTO"), ("theirs", "CEO")])
def test_under_review_a_person_decides_about_the_values_of_a_link(sides: Any, decision: str, title: str) -> None:
    key = known(sides, jobtitle="CEO")
    insert(sides, "CTO")
    for _ in range(2):
        sides.reverse()
        copy(sides)
        assert both(sides) == (key, "CTO", "CEO")
    (conflict,) = sides.sql("SELECT * FROM sync_conflict")
    assert (conflict["ours"], conflict["theirs"], conflict["outcome"]) == ("CTO", "CEO", "open")
    sides.write("UPDATE sync_conflict SET decision = :decision", decision=decision)
    sides.reverse()
    assert both(sides) == (key, title, title)
    assert sides.sql("SELECT 1 FROM sync_conflict WHERE resolved_at IS NULL") == []


@pytest.mark.parametrize("sides", ["review"], indirect=True)
def test_an_edit_that_waits_for_review_already_is_not_overwritten_by_a_link(sides: Any) -> None:
    key = known(sides, jobtitle="CEO")
    sides.write("UPDATE lead SET job_title = 'COO'")
    insert(sides, "CTO")
    sides.reverse()
    assert both(sides)[:2] == (key, "COO")
    (conflict,) = sides.sql("SELECT * FROM sync_conflict WHERE column_name = 'job_title'")
    assert (conflict["ours"], conflict["theirs"], conflict["outcome"]) == ("CTO", "COO", "theirs")


def test_each_value_that_a_link_moves_is_in_the_history(sides: Any) -> None:
    key = known(sides, jobtitle="CEO")
    insert(sides, "CTO")
    (born,) = set(sides.rows("lead")) - {key}
    sides.reverse()
    rows = sides.sql("SELECT * FROM sync_history WHERE rule = 'matched' ORDER BY column_name")
    found = [(row["record_id"], row["column_name"], row["old_value"], row["new_value"]) for row in rows]
    assert found == [(key, "job_title", "CEO", "CTO"), (key, "lead_id", born, key)]


@pytest.mark.parametrize("sides", ["latest"], indirect=True)
@pytest.mark.parametrize("is_here", [True, False])
def test_a_link_is_no_edit_for_the_rule_of_the_latest(sides: Any, is_here: bool) -> None:
    if is_here:
        key = known(sides, jobtitle="CEO")
    else:
        key = sides.create("leads", lastname="Lee", emailaddress1=MAIL, jobtitle="CEO")
    insert(sides, "CTO", updated_at=LONG_AGO)
    sides.reverse()
    assert both(sides) == (key, "CEO", "CEO")
    (conflict,) = sides.sql("SELECT * FROM sync_conflict WHERE column_name = 'job_title'")
    assert "CTO" in (conflict["ours"], conflict["theirs"])


@pytest.mark.parametrize("sides", ["latest"], indirect=True)
def test_of_two_rows_here_the_one_that_was_edited_later_gives_all_its_values(sides: Any) -> None:
    key = known(sides)
    sides.write("UPDATE lead SET job_title = 'COO'")
    insert(sides, "CTO", last_name="Li")
    sides.reverse()
    assert both(sides) == (key, "CTO", "CTO")
    assert sides.rows("lead")[key]["last_name"] == "Li"


def test_an_empty_text_of_a_form_empties_no_record(sides: Any) -> None:
    key = sides.create("leads", lastname="Lee", emailaddress1=MAIL, jobtitle="CEO")
    insert(sides, "")
    sides.reverse()
    assert both(sides) == (key, "CEO", "CEO")


@pytest.mark.parametrize("sides", ["latest"], indirect=True)
def test_a_row_that_comes_back_by_a_link_was_not_edited_by_that(sides: Any) -> None:
    key = known(sides, jobtitle="CEO")
    sides.write("DELETE FROM lead")
    insert(sides, "CTO", updated_at="2100-01-01 00:00:00.000000")
    sides.reverse()
    assert both(sides) == (key, "CTO", "CTO")


def test_a_record_that_was_made_there_while_the_plan_waited_is_found(sides: Any) -> None:
    insert(sides, "CTO")
    run_key = sides.collect()
    (reference,) = sides.plan(run_key)
    key = sides.create("leads", lastname="Lee", emailaddress1=MAIL)
    sides.apply(reference)
    sides.record(run_key)
    assert both(sides) == (key, "CTO", "CTO")


def test_killed_at_any_moment_a_link_is_made_once_and_read(sides: Any, dies_at: Callable[..., bool]) -> None:
    # Every other moment on one database, the others on the other one.
    for moment in range(1 + (sides.database.dialect_name == "sqlite"), 80, 2):
        sides.empty()
        key = sides.create("leads", lastname="Lee", emailaddress1=MAIL, jobtitle="CEO")
        insert(sides, None)
        run_key = sides.collect()
        (reference,) = sides.plan(run_key)
        killed = dies_at(sides, moment, lambda reference=reference: sides.apply(reference))
        sides.apply(reference)
        sides.record(run_key)
        assert both(sides) == (key, "CEO", "CEO")
        if not killed:
            break
    assert 10 < moment < 77
