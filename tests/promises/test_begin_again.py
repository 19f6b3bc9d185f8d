"""When begin runs again for the same run: it goes on with what was not planned, and begins anew with what was."""

from typing import Any

import pytest

from dynamics_sync import errors
from dynamics_sync.forward import tasks


def folders(sync: Any) -> set[str]:
    root = sync.folder / "lead"
    return {folder.name for folder in root.iterdir()} if root.exists() else set()


def break_off(sync: Any, entity: Any, trigger: Any, *, pages: int) -> str:
    """Let begin end after it has staged so many pages of a scan of all keys; return the key of its attempt."""
    left = iter(range(pages))

    def broken(request: Any) -> None:
        if "/leads?" in request.path_url and next(left, None) is None:
            raise KeyboardInterrupt

    sync.wire.before.append(broken)
    with pytest.raises(KeyboardInterrupt):
        tasks.begin(entity, sync.services, trigger)
    sync.wire.before.clear()
    return str(sync.last_run("lead")["run_key"])


@pytest.fixture
def scanned(sync: Any) -> Any:
    """Five leads that were copied, so that the next run compares all keys, two on a page."""
    sync.settings |= {"page_size": 2}
    for n in range(5):
        sync.create("leads", lastname=f"Lee {n}")
    sync.run("lead")
    return sync


def test_a_feed_that_is_staged_in_part_is_gone_on_with(scanned: Any) -> None:
    entity, trigger = scanned.entity("lead"), scanned.trigger()
    first = break_off(scanned, entity, trigger, pages=2)
    scanned.wire.sent.clear()
    second, _ = tasks.begin(entity, scanned.services, trigger)
    assert first == second
    assert sum("/leads?" in path for path in scanned.wire.sent) == 1


def test_an_attempt_that_staged_nothing_is_no_better_than_a_new_one(scanned: Any) -> None:
    entity, trigger = scanned.entity("lead"), scanned.trigger()
    first = break_off(scanned, entity, trigger, pages=0)
    assert tasks.begin(entity, scanned.services, trigger)[0] != first
    assert len(folders(scanned)) == 1


@pytest.mark.parametrize("lost", ["feed/page-00001.json", "feed/page-00001.arrow", "feed/page-00001.deleted.arrow"])
def test_an_attempt_that_lost_a_part_of_its_feed_is_not_gone_on_with(scanned: Any, lost: str) -> None:
    entity, trigger = scanned.entity("lead"), scanned.trigger()
    first = break_off(scanned, entity, trigger, pages=2)
    scanned.services.folder(entity, first).remove_file(lost)
    second, _ = tasks.begin(entity, scanned.services, trigger)
    assert first != second
    scanned.finish(entity, trigger, second)


def test_an_attempt_of_which_a_page_is_damaged_is_begun_anew(scanned: Any) -> None:
    entity, trigger = scanned.entity("lead"), scanned.trigger()
    # The page after the last one is asked for as well: the feed was read, and broke off at what came after it.
    first = break_off(scanned, entity, trigger, pages=2)
    page = scanned.folder / "lead" / first / "feed" / "page-00001.arrow"
    page.write_bytes(page.read_bytes()[:100])
    with pytest.raises(errors.StagedFileDamaged):
        tasks.begin(entity, scanned.services, trigger)
    second, references = tasks.begin(entity, scanned.services, trigger)
    assert first != second
    assert folders(scanned) == {second}
    assert references == []


def test_an_attempt_that_housekeeping_may_remove_is_not_gone_on_with(scanned: Any) -> None:
    entity, trigger = scanned.entity("lead"), scanned.trigger()
    scanned.settings |= {"staging_days": 1}
    first = break_off(scanned, entity, trigger, pages=2)
    scanned.write("UPDATE sync_run SET begun_at = '2026-01-01 00:00:00+00:00' WHERE state = 'running'")
    assert tasks.begin(entity, scanned.services, trigger)[0] != first


