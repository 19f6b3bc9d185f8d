"""The DAGs that Airflow finds: one for each file of the catalogue, and parsing them is free."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dynamics_sync.catalogue import DEFAULT_FOLDER, load_catalogue

ENTITIES = load_catalogue(DEFAULT_FOLDER).entities
TASKS = {"begin", "slice.extract", "slice.transform", "slice.load", "finish"}

#: What a DAG file that nobody listed here would be missing in: documentation, and these tests.
FILES = {"dynamics_catalogue_check.py", "dynamics_entities.py", "dynamics_operations.py", "dynamics_reverse.py"}


def test_the_dag_files_are_those_that_are_listed(dags_folder: Path) -> None:
    assert {path.name for path in dags_folder.iterdir() if path.name != "__pycache__"} == FILES


def test_there_is_one_dag_for_each_file_of_the_catalogue_and_two_of_their_own(parsed: Any) -> None:
    files = list(DEFAULT_FOLDER.glob("*.yaml"))
    assert set(parsed["dags"]) == {
        "dynamics_operations",
        "dynamics_reverse",
        *(f"dynamics_{path.stem}" for path in files),
    }
    assert parsed["errors"] == {}


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.entity)
def test_the_dag_of_an_entity(parsed: Any, entity: Any) -> None:
    dag = parsed["dags"][entity.dag_id]
    assert dag["file"] == "dynamics_entities.py"
    assert entity.description
    assert dag["description"] == entity.description
    assert {"dynamics", *entity.tags} == set(dag["tags"])
    assert dag["owners"] == [entity.owner]
    assert (dag["catchup"], dag["max_active_runs"], dag["retries"]) == (False, 1, 3)
    assert dag["timetable"] == "CronDataIntervalTimetable"
    assert dag["params"]["mode"]["enum"] == ["changes", "full", "window", "ids", "quarantine"]
    assert {name for name, pool in dag["pools"].items() if pool == "dynamics_api"} == {"begin", "slice.extract"}
    assert dag["rules"] == {name: "none_failed" if name == "finish" else "all_success" for name in TASKS}
    assert dag["outlets"] == [f"marketing.{entity.table}"]


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.entity)
def test_the_page_of_a_dag_names_every_column(parsed: Any, entity: Any) -> None:
    page = parsed["dags"][entity.dag_id]["doc_md"]
    assert f"| `{entity.key.column}` | guid, key |" in page
    for column in entity.columns:
        assert f"| `{column.name}` | {column.kind.value} |" in page


def test_housekeeping_is_documented_and_runs_on_its_own(parsed: Any) -> None:
    dag = parsed["dags"]["dynamics_operations"]
    assert dag["file"] == "dynamics_operations.py"
    assert all(setting in dag["doc_md"] for setting in ("staging_days", "plan_days"))
    assert set(dag["rules"]) == {"remove_old_staging", "remove_old_plans"}
    assert "dynamics" in dag["tags"]
    assert dag["description"]
    assert dag["timetable"] == "CronDataIntervalTimetable"
    assert not dag["catchup"]


# --- parsing is free --------------------------------------------------------------------------------


def test_parsing_imports_nothing_heavy(parsed: Any) -> None:
    heavy = {"pandas", "numpy", "pyarrow", "msal", "requests", "psycopg", "psycopg2", "fsspec", "dynamics_emulator"}
    ours = {"dynamics_sync.store", "dynamics_sync.dataverse", "dynamics_sync.forward.tasks", "dynamics_hook"}
    assert {name for name in parsed["modules"] if name.split(".")[0] in heavy or name in heavy | ours} == set()
    assert not [name for name in parsed["modules"] if name.startswith("sqlalchemy.dialects")]
    # The probe sees what is imported: it did import our own modules.
    assert "dynamics_sync.dag_factory" in parsed["modules"]


def test_parsing_opens_no_socket_no_database_and_writes_no_file(parsed: Any) -> None:
    assert parsed["events"] == []


def test_parsing_takes_less_than_a_second_of_cpu(parsed: Any) -> None:
    assert parsed["seconds"] < 1


# --- a catalogue with a mistake ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def parsed_with_mistakes(probe: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What parsing brings where two files of the catalogue are wrong."""
    folder = tmp_path_factory.mktemp("catalogue")
    for name in ("lead", "contact", "team"):
        shutil.copy(DEFAULT_FOLDER / f"{name}.yaml", folder)
    (folder / "account.yaml").write_text("entity: account\ntabel: account\n")
    (folder / "broken.yaml").write_text("entity: [\n")
    return probe(DYNAMICS_SYNC_CATALOGUE=str(folder))


def test_wrong_files_leave_the_other_dags(parsed_with_mistakes: Any) -> None:
    dags = {"dynamics_lead", "dynamics_contact", "dynamics_team", "dynamics_operations", "dynamics_reverse"}
    assert set(parsed_with_mistakes["dags"]) == dags


def test_wrong_files_show_as_an_import_error_with_line_and_next_step(parsed_with_mistakes: Any) -> None:
    (name,) = parsed_with_mistakes["errors"]
    text = parsed_with_mistakes["errors"][name]
    assert name == "dynamics_catalogue_check.py"
    assert "DS-101 account.yaml:2: unknown word `tabel`; did you mean `table`?" in text
    assert "DS-101 broken.yaml:2: " in text
    assert "Correct the file; its DAG appears with the next parse." in text


def test_a_folder_that_is_not_there_shows_as_an_import_error(probe: Callable[..., Any], tmp_path: Path) -> None:
    found = probe(DYNAMICS_SYNC_CATALOGUE=str(tmp_path / "nowhere"))
    assert set(found["dags"]) == {"dynamics_operations"}
    assert "DYNAMICS_SYNC_CATALOGUE" in found["errors"]["dynamics_catalogue_check.py"]
