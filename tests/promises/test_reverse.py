"""The way back: what a marketer writes with plain SQL reaches Dynamics, once, and both sides end equal."""

import json
from typing import Any

import pytest
import sqlalchemy as sa

from dynamics_sync.errors import CatalogueChanged, CountsDoNotAddUp, EntityStopped, EnvironmentChanged

COUNTS = ("read", "inserted", "updated", "unchanged", "filtered", "rejected", "postponed")


def counts(done: dict[str, dict[str, int]], entity: str = "lead") -> dict[str, int]:
    return {name: number for name, number in done[entity].items() if number}


def copy(sync: Any, *names: str) -> None:
    """The first copy; without it an entity is left out on the way back."""
    for name in names or ("lead",):
        sync.run(name)


def lead(sync: Any, key: str) -> dict[str, Any]:
    return sync.api("GET", f"leads({key})").json()


def test_an_edit_here_is_written_there_and_then_writes_stop(sync: Any) -> None:
    key = sync.create("leads", lastname="Lee", firstname="Ann", subject="Fair")
    copy(sync)
    sync.write("UPDATE lead SET job_title = 'CTO'")
    assert counts(sync.reverse()) == {"read": 1, "updated": 1}
    assert lead(sync, key)["jobtitle"] == "CTO"
    version = lead(sync, key)["versionnumber"]
    assert sync.rows("lead")[key]["crm_version"] == version
    assert counts(sync.reverse()) == {}
    run = sync.run("lead")
    assert (run["state"], run["updated"]) == ("success", 0)
    assert counts(sync.reverse(mode="full")) == {}
    assert lead(sync, key)["versionnumber"] == version
    (row,) = sync.sql("select * from sync_history where side = 'dynamics'")
    assert (row["record_id"], row["column_name"], row["old_value"], row["new_value"]) == (key, "job_title", None, "CTO")


def test_a_row_that_is_born_here_is_created_there_under_its_guid(sync: Any) -> None:
    copy(sync)
    sync.write("INSERT INTO lead (first_name, last_name, email) VALUES ('Ann', 'Lee', 'ann@example.com')")
    (key,) = sync.rows("lead")
    assert counts(sync.reverse()) == {"read": 1, "inserted": 1}
    there = lead(sync, key)
    assert (there["lastname"], there["emailaddress1"]) == ("Lee", "ann@example.com")
    here = sync.rows("lead")[key]
    assert (here["full_name"], here["crm_version"]) == ("Ann Lee", there["versionnumber"])
    assert here["state_code"] == 0
    sync.run("lead")
    assert counts(sync.reverse()) == {}
    assert len(sync.their_rows("leads", "leadid")) == 1


def test_both_sides_change_and_the_rule_decides(sync: Any) -> None:
    key = sync.create("leads", lastname="Lee", jobtitle="CEO", subject="Fair")
    person = sync.create("contacts", lastname="Kim", jobtitle="CEO", department="Sales")
    copy(sync, "lead", "contact")
    for table in ("lead", "contact"):
        sync.write(f"UPDATE {table} SET job_title = 'ours', city = 'Here'")
    sync.api("PATCH", f"leads({key})", {"jobtitle": "theirs", "subject": "There"}, **{"If-Match": "*"})
    sync.api("PATCH", f"contacts({person})", {"jobtitle": "theirs", "department": "There"}, **{"If-Match": "*"})
    sync.run("lead")
    sync.run("contact")
    assert counts(sync.reverse()) == {"read": 1, "updated": 1}
    here, there = sync.rows("lead")[key], lead(sync, key)
    assert (here["job_title"], here["city"], here["topic"]) == ("ours", "Here", "There")
    assert (there["jobtitle"], there["address1_city"], there["subject"]) == ("ours", "Here", "There")
    here, there = sync.rows("contact")[person], sync.api("GET", f"contacts({person})").json()
    assert (here["job_title"], here["city"], here["department"]) == ("theirs", "Here", "There")
    assert (there["jobtitle"], there["address1_city"]) == ("theirs", "Here")
    rows = sync.sql("select * from sync_conflict order by entity desc")
    found = [(r["entity"], r["column_name"], r["base"], r["ours"], r["theirs"], r["rule"], r["outcome"]) for r in rows]
    assert found == [
        ("lead", "job_title", "CEO", "ours", "theirs", "marketing", "ours"),
        ("contact", "job_title", "CEO", "ours", "theirs", "dynamics", "theirs"),
    ]


