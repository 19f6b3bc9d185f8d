"""`airflow_settings.yaml` as a person writes it, and as Airflow's REST API takes it."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from dynamics_demo.problems import DemoError
from dynamics_demo.settings_file import Connection, LocalValues, read_settings, with_local_values

FILE = Path(__file__).resolve().parents[2] / "airflow_settings.yaml"

EMULATOR = {
    "url": "https://localhost:8444",
    "authority": "https://localhost:8444/tenant",
    "tenant_id": "tenant",
    "client_id": "client",
    "client_secret": "demo",
    "ca_file": "/clone/.local/emulator/ca.pem",
}
MARKETING = Connection(conn_id="marketing_db", conn_type="sqlite", conn_host="/clone/.local/marketing.db")
LOCAL = LocalValues(EMULATOR, MARKETING, "file:///clone/.local/staging")


def _write(folder: Path, document: Any) -> Path:
    path = folder / "airflow_settings.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


def test_the_project_s_file_has_all_that_the_dags_need() -> None:
    settings = read_settings(FILE)
    assert {connection.conn_id for connection in settings.connections} == {"dynamics_default", "marketing_db"}
    assert {pool.pool_name: pool.pool_slot for pool in settings.pools} == {"dynamics_api": 8}
    assert {variable.variable_name for variable in settings.variables} == {"dynamics_sync"}


def test_local_values_replace_those_for_everybody() -> None:
    settings = with_local_values(read_settings(FILE), LOCAL)
    dynamics = settings.connection("dynamics_default").body()
    assert (dynamics["host"], dynamics["port"], dynamics["login"]) == ("https://localhost", 8444, "client")
    assert json.loads(dynamics["extra"]) == {
        "tenant_id": "tenant",
        "authority": "https://localhost:8444/tenant",
        "ca_file": "/clone/.local/emulator/ca.pem",
    }
    assert settings.connection("marketing_db") == MARKETING
    variable = json.loads(settings.variables[0].body()["value"])
    assert variable["staging"] == "file:///clone/.local/staging"
    assert variable["marketing_conn_id"] == "marketing_db"


def test_extra_may_be_json_text_or_a_mapping(tmp_path: Path) -> None:
    one = {"conn_id": "a", "conn_type": "http", "conn_extra": {"word": 1}}
    other = {"conn_id": "b", "conn_type": "http", "conn_extra": '{"word": 1}'}
    settings = read_settings(_write(tmp_path, {"airflow": {"connections": [one, other]}}))
    assert [connection.body()["extra"] for connection in settings.connections] == ['{"word": 1}', '{"word": 1}']


def test_a_misspelt_word_is_named(tmp_path: Path) -> None:
    path = _write(tmp_path, {"airflow": {"pools": [{"pool_name": "a", "pool_slots": 8}]}})
    with pytest.raises(DemoError, match=r"pools\.0"):
        read_settings(path)


@pytest.mark.parametrize("document", [{}, [], {"airflow": None}])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, document: Any) -> None:
    with pytest.raises(DemoError, match="airflow_settings"):
        read_settings(_write(tmp_path, document))


def test_a_missing_connection_is_named(tmp_path: Path) -> None:
    settings = read_settings(_write(tmp_path, {"airflow": {}}))
    with pytest.raises(DemoError, match="dynamics_default"):
        with_local_values(settings, LOCAL)
