"""Whatever goes wrong on the way to Dynamics: runs that are repeated make both sides equal, once, with nothing lost.

`equal_at_the_end` asks for all of it: equal values and versions, no record twice, each edit written or kept, and each
value that was written in the history, once.
"""

import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from dynamics_sync.errors import SyncError
from dynamics_sync.store.own_writes import SENT

TEXT = {"type": "text"}
LEAD = {
    "lastname": {"column": "last_name", **TEXT},
    "jobtitle": {"column": "job_title", **TEXT},
    "subject": {"column": "topic", **TEXT},
    "fullname": {"column": "full_name", **TEXT, "direction": "from_dynamics"},
    "statecode": {"column": "state", "type": "option"},
}
CONTACT = {"lastname": {"column": "last_name", **TEXT}, "jobtitle": {"column": "job_title", **TEXT}}

#: Leads that are there before, and rows that are born here.
EDITED, BORN = 4, 2


@pytest.fixture
def sides(make_two_way: Callable[..., Any]) -> Any:
    """Four leads that were edited here, and two that were born here; nothing of it is written yet."""
    sides = make_two_way({"lead": LEAD, "contact": CONTACT})
    for number in range(EDITED):
        sides.create("leads", lastname=f"Lee {number}", jobtitle="CEO")
    sides.run("lead")
    sides.run("contact")
    sides.write("UPDATE lead SET job_title = 'CTO'")
    for number in range(BORN):
        sides.write("INSERT INTO lead (last_name, job_title) VALUES (:name, 'New')", name=f"Born {number}")
    return sides


def repeat(sides: Any, step: Callable[[], object], times: int = 4) -> None:
    """Try a step again as Airflow does, until it ends well."""
    for _ in range(times):
        try:
            step()
        except SyncError:
            continue
        return
    step()


def equal_at_the_end(sides: Any, **expected: Any) -> None:
    """Let runs follow, and ask for all promises; `expected` are values that must stand on both sides, by last name."""
    sides.dynamics.control.clear_faults()
    sides.settle()
    here, there = sides.rows("lead"), sides.their_rows("leads", "leadid")
    assert set(here) == set(there)
    assert len(there) == EDITED + BORN
    for key, row in here.items():
        theirs = there[key]
        assert (row["last_name"], row["job_title"], row["topic"]) == (
            theirs["lastname"], theirs["jobtitle"], theirs["subject"],
        )  # fmt: skip
        assert row["crm_version"] == theirs["versionnumber"]
        name = row["last_name"].split()[0]
        assert row["job_title"] == expected.get(name, {"Lee": "CTO", "Born": "New"}[name])
    history = sides.sql("SELECT * FROM sync_history WHERE side = 'dynamics'")
    written = Counter((row["record_id"], row["column_name"], row["new_value"]) for row in history)
    assert set(written.values()) == {1}
    for key, row in here.items():
        assert written[key, "job_title", row["job_title"]] == 1
        if row["last_name"].startswith("Born"):
            assert written[key, "last_name", row["last_name"]] == 1
    runs = sides.sql("SELECT * FROM sync_run WHERE direction = 'to_dynamics' AND state = 'success'")
    for run in runs:
        parts = ("inserted", "updated", "unchanged", "filtered", "rejected", "postponed")
        assert run["read_rows"] == sum(run[part] for part in parts)


# --- killed ------------------------------------------------------------------------------------------


def test_killed_at_each_moment_of_each_task(sides: Any, dies_at: Callable[..., bool]) -> None:
    """Before the batch leaves, after Dynamics committed, before our commit, after it, and at all moments in between."""
    deaths = Counter()

    def kill(name: str, step: Callable[[], object]) -> Any:
        moment = 1
        while dies_at(sides, moment, step):
            deaths[name] += 1
            moment += 1
        return step()

    # collect and plan name their run by the number of runs, which a child cannot count up for us.
    run_key = kill("collect", sides.collect)
    references = kill("plan", lambda: sides.plan(run_key))
    (reference,) = references
    kill("apply", lambda: sides.apply(reference))
    kill("record", lambda: sides.record(run_key))
    assert deaths["apply"] >= 8
    assert min(deaths.values()) >= 2
    equal_at_the_end(sides)


