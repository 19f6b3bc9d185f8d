"""Whole tables in windows that are read side by side, while their rows change; and floods of changes."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dynamics_sync.forward import tasks

_START = datetime(2020, 1, 1, tzinfo=UTC)


@pytest.fixture
def windowed(sqlite_sync: Any) -> Any:
    """260 leads, created an hour apart: three windows."""
    sqlite_sync.settings |= {"rows_per_slice": 100, "page_size": 40}
    for number in range(260):
        create_lead(sqlite_sync, number)
    return sqlite_sync


def create_lead(sync: Any, number: int) -> str:
    created = (_START + timedelta(hours=number)).isoformat().replace("+00:00", "Z")
    return sync.create("leads", lastname=f"Lee {number}", overriddencreatedon=created)


def edit(sync: Any, lead: str, name: str) -> None:
    sync.api("PATCH", f"leads({lead})", {"lastname": name}, **{"If-Match": "*"})


def names(sync: Any) -> tuple[dict[str, str], dict[str, str]]:
    theirs = {key: row["lastname"] for key, row in sync.their_rows("leads", "leadid").items()}
    return {key: row["last_name"] for key, row in sync.living("lead").items()}, theirs


def test_rows_that_change_between_windows_are_not_missed(windowed: Any) -> None:
    sync, services = windowed, windowed.services
    by_name = {row["lastname"]: key for key, row in sync.their_rows("leads", "leadid").items()}
    entity, trigger = sync.entity("lead"), sync.trigger()
    run_key, (first, second, third) = sync.begin(entity, trigger)

    staged = tasks.extract(entity, services, first)
    edit(sync, by_name["Lee 1"], "After its window was read")
    edit(sync, by_name["Lee 250"], "Before its window was read")
    sync.api("DELETE", f"leads({by_name['Lee 2']})")
    sync.api("DELETE", f"leads({by_name['Lee 251']})")
    create_lead(sync, 3)
    for reference in (third, second):
        sync.copy(entity, reference)
    edit(sync, by_name["Lee 130"], "After its window was loaded")
    tasks.load(entity, services, tasks.transform(entity, services, staged))
    create_lead(sync, 131)
    sync.finish(entity, trigger, run_key)

    run = sync.run("lead")
    ours, theirs = names(sync)
    assert ours == theirs
    assert (run["inserted"], run["updated"], run["deleted"]) == (2, 2, 1)


def test_a_flood_of_changes_is_read_in_windows_and_compared_by_the_next_run(windowed: Any) -> None:
    sync = windowed
    for _ in range(2):
        sync.run("lead")
    leads = list(sync.living("lead"))
    for lead in leads[:200]:
        edit(sync, lead, "Renamed")
    flood = sync.run("lead")
    assert (flood["read_rows"], flood["updated"], flood["unchanged"]) == (260, 200, 60)
    # Windows are not held against the versions that the feed named.
    assert sync.watermark("lead").delta_link is None
    with sync.database.writing() as connection:
        connection.exec_driver_sql(f"update lead_base set crm_version = 1 where lead_id = '{leads[0]}'")
    check = sync.run("lead")
    assert (check["read_rows"], check["deleted"]) == (1, 0)
    assert sync.watermark("lead").delta_link is not None
    assert names(sync)[0] == names(sync)[1]


def test_few_changes_of_a_large_table_are_read_by_their_ids(windowed: Any) -> None:
    sync = windowed
    for _ in range(2):
        sync.run("lead")
    for lead in list(sync.living("lead"))[:110]:
        edit(sync, lead, "Renamed")
    run = sync.run("lead")
    assert (run["read_rows"], run["updated"]) == (110, 110)
    assert sync.watermark("lead").delta_link is not None