def test_a_stale_version_is_read_merged_and_sent_again(sync: Any) -> None:
    key = sync.create("leads", lastname="Lee", subject="Fair")
    copy(sync)
    sync.write("UPDATE lead SET job_title = 'CTO'")
    sync.api("PATCH", f"leads({key})", {"subject": "There"}, **{"If-Match": "*"})
    assert counts(sync.reverse()) == {"read": 1, "updated": 1}
    there = lead(sync, key)
    assert (there["jobtitle"], there["subject"]) == ("CTO", "There")
    assert sync.rows("lead")[key]["topic"] == "There"


def test_a_row_deleted_here_does_nothing_there_and_does_not_come_back(sync: Any) -> None:
    key = sync.create("leads", lastname="Lee")
    copy(sync)
    sync.write("DELETE FROM lead")
    assert counts(sync.reverse()) == {}
    sync.api("PATCH", f"leads({key})", {"subject": "There"}, **{"If-Match": "*"})
    sync.run("lead")
    sync.run("lead", mode="full")
    assert sync.rows("lead") == {}
    assert lead(sync, key)["subject"] == "There"


@pytest.mark.parametrize(("policy", "words"), [("delete", {}), ("deactivate", {"inactive_state": 2})])
def test_a_row_deleted_here_is_deleted_or_deactivated_there_by_choice(sync: Any, policy: str, words: Any) -> None:
    sync.changed["lead"] = {"deleted_here": policy, **words}
    key = sync.create("leads", lastname="Lee")
    copy(sync)
    sync.write("DELETE FROM lead")
    sync.reverse()
    (run,) = sync.sql("select * from sync_run where direction = 'to_dynamics' and entity = 'lead'")
    assert (run["read_rows"], run["deleted"]) == (0, 1)
    if policy == "delete":
        assert sync.their_rows("leads", "leadid") == {}
    else:
        assert lead(sync, key)["statecode"] == 2
    sync.run("lead")
    assert counts(sync.reverse(mode="full")) == {}
    assert sync.rows("lead") == {}


def test_a_record_deleted_there_while_it_was_edited_here_is_a_conflict(sync: Any) -> None:
    key = sync.create("leads", lastname="Lee")
    copy(sync)
    sync.write("UPDATE lead SET job_title = 'CTO'")
    sync.api("DELETE", f"leads({key})")
    assert counts(sync.reverse()) == {"read": 1, "unchanged": 1}
    row = sync.rows("lead")[key]
    assert row["crm_deleted_at"] is not None
    assert row["job_title"] == "CTO"
    (conflict,) = sync.sql("select * from sync_conflict")
    assert (conflict["column_name"], conflict["outcome"], conflict["resolved_at"]) == ("", "open", None)
    assert counts(sync.reverse(mode="full")) == {}
    sync.write("UPDATE sync_conflict SET decision = 'ours'")
    assert counts(sync.reverse()) == {"read": 1, "inserted": 1}
    assert lead(sync, key)["jobtitle"] == "CTO"
    assert sync.rows("lead")[key]["crm_deleted_at"] is None
    sync.run("lead")
    assert counts(sync.reverse(mode="full")) == {}


def test_a_refused_row_is_set_aside_and_the_others_go_on(sync: Any) -> None:
    long, short = sync.create("leads", lastname="Long"), sync.create("leads", lastname="Short")
    copy(sync)
    sync.write("UPDATE lead SET job_title = :title", title="x" * 4000)
    sync.write("UPDATE lead SET job_title = 'CTO' WHERE last_name = 'Short'")
    assert counts(sync.reverse()) == {"read": 2, "updated": 1, "rejected": 1}
    assert lead(sync, short)["jobtitle"] == "CTO"
    (row,) = sync.sql("select * from sync_quarantine where resolved_at is null")
    assert (row["direction"], row["record_key"], row["code"]) == ("to_dynamics", long, "DS-422")
    assert row["dataverse_code"] == "0x80044331"
    assert "xxx" not in row["reason"]
    assert counts(sync.reverse(mode="full")) == {}
    assert counts(sync.reverse(mode="quarantine")) == {"read": 1, "rejected": 1}
    sync.write("UPDATE lead SET job_title = 'CEO' WHERE last_name = 'Long'")
    assert counts(sync.reverse()) == {"read": 1, "updated": 1}
    assert sync.sql("select * from sync_quarantine where resolved_at is null") == []