def test_a_run_that_is_killed_is_followed_by_another(sides: Any, dies_at: Callable[..., bool]) -> None:
    """Nobody tries the killed task again: the next run finds what was written and what was not."""
    moment = 1
    while dies_at(sides, moment, sides.reverse):
        sides.runs += 1
        moment += 3
    assert moment > 10
    equal_at_the_end(sides)


# --- the wire ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("drop-before", {"match": "$batch"}),
        ("drop-after", {"match": "$batch"}),
        ("drop-during", {"match": "$batch"}),
        ("status-503", {"match": "$batch"}),
        ("status-429", {"match": "$batch"}),
        ("truncated-json", {"in_batch": True}),
        ("status-429", {"in_batch": True, "at": [2, 5]}),
        ("status-503", {"in_batch": True, "at": [1]}),
        ("token-expired-401", {"in_batch": True, "at": [3]}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(map(str, value.values())).lower(),
)
def test_broken_answers(sides: Any, fault: str, words: dict[str, Any]) -> None:
    run_key = sides.collect()
    (reference,) = sides.plan(run_key)
    active = sides.dynamics.control.add_fault(fault, **words)
    repeat(sides, lambda: sides.apply(reference))
    assert active.hits >= 1
    sides.record(run_key)
    equal_at_the_end(sides)


def test_throttling_in_the_middle_of_a_batch_is_waited_for_and_only_the_rest_is_sent_again(sides: Any) -> None:
    run_key = sides.collect()
    (reference,) = sides.plan(run_key)
    sides.dynamics.control.add_fault("status-429", in_batch=True, at=[2, 5])
    sides.waits.clear()
    sides.wire.sent.clear()
    counts = sides.apply(reference)
    assert (counts["updated"], counts["inserted"]) == (EDITED, BORN)
    assert max(sides.waits) >= 1
    assert len([line for line in sides.wire.sent if line.startswith("POST")]) == 2


def test_an_unanswered_batch_is_left_to_airflow_and_then_found_written(sides: Any) -> None:
    run_key = sides.collect()
    (reference,) = sides.plan(run_key)
    sides.dynamics.control.add_fault("drop-after", match="$batch", times=50)
    with pytest.raises(SyncError) as failure:
        sides.apply(reference)
    assert failure.value.code == "DS-301"
    assert sides.sql("SELECT DISTINCT state FROM sync_plan") == [{"state": SENT}]
    sides.dynamics.control.clear_faults()
    sides.apply(reference)
    sides.record(run_key)
    equal_at_the_end(sides)


# --- people, meanwhile -----------------------------------------------------------------------------------


def test_records_that_are_edited_in_dynamics_all_the_time_are_left_and_written_later(sides: Any, writes: Any) -> None:
    """A storm of 412: each time before our batch arrives somebody is faster."""
    edits = []

    def edit(request: Any) -> None:
        if writes(request):
            edits.append(len(edits))
            for key, row in sides.their_rows("leads", "leadid").items():
                if row["lastname"].startswith("Lee"):
                    sides.edit_there("leads", key, {"subject": f"Call {len(edits)}"})

    sides.wire.before.append(edit)
    counts = sides.reverse()["lead"]
    assert (counts["inserted"], counts["updated"], counts["postponed"]) == (BORN, 0, EDITED)
    # It gave up after a few rounds, and did not go on for ever.
    assert len(edits) == 1 + sides.services.settings.conflict_rounds
    assert sides.services.reverse_watermark(sides.entity("lead")).read() is None
    sides.wire.before.clear()
    equal_at_the_end(sides)
    assert {row["topic"] for row in sides.rows("lead").values()} == {f"Call {len(edits)}", None}


def test_an_edit_here_between_plan_and_apply_is_what_is_written(sides: Any) -> None:
    run_key = sides.collect()
    (reference,) = sides.plan(run_key)
    sides.write("UPDATE lead SET job_title = 'CFO' WHERE last_name LIKE 'Lee%'")
    counts = sides.apply(reference)
    assert (counts["inserted"], counts["updated"], counts["postponed"]) == (BORN, 0, EDITED)
    sides.record(run_key)
    equal_at_the_end(sides, Lee="CFO")


