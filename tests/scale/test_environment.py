"""Worker machines share no folder, know no secret of Airflow's, and cannot stage at home."""

import os
from pathlib import Path

import pytest
from airflow.sdk import ObjectStoragePath

from dynamics_sync.airflow_services import staging_root
from dynamics_sync.settings import Settings
from scale.environment import WORKERS, steering_environment, worker_environment
from scale.site import SERVERS, STAGING, Site
from scale.workers import lay_out

PORTS = {name: 20_000 + number for number, name in enumerate(SERVERS)}
SECRETS = ("DATABASE__SQL_ALCHEMY_CONN", "CORE__FERNET_KEY", "API_AUTH__JWT_SECRET", "API__SECRET_KEY")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(place=tmp_path / "site")
    site.prepare()
    return site


def test_a_worker_knows_neither_airflows_database_nor_its_keys(site: Site) -> None:
    steering, worker = steering_environment(site, PORTS), worker_environment(site, PORTS, WORKERS[0])
    for name in SECRETS:
        assert steering[f"AIRFLOW__{name}"]
        assert f"AIRFLOW__{name}" not in worker
        assert steering[f"AIRFLOW__{name}"] not in worker.values()


def test_workers_share_no_folder(site: Site) -> None:
    one, other = (worker_environment(site, PORTS, name) for name in WORKERS)
    own = {name for name in one if one[name] != other[name]}
    places = {name for name, value in one.items() if str(site.folder) in value}
    assert own == places | {"LOGNAME"}
    assert {"AIRFLOW_HOME", "HOME", "TMPDIR", "PYTHONPATH", "AIRFLOW__CORE__DAGS_FOLDER"} <= own
    assert all(str(site.machine(WORKERS[0])) in one[name] for name in places)
    # Nor do they lean on the clone that they were copied from.
    assert not any(str(site.project) in value for name, value in one.items() if name in {*own, "PYTHONPATH"})


def test_a_machine_has_code_and_certificate_of_its_own(site: Site, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("a certificate")
    home = lay_out(site, WORKERS[0], str(tmp_path / "ca.pem"))
    assert (home / "work" / "ca.pem").read_text() == "a certificate"
    code = home / "code"
    assert {path.name for path in code.iterdir()} == {"dags", "plugins", "include", "catalogue", "celery_config.py"}
    assert (code / "catalogue" / "lead.yaml").read_text() == (site.catalogue / "lead.yaml").read_text()
    assert not list(code.rglob("__pycache__"))
    assert not any(path.is_symlink() for path in home.rglob("*"))


def test_what_would_be_staged_on_a_machine_is_an_error(site: Site, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").touch()
    home = lay_out(site, WORKERS[0], str(tmp_path / "ca.pem"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_HOME", str(home / "airflow"))
        with pytest.raises(FileExistsError):
            staging_root(Settings())
        assert staging_root(Settings(staging=STAGING)) == ObjectStoragePath(STAGING)
    assert os.listdir(home / "airflow") == ["dynamics_staging"]  # noqa: PTH208 - all of it, hidden files too
