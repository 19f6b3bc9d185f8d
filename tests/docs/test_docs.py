"""What the papers say is true: links lead somewhere, commands exist, settings and parameters are all there."""

import json
import re
import subprocess
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa

from dynamics_sync.catalogue import load_catalogue
from dynamics_sync.forward.slices import MOST_SLICES
from dynamics_sync.provider import get_provider_info
from dynamics_sync.reverse.manifest import ReverseRun
from dynamics_sync.reverse.request import ReverseMode, ReverseRequest
from dynamics_sync.reverse.request import request_from_params as reverse_request
from dynamics_sync.settings import Settings
from dynamics_sync.store.database import MarketingDatabase
from dynamics_sync.store.environments import IDENTITY_FIELDS
from dynamics_sync.store.schema import ensure_tables
from dynamics_sync.store.sync_tables import SYNC_RUN
from dynamics_sync.store.views import VIEWS, ensure_views


@pytest.fixture
def empty_tables(tmp_path: Path) -> MarketingDatabase:
    """A SQLite database with the tables and views of the shipped catalogue, and no rows."""
    database = MarketingDatabase.open(f"sqlite:///{tmp_path / 'marketing.db'}")
    for entity in load_catalogue().entities:
        ensure_tables(database, entity)
    ensure_views(database)
    return database


# --- links, images, files ---------------------------------------------------------------------------


def test_links_between_papers_lead_somewhere(papers: Any, root: Path) -> None:
    broken = []
    for paper in papers.values():
        for is_image, target in paper.links:
            if is_image or urlsplit(target).scheme:
                continue
            place, _, anchor = target.partition("#")
            path = (paper.path.parent / place).resolve() if place else paper.path
            other = papers.get(str(path.relative_to(root)))
            if not path.exists() or (anchor and (other is None or anchor not in other.anchors)):
                broken.append(f"{paper.name}: {target}")
    assert not broken


def test_images_exist(papers: Any) -> None:
    images = [paper.path.parent / target for paper in papers.values() for is_image, target in paper.links if is_image]
    assert images
    assert [str(path) for path in images if not path.exists()] == []


def test_every_paper_can_be_reached_from_the_readme(papers: Any, root: Path) -> None:
    reached: set[str] = set()
    waiting = ["README.md"]
    while waiting:
        name = waiting.pop()
        if name in reached or name not in papers:
            continue
        reached.add(name)
        folder = papers[name].path.parent
        places = [target.partition("#")[0] for _, target in papers[name].links if not urlsplit(target).scheme]
        waiting += [str((folder / place).resolve().relative_to(root)) for place in places if place]
    assert reached == set(papers)


def test_files_that_are_named_exist(papers: Any, root: Path) -> None:
    """Paths in backticks, as in `tests/promises/test_feed.py`; those that a person will make are none of ours."""
    named = re.compile(r"`((?:include|tests|dags|plugins|docs|\.ci)/[\w./-]*\w)`")
    to_be_made = {"include/entities/campaign.yaml"}
    texts = {paper.name: paper.prose for paper in papers.values()}
    texts["NOTICE"] = re.sub(r"^ +(include/\S+)$", r"`\1`", (root / "NOTICE").read_text(), flags=re.MULTILINE)
    missing = [
        f"{name}: {path}"
        for name, text in texts.items()
        for path in named.findall(text)
        if path not in to_be_made and not (root / path).exists()
    ]
    assert not missing
    assert "include/" in texts["NOTICE"]


def test_each_decision_is_listed(papers: Any, root: Path) -> None:
    listed = {target for _, target in papers["docs/adr/README.md"].links}
    assert listed == {path.name for path in (root / "docs/adr").glob("0*.md")}


# --- commands -----------------------------------------------------------------------------------------


def _make_targets(root: Path) -> set[str]:
    text = (root / "Makefile").read_text()
    return set(re.findall(r"^([a-z-]+):.*## ", text, re.MULTILINE))


def test_make_targets_are_documented_and_exist(papers: Any, root: Path) -> None:
    targets = _make_targets(root)
    table = papers["CONTRIBUTING.md"].words("target", "does")
    assert set(table) == {f"make {target}" for target in targets}
    commands = "\n".join(
        [*re.findall(r"`(make [^`]*)`", "".join(p.prose for p in papers.values()))]
        + [block for paper in papers.values() for block in paper.blocks("bash")]
    )
    assert set(re.findall(r"\bmake ([a-z-]+)", commands)) <= targets


def test_bash_blocks_are_bash(papers: Any) -> None:
    for paper in papers.values():
        for block in paper.blocks("bash"):
            # `<client id>` stands for what a person puts in; to bash it would be a redirection.
            script = re.sub(r"<[\w ]+>", "value", block)
            checked = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)
            assert checked.returncode == 0, f"{paper.name}: {checked.stderr}"


def test_a_dag_that_waits_for_an_entity_names_its_asset(papers: Any) -> None:
    from dynamics_sync.dag_factory import asset_of  # noqa: PLC0415 - Airflow is slow to import

    (block,) = papers["docs/operations.md"].blocks("python")
    names: dict[str, Any] = {}
    exec(compile(block, "docs/operations.md", "exec"), names)  # noqa: S102 - our own example
    assert names["LEADS"].name == asset_of(load_catalogue().entity("lead")).name
    assert names["score_leads"]().dag_id == "score_leads"


# --- settings, connections, parameters ---------------------------------------------------------------


def test_settings_are_documented_with_their_defaults(papers: Any) -> None:
    documented = papers["docs/operations.md"].words("setting", "default", "meaning")
    assert {name: json.loads(value) for name, value in documented.items()} == Settings().model_dump()