def test_an_edit_here_between_apply_and_record_is_written_next(sides: Any, writes: Any) -> None:
    def edit(request: Any) -> None:
        if writes(request):
            sides.write("UPDATE lead SET job_title = 'CFO' WHERE last_name LIKE 'Lee%'")

    sides.wire.after.append(edit)
    sides.reverse()
    sides.wire.after.clear()
    here = {row["job_title"] for row in sides.rows("lead").values() if row["last_name"].startswith("Lee")}
    assert here == {"CFO"}
    sides.settle()
    there = {row["jobtitle"] for row in sides.their_rows("leads", "leadid").values() if row["lastname"][:3] == "Lee"}
    assert there == {"CFO"}
    values = [row["new_value"] for row in sides.sql("SELECT new_value FROM sync_history WHERE side = 'dynamics'")]
    assert (values.count("CTO"), values.count("CFO")) == (EDITED, EDITED)


def test_our_own_write_that_comes_back_is_no_conflict_with_a_newer_edit(sides: Any) -> None:
    """Its answer was lost. By the rule for contacts Dynamics would win, with a value that is our own."""
    sides.create("contacts", lastname="Kim", jobtitle="CEO")
    sides.run("contact")
    sides.write("UPDATE contact SET job_title = 'Newest but one'")
    reference = next(one for one in sides.plan(sides.collect()) if one["entity"] == "contact")
    sides.dynamics.control.add_fault("drop-after", match="$batch", times=50)
    with pytest.raises(SyncError):
        sides.apply(reference)
    sides.write("UPDATE contact SET job_title = 'Newer'")
    sides.dynamics.control.clear_faults()
    # Whether the same task is tried again, or a run that copies comes first.
    sides.run("contact")
    sides.apply(reference)
    assert sides.sql("SELECT * FROM sync_conflict") == []
    sides.settle()
    assert [row["job_title"] for row in sides.rows("contact").values()] == ["Newer"]
    assert [row["jobtitle"] for row in sides.their_rows("contacts", "contactid").values()] == ["Newer"]
    query = "SELECT new_value FROM sync_history WHERE side = 'dynamics' AND entity = 'contact' ORDER BY history_id"
    assert [row["new_value"] for row in sides.sql(query)] == ["Newest but one", "Newer"]


def lose_the_answer(sides: Any, statement: str) -> dict[str, Any]:
    """Write something to the one contact, whose answer does not come; return the reference of the batch."""
    sides.create("contacts", lastname="Kim", jobtitle="CEO")
    sides.run("contact")
    sides.write(statement)
    reference: dict[str, Any] = next(one for one in sides.plan(sides.collect()) if one["entity"] == "contact")
    sides.dynamics.control.add_fault("drop-after", match="$batch", times=50)
    with pytest.raises(SyncError):
        sides.apply(reference)
    sides.dynamics.control.clear_faults()
    return reference


def test_our_own_write_is_known_though_dynamics_trimmed_it(sides: Any) -> None:
    sides.dynamics.control.change_settings(trims_text="both")
    reference = lose_the_answer(sides, "UPDATE contact SET job_title = ' Spaced '")
    sides.write("UPDATE contact SET job_title = 'Newer'")
    sides.run("contact")
    sides.apply(reference)
    assert sides.sql("SELECT * FROM sync_conflict") == []
    sides.settle()
    assert [row["jobtitle"] for row in sides.their_rows("contacts", "contactid").values()] == ["Newer"]
    assert len(sides.sql("SELECT 1 FROM sync_history WHERE side = 'dynamics' AND entity = 'contact'")) == 2


def test_a_run_that_is_cleared_from_its_beginning_knows_what_it_had_sent(sides: Any) -> None:
    lose_the_answer(sides, "UPDATE contact SET job_title = 'Older'")
    sides.write("UPDATE contact SET job_title = 'Newer'")
    sides.runs -= 1  # The same run once more.
    run_key = sides.collect()
    for reference in sides.plan(run_key):
        sides.apply(reference)
    sides.record(run_key)
    assert sides.sql("SELECT * FROM sync_conflict") == []
    sides.settle()
    assert [row["jobtitle"] for row in sides.their_rows("contacts", "contactid").values()] == ["Newer"]
    query = "SELECT new_value FROM sync_history WHERE side = 'dynamics' AND entity = 'contact' ORDER BY history_id"
    assert [row["new_value"] for row in sides.sql(query)] == ["Older", "Newer"]