def test_a_new_row_is_linked_with_the_record_that_is_there_already(sync: Any) -> None:
    key = sync.create("leads", lastname="Lee", emailaddress1="Ann@Example.com", jobtitle="CEO")
    copy(sync)
    sync.write("INSERT INTO lead (last_name, email, city) VALUES ('Li', 'ann@example.com', 'Here')")
    done = counts(sync.reverse())
    assert done == {"read": 2, "unchanged": 1, "updated": 1}
    (here,) = sync.rows("lead").values()
    there = lead(sync, key)
    assert len(sync.their_rows("leads", "leadid")) == 1
    assert (here["lead_id"], here["last_name"], here["city"], here["job_title"]) == (key, "Li", "Here", "CEO")
    assert (there["lastname"], there["address1_city"]) == ("Li", "Here")
    sync.run("lead")
    assert counts(sync.reverse(mode="full")) == {}


def test_several_matches_go_to_quarantine_with_the_candidates(sync: Any) -> None:
    keys = {sync.create("leads", lastname=name, emailaddress1="ann@example.com") for name in ("Lee", "Li")}
    copy(sync)
    sync.write("INSERT INTO lead (last_name, email) VALUES ('New', 'ann@example.com')")
    assert counts(sync.reverse()) == {"read": 1, "rejected": 1}
    (row,) = sync.sql("select * from sync_quarantine")
    assert row["code"] == "DS-608"
    assert all(key in row["payload"] for key in keys)
    assert set(sync.their_rows("leads", "leadid")) == keys


def test_a_dry_run_writes_the_plan_and_nothing_else(sync: Any) -> None:
    key = sync.create("leads", lastname="Lee", jobtitle="CEO")
    copy(sync)
    sync.write("UPDATE lead SET job_title = 'CTO'")
    before = lead(sync, key)
    assert counts(sync.reverse(dry_run=True)) == {"read": 1, "postponed": 1}
    assert lead(sync, key) == before
    (row,) = sync.sql("select * from sync_plan")
    found = [row[name] for name in ("record_id", "operation", "column_name", "old_value", "new_value", "rule")]
    assert found == [key, "update", "job_title", "CEO", "CTO", "changed here"]
    assert counts(sync.reverse()) == {"read": 1, "updated": 1}


def test_rows_are_held_back_until_the_condition_of_the_catalogue_is_true(sync: Any) -> None:
    sync.changed["lead"] = {"create_when": [{"field": "numberofemployees", "is": "at_least", "value": 50}]}
    copy(sync)
    sync.write("INSERT INTO lead (last_name, employee_count) VALUES ('Small', 10), ('Big', 50), ('Nobody', NULL)")
    assert counts(sync.reverse()) == {"read": 3, "inserted": 1, "filtered": 2}
    assert [row["lastname"] for row in sync.their_rows("leads", "leadid").values()] == ["Big"]
    sync.write("UPDATE lead SET employee_count = 51 WHERE last_name = 'Small'")
    assert counts(sync.reverse())["inserted"] == 1


def test_a_review_waits_for_a_person(sync: Any) -> None:
    sync.changed["lead"] = {"wins": "review"}
    key = sync.create("leads", lastname="Lee", jobtitle="CEO")
    copy(sync)
    sync.write("UPDATE lead SET job_title = 'ours'")
    sync.api("PATCH", f"leads({key})", {"jobtitle": "theirs"}, **{"If-Match": "*"})
    sync.run("lead")
    assert counts(sync.reverse()) == {}
    assert (sync.rows("lead")[key]["job_title"], lead(sync, key)["jobtitle"]) == ("ours", "theirs")
    sync.write("UPDATE sync_conflict SET decision = 'theirs'")
    assert counts(sync.reverse()) == {"read": 1, "unchanged": 1}
    assert sync.rows("lead")[key]["job_title"] == "theirs"
    sync.write("UPDATE lead SET job_title = 'mine'")
    assert counts(sync.reverse()) == {"read": 1, "updated": 1}


