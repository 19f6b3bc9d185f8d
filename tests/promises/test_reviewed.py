"""Ways to lose or to bring back rows without anybody noticing; none of them is open."""

from typing import Any

import pytest

from dynamics_sync import errors
from dynamics_sync.entity import Entity
from dynamics_sync.forward import tasks
from dynamics_sync.staging import StagingFolder


def copied_leads(sync: Any, count: int = 4) -> list[str]:
    """Copy some leads, and take the first delta link."""
    ids = [sync.create("leads", lastname=f"Lee {n}") for n in range(count)]
    for _ in range(2):
        sync.run("lead")
    return ids


def edit(sync: Any, key: str, **columns: Any) -> None:
    sync.api("PATCH", f"leads({key})", columns, **{"If-Match": "*"})


@pytest.mark.parametrize("fault", ["empty-answer", "truncated-json", "html-200", "drop-during", "status-503"])
@pytest.mark.parametrize("mode", ["changes", "full"])
def test_fault_that_strikes_the_fetch_loses_no_change(sqlite_sync: Any, fault: str, mode: str) -> None:
    """The feed has named the row, and the watermark would move on: the fetch must bring it or fail."""
    sync = sqlite_sync
    lead, *_ = copied_leads(sync)
    edit(sync, lead, lastname="Edited")
    before = sync.watermark_text("lead")
    entity, trigger = sync.entity("lead"), sync.trigger(mode=mode)
    _, references = sync.begin(entity, trigger)
    sync.dynamics.control.add_fault(fault, probability=1.0)
    if fault == "empty-answer" and mode == "full":
        # A page of a whole table may be empty; what it lacks is found by the comparison of all keys.
        sync.copy(entity, references[0])
        sync.dynamics.control.clear_faults()
    else:
        with pytest.raises(errors.SyncError):
            sync.copy(entity, references[0])
        sync.dynamics.control.clear_faults()
        assert sync.last_run("lead")["state"] == "failed"
    assert sync.watermark_text("lead") == before
    sync.run("lead")
    assert sync.living("lead")[lead]["last_name"] == "Edited"


def test_row_that_was_deleted_between_feed_and_fetch_is_gone(sync: Any) -> None:
    kept, gone, *_ = copied_leads(sync)
    for key in (kept, gone):
        edit(sync, key, lastname="Edited")
    entity, trigger = sync.entity("lead"), sync.trigger()
    run_key, references = sync.begin(entity, trigger)
    sync.api("DELETE", f"leads({gone})")
    sync.copy(entity, references[0])
    sync.finish(entity, trigger, run_key)
    run = sync.last_run("lead")
    assert (run["state"], run["read_rows"], run["updated"]) == ("success", 1, 1)
    assert sync.run("lead")["deleted"] == 1
    assert gone not in sync.living("lead")


def test_rows_that_get_lost_between_two_tasks_stop_the_run(sync: Any) -> None:
    for n in range(5):
        sync.create("leads", lastname=f"Lee {n}")
    entity, trigger = sync.entity("lead"), sync.trigger()
    _, (reference,) = sync.begin(entity, trigger)
    tasks.extract(entity, sync.services, reference)
    tasks.transform(entity, sync.services, reference)
    (staged,) = (sync.folder / "lead" / reference["run_key"]).glob("slice-*/*.rows.arrow")
    folder = StagingFolder(staged.parent)
    folder.write_table(staged.name, folder.read_table(staged.name).slice(0, 2))
    with pytest.raises(errors.CountsDoNotAddUp, match="read 5"):
        tasks.load(entity, sync.services, reference)
    assert sync.rows("lead") == {}


def test_backfill_beside_the_schedule_brings_no_deleted_row_back(sync: Any) -> None:
    lead, *_ = copied_leads(sync)
    edit(sync, lead, lastname="Edited")
    entity = sync.entity("lead")
    backfill = sync.trigger(mode="ids", ids=lead)
    backfill_key, (reference,) = sync.begin(entity, backfill)
    tasks.extract(entity, sync.services, reference)
    sync.api("DELETE", f"leads({lead})")
    assert sync.run("lead")["deleted"] == 1
    sync.copy(entity, reference)
    sync.finish(entity, backfill, backfill_key)
    sync.run("lead")
    assert lead not in sync.living("lead")


def test_finish_that_comes_late_deletes_no_restored_row(sync: Any) -> None:
    lead, *_ = copied_leads(sync)
    sync.api("DELETE", f"leads({lead})")
    entity, late = sync.entity("lead"), sync.trigger()
    late_key, _ = sync.begin(entity, late)
    sync.api("POST", "leads", {"leadid": lead, "lastname": "Restored"})
    sync.run("lead")
    assert sync.living("lead")[lead]["last_name"] == "Restored"
    sync.finish(entity, late, late_key)
    assert sync.living("lead")[lead]["last_name"] == "Restored"