def test_a_record_at_which_dynamics_fails_each_time_holds_up_nobody(sides: Any) -> None:
    run_key = sides.collect()
    (reference,) = sides.plan(run_key)

    def strike(request: Any) -> None:
        """Let the one record fail whenever it is sent; Dynamics is well otherwise."""
        body = request.body if isinstance(request.body, bytes) else b""
        sides.dynamics.control.clear_faults()
        parts = re.findall(rb"\r\nPATCH /?\S*?leads\(([0-9a-f-]+)\)", body)
        if unlucky in parts:
            sides.dynamics.control.add_fault("status-500", in_batch=True, at=[parts.index(unlucky) + 1])

    unlucky = min(sides.rows("lead")).encode()
    sides.wire.before.append(strike)
    sides.apply(reference)
    counts = sides.record(run_key)["lead"]
    sides.wire.before.clear()
    assert (counts["rejected"], counts["updated"] + counts["inserted"]) == (1, EDITED + BORN - 1)
    (row,) = sides.sql("SELECT * FROM sync_quarantine WHERE resolved_at IS NULL")
    assert (row["record_key"].encode(), row["code"]) == (unlucky, "DS-303")
    sides.reverse(mode="quarantine")
    equal_at_the_end(sides)


def test_a_run_that_copies_our_write_before_it_is_recorded_makes_no_conflict(sides: Any, writes: Any) -> None:
    sides.create("contacts", lastname="Kim", jobtitle="CEO")
    sides.run("contact")
    sides.write("UPDATE contact SET job_title = 'Newest but one'")

    def copy(request: Any) -> None:
        if writes(request):
            sides.wire.after.clear()
            sides.write("UPDATE contact SET job_title = 'Newer'")
            sides.run("contact")

    sides.wire.after.append(copy)
    sides.reverse()
    assert sides.sql("SELECT * FROM sync_conflict") == []
    sides.settle()
    assert [row["jobtitle"] for row in sides.their_rows("contacts", "contactid").values()] == ["Newer"]
    query = "SELECT new_value FROM sync_history WHERE side = 'dynamics' AND entity = 'contact' ORDER BY history_id"
    assert [row["new_value"] for row in sides.sql(query)] == ["Newest but one", "Newer"]


# --- refusals --------------------------------------------------------------------------------------------


def test_dynamics_refuses_everything(sides: Any) -> None:
    sides.dynamics.control.add_rule("lead", "jobtitle ne null", "Not today.")
    counts = sides.reverse()["lead"]
    assert (counts["read"], counts["rejected"]) == (EDITED + BORN, EDITED + BORN)
    assert len(sides.refused("lead")) == EDITED + BORN
    rows = sides.sql("SELECT * FROM sync_quarantine WHERE resolved_at IS NULL")
    assert {row["dataverse_code"] for row in rows} == {"0x80040265"}
    # They wait, and do not come again with each run.
    assert sides.reverse(mode="full")["lead"]["read"] == 0
    sides.dynamics.control.clear_rules()
    assert sides.reverse(mode="quarantine")["lead"]["rejected"] == 0
    assert sides.refused("lead") == set()
    equal_at_the_end(sides)


def test_the_marketing_database_refuses_the_commit(sides: Any) -> None:
    """Dynamics has committed when our transaction fails: that is undone, and the next try finds what was written."""
    run_key = sides.collect()
    (reference,) = sides.plan(run_key)
    refuse_history(sides)
    with pytest.raises(SyncError) as failure:
        sides.apply(reference)
    assert failure.value.code == "DS-707"
    assert {row["jobtitle"] for row in sides.their_rows("leads", "leadid").values()} == {"CTO", "New"}
    assert len(sides.sql("SELECT 1 FROM lead_base WHERE job_title = 'CEO'")) == EDITED
    assert sides.sql("SELECT * FROM sync_history WHERE side = 'dynamics'") == []
    accept_history(sides)
    sides.apply(reference)
    sides.record(run_key)
    equal_at_the_end(sides)