def test_what_belongs_to_dynamics_is_put_back(sync: Any) -> None:
    key = sync.create("leads", lastname="Lee", firstname="Ann")
    copy(sync)
    sync.write("UPDATE lead SET full_name = 'Somebody'")
    assert counts(sync.reverse()) == {"read": 1, "unchanged": 1}
    assert sync.rows("lead")[key]["full_name"] == "Ann Lee"
    (conflict,) = sync.sql("select * from sync_conflict")
    assert (conflict["ours"], conflict["outcome"]) == ("Somebody", "theirs")
    assert counts(sync.reverse(mode="full")) == {}


# --- what a reader of the code found ------------------------------------------------------------------


def test_a_person_who_comes_back_does_not_empty_the_record(sync: Any) -> None:
    key = sync.create("leads", lastname="Lee", emailaddress1="ann@example.com", jobtitle="CEO")
    copy(sync)
    sync.write("DELETE FROM lead")
    sync.write("INSERT INTO lead (last_name, email) VALUES ('Lee', 'ann@example.com')")
    sync.reverse()
    assert lead(sync, key)["jobtitle"] == "CEO"
    assert sync.rows("lead")[key]["job_title"] == "CEO"
    assert counts(sync.reverse(mode="full")) == {}


def test_an_entity_that_begins_to_go_both_ways_has_no_differences(sync: Any) -> None:
    fields = sync.entity("account").model_dump(by_alias=True)["fields"]
    sync.create("accounts", name="Acme")
    sync.changed["account"] = {"fields": {"name": fields["name"]}}
    sync.run("account")
    # Together with another column, which is added at the same moment.
    both = {"name": fields["name"], "telephone1": {"column": "phone", "type": "text"}}
    sync.changed["account"] = {"fields": both, "direction": "two_way", "wins": "dynamics"}
    sync.run("account")
    assert len(sync.sql("SELECT * FROM account_base")) == 1
    assert sync.sql("SELECT 1 FROM account_base b JOIN account a ON a.account_id = b.account_id AND a.name = b.name")


def test_a_catalogue_that_was_edited_while_a_plan_waited_stops_it(sync: Any) -> None:
    key = sync.create("leads", lastname="Lee")
    copy(sync)
    sync.write("UPDATE lead SET job_title = 'CTO'")
    run_key = sync.collect()
    (reference,) = sync.plan(run_key)
    sync.changed["lead"] = {"approve_above": 7}
    for step in (lambda: sync.apply(reference), lambda: sync.record(run_key)):
        with pytest.raises(CatalogueChanged):
            step()
    assert lead(sync, key)["jobtitle"] is None


def test_replaying_the_quarantine_deletes_nothing(sync: Any) -> None:
    sync.changed["lead"] = {"deleted_here": "delete"}
    sync.create("leads", lastname="Lee")
    copy(sync)
    sync.write("DELETE FROM lead")
    sync.reverse(mode="quarantine")
    assert len(sync.their_rows("leads", "leadid")) == 1


def test_the_breaker_stops_one_entity_and_not_the_other(sync: Any) -> None:
    sync.changed["lead"] = {"deleted_here": "delete"}
    for number in range(8):
        sync.create("leads", lastname=f"Lee {number}")
    person = sync.create("contacts", lastname="Kim")
    copy(sync, "lead", "contact")
    sync.write("DELETE FROM lead")
    sync.write("UPDATE contact SET job_title = 'CTO'")
    with pytest.raises(EntityStopped, match="DS-702 lead: 8 of 8 living rows would be deleted in Dynamics"):
        sync.reverse()
    assert len(sync.their_rows("leads", "leadid")) == 8
    assert sync.api("GET", f"contacts({person})").json()["jobtitle"] == "CTO"
    states = sync.sql("SELECT entity, state, error_code FROM sync_run WHERE direction = 'to_dynamics'")
    assert {(row["entity"], row["state"], row["error_code"]) for row in states} == {
        ("lead", "failed", "DS-702"),
        ("contact", "success", None),
    }
    sync.reverse(allow_deletions=True)
    assert sync.their_rows("leads", "leadid") == {}


