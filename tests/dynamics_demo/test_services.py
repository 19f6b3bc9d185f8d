"""What the demo tells of its servers: the end of this start's log, and a profile that cannot be had."""

import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from dynamics_demo.installation import Installation
from dynamics_demo.problems import DemoError
from dynamics_demo.processes import start_process, stop_process
from dynamics_demo.services import PROFILES, Sample, Services
from dynamics_emulator.schema.profiles import Profile


@pytest.fixture
def services(tmp_path: Path) -> Services:
    installation = Installation(tmp_path)
    installation.prepare()
    return Services(installation, {})


def test_the_log_begins_with_this_start(services: Services) -> None:
    log = services.log_of("emulator")
    log.write_text("before\n")
    record = start_process(
        "emulator",
        [sys.executable, "-c", "print('of this start')"],
        environment=os.environ,
        folder=log.parent,
        log=log,
        records=services.records,
    )
    os.waitid(os.P_PID, record.pid, os.WEXITED | os.WNOWAIT)

    with pytest.raises(DemoError, match="of this start") as told:
        services.check_alive("emulator")

    stop_process(record)
    assert "before" not in str(told.value)
    assert log.read_text() == "before\nof this start\n"


def test_another_profile_is_told_before_anything_starts(services: Services) -> None:
    services.require_profile(Sample(1, "customised"))
    assert services.kept_profile() is None
    services.installation.emulator.mkdir()
    with closing(sqlite3.connect(services.installation.emulator / "organisation.sqlite")) as database, database:
        database.execute("CREATE TABLE _state (key, value)")
        database.execute("INSERT INTO _state VALUES ('profile', 'standard')")

    services.require_profile(Sample(1))
    services.require_profile(Sample(1, "standard"))
    with pytest.raises(DemoError, match="make clean"):
        services.require_profile(Sample(1, "customised"))


def test_profiles_are_those_of_the_local_dynamics() -> None:
    assert tuple(Profile) == PROFILES
    assert PROFILES[0] == Profile.STANDARD