def refuse_history(sides: Any) -> None:
    if sides.database.dialect_name == "sqlite":
        sides.write(
            "CREATE TRIGGER refusal BEFORE INSERT ON sync_history WHEN NEW.side = 'dynamics'"
            " BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
        return
    sides.write("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$")
    # It is asked at the commit, and not before.
    sides.write(
        "CREATE CONSTRAINT TRIGGER refusal AFTER INSERT ON sync_history DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW WHEN (NEW.side = 'dynamics') EXECUTE FUNCTION refuse()"
    )


def accept_history(sides: Any) -> None:
    sides.write("DROP TRIGGER refusal" + (" ON sync_history" if sides.database.dialect_name == "postgresql" else ""))


# --- by mistake --------------------------------------------------------------------------------------------


def test_two_runs_at_once_send_nothing_to_harm(sides: Any) -> None:
    one, other = sides.collect(), sides.collect()
    (first,), (second,) = sides.plan(one), sides.plan(other)
    assert sides.apply(first)["updated"] == EDITED
    counts = sides.apply(second)
    assert (counts["updated"], counts["inserted"], counts["unchanged"]) == (0, 0, EDITED + BORN)
    sides.record(other)
    sides.record(one)
    equal_at_the_end(sides)


def test_two_runs_at_the_same_moment_send_nothing_to_harm(sides: Any, at_once: Callable[..., None]) -> None:
    """As above, but both apply at once, each in a process of its own."""
    one, other = sides.collect(), sides.collect()
    (first,), (second,) = sides.plan(one), sides.plan(other)
    at_once(sides, lambda: sides.apply(first), lambda: sides.apply(second))
    for reference in (first, second):
        sides.apply(reference)  # As Airflow would, if one of them had met the other and failed.
    sides.record(other)
    sides.record(one)
    equal_at_the_end(sides)


def test_another_organisation_is_noticed_before_anything_is_written(sides: Any) -> None:
    run_key = sides.collect()
    (reference,) = sides.plan(run_key)
    sides.dynamics.control.copy_environment()
    before = sides.their_rows("leads", "leadid")
    for step in (lambda: sides.apply(reference), lambda: sides.plan(sides.collect())):
        with pytest.raises(SyncError) as failure:
            step()
        assert failure.value.code == "DS-701"
    assert sides.their_rows("leads", "leadid") == before


def test_a_week_of_pause_is_caught_up(sides: Any) -> None:
    """The watermark says where to go on, however long ago it was; a full comparison finds what has no fresh stamp."""
    sides.reverse()
    stamp = "'2020-01-01 00:00:00.000000'"
    sides.write(f"UPDATE lead SET job_title = 'COO', updated_at = {stamp} WHERE last_name LIKE 'Lee%'")
    assert sides.reverse()["lead"]["read"] == 0
    sides.settings |= {"full_comparison_hours": 0}
    assert sides.reverse()["lead"]["updated"] == EDITED
    equal_at_the_end(sides, Lee="COO")


def test_a_pause_in_which_both_sides_worked_is_caught_up(sides: Any) -> None:
    sides.reverse()
    sides.settings |= {"full_comparison_hours": 0}  # It took longer than that.
    keys = sorted(key for key, row in sides.rows("lead").items() if row["last_name"].startswith("Lee"))
    for _ in range(3):
        sides.write("UPDATE lead SET job_title = 'COO' WHERE last_name LIKE 'Lee%'")
        for key in keys:
            sides.edit_there("leads", key, {"subject": "There"})
    sides.edit_there("leads", keys[0], {"jobtitle": "Theirs"})
    sides.write("DELETE FROM lead WHERE lead_id = :key", key=keys[3])
    sides.api("DELETE", f"leads({keys[1]})")
    # Writing before reading works, too.
    sides.reverse()
    for _ in range(2):
        sides.run("lead")
        sides.write("UPDATE sync_conflict SET decision = 'ours' WHERE resolved_at IS NULL")
        sides.reverse()
    sides.settle()
    here, there = sides.rows("lead"), sides.their_rows("leads", "leadid")
    assert set(there) - set(here) == {keys[3]}  # Deleted here, which is nothing to Dynamics.
    assert there[keys[3]]["subject"] == "There"
    for key in keys[:3]:
        assert (here[key]["job_title"], there[key]["jobtitle"]) == ("COO", "COO")
        assert here[key]["topic"] == there[key]["subject"]
    lost = sides.sql("SELECT theirs FROM sync_conflict WHERE column_name = 'job_title' AND outcome = 'ours'")
    assert {row["theirs"] for row in lost} == {"Theirs"}