def test_what_sqlite_takes_and_no_column_can_hold_costs_its_own_row(sqlite_sync: Any) -> None:
    sync = sqlite_sync
    odd, good = sync.create("leads", lastname="Odd"), sync.create("leads", lastname="Good")
    copy(sync)
    sync.write("UPDATE lead SET employee_count = 'many', job_title = 'CTO' WHERE last_name = 'Odd'")
    sync.write("UPDATE lead SET employee_count = 7 WHERE last_name = 'Good'")
    assert counts(sync.reverse()) == {"read": 2, "updated": 1, "rejected": 1}
    assert lead(sync, good)["numberofemployees"] == 7
    (row,) = sync.sql("SELECT * FROM sync_quarantine")
    assert (row["record_key"], row["code"], row["column_name"]) == (odd, "DS-602", "employee_count")
    with pytest.raises(sa.exc.IntegrityError, match="lead_key_form"):
        sync.write("INSERT INTO lead (lead_id, last_name) VALUES ('3F0C0000-0000-4000-8000-00000000000A', 'Lee')")


def test_an_empty_text_is_sent_once(sync: Any) -> None:
    copy(sync)
    sync.write("INSERT INTO lead (last_name, job_title) VALUES ('Lee', '')")
    assert counts(sync.reverse()) == {"read": 1, "inserted": 1}
    assert counts(sync.reverse(mode="full")) == {}


def test_an_edit_of_a_row_whose_record_is_gone_is_a_conflict_too(sync: Any) -> None:
    key = sync.create("leads", lastname="Lee")
    copy(sync, "lead", "lead")
    sync.api("DELETE", f"leads({key})")
    sync.run("lead")
    assert sync.sql("SELECT * FROM sync_conflict") == []
    sync.write("UPDATE lead SET job_title = 'CTO'")
    sync.reverse()
    (conflict,) = sync.sql("SELECT * FROM sync_conflict")
    assert (conflict["record_id"], conflict["column_name"], conflict["resolved_at"]) == (key, "", None)


def test_an_entity_that_was_never_copied_is_left_out(sync: Any) -> None:
    sync.create("leads", lastname="Lee")
    sync.run("lead")
    sync.write("UPDATE lead SET job_title = 'CTO'")
    assert set(sync.reverse()) == {"lead"}


def test_a_row_that_came_back_while_the_plan_waited_is_not_deleted_there(sync: Any) -> None:
    sync.changed["lead"] = {"deleted_here": "delete"}
    key = sync.create("leads", lastname="Lee")
    copy(sync)
    sync.write("CREATE TABLE kept AS SELECT * FROM lead")
    sync.write("DELETE FROM lead")
    (reference,) = sync.plan(sync.collect())
    sync.write("INSERT INTO lead SELECT * FROM kept")
    assert sync.apply(reference)["postponed"] == 1
    assert set(sync.their_rows("leads", "leadid")) == {key}


def test_rows_with_an_empty_address_are_not_taken_for_one_person(sync: Any) -> None:
    copy(sync)
    sync.write("INSERT INTO lead (last_name, email) VALUES ('Lee', ''), ('Kim', ''), ('Okafor', ' ')")
    assert counts(sync.reverse()) == {"read": 3, "inserted": 3}


def test_a_decision_that_comes_after_the_plan_waits_for_the_next_run(sync: Any) -> None:
    sync.changed["lead"] = {"wins": "review"}
    key = sync.create("leads", lastname="Lee", jobtitle="CEO")
    copy(sync)
    sync.write("UPDATE lead SET job_title = 'ours'")
    sync.api("PATCH", f"leads({key})", {"jobtitle": "theirs"}, **{"If-Match": "*"})
    sync.run("lead")
    sync.write("UPDATE lead SET city = 'Here'")
    run_key = sync.collect()
    (reference,) = sync.plan(run_key)
    sync.write("UPDATE sync_conflict SET decision = 'theirs'")
    sync.apply(reference)
    sync.record(run_key)
    assert (sync.rows("lead")[key]["job_title"], lead(sync, key)["address1_city"]) == ("ours", "Here")
    sync.reverse()
    assert (sync.rows("lead")[key]["job_title"], lead(sync, key)["jobtitle"]) == ("theirs", "theirs")


def test_a_field_that_is_new_in_the_catalogue_overwrites_nothing_unseen(sync: Any) -> None:
    fields = sync.entity("contact").model_dump(by_alias=True)["fields"]
    few = {name: fields[name] for name in ("lastname", "emailaddress1")}
    sync.changed["contact"] = {"fields": few}
    key = sync.create("contacts", lastname="Kim", department="Theirs")
    copy(sync, "contact", "contact")
    sync.changed["contact"] = {"fields": {**few, "department": fields["department"]}}
    sync.run("contact")
    sync.write("UPDATE contact SET department = 'Ours'")
    sync.reverse()
    assert sync.api("GET", f"contacts({key})").json()["department"] == "Theirs"
    (conflict,) = sync.sql("SELECT * FROM sync_conflict")
    assert (conflict["ours"], conflict["theirs"], conflict["outcome"]) == ("Ours", "Theirs", "theirs")


