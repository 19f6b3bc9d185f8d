"""The client of Airflow's REST API, and what is put there."""

from pathlib import Path
from typing import Any

import pytest

from dynamics_demo.airflow_api import AirflowApi
from dynamics_demo.installation import Marketing
from dynamics_demo.marketing import MarketingDatabase
from dynamics_demo.problems import DemoError
from dynamics_demo.settings_file import AirflowSettings, Connection, import_settings, read_settings
from dynamics_demo.start import forget_foreign_watermarks

FILE = Path(__file__).resolve().parents[2] / "airflow_settings.yaml"


def _sqlite(file: Path) -> AirflowSettings:
    return AirflowSettings(connections=(Connection(conn_id="marketing_db", conn_type="sqlite", conn_host=str(file)),))


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
    airflow.variable_names()
    stand_in.tokens += 1
    assert airflow.variable_names() == []


def test_a_wrong_password_is_a_plain_message(stand_in: Any) -> None:
    client = AirflowApi(stand_in.address, "admin", "wrong")
    with pytest.raises(DemoError, match="make stop"):
        client.variable_names()
    client.close()


def test_components_that_are_not_healthy_are_named(airflow: AirflowApi, stand_in: Any) -> None:
    assert airflow.missing_components() == ()
    stand_in.unhealthy = ("scheduler",)
    assert airflow.missing_components() == ("scheduler",)


def test_nothing_is_healthy_while_nothing_answers() -> None:
    client = AirflowApi("http://127.0.0.1:9", "admin", "x")
    assert "api_server" in client.missing_components()
    client.close()


def test_watermarks_of_another_database_are_forgotten(airflow: AirflowApi, stand_in: Any, tmp_path: Path) -> None:
    import_settings(_sqlite(tmp_path / "one.db"), airflow)
    stand_in.objects["/variables/dynamics_watermark_lead"] = {}
    stand_in.objects["/variables/other"] = {}
    other = MarketingDatabase(Marketing.SQLITE, tmp_path / "other.db", tmp_path)
    forget_foreign_watermarks(airflow, _sqlite(other.file), other)
    assert [name for name in stand_in.objects if name.startswith("/variables")] == ["/variables/other"]


def test_watermarks_of_a_database_that_was_deleted_are_forgotten(
    airflow: AirflowApi, stand_in: Any, tmp_path: Path
) -> None:
    gone = MarketingDatabase(Marketing.SQLITE, tmp_path / "one.db", tmp_path)
    import_settings(_sqlite(gone.file), airflow)
    stand_in.objects["/variables/dynamics_watermark_lead"] = {}
    forget_foreign_watermarks(airflow, _sqlite(gone.file), gone)
    assert "/variables/dynamics_watermark_lead" not in stand_in.objects