def test_what_the_table_of_runs_calls_a_key_and_is_none_names_no_folder(scanned: Any) -> None:
    entity, trigger = scanned.entity("lead"), scanned.trigger()
    kept = scanned.folder / "kept"
    kept.mkdir()
    break_off(scanned, entity, trigger, pages=2)
    scanned.write("UPDATE sync_run SET run_key = '../kept' WHERE state = 'running'")
    tasks.begin(entity, scanned.services, trigger)
    assert kept.exists()


def test_deletions_that_are_gone_from_staging_stop_the_run(sync: Any) -> None:
    gone = sync.create("leads", lastname="Gone")
    for _ in range(2):
        sync.run("lead")
    sync.api("DELETE", f"leads({gone})")
    entity, trigger = sync.entity("lead"), sync.trigger()
    run_key, _ = tasks.begin(entity, sync.services, trigger)
    sync.services.folder(entity, run_key).remove_file("feed/page-00001.deleted.arrow")
    with pytest.raises(errors.StagingGone):
        sync.finish(entity, trigger, run_key)
    assert sync.living("lead").keys() == {gone}
    run_key, _ = tasks.begin(entity, sync.services, trigger)
    sync.finish(entity, trigger, run_key)
    assert sync.living("lead").keys() == set()


def test_a_manifest_of_an_earlier_version_stops_the_run(sync: Any) -> None:
    sync.create("leads", lastname="Lee")
    entity, trigger = sync.entity("lead"), sync.trigger()
    run_key, (reference,) = tasks.begin(entity, sync.services, trigger)
    folder = sync.services.folder(entity, run_key)
    written = folder.read_json("begin.json")
    del written["pages_of_deletions"]
    folder.write_json("begin.json", written)
    with pytest.raises(errors.StagingGone, match="another version"):
        tasks.extract(entity, sync.services, reference)


def test_a_plan_is_made_anew_and_what_the_old_one_staged_is_removed(sync: Any) -> None:
    sync.create("leads", lastname="Lee")
    entity, trigger = sync.entity("lead"), sync.trigger()
    first, (reference,) = tasks.begin(entity, sync.services, trigger)
    tasks.extract(entity, sync.services, reference)
    second, (reference,) = tasks.begin(entity, sync.services, trigger)
    assert first != second
    assert folders(sync) == {second}
    sync.copy(entity, reference)
    sync.finish(entity, trigger, second)
    assert len(sync.living("lead")) == 1
    assert folders(sync) == set()


def test_a_run_of_which_a_slice_was_loaded_begins_anew_although_its_staging_is_gone(sync: Any) -> None:
    """Its slices have other rows than those of the new plan: none of them may count as loaded already."""
    ids = [sync.create("leads", lastname="Lee")]
    entity, trigger = sync.entity("lead"), sync.trigger()
    first, (reference,) = tasks.begin(entity, sync.services, trigger)
    sync.copy(entity, reference)
    sync.services.folder(entity, first).remove()
    with pytest.raises(errors.StagingGone):
        sync.finish(entity, trigger, first)
    ids.append(sync.create("leads", lastname="Later"))
    second, (reference,) = tasks.begin(entity, sync.services, trigger)
    assert first != second
    sync.copy(entity, reference)
    sync.finish(entity, trigger, second)
    assert sync.living("lead").keys() == set(ids)
    run = sync.last_run("lead")
    assert [run[name] for name in ("state", "read_rows", "inserted", "unchanged")] == ["success", 2, 1, 1]


def test_a_run_that_succeeded_begins_anew(sync: Any) -> None:
    sync.create("leads", lastname="Lee")
    entity, trigger = sync.entity("lead"), sync.trigger()
    keys = []
    for _ in range(2):
        run_key, references = tasks.begin(entity, sync.services, trigger)
        keys.append(run_key)
        for reference in references:
            sync.copy(entity, reference)
        sync.finish(entity, trigger, run_key)
    assert len(set(keys)) == 2
    assert sync.last_run("lead")["state"] == "success"
