"""The sync lives with every value of every behaviour that nobody documents.

Round n sets each such setting to its n-th value, so that five rounds or so try them all.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dynamics_emulator.settings import undocumented_settings
from dynamics_emulator.testing import running_emulator
from dynamics_sync.errors import ChangeTrackingOff

_VALUES = undocumented_settings()
_ROUNDS = [
    {name: values[number % len(values)] for name, values in _VALUES.items()}
    for number in range(max(map(len, _VALUES.values())))
]


@pytest.fixture(params=_ROUNDS, ids=lambda choice: f"round {_ROUNDS.index(choice)}")
def sync(request: pytest.FixtureRequest, make_sync: type, tmp_path: Path) -> Iterator[Any]:
    """A local Dynamics that behaves as this round says; a page holds three rows, so that links are followed."""
    with running_emulator(rows=0, page_size=3, **request.param) as dynamics:
        yield make_sync(dynamics, f"sqlite:///{tmp_path / 'marketing.db'}", tmp_path / "staging")


def _is_equal(sync: Any) -> bool:
    theirs = {key: row["lastname"] for key, row in sync.their_rows("leads", "leadid").items()}
    return {key: row["last_name"] for key, row in sync.living("lead").items()} == theirs


def test_sides_become_equal_whatever_undocumented_behaviour_is(sync: Any) -> None:
    ids = [sync.create("leads", lastname=f"Lee {number}", firstname="Ann") for number in range(7)]
    sync.run("lead")
    assert _is_equal(sync)
    sync.api("PATCH", f"leads({ids[0]})", {"lastname": "Okafor"}, **{"If-Match": "*"})
    sync.api("DELETE", f"leads({ids[1]})")
    sync.run("lead")
    assert _is_equal(sync)
    sync.dynamics.control.expire_tracking("lead")
    sync.api("DELETE", f"leads({ids[2]})")
    sync.create("leads", lastname="New")
    sync.run("lead")
    assert _is_equal(sync)
    assert sync.run("lead")["read_rows"] == 0


def test_tracking_that_is_off_stops_the_run_whatever_its_status(sync: Any) -> None:
    with pytest.raises(ChangeTrackingOff):
        sync.client().get_json("connections?$select=name", prefer=["odata.track-changes"])


def test_every_value_has_its_round() -> None:
    tried = {(name, str(value)) for choice in _ROUNDS for name, value in choice.items()}
    assert tried == {(name, str(value)) for name, values in _VALUES.items() for value in values}
    assert all(len(values) > 1 for values in _VALUES.values())
