"""A run that finds no changes costs one request; a copied environment is noticed all the same."""

from typing import Any

import pytest

from dynamics_sync import errors
from dynamics_sync.forward import tasks
from dynamics_sync.watermark import Watermark, variable_name

_ANOTHER = {"organization_id": "0a0a0a0a-0000-4000-8000-00000000beef"}


@pytest.fixture
def settled(sync: Any) -> Any:
    """Everything is copied and compared; the next run asks for changes."""
    sync.create("leads", lastname="Lee")
    for _ in range(2):
        sync.run("lead")
    sync.wire.sent.clear()
    return sync


def test_a_run_without_changes_is_one_request(settled: Any) -> None:
    before = settled.watermark("lead")
    for _ in range(2):
        run = settled.run("lead")
        assert (run["state"], run["read_rows"], run["deleted"]) == ("success", 0, 0)
    assert len(settled.wire.sent) == 2
    assert all("deltatoken" in sent for sent in settled.wire.sent)
    after = settled.watermark("lead")
    assert after.begun_at > before.begun_at
    assert after.organization_checked_at == before.organization_checked_at


def test_the_feed_is_read_once_when_there_are_changes(settled: Any) -> None:
    settled.create("leads", lastname="New")
    assert settled.run("lead")["inserted"] == 1
    assert sum("deltatoken" in sent for sent in settled.wire.sent) == 1


def test_another_organisation_is_noticed_with_the_first_change(settled: Any) -> None:
    settled.dynamics.control.swap_organization(**_ANOTHER)
    settled.run("lead")
    rows, held = settled.rows("lead"), settled.watermark("lead")
    settled.create("leads", lastname="Foreign")
    with pytest.raises(errors.EnvironmentChanged, match="organization_id"):
        settled.run("lead")
    assert (settled.rows("lead"), settled.watermark("lead")) == (rows, held)


def test_another_organisation_is_noticed_without_changes_when_the_hour_is_over(settled: Any) -> None:
    settled.dynamics.control.swap_organization(**_ANOTHER)
    settled.settings["organization_check_minutes"] = 0
    with pytest.raises(errors.EnvironmentChanged, match="organization_id"):
        settled.run("lead")


def test_a_watermark_of_an_earlier_version_is_checked_at_once(settled: Any) -> None:
    held: Watermark = settled.watermark("lead")
    earlier = held.model_copy(update={"organization_checked_at": None})
    settled.variables[variable_name("lead")] = earlier.model_dump_json(exclude_none=True)
    settled.run("lead")
    assert len(settled.wire.sent) > 1
    assert settled.watermark("lead").organization_checked_at is not None


def test_a_quiet_run_whose_begin_did_not_reach_airflow_begins_anew(settled: Any) -> None:
    entity, trigger = settled.entity("lead"), settled.trigger()
    tasks.begin(entity, settled.services, trigger)
    settled.create("leads", lastname="Meanwhile")
    # Its success did not reach Airflow, which runs it again.
    run_key, references = tasks.begin(entity, settled.services, trigger)
    for reference in references:
        settled.copy(entity, reference)
    settled.finish(entity, trigger, run_key)
    assert {row["last_name"] for row in settled.living("lead").values()} == {"Lee", "Meanwhile"}
