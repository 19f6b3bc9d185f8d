"""When begin runs again for the same run: it goes on with what was not planned, and begins anew with what was."""

from typing import Any

import pytest

from dynamics_sync import errors
from dynamics_sync.forward import tasks


def folders(sync: Any) -> set[str]:
    root = sync.folder / "lead"
    return {folder.name for folder in root.iterdir()} if root.exists() else set()


def refuse(sync: Any, word: str) -> None:
    """Let the network break at each request whose path has that word in it."""

    def broken(request: Any) -> None:
        if word in request.path_url:
            raise KeyboardInterrupt

    sync.wire.before.append(broken)


def test_a_try_that_did_not_come_to_a_plan_is_gone_on_with(sync: Any) -> None:
    sync.create("leads", lastname="Lee")
    sync.run("lead")
    entity, trigger = sync.entity("lead"), sync.trigger()
    refuse(sync, "/leads?")
    with pytest.raises(KeyboardInterrupt):
        tasks.begin(entity, sync.services, trigger)
    begun = sync.last_run("lead")
    sync.wire.before.clear()
    run_key, _ = tasks.begin(entity, sync.services, trigger)
    assert (begun["state"], run_key) == ("running", begun["run_key"])


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