def test_table_that_is_made_anew_is_filled_again(sync: Any) -> None:
    ids = copied_leads(sync, 6)
    with sync.open_database() as database, database.writing() as connection:
        connection.exec_driver_sql("DROP TABLE lead")
    edit(sync, ids[0], lastname="Edited")
    # It comes back from its base: a table that is gone is not a table of which all rows were deleted.
    assert sync.run("lead")["updated"] == 1
    assert {key: row["last_name"] == "Edited" for key, row in sync.living("lead").items()} == {
        key: key == ids[0] for key in ids
    }
    assert sync.reverse(mode="full")["lead"]["read"] == 0


def test_refused_link_leads_to_a_comparison_of_all_keys(sync: Any) -> None:
    lead, *_ = copied_leads(sync)
    name = next(iter(sync.variables))
    start = sync.variables[name].index("deltatoken=") + len("deltatoken=")
    sync.variables[name] = sync.variables[name][:start] + "nonsense" + '"}'
    edit(sync, lead, lastname="Edited")
    assert sync.run("lead")["updated"] == 1
    assert sync.living("lead")[lead]["last_name"] == "Edited"
    assert "nonsense" not in sync.watermark_text("lead")


def test_many_changes_are_few_of_a_large_table(sync: Any) -> None:
    """More changes than a slice holds are still fetched by their ids, and not with the whole table."""
    sync.settings |= {"rows_per_slice": 100, "ids_per_slice": 100}
    for n in range(240):
        sync.create("leads", lastname=f"Lee {n}")
    for _ in range(2):
        sync.run("lead")
    for key in list(sync.living("lead"))[:110]:
        edit(sync, key, jobtitle="Changed")
    run = sync.run("lead")
    assert (run["read_rows"], run["updated"]) == (110, 110)


def test_optional_column_that_leaves_dynamics_keeps_our_values(sync: Any) -> None:
    lead = sync.create("leads", lastname="Lee", mkt_priority=7)
    sync.run("lead")
    sync.dynamics.control.drop_column("lead", "mkt_priority")
    edit(sync, lead, lastname="Edited")
    sync.run("lead")
    row = sync.living("lead")[lead]
    assert (row["last_name"], row["priority"]) == ("Edited", 7)


def test_catalogue_that_is_edited_during_a_run_is_noticed(sync: Any) -> None:
    sync.create("leads", lastname="Zwiebelkuchen")
    entity, trigger = sync.entity("lead"), sync.trigger()
    _, (reference,) = sync.begin(entity, trigger)
    tasks.extract(entity, sync.services, reference)
    words = entity.model_dump()
    words["fields"]["lastname"]["type"] = "integer"
    with pytest.raises(errors.CatalogueChanged, match="lead"):
        tasks.transform(Entity.model_validate(words), sync.services, reference)
    assert sync.last_run("lead")["error_code"] == "DS-504"


def test_unexpected_error_tells_its_place_and_no_value(sync: Any) -> None:
    sync.create("leads", lastname="Zwiebelkuchen")
    entity, trigger = sync.entity("lead"), sync.trigger()
    _, (reference,) = sync.begin(entity, trigger)
    tasks.extract(entity, sync.services, reference)
    (staged,) = (sync.folder / "lead" / reference["run_key"]).glob("slice-*/page-00001.arrow")
    folder = StagingFolder(staged.parent)
    table = folder.read_table(staged.name)
    # As if somebody else had written the file: the column that must hold texts holds a list of them.
    position = table.schema.get_field_index("lastname")
    folder.write_table(staged.name, table.set_column(position, "lastname", [[["Zwiebelkuchen"]]]))
    with pytest.raises(errors.Unexpected, match=r"rows\.py:\d+") as caught:
        tasks.transform(entity, sync.services, reference)
    assert caught.value.__suppress_context__
    assert "Zwiebelkuchen" not in str(caught.value)
    assert sync.last_run("lead")["error_code"] == "DS-901"


def test_staging_that_is_gone_is_recorded(sync: Any) -> None:
    sync.create("leads", lastname="Lee")
    entity, trigger = sync.entity("lead"), sync.trigger()
    run_key, (reference,) = sync.begin(entity, trigger)
    sync.services.folder(entity, run_key).remove()
    with pytest.raises(errors.StagingGone):
        tasks.extract(entity, sync.services, reference)
    assert (sync.last_run("lead")["state"], sync.last_run("lead")["error_code"]) == ("failed", "DS-503")


def test_lookup_that_points_at_more_tables_than_the_catalogue_says(sync: Any) -> None:
    words = sync.entity("contact").model_dump()
    words["fields"]["parentcustomerid"]["targets"] = ["account"]
    with pytest.raises(errors.ColumnRetyped, match="parentcustomerid"):
        sync.run_entity(Entity.model_validate(words))
