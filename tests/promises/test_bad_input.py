"""Bad input: a clear error or a quarantined row, a watermark that did not move, and nothing lost."""

from typing import Any

import pytest

from dynamics_sync import errors
from dynamics_sync.errors import SyncError

#: A fault that never ends, on the reads of leads, and what it must become.
LASTING = {
    "truncated-json": errors.IncompleteAnswer,
    "html-200": errors.IncompleteAnswer,
    "loop-link": errors.PagingLoop,
    "repeat-page": errors.PagingLoop,
    "foreign-link": errors.ForeignLink,
    "drop-before": errors.NetworkFault,
    "drop-during": errors.NetworkFault,
    "drop-after": errors.NetworkFault,
    "status-429": errors.Throttled,
    "retry-after-date": errors.Throttled,
    "status-500": errors.ServiceUnavailable,
    "status-502": errors.ServiceUnavailable,
    "status-503": errors.ServiceUnavailable,
    "status-504": errors.ServiceUnavailable,
    "token-expired-401": errors.TokenRefused,
    # A tracked read that ends without its link: nothing of it may be believed.
    "empty-answer": errors.IncompleteAnswer,
}

#: Faults that pass, and that the client rides out by itself.
PASSING = [
    "drop-before",
    "drop-during",
    "drop-after",
    "status-429",
    "retry-after-date",
    "status-500",
    "status-502",
    "status-503",
    "status-504",
    "token-expired-401",
]


@pytest.fixture
def copied(sqlite_sync: Any) -> Any:
    """Seven leads that were copied; pages of two rows, so that each read has several."""
    sqlite_sync.settings["page_size"] = 2
    for n in range(7):
        sqlite_sync.create("leads", lastname=f"Lee {n}")
    sqlite_sync.run("lead")
    return sqlite_sync


@pytest.mark.parametrize(("fault", "expected"), LASTING.items())
def test_lasting_fault_stops_the_run_and_loses_nothing(copied: Any, fault: str, expected: type[SyncError]) -> None:
    added = copied.create("leads", lastname="Added")
    before = (copied.rows("lead"), copied.watermark_text("lead"))
    copied.dynamics.control.add_fault(fault, probability=1.0, match="/leads")
    with pytest.raises(expected) as caught:
        copied.run("lead")
    assert str(caught.value).startswith(expected.code)
    assert caught.value.step
    assert copied.last_run("lead")["error_code"] == expected.code
    # Airflow calls the task again when the time has come that Dynamics named; then it has not failed.
    assert copied.last_run("lead")["state"] == ("waiting" if expected is errors.Throttled else "failed")
    held, watermark = copied.rows("lead"), copied.watermark_text("lead")
    assert watermark == before[1]
    assert before[0].items() <= held.items()
    copied.dynamics.control.clear_faults()
    assert copied.run("lead")["state"] == "success"
    assert len(copied.living("lead")) == 8
    assert added in copied.living("lead")


@pytest.mark.parametrize("fault", PASSING)
def test_passing_fault_is_ridden_out(copied: Any, fault: str) -> None:
    added = copied.create("leads", lastname="Added")
    copied.dynamics.control.add_fault(fault, times=2 if fault != "token-expired-401" else 1, match="/leads")
    run = copied.run("lead")
    assert (run["state"], run["inserted"]) == ("success", 1)
    assert added in copied.living("lead")


def test_row_repeated_on_the_next_page_is_counted_once(sqlite_sync: Any) -> None:
    sqlite_sync.settings["page_size"] = 2
    ids = {sqlite_sync.create("leads", lastname=f"Lee {n}") for n in range(5)}
    sqlite_sync.dynamics.control.add_fault("duplicate-row", times=1, match="/leads")
    run = sqlite_sync.run("lead")
    assert set(sqlite_sync.living("lead")) == ids
    assert (run["inserted"], run["unchanged"]) == (5, run["read_rows"] - 5)


def test_privilege_that_is_missing_is_named(copied: Any) -> None:
    before = copied.watermark_text("lead")
    copied.dynamics.control.set_read("lead", allowed=False)
    with pytest.raises(errors.PrivilegeMissing, match=r"prvReadLead"):
        copied.run("lead")
    assert copied.watermark_text("lead") == before
    copied.dynamics.control.set_read("lead", allowed=True)
    assert copied.run("lead")["state"] == "success"


def test_column_that_is_gone_stops_before_anything_is_read(copied: Any) -> None:
    before = (copied.rows("lead"), copied.watermark_text("lead"))
    copied.dynamics.control.drop_column("lead", "jobtitle")
    with pytest.raises(errors.ColumnMissing, match="jobtitle"):
        copied.run("lead")
    assert (copied.rows("lead"), copied.watermark_text("lead")) == before


def test_table_that_does_not_exist(sqlite_sync: Any, one_field_entity: Any) -> None:
    with pytest.raises(errors.TableMissing, match="acme_nowhere"):
        sqlite_sync.run_entity(one_field_entity("acme_nowhere", "acme_nowhereid", "acme_name"))
    assert sqlite_sync.variables == {}


def test_odd_values_are_set_aside_and_replayed(sync: Any) -> None:
    good = sync.create("leads", lastname="Good")
    option = sync.create("leads", lastname="Option", leadsourcecode=8)
    bad_date = sync.create("leads", lastname="Date")
    control = sync.dynamics.control
    control.write_raw("lead", option, {"leadsourcecode": 4711})
    control.write_raw("lead", bad_date, {"estimatedclosedate": "2026-02-30"})
    run = sync.run("lead")
    assert (run["read_rows"], run["inserted"], run["rejected"]) == (3, 1, 2)
    assert set(sync.rows("lead")) == {good}
    aside = {row["record_key"]: row for row in sync.sql("select * from sync_quarantine")}
    assert (aside[option]["code"], aside[option]["column_name"]) == ("DS-604", "leadsourcecode")
    assert (aside[bad_date]["code"], aside[bad_date]["column_name"]) == ("DS-602", "estimatedclosedate")
    control.write_raw("lead", option, {"leadsourcecode": 8})
    control.write_raw("lead", bad_date, {"estimatedclosedate": "2026-02-28"})
    replay = sync.run("lead", mode="quarantine")
    assert (replay["read_rows"], replay["inserted"], replay["rejected"]) == (2, 2, 0)
    assert sync.sql("select * from sync_quarantine where resolved_at is null") == []
    assert len(sync.living("lead")) == 3


def test_text_longer_than_its_column(sync: Any, one_field_entity: Any) -> None:
    entity = one_field_entity("lead", "leadid", "lastname", length=5)
    short = sync.create("leads", lastname="Short")
    sync.create("leads", lastname="Far too long")
    run = sync.run_entity(entity)
    assert (run["inserted"], run["rejected"]) == (1, 1)
    assert [str(row["lead_key_id"]) for row in sync.sql("select lead_key_id from lead_sample")] == [short]
    assert sync.sql("select code from sync_quarantine") == [{"code": "DS-603"}]
