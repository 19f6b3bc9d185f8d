"""What changed is found, whatever way the table offers; deletions never spread beyond their breaker."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dynamics_sync import errors
from dynamics_sync.entity import Entity
from dynamics_sync.forward import tasks
from dynamics_sync.watermark import variable_name


def test_first_delta_link_comes_with_the_check_of_the_first_copy(sync: Any) -> None:
    """The first copy takes no link; the run after it compares all keys, finds what slipped through, and takes one."""
    ids = [sync.create("leads", lastname=f"Lee {n}") for n in range(4)]
    sync.run("lead")
    assert sync.watermark("lead").delta_link is None
    with sync.open_database() as database, database.writing() as connection:
        # As if the copy had missed one row and read another one in an older version.
        for table in ("lead", "lead_base"):
            connection.exec_driver_sql(f"delete from {table} where lead_id = '{ids[0]}'")
            old = f"update {table} set last_name = 'Old', crm_version = 1 where lead_id = '{ids[1]}'"
            connection.exec_driver_sql(old)
    check = sync.run("lead")
    assert (check["inserted"], check["updated"], check["deleted"]) == (1, 1, 0)
    assert {key: row["last_name"] for key, row in sync.living("lead").items()} == {
        key: f"Lee {n}" for n, key in enumerate(ids)
    }
    assert sync.watermark("lead").delta_link is not None


def test_nothing_changed_reads_no_row(sync: Any) -> None:
    sync.create("leads", lastname="Lee")
    for _ in range(2):
        sync.run("lead")
    before = sync.watermark("lead")
    run = sync.run("lead")
    assert (run["read_rows"], run["updated"]) == (0, 0)
    assert sync.watermark("lead").begun_at > before.begun_at


def test_expired_link_leads_to_a_comparison_of_all_keys(sync: Any) -> None:
    ids = [sync.create("leads", lastname=f"Lee {n}") for n in range(5)]
    for _ in range(2):
        sync.run("lead")
    sync.api("PATCH", f"leads({ids[0]})", {"lastname": "Changed"}, **{"If-Match": "*"})
    sync.api("DELETE", f"leads({ids[1]})")
    sync.dynamics.control.expire_tracking("lead")
    run = sync.run("lead")
    assert (run["state"], run["read_rows"], run["updated"], run["deleted"]) == ("success", 1, 1, 1)
    assert set(sync.living("lead")) == {ids[0], *ids[2:]}


def test_deleted_row_stays_with_the_instant_of_its_deletion(sync: Any) -> None:
    kept, gone = sync.create("leads", lastname="Kept"), sync.create("leads", lastname="Gone")
    for _ in range(2):
        sync.run("lead")
    sync.api("DELETE", f"leads({gone})")
    run = sync.run("lead")
    row = sync.rows("lead")[gone]
    assert (run["deleted"], row["last_name"]) == (1, "Gone")
    assert run_instant(run["begun_at"]) <= row["crm_deleted_at"] <= run_instant(run["finished_at"])
    assert set(sync.living("lead")) == {kept}
    # Created anew under the same id, it comes back to life.
    sync.api("POST", "leads", {"leadid": gone, "lastname": "Back"})
    sync.run("lead")
    assert sync.living("lead")[gone]["last_name"] == "Back"


def run_instant(value: Any) -> datetime:
    """SQLite gives text where the statement is plain text."""
    instant = datetime.fromisoformat(value) if isinstance(value, str) else value
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


@pytest.mark.parametrize("tracked", [True, False])
def test_breaker_stops_before_anything_is_marked(sync: Any, *, tracked: bool) -> None:
    sync.settings |= {"deletion_breaker_at_least": 2, "deletion_breaker_share": 0.3}
    ids = [sync.create("leads", lastname=f"Lee {n}") for n in range(10)]
    for _ in range(2 if tracked else 1):
        sync.run("lead")
    for key in ids[:4]:
        sync.api("DELETE", f"leads({key})")
    before = sync.watermark_text("lead")
    with pytest.raises(errors.DeletionBreaker, match="4 of 10"):
        sync.run("lead")
    assert len(sync.living("lead")) == 10
    assert sync.watermark_text("lead") == before
    assert sync.last_run("lead")["error_code"] == "DS-702"
    allowed = sync.run("lead", allow_deletions=True)
    assert (allowed["state"], allowed["deleted"]) == ("success", 4)
    assert set(sync.living("lead")) == set(ids[4:])


def test_empty_answer_never_deletes(sync: Any) -> None:
    """The table of team members is compared by its keys; an empty answer would sweep all of them."""
    team, user = make_team(sync)
    join(sync, team, user)
    sync.run("teammembership")
    sync.dynamics.control.add_fault("empty-answer", probability=1.0, match="/teammemberships")
    before = sync.watermark_text("teammembership")
    with pytest.raises(errors.DeletionBreaker, match="no record at all"):
        sync.run("teammembership")
    assert len(sync.living("teammembership")) == 1
    assert sync.watermark_text("teammembership") == before


def test_team_members_come_and_go(sync: Any) -> None:
    team, user = make_team(sync)
    assert sync.run("teammembership")["read_rows"] == 0
    join(sync, team, user)
    assert sync.run("teammembership")["inserted"] == 1
    (member,) = sync.living("teammembership").values()
    assert (member["team_id"], member["crm_user_id"]) == (team, user)
    sync.api("DELETE", f"teams({team})/teammembership_association({user})/$ref")
    with pytest.raises(errors.DeletionBreaker):
        sync.run("teammembership")
    assert sync.run("teammembership", allow_deletions=True)["deleted"] == 1
    assert sync.living("teammembership") == {}


def make_team(sync: Any) -> tuple[str, str]:
    unit = sync.api("GET", "businessunits?$select=businessunitid").json()["value"][0]["businessunitid"]
    user = sync.api("GET", "systemusers?$select=systemuserid").json()["value"][0]["systemuserid"]
    team = sync.create("teams", name="Inbound", **{"businessunitid@odata.bind": f"/businessunits({unit})"})
    return team, user


def join(sync: Any, team: str, user: str) -> None:
    body = {"@odata.id": f"{sync.dynamics.api}/systemusers({user})"}
    sync.api("POST", f"teams({team})/teammembership_association/$ref", body)


def test_table_without_tracking_is_read_by_modifiedon(sync: Any) -> None:
    sync.settings |= {"key_check_rows": 0, "key_check_hours": 24}
    account = sync.create("accounts", name="Contoso")
    contact = sync.create("contacts", lastname="Okafor")
    links = [connect(sync, account, contact) for _ in range(3)]
    sync.run("connection")  # The first copy.
    sync.run("connection")  # The comparison of all keys, which is due.
    held = len(sync.living("connection"))
    assert sync.watermark("connection").delta_link is None
    sync.api("PATCH", f"connections({links[0]})", {"description": "Edited"}, **{"If-Match": "*"})
    added = connect(sync, account, contact)
    sync.api("DELETE", f"connections({links[1]})")
    run = sync.run("connection")
    assert (run["state"], run["deleted"]) == ("success", 0)
    assert sync.living("connection")[links[0]]["description"] == "Edited"
    assert added in sync.living("connection")
    # Deletions show when the keys of the whole table are compared again.
    sync.settings["key_check_hours"] = 1e-9
    swept = sync.run("connection")
    assert swept["deleted"] >= 1
    assert links[1] not in sync.living("connection")
    assert len(sync.living("connection")) == held - swept["deleted"] + (len(sync.rows("connection")) - held)


def connect(sync: Any, account: str, contact: str) -> str:
    return sync.create(
        "connections",
        **{
            "record1id_account@odata.bind": f"/accounts({account})",
            "record2id_contact@odata.bind": f"/contacts({contact})",
        },
    )


def test_window_and_ids_leave_the_watermark_alone(sync: Any) -> None:
    old, new = sync.create("leads", lastname="Old"), sync.create("leads", lastname="New")
    sync.dynamics.control.write_raw("lead", old, {"modifiedon": "2024-05-01T12:00:00Z"})
    window = sync.run("lead", mode="window", window_start="2024-05-01T00:00:00Z", window_end="2024-05-02T00:00:00Z")
    assert (window["mode"], window["read_rows"]) == ("window", 1)
    assert set(sync.rows("lead")) == {old}
    ids = sync.run("lead", mode="ids", ids=f"{{{new.upper()}}}\n{old}")
    assert (ids["mode"], ids["read_rows"], ids["inserted"], ids["unchanged"]) == ("ids", 2, 1, 1)
    assert sync.watermark("lead") is None


def test_backfill_reads_its_interval(sync: Any) -> None:
    inside, outside = sync.create("leads", lastname="Inside"), sync.create("leads", lastname="Outside")
    sync.dynamics.control.write_raw("lead", inside, {"modifiedon": "2025-01-10T08:00:00Z"})
    sync.dynamics.control.write_raw("lead", outside, {"modifiedon": "2025-01-11T00:00:00Z"})
    run = sync.backfill("lead", datetime(2025, 1, 10, tzinfo=UTC), datetime(2025, 1, 11, tzinfo=UTC))
    assert (run["mode"], run["read_rows"]) == ("backfill", 1)
    assert set(sync.rows("lead")) == {inside}
    assert sync.watermark("lead") is None


def test_full_copy_in_windows_leaves_nothing_out(sync: Any) -> None:
    """Rows of all ages, in many slices; also those that were created at the very edges of the windows."""
    sync.settings |= {"rows_per_slice": 100, "page_size": 40}
    start = datetime(2020, 1, 1, tzinfo=UTC)
    bodies = [
        {"lastname": f"Lee {n}", "overriddencreatedon": (start + timedelta(hours=n)).isoformat().replace("+00:00", "Z")}
        for n in range(260)
    ]
    ids = {sync.create("leads", **body) for body in bodies}
    run = sync.run("lead", mode="full")
    slices = sync.sql("select count(*) as n from sync_slice where run_key = :key", key=run["run_key"])
    assert slices[0]["n"] == 3
    assert (run["read_rows"], run["inserted"]) == (260, 260)
    assert set(sync.living("lead")) == ids
    again = sync.run("lead", mode="full")
    assert (again["read_rows"], again["unchanged"]) == (260, 260)


@pytest.mark.parametrize(("aggregate_limit", "most"), [(50_000, 200), (5, 300)])
def test_an_import_of_minutes_among_years_is_copied_in_even_slices(sync: Any, aggregate_limit: int, most: int) -> None:
    """Three of four rows were created within five minutes; also where Dynamics counts hardly any."""
    sync.settings |= {"rows_per_slice": 100, "page_size": 40}
    sync.dynamics.control.change_settings(aggregate_limit=aggregate_limit)
    start = datetime(2020, 1, 1, tzinfo=UTC)
    created = [start + timedelta(days=20 * n) for n in range(100)]
    created += [start + timedelta(days=777, seconds=n) for n in range(300)]
    ids = {
        sync.create("leads", lastname=f"Lee {n}", overriddencreatedon=at.isoformat().replace("+00:00", "Z"))
        for n, at in enumerate(created)
    }
    run = sync.run("lead", mode="full")
    slices = sync.sql("select read_rows from sync_slice where run_key = :key", key=run["run_key"])
    assert len(slices) >= 4
    assert max(row["read_rows"] for row in slices) <= most
    assert set(sync.living("lead")) == ids


def test_rows_edited_during_the_copy_are_not_missed(sync: Any) -> None:
    ids = [sync.create("leads", lastname=f"Lee {n}") for n in range(6)]
    entity, trigger = sync.entity("lead"), sync.trigger()
    run_key, references = sync.begin(entity, trigger)
    sync.api("PATCH", f"leads({ids[0]})", {"lastname": "Before extract"}, **{"If-Match": "*"})
    added = sync.create("leads", lastname="Added")
    for reference in references:
        sync.copy(entity, reference)
    sync.api("PATCH", f"leads({ids[1]})", {"lastname": "After load"}, **{"If-Match": "*"})
    sync.api("DELETE", f"leads({ids[2]})")
    sync.finish(entity, trigger, run_key)
    sync.run("lead")
    names = {key: row["last_name"] for key, row in sync.living("lead").items()}
    assert names == {
        ids[0]: "Before extract",
        ids[1]: "After load",
        **{key: f"Lee {n}" for n, key in enumerate(ids) if n > 2},
        added: "Added",
    }


def test_other_organisation_is_noticed_before_anything_is_written(sync: Any) -> None:
    sync.create("leads", lastname="Lee")
    sync.run("lead")
    before = (sync.rows("lead"), sync.watermark_text("lead"))
    sync.create("leads", lastname="Of the copy")
    sync.dynamics.control.swap_organization(organization_id="0a0a0a0a-0000-4000-8000-00000000beef")
    with pytest.raises(errors.EnvironmentChanged, match="organization_id"):
        sync.run("lead")
    assert (sync.rows("lead"), sync.watermark_text("lead")) == before


def test_new_field_of_the_catalogue_is_filled_by_a_full_run(sync: Any, one_field_entity: Any) -> None:
    lead = sync.create("leads", lastname="Lee", firstname="Ann")
    entity = one_field_entity("lead", "leadid", "lastname")
    sync.run_entity(entity)
    words = entity.model_dump()
    words["fields"]["firstname"] = {"column": "first", "type": "text"}
    wider = Entity.model_validate(words)
    run = sync.run_entity(wider, mode="full")
    assert (run["read_rows"], run["updated"]) == (1, 1)
    rows = sync.sql("select lead_key_id, text, first from lead_sample")
    assert [(str(row["lead_key_id"]), row["text"], row["first"]) for row in rows] == [(lead, "Lee", "Ann")]


def test_slice_that_was_never_loaded_keeps_the_watermark(sync: Any) -> None:
    """In the grid, somebody can mark a failed load as successful; the run must not believe it."""
    sync.create("leads", lastname="Lee")
    entity, trigger = sync.entity("lead"), sync.trigger()
    run_key, references = sync.begin(entity, trigger)
    assert len(references) == 1
    with pytest.raises(errors.CountsDoNotAddUp, match="0 of 1 slices"):
        sync.finish(entity, trigger, run_key)
    assert sync.watermark("lead") is None


def test_database_that_was_restored_to_an_earlier_state_is_filled_up(sync: Any, tmp_path: Path) -> None:
    """The watermark lives in Airflow; a backup of the database knows nothing of what was read since."""
    kept = sync.create("leads", lastname="Kept")
    for _ in range(2):
        sync.run("lead")
    backup = {"rows": sync.rows("lead"), "runs": sync.runs}
    added = sync.create("leads", lastname="Added")
    sync.api("PATCH", f"leads({kept})", {"lastname": "Edited"}, **{"If-Match": "*"})
    sync.run("lead")
    version = backup["rows"][kept]["crm_version"]
    with sync.open_database() as database, database.writing() as connection:
        for table in ("lead", "lead_base"):
            connection.exec_driver_sql(f"DELETE FROM {table} WHERE lead_id = '{added}'")
            connection.exec_driver_sql(f"UPDATE {table} SET last_name = 'Kept', crm_version = {version}")
        connection.exec_driver_sql(f"DELETE FROM sync_run WHERE run_id = 'run {backup['runs'] + 1}'")
    run = sync.run("lead")
    assert (run["inserted"], run["updated"]) == (1, 1)
    assert {key: row["last_name"] for key, row in sync.living("lead").items()} == {kept: "Edited", added: "Added"}


def test_other_marketing_database_is_filled_from_the_beginning(sync: Any, tmp_path: Path) -> None:
    ids = {sync.create("leads", lastname=f"Lee {n}") for n in range(3)}
    for _ in range(2):
        sync.run("lead")
    sync.database_url = f"sqlite:///{tmp_path / 'other.db'}"
    assert sync.run("lead")["inserted"] == 3
    assert set(sync.living("lead")) == ids


def test_organisation_at_another_address_is_compared_by_its_keys(sync: Any) -> None:
    lead = sync.create("leads", lastname="Lee")
    for _ in range(2):
        sync.run("lead")
    name = variable_name("lead")
    sync.variables[name] = sync.variables[name].replace(sync.dynamics.url, "https://earlier.crm4.dynamics.com")
    sync.api("PATCH", f"leads({lead})", {"lastname": "Okafor"}, **{"If-Match": "*"})
    assert sync.run("lead")["updated"] == 1
    assert sync.watermark("lead").delta_link.startswith(sync.dynamics.url)


def test_a_begin_that_goes_on_later_passes_over_nothing(sync: Any) -> None:
    """Its feed is that of the first try; so is the instant up to which the next run takes everything for known."""
    sync.settings |= {"page_size": 2, "overlap_seconds": 0, "key_check_rows": 0}
    sync.changed["lead"] = {"changes": "modifiedon"}
    ids = sorted(sync.create("leads", lastname=f"Lee {n}") for n in range(6))
    sync.run("lead")
    sync.run("lead")
    for key in ids:
        sync.api("PATCH", f"leads({key})", {"lastname": "Edited"}, **{"If-Match": "*"})
    entity, trigger = sync.entity("lead"), sync.trigger()

    pages = iter(range(100))

    def end_at_the_third(request: Any) -> None:
        if "/leads?" in request.path_url and "top=1" not in request.path_url and next(pages) == 2:
            raise KeyboardInterrupt

    sync.wire.before.append(end_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        tasks.begin(entity, sync.services, trigger)
    sync.wire.before.clear()
    sync.api("PATCH", f"leads({ids[0]})", {"lastname": "Later"}, **{"If-Match": "*"})
    sync.dynamics.control.write_raw("lead", ids[0], {"modifiedon": "2090-01-01T00:00:00Z"})

    run_key, references = tasks.begin(entity, sync.services, trigger)
    for reference in references:
        sync.copy(entity, reference)
    sync.finish(entity, trigger, run_key)
    assert sync.watermark("lead").modified_up_to < datetime(2090, 1, 1, tzinfo=UTC)
