"""The sync lives with every value of every behaviour that nobody documents.

Round n sets each such setting to its n-th value, so that five rounds or so try them all. A setting counts as tried only
if the local Dynamics asked for its value while the round went on; those that it need not ask for are listed.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from dynamics_emulator.identity import STRANGER_CLIENT_ID
from dynamics_emulator.settings import Settings, undocumented_settings
from dynamics_emulator.testing import running_emulator
from dynamics_sync import errors
from dynamics_sync.dataverse.client import Request

_VALUES = undocumented_settings()
_ROUNDS = [
    {name: values[number % len(values)] for name, values in _VALUES.items()}
    for number in range(max(map(len, _VALUES.values())))
]

_NEVER_ASKED_FOR = {
    # The sync's conditions are on keys and instants: no texts, no `ne`, no `in`, no fiscal years, no aggregates.
    *("not_equal_matches_null", "in_operator_refused", "wildcards_in_equality", "accents_matter"),
    *("filter_with_apply", "fiscal_windows_reach_now"),
    # It reads metadata by exact names, and its types as they are.
    *("metadata_function_status", "metadata_enum_literals_required"),
    # It signs each assertion anew, acts for nobody else, and makes no change sets.
    *("assertion_replay_refused", "unknown_impersonated_status", "change_set_failure_parts"),
    # Forward it writes nothing into Dynamics.
    *("trims_text", "empty_text", "extra_digits", "rounds_doubles"),
}


class Recording(Settings):
    """Settings that remember which of them were asked for."""

    def __getattribute__(self, name: str) -> Any:
        if name in _VALUES:
            _ASKED.add(name)
        return super().__getattribute__(name)


_ASKED: set[str] = set()


@pytest.fixture(params=_ROUNDS, ids=lambda choice: f"round {_ROUNDS.index(choice)}")
def sync(request: pytest.FixtureRequest, make_sync: type, tmp_path: Path) -> Iterator[Any]:
    """A local Dynamics that behaves as this round says, and pages of three rows, so that links are followed."""
    with running_emulator(rows=0, **request.param) as dynamics:
        holder = dynamics.organisation.settings_holder
        holder.current = Recording.model_validate(holder.current.model_dump())
        _ASKED.clear()
        sync = make_sync(dynamics, f"sqlite:///{tmp_path / 'marketing.db'}", tmp_path / "staging")
        sync.settings["page_size"] = 3
        yield sync


def _is_equal(sync: Any) -> bool:
    """Whether both sides hold the same leads; a merged one may be alive or gone, as its end may be shown as either."""
    rows = sync.dynamics.database.rows("lead")
    merged = {row["leadid"] for row in rows if row["merged"]}
    theirs = {row["leadid"]: row["lastname"] for row in rows if row["leadid"] not in merged}
    ours = {key: row["last_name"] for key, row in sync.living("lead").items() if key not in merged}
    return ours == theirs


def _edit(sync: Any, ids: list[str]) -> None:
    """What users of Dynamics do between two runs: edit, delete, qualify and merge."""
    sync.api("PATCH", f"leads({ids[0]})", {"lastname": "Okafor"}, **{"If-Match": "*"})
    sync.api("DELETE", f"leads({ids[1]})")
    words = {"CreateAccount": True, "CreateContact": True, "CreateOpportunity": False, "Status": 3}
    sync.api("POST", f"leads({ids[2]})/Microsoft.Dynamics.CRM.QualifyLead", words)
    kind = {"@odata.type": "Microsoft.Dynamics.CRM.lead"}
    parties = {"Target": {**kind, "leadid": ids[3]}, "Subordinate": {**kind, "leadid": ids[4]}}
    sync.api("POST", "Merge", {**parties, "PerformParentingChecks": False})


def _copies_and_changes(sync: Any) -> None:
    ids = [sync.create("leads", lastname=f"Lee {number}", firstname="Ann") for number in range(7)]
    sync.run("lead")
    assert _is_equal(sync)
    _edit(sync, ids)
    sync.run("lead")
    assert _is_equal(sync)
    sync.dynamics.control.relabel_option("lead", "leadsourcecode", 8, "The web")
    sync.dynamics.control.expire_tracking("lead")
    sync.api("DELETE", f"leads({ids[5]})")
    sync.create("leads", lastname="New")
    sync.run("lead")
    assert _is_equal(sync)
    assert sync.run("lead")["read_rows"] <= 1  # Of a merged row, both reports are lawful.
    sync.dynamics.control.advance_clock(timedelta(days=8).total_seconds())
    sync.run("lead")
    assert _is_equal(sync)


def _refusals(sync: Any) -> None:
    """What Dynamics refuses means the same, whatever status it comes with."""
    client, control = sync.client(), sync.dynamics.control
    _raises(errors.StopRun, lambda: client.get_json(f"leads?$filter=lastname eq '{'x' * 33_000}'"))
    _raises(
        errors.ChangeTrackingOff, lambda: client.get_json("connections?$select=name", prefer=["odata.track-changes"])
    )
    tracked = "leads?$select=leadid&$filter=statecode eq 0"
    _raises(errors.RequestRefused, lambda: client.get_json(tracked, prefer=["odata.track-changes"]))
    read_only = Request("leads", method="POST", body=b'{"lastname": "Lee", "versionnumber": 1}')
    if sync.dynamics.organisation.settings.read_only_columns == "refuse":
        _raises(errors.RequestRefused, lambda: client.send(read_only))
    else:
        client.send(read_only)
    twin = b'{"lastname": "Twin", "emailaddress1": "twin@example.org", "acme_extid": "T-1"}'
    client.send(Request("leads", method="POST", body=twin))
    _raises(errors.RecordRefused, lambda: client.send(Request("leads", method="POST", body=twin)))
    detect = {"MSCRM.SuppressDuplicateDetection": "false"}
    alike = twin.replace(b', "acme_extid": "T-1"', b"")
    _raises(errors.RecordRefused, lambda: client.send(Request("leads", method="POST", body=alike, headers=detect)))
    stranger = replace(sync, dynamics=replace(sync.dynamics, client_id=STRANGER_CLIENT_ID), tokens=None).client()
    _raises(errors.NotAMember, lambda: stranger.get_json("WhoAmI"))
    added = control.add_application(roles=[])
    control.add_role("Own rows")
    control.set_privilege("lead", "Read", "Basic", role="Own rows")
    control.assign_role("Own rows", user=added.user_id)
    narrow = replace(sync, dynamics=sync.dynamics.as_application(added), tokens=None).client()
    key = next(iter(sync.dynamics.database.rows("lead")))["leadid"]
    _raises(errors.PrivilegeMissing, lambda: narrow.get_json(f"leads({UUID(str(key))})?$select=leadid"))
    control.disable_user(added.user_id)
    _raises(errors.NotAMember, lambda: narrow.get_json("WhoAmI"))


def _another_environment(sync: Any) -> None:
    """A copy is noticed before anything is read; a refresh too, if it changes who the environment is."""
    control = sync.dynamics.control
    # Asked for by each run; that it is noticed without that too is shown in test_quiet.py.
    sync.settings["organization_check_minutes"] = 0
    control.keep_moment()
    is_another = control.refresh_environment(closed_seconds=60)
    closed = errors.PrivilegeMissing if sync.dynamics.organisation.settings.administration_mode_status == 403 else None
    _raises(closed or errors.ServiceUnavailable, lambda: sync.client().get_json("WhoAmI"))
    control.advance_clock(61)
    if is_another:
        _raises(errors.EnvironmentChanged, lambda: sync.run("lead"))
    else:
        sync.run("lead")
    control.copy_environment()
    _raises(errors.EnvironmentChanged, lambda: sync.run("lead"))


def _raises(expected: type[errors.SyncError], action: Callable[[], object]) -> None:
    with pytest.raises(expected):
        action()


def test_the_sync_goes_on_whatever_undocumented_behaviour_is(sync: Any) -> None:
    _copies_and_changes(sync)
    _refusals(sync)
    _another_environment(sync)
    assert set(_VALUES) - _ASKED <= _NEVER_ASKED_FOR


def test_every_value_has_its_round() -> None:
    tried = {(name, str(value)) for choice in _ROUNDS for name, value in choice.items()}
    assert tried == {(name, str(value)) for name, values in _VALUES.items() for value in values}
    assert all(len(values) > 1 for values in _VALUES.values())
    assert set(_VALUES) >= _NEVER_ASKED_FOR