def test_a_record_that_we_cannot_hold_waits_in_quarantine_and_not_in_each_run(sync: Any) -> None:
    sync.changed["lead"] = {"fields": {**sync.entity("lead").model_dump(by_alias=True)["fields"]}}
    sync.changed["lead"]["fields"]["subject"] = {"column": "topic", "type": "text", "length": 5}
    key = sync.create("leads", lastname="Lee", subject="Fair")
    copy(sync)
    sync.api("PATCH", f"leads({key})", {"subject": "Far too long"}, **{"If-Match": "*"})
    sync.run("lead")
    sync.write("UPDATE lead SET job_title = 'CTO'")
    assert counts(sync.reverse()) == {"read": 1, "rejected": 1}
    assert counts(sync.reverse(mode="full")) == {}
    sync.api("PATCH", f"leads({key})", {"subject": "Fair"}, **{"If-Match": "*"})
    sync.run("lead")
    sync.reverse(mode="quarantine")
    assert lead(sync, key)["jobtitle"] == "CTO"


def test_a_number_that_sqlite_took_with_too_many_digits_costs_its_own_row(sqlite_sync: Any) -> None:
    sync = sqlite_sync
    for name in ("Odd", "Good"):
        sync.create("leads", lastname=name)
    copy(sync)
    sync.write("UPDATE lead SET annual_revenue = 1000.0 / 3, job_title = 'CTO' WHERE last_name = 'Odd'")
    sync.write("UPDATE lead SET annual_revenue = 333.25 WHERE last_name = 'Good'")
    assert counts(sync.reverse()) == {"read": 2, "updated": 1, "rejected": 1}
    (row,) = sync.sql("SELECT * FROM sync_quarantine")
    assert (row["code"], row["column_name"]) == ("DS-602", "annual_revenue")


def test_a_decision_to_make_a_record_again_outlives_a_refusal(sync: Any) -> None:
    key = sync.create("leads", lastname="Lee")
    copy(sync)
    sync.api("DELETE", f"leads({key})")
    sync.write("UPDATE lead SET job_title = :long", long="x" * 500)
    sync.reverse()
    sync.write("UPDATE sync_conflict SET decision = 'ours'")
    assert counts(sync.reverse()) == {"read": 1, "rejected": 1}
    sync.write("UPDATE lead SET job_title = 'CTO'")
    assert counts(sync.reverse()) == {"read": 1, "inserted": 1}
    assert lead(sync, key)["jobtitle"] == "CTO"
    (conflict,) = sync.sql("SELECT * FROM sync_conflict")
    assert conflict["outcome"] == "ours"
    assert conflict["resolved_at"] is not None


def test_nothing_is_written_by_a_database_that_does_not_know_its_organisation(sync: Any) -> None:
    key = sync.create("leads", lastname="Lee")
    copy(sync)
    sync.write("UPDATE lead SET job_title = 'CTO'")
    sync.write("DELETE FROM sync_environment")
    with pytest.raises(EnvironmentChanged):
        sync.reverse()
    assert lead(sync, key)["jobtitle"] is None


def test_a_plan_that_lost_rows_does_not_end_well(sync: Any) -> None:
    for number in range(3):
        sync.create("leads", lastname=f"Lee {number}")
    copy(sync)
    sync.write("UPDATE lead SET job_title = 'CTO'")
    run_key = sync.collect()
    (reference,) = sync.plan(run_key)
    sync.write("DELETE FROM sync_plan WHERE record_id = (SELECT min(record_id) FROM sync_plan)")
    sync.apply(reference)
    with pytest.raises(CountsDoNotAddUp):
        sync.record(run_key)
    assert sync.services.reverse_watermark(sync.entity("lead")).read() is None


def test_a_person_who_comes_back_is_not_deleted_by_the_same_run(sync: Any) -> None:
    sync.changed["lead"] = {"deleted_here": "delete"}
    key = sync.create("leads", lastname="Lee", emailaddress1="ann@example.com")
    copy(sync)
    sync.write("DELETE FROM lead")
    sync.write("INSERT INTO lead (last_name, email) VALUES ('Lee', ' ann@example.com ')")
    sync.reverse()
    assert set(sync.their_rows("leads", "leadid")) == {key}
    assert set(sync.rows("lead")) == {key}


