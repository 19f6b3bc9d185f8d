"""Ports, keys and environment of the local installation."""

import socket
import stat
from pathlib import Path

import pytest

from dynamics_demo.installation import (
    PREFERRED_PORTS,
    Installation,
    airflow_environment,
    choose_ports,
    metadata_url,
    read_keys,
    read_password,
    read_ports,
)
from dynamics_demo.ports import choose_port, is_free
from dynamics_demo.problems import DemoError

PORTS = dict(PREFERRED_PORTS)


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    installed = Installation(tmp_path)
    installed.prepare()
    return installed


def test_a_port_that_somebody_listens_on_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not is_free(port)
        assert choose_port(port) != port
    assert is_free(port)


def test_a_port_on_the_other_loopback_address_is_not_free() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        assert not is_free(server.getsockname()[1])


def test_the_preferred_port_is_chosen_if_it_is_free() -> None:
    assert choose_port(8080, free=lambda _: True) == 8080


def test_the_next_free_port_is_chosen() -> None:
    assert choose_port(8080, frozenset({8082}), free=lambda port: port not in {8080, 8081}) == 8083


def test_no_free_port_is_a_plain_message() -> None:
    with pytest.raises(DemoError, match="8080"):
        choose_port(8080, free=lambda _: False)


def test_ports_are_remembered(installation: Installation) -> None:
    chosen = choose_ports(installation, frozenset(), free=lambda port: port != 8080)
    assert chosen == PORTS | {"airflow": 8081}
    assert read_ports(installation) == chosen


def test_a_server_gets_the_port_that_it_had(installation: Installation) -> None:
    choose_ports(installation, frozenset(), free=lambda port: port != 8443)
    assert choose_ports(installation, frozenset(), free=lambda _: True)["emulator"] == 8444


def test_a_running_server_keeps_its_port_though_it_is_taken(installation: Installation) -> None:
    before = choose_ports(installation, frozenset(), free=lambda _: True)
    after = choose_ports(installation, frozenset({"emulator"}), free=lambda port: port not in before.values())
    assert after["emulator"] == before["emulator"]
    assert after["airflow"] != before["airflow"]
    assert len(set(after.values())) == len(after)


def test_keys_are_generated_once_and_for_their_owner_only(installation: Installation) -> None:
    assert read_keys(installation) == read_keys(installation)
    assert read_password(installation) == read_password(installation)
    for path in (installation.folder / "keys.json", next(installation.airflow_home.glob("*.generated"))):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_two_installations_have_different_keys(tmp_path: Path) -> None:
    one, other = Installation(tmp_path / "one"), Installation(tmp_path / "other")
    one.prepare()
    other.prepare()
    assert not set(read_keys(one).values()) & set(read_keys(other).values())


def test_airflow_is_set_by_its_environment_alone(installation: Installation) -> None:
    foreign = {"AIRFLOW_HOME": "/elsewhere", "AIRFLOW__CORE__LOAD_EXAMPLES": "True", "PATH": "/bin", "HOME": "/home/x"}
    environment = airflow_environment(installation, PORTS, "url", given=foreign)
    assert environment["AIRFLOW_HOME"] == str(installation.airflow_home)
    assert environment["AIRFLOW__CORE__LOAD_EXAMPLES"] == "False"
    assert environment["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert environment["HOME"] == "/home/x"
    assert environment["PATH"].endswith(":/bin")
    assert not list(installation.folder.rglob("airflow.cfg"))


def test_a_proxy_does_not_stand_before_localhost(installation: Installation) -> None:
    environment = airflow_environment(installation, PORTS, "url", given={"NO_PROXY": "intranet"})
    assert environment["NO_PROXY"] == "intranet,localhost,127.0.0.1"


def test_all_that_is_written_lies_in_one_folder(installation: Installation) -> None:
    places = [
        installation.airflow_home,
        installation.postgres,
        installation.emulator,
        installation.marketing_file,
        installation.staging,
        installation.logs,
        installation.records,
    ]
    assert all(place.is_relative_to(installation.project / ".local") for place in places)


def test_the_socket_folder_is_escaped_in_the_url() -> None:
    assert metadata_url(Path("/a b/c")) == "postgresql+psycopg2://postgres:@/airflow?host=/a%20b/c"
