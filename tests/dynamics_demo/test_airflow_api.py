"""The client of Airflow's REST API, and what is put there."""

from pathlib import Path
from typing import Any

import pytest

from dynamics_demo.airflow_api import AirflowApi
from dynamics_demo.problems import DemoError
from dynamics_demo.settings_file import import_settings, read_settings

FILE = Path(__file__).resolve().parents[2] / "airflow_settings.yaml"


def test_settings_can_be_imported_again_and_again(airflow: AirflowApi, stand_in: Any) -> None:
    settings = read_settings(FILE)
    import_settings(settings, airflow)
    first = dict(stand_in.objects)
    import_settings(settings, airflow)
    assert stand_in.objects == first
    assert set(first) == {
        "/connections/dynamics_default",
        "/connections/marketing_db",
        "/pools/dynamics_api",
        "/variables/dynamics_sync",
    }


def test_a_token_that_is_no_longer_accepted_is_renewed(airflow: AirflowApi, stand_in: Any) -> None:
    airflow.read_variable("any")
    stand_in.tokens += 1
    assert airflow.read_variable("any") is None


def test_a_wrong_password_is_a_plain_message(stand_in: Any) -> None:
    client = AirflowApi(stand_in.address, "admin", "wrong")
    with pytest.raises(DemoError, match="make stop"):
        client.read_variable("any")
    client.close()


def test_components_that_are_not_healthy_are_named(airflow: AirflowApi, stand_in: Any) -> None:
    assert airflow.missing_components() == ()
    stand_in.unhealthy = ("scheduler",)
    assert airflow.missing_components() == ("scheduler",)


def test_nothing_is_healthy_while_nothing_answers() -> None:
    client = AirflowApi("http://127.0.0.1:9", "admin", "x")
    assert "api_server" in client.missing_components()
    client.close()