def test_settings_in_examples_are_valid(papers: Any) -> None:
    commands = "\n".join(block for paper in papers.values() for block in paper.blocks("bash"))
    examples = re.findall(r"airflow variables set dynamics_sync '(.*?)'", commands)
    assert examples
    for example in examples:
        Settings.model_validate_json(example)


def test_the_fields_of_the_connection_are_documented(papers: Any) -> None:
    documented = papers["README.md"].words("extra", "meaning")
    assert set(documented) == set(get_provider_info()["connection-types"][0]["conn-fields"])


def test_parameters_and_modes_are_documented(papers: Any) -> None:
    from dynamics_sync.dag_factory import build_dag  # noqa: PLC0415 - Airflow is slow to import

    params = build_dag(load_catalogue().entity("lead")).params
    operations = papers["docs/operations.md"]
    assert set(operations.words("parameter", "meaning")) == set(params)
    modes = operations.words("mode", "reads", "finds deletions", "moves the watermark")
    assert list(modes) == params.get_param("mode").schema["enum"]


def test_parameters_and_modes_of_the_way_back_are_documented(papers: Any) -> None:
    from dynamics_sync.reverse_dag import build_reverse_dag  # noqa: PLC0415 - Airflow is slow to import

    dag = build_reverse_dag([entity for entity in load_catalogue().entities if entity.is_two_way])
    operations = papers["docs/operations.md"]
    assert set(operations.words(f"parameter of `{dag.dag_id}`", "meaning")) == set(dag.params)
    modes = operations.table(f"mode of `{dag.dag_id}`", "looks at", "moves the watermark")
    assert [row[0].strip("`") for row in modes] == dag.params.get_param("mode").schema["enum"]
    moves = {
        mode.value: ReverseRun("run", "key", datetime.now(UTC), ReverseRequest(mode)).moves_watermark
        for mode in ReverseMode
    }
    assert {row[0].strip("`"): row[2] == "yes" for row in modes} == moves


def test_what_the_form_is_sent_is_understood(papers: Any) -> None:
    from dynamics_sync.dag_factory import build_dag  # noqa: PLC0415 - Airflow is slow to import
    from dynamics_sync.forward.request import request_from_params  # noqa: PLC0415 - see above
    from dynamics_sync.reverse_dag import DAG_ID, build_reverse_dag  # noqa: PLC0415 - see above

    two_way = [entity for entity in load_catalogue().entities if entity.is_two_way]
    commands = "\n".join(block for paper in papers.values() for block in paper.blocks("bash"))
    inline = "\n".join(paper.prose for paper in papers.values())
    forms = re.findall(r"dags trigger (\w+)[\s\\]+--conf '(\{.*?\})'", commands + inline)
    given = [(dag_id, json.loads(form)) for dag_id, form in forms if "…" not in form]
    assert {dag_id == DAG_ID for dag_id, _ in given} == {True, False}
    for dag_id, params in given:
        if dag_id == DAG_ID:
            reverse_request(params)
            assert set(params) <= set(build_reverse_dag(two_way).params)
        else:
            request_from_params(params)
            entity = load_catalogue().entity(dag_id.removeprefix("dynamics_"))
            assert set(params) <= set(build_dag(entity).params)


def test_the_mode_column_moves_the_watermark_as_the_code_does(papers: Any) -> None:
    from dynamics_sync.forward.request import Mode, RunRequest  # noqa: PLC0415 - see above

    rows = papers["docs/operations.md"].table("mode", "reads", "finds deletions", "moves the watermark")
    documented = {row[0].strip("`"): row[3] == "yes" for row in rows}
    assert documented == {mode.value: RunRequest(mode).moves_watermark for mode in Mode}


# --- the marketing database --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["README.md", "docs/operations.md", "docs/two-way.md"])
def test_sql_runs_against_the_shipped_tables(name: str, papers: Any, empty_tables: MarketingDatabase) -> None:
    statements = papers[name].blocks("sql")
    assert statements
    with empty_tables.writing() as connection:
        for statement in "".join(statements).split(";")[:-1]:
            result = connection.execute(sa.text(statement))
            assert not result.returns_rows or result.all() == []


def test_tables_and_views_are_listed(papers: Any, empty_tables: MarketingDatabase) -> None:
    section = papers["README.md"].prose.partition("## What you get in the database")[2].partition("\n## ")[0]
    named = set(re.findall(r"`([a-z_]+)`", section))
    inspector = sa.inspect(empty_tables.engine)
    there = {*inspector.get_table_names(), *inspector.get_view_names()}
    assert {view.name for view in VIEWS} <= there
    assert there <= named
    own = {
        name.strip("`") for name, *_ in papers["docs/architecture.md"].table("table", "one row is", "written by")[1:]
    }
    assert own == {table.name for table in SYNC_RUN.metadata.tables.values()}


def test_figures_of_the_architecture_are_those_of_the_code(papers: Any) -> None:
    text = papers["docs/architecture.md"].prose
    assert f"never more than {MOST_SLICES:,} slices" in text
    assert ", ".join(f"`{name}`" for name in IDENTITY_FIELDS) in text


# --- licence -------------------------------------------------------------------------------------------


def test_the_licence_is_the_one_of_the_package(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    text = (root / "LICENSE").read_text()
    assert project["license"] == "Apache-2.0"
    assert "Apache License" in text
    assert "APPENDIX: How to apply the Apache License to your work." in text
    assert f"[{project['version']}]" in (root / "CHANGELOG.md").read_text()


def test_the_notice_names_the_source_of_the_column_list(root: Path) -> None:
    notice = (root / "NOTICE").read_text()
    source = json.loads((root / "include/dynamics_emulator/columns.json").read_text())["_source"]
    assert "github.com/microsoft/CDM" in notice
    assert "CC BY 4.0" in notice
    assert "CC BY 4.0" in source["licence"]
