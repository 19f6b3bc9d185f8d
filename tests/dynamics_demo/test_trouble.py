"""Faults are on while rows are copied, and off before and after."""

import threading
from collections.abc import Iterator

import pytest
import requests

from dynamics_demo.__main__ import main
from dynamics_demo.problems import DemoError
from dynamics_demo.trouble import Trouble
from dynamics_emulator.control.http import build_control_application
from dynamics_emulator.serving import bind, make_server
from dynamics_emulator.testing import running_emulator


@pytest.fixture
def address() -> Iterator[str]:
    """The control API of an empty local Dynamics."""
    with running_emulator() as emulator, bind(0) as listener:
        server = make_server(build_control_application(emulator.control), None)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        assert server.ready.wait(30)
        yield f"http://localhost:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


def _active(address: str) -> list[tuple[str, float]]:
    listed = requests.get(f"{address}/faults", timeout=5).json()["faults"]
    return [(fault["name"], fault["probability"]) for fault in listed if not fault["at"]]


def test_faults_are_on_inside_only(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    with Trouble(("slow", "status-503"), 0.2).troubling({"control_url": address}):
        inside = _active(address)

    assert inside == [("slow", 0.2), ("status-503", 0.2)]
    assert _active(address) == []
    assert "slow struck 0 of 0 requests" in capsys.readouterr().out


@pytest.mark.parametrize(("fault", "strikes"), [("slow", [False]), ("status-503", [False, True])])
def test_writes_are_struck_for_certain(address: str, fault: str, strikes: list[bool]) -> None:
    with Trouble((fault,)).troubling({"control_url": address}, writing=True):
        listed = requests.get(f"{address}/faults", timeout=5).json()["faults"]

    certain = [each for each in listed if each["at"] and each["at"][0] == 1]
    assert [each["in_batch"] for each in certain] == strikes
    assert certain[0]["match"] == "$batch"
    assert _active(address) == []


def test_faults_are_off_after_an_interruption(address: str) -> None:
    def interrupted() -> None:
        with Trouble(("slow",)).troubling({"control_url": address}):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert _active(address) == []


def test_unknown_fault_and_missing_switchboard_are_told(address: str) -> None:
    with pytest.raises(DemoError, match="nothing"), Trouble(("nothing",)).troubling({"control_url": address}):
        pytest.fail("the block ran without its fault")
    with pytest.raises(DemoError, match="without a control API"), Trouble(("slow",)).troubling({}):
        pytest.fail("the block ran without its fault")


def test_no_trouble_needs_no_switchboard() -> None:
    with Trouble().troubling({}):
        pass


def test_options_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["demo", "--help"])

    told = capsys.readouterr().out
    assert all(option in told for option in ("--fault NAME", "--probability", "--profile"))