def test_a_record_that_was_changed_there_is_deleted_there_by_choice_and_that_is_kept(sync: Any) -> None:
    sync.changed["lead"] = {"deleted_here": "delete"}
    key = sync.create("leads", lastname="Lee")
    copy(sync)
    sync.write("DELETE FROM lead")
    sync.api("PATCH", f"leads({key})", {"jobtitle": "There"}, **{"If-Match": "*"})
    assert counts(sync.reverse()) == {"read": 1, "postponed": 1}
    assert set(sync.their_rows("leads", "leadid")) == {key}
    (conflict,) = sync.sql("select * from sync_conflict")
    assert [conflict[name] for name in ("record_id", "column_name", "ours", "theirs", "outcome")] == [
        key, "", "deleted", "edited", "ours",
    ]  # fmt: skip
    sync.run("lead")
    sync.reverse()
    assert sync.their_rows("leads", "leadid") == {}
    (base,) = sync.sql("select job_title from lead_base")
    assert base["job_title"] == "There"


def test_the_plan_says_how_many_calls_it_takes(sync: Any) -> None:
    sync.settings["records_per_batch"] = 2
    known = sync.create("leads", lastname="Known", emailaddress1="known@example.com")
    for number in range(3):
        sync.create("leads", lastname=f"Lee {number}")
    copy(sync)
    sync.write("UPDATE lead SET job_title = 'CTO' WHERE lead_id <> :known", known=known)
    sync.write("INSERT INTO lead (last_name, email) VALUES ('New', 'new@example.com'), ('Known', 'known@example.com')")
    run_key = sync.collect()
    references = sync.plan(run_key)
    folder = sync.folder / "reverse" / run_key
    planned = json.loads((folder / "plan.json").read_text())["api_calls"]
    sync.wire.sent.clear()
    for reference in references:
        sync.apply(reference)
    # The linked row is planned anew once it was read, and then is sent, which nobody can know before.
    assert planned <= len(sync.wire.sent) <= planned + 1
    assert len(references) == 3


def add_absent_field(sync: Any) -> None:
    """Let the catalogue name a field of a solution that this organisation has not installed."""
    fields = sync.entity("lead").model_dump(by_alias=True)["fields"]
    sync.changed["lead"] = {"fields": {**fields, "xyz_score": {"column": "score", "type": "integer", "optional": True}}}


def test_what_the_organisation_does_not_have_costs_no_record_that_is_planned_anew(sync: Any) -> None:
    """The optional fields of a solution that is not installed, in a record that was changed there meanwhile."""
    add_absent_field(sync)
    key = sync.create("leads", lastname="Lee", emailaddress1="ann@example.com")
    copy(sync)
    sync.write("UPDATE lead SET job_title = 'CTO', score = 3")
    run_key = sync.collect()
    (reference,) = sync.plan(run_key)
    sync.api("PATCH", f"leads({key})", {"subject": "There"}, **{"If-Match": "*"})
    assert sync.apply(reference)["updated"] == 1
    sync.record(run_key)
    assert sync.sql("select * from sync_quarantine") == []
    assert lead(sync, key)["jobtitle"] == "CTO"


def test_what_the_organisation_does_not_have_is_no_edit_of_a_deleted_record(sync: Any) -> None:
    add_absent_field(sync)
    key = sync.create("leads", lastname="Lee")
    copy(sync, "lead", "lead")
    sync.write("UPDATE lead SET score = 3")
    sync.api("DELETE", f"leads({key})")
    sync.run("lead")
    sync.reverse()
    assert sync.sql("select * from sync_conflict") == []


def test_a_label_that_was_written_by_hand_is_put_right_by_reading_the_record(sync: Any) -> None:
    key = sync.create("leads", lastname="Lee", leadqualitycode=1)
    copy(sync)
    right = sync.rows("lead")[key]["rating_label"]
    sync.write("UPDATE lead SET rating_label = 'Wrong'")
    assert counts(sync.reverse()) == {}
    sync.run("lead", mode="full")
    assert sync.rows("lead")[key]["rating_label"] == right
    assert counts(sync.reverse(mode="full")) == {}
