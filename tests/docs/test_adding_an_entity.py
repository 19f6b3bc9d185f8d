"""docs/adding-an-entity.md, followed to the letter: its example is loaded, becomes a DAG, and copies rows."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel
from sqlalchemy.dialects import postgresql, sqlite

from dynamics_sync.catalogue import load_catalogue, load_entity
from dynamics_sync.dataverse.metadata import ColumnMetadata, TableMetadata
from dynamics_sync.entity import Condition, Entity, FieldSpec, FieldType, KeySpec, Test
from dynamics_sync.errors import CatalogueError, ColumnRetyped
from dynamics_sync.store.schema import entity_table
from dynamics_sync.translation.fields import plan_reading

_TYPES = ("type", "types in Dynamics", "columns", "PostgreSQL", "SQLite")
_WORDS = ("word", "default", "meaning")


@pytest.fixture(scope="module")
def page(papers: Any) -> Any:
    return papers["docs/adding-an-entity.md"]


@pytest.fixture(scope="module")
def example(page: Any) -> str:
    """The text of the example."""
    text, _ = page.blocks("yaml")
    return str(text)


@pytest.fixture(scope="module")
def both_ways(page: Any, example: str) -> dict[str, Any]:
    """The example after the second block was put into it."""
    document, changed = yaml.safe_load(example), yaml.safe_load(page.blocks("yaml")[1])
    return {**document, **changed, "fields": {**document["fields"], **changed["fields"]}}


@pytest.fixture
def folder(example: str, tmp_path: Path) -> Path:
    """A catalogue that holds the example only."""
    (tmp_path / "campaign.yaml").write_text(example, encoding="utf-8")
    return tmp_path


@pytest.fixture
def campaign(folder: Path) -> Entity:
    return load_entity(folder / "campaign.yaml")


# --- the format ----------------------------------------------------------------------------------------


def test_the_example_is_right_and_uses_every_word_it_can(folder: Path, example: str) -> None:
    catalogue = load_catalogue(folder)
    assert not catalogue.errors
    document = yaml.safe_load(example)
    two_way = {"match", "detect_duplicates", "create_when", "deleted_here", "inactive_state", "approve_above"}
    assert set(document) == set(Entity.model_fields) - two_way - {"wins"}
    words = {word for field in document["fields"].values() for word in field}
    assert words == set(FieldSpec.model_fields) - {"wins", "direction"}


def test_the_example_for_both_ways_is_right_and_uses_every_word(both_ways: dict[str, Any]) -> None:
    assert Entity.model_validate(both_ways).is_two_way
    assert set(both_ways) == set(Entity.model_fields)
    assert {word for field in both_ways["fields"].values() for word in field} == set(FieldSpec.model_fields)
    assert {word for condition in both_ways["create_when"] for word in condition} == set(_words_of(Condition))


def test_the_columns_that_it_makes_are_those_that_the_page_names(campaign: Entity, page: Any) -> None:
    sentence = re.search(r"It makes a table with the columns (.*?)\n\n", page.text, re.DOTALL)
    assert sentence
    assert re.findall(r"`(\w+)`", sentence[1]) == entity_table(campaign).columns.keys()


@pytest.mark.parametrize(("place", "model"), [(0, Entity), (1, KeySpec), (2, FieldSpec), (3, Condition)])
def test_every_word_is_explained_with_its_default(place: int, model: type[BaseModel], page: Any) -> None:
    table = _tables(page, _WORDS)[place]
    fields = _words_of(model)
    assert list(table) == list(fields)
    for word, default in table.items():
        field = fields[word]
        if field.is_required():
            assert default == "required", word
        elif default in ("none", "empty"):
            assert not field.default, word
        else:
            shown = field.default if isinstance(field.default, str) else json.dumps(field.default)
            assert default == shown, word


def test_choices_are_named(page: Any) -> None:
    words = _choices(page)
    schema = Entity.model_json_schema()
    for name in ("Direction", "Winner", "ChangeSource", "UnknownOptions", "DeletedHere", "Test"):
        for value in schema["$defs"][name]["enum"]:
            assert f"`{value}`" in words, f"{name}: {value}"
    assert list(page.words("test", "fulfilled by", "types of field")) == list(Test)


def test_each_mistake_gives_the_message(page: Any, folder: Path, example: str) -> None:
    rows = page.table("instead of", "written", "message")
    assert rows
    for right, wrong, message in rows:
        assert example.count(right.strip("`")) == 1, right
        (folder / "campaign.yaml").write_text(example.replace(right.strip("`"), wrong.strip("`")), encoding="utf-8")
        with pytest.raises(CatalogueError) as raised:
            load_entity(folder / "campaign.yaml")
        assert raised.value.what == message


# --- types ---------------------------------------------------------------------------------------------


def test_types_make_the_columns_that_the_page_says(page: Any) -> None:
    documented: dict[str, list[tuple[str, ...]]] = {}
    word = ""
    for name, _, *cells in page.table(*_TYPES):
        word = name.strip("`") or word  # A blank cell repeats the type above.
        documented.setdefault(word, []).append(tuple(cell.strip("`") for cell in cells))
    assert documented == {kind.value: _made_columns(kind) for kind in FieldType}


def test_types_accept_what_the_page_says(page: Any) -> None:
    rows = {row[0].strip("`"): set(re.findall(r"`([\w/]+)`", row[1])) for row in page.table(*_TYPES) if row[0]}
    everything = set().union(*rows.values()) | {"Virtual", "PartyList", "ManagedProperty", "CalendarRules"}
    for word, accepted in rows.items():
        assert {theirs for theirs in everything if _is_accepted(FieldType(word), theirs)} == accepted, word


def _is_accepted(kind: FieldType, theirs: str) -> bool:
    name, _, behavior = theirs.partition("/")
    behavior = behavior or ("UserLocal" if name == "DateTime" else "")
    column = ColumnMetadata(name="f", type=name, property="f", date_behavior=behavior or None, options={})
    table = TableMetadata("e", "es", "eid", None, True, True, {"f": column})
    try:
        plan_reading(_entity_of(kind), table)
    except ColumnRetyped:
        return False
    return True


def _made_columns(kind: FieldType) -> list[tuple[str, ...]]:
    entity = _entity_of(kind)
    table = entity_table(entity)
    types = [table.c[column.name].type for column in entity.columns]
    return [
        (column.name, made.compile(postgresql.dialect()), made.compile(sqlite.dialect()))
        for column, made in zip(entity.columns, types, strict=True)
    ]


def _entity_of(kind: FieldType) -> Entity:
    endings = {FieldType.INSTANT: "x_at", FieldType.DATE: "x_on", FieldType.GUID: "x_id"}
    field: dict[str, Any] = {"column": endings.get(kind, "x"), "type": kind.value}
    if kind is FieldType.LOOKUP:
        field |= {"targets": ["a", "b"], "name": True}
    key = {"name": "eid", "column": "key_id"}
    return Entity.model_validate({"entity": "e", "table": "t", "title": "T", "key": key, "fields": {"f": field}})


def _tables(page: Any, header: tuple[str, ...]) -> list[Mapping[str, str]]:
    blocks = re.findall(r"(?:^\|.*\n)+", page.text, re.MULTILINE)
    found = [block for block in blocks if block.startswith(f"| {' | '.join(header)} |")]
    rows = [
        [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()[2:]] for block in found
    ]
    return [{row[0].strip("`"): row[1].strip("`") for row in table} for table in rows]


def _choices(page: Any) -> str:
    return "\n".join(line for line in page.prose.splitlines() if line.startswith("| `"))


def _words_of(model: type[BaseModel]) -> dict[str, Any]:
    """The fields of a model by the words that a person writes."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


# --- from the file to rows ---------------------------------------------------------------------------


def test_the_example_becomes_a_dag(campaign: Entity) -> None:
    from dynamics_sync.dag_factory import build_dag  # noqa: PLC0415 - Airflow is slow to import

    dag = build_dag(campaign)
    assert dag.dag_id == "dynamics_campaign"
    assert {task.task_id.rpartition(".")[2] for task in dag.tasks} == {
        "begin",
        "extract",
        "transform",
        "load",
        "finish",
    }


def test_the_example_copies_rows(campaign: Entity, sync: Any) -> None:
    sync.create("campaigns", name="Spring fair", typecode=3, budgetedcost=1250.5, proposedstart="2026-03-01T09:30:00Z")
    sync.create("campaigns", name="Newsletter")
    for _ in range(2):
        sync.run(campaign)
    runs = sync.sql("SELECT inserted, rejected, state FROM sync_run ORDER BY begun_at")
    assert [tuple(run.values()) for run in runs] == [(2, 0, "success"), (0, 0, "success")]
    newsletter, fair = sync.rows(campaign, order="name")
    assert (newsletter["name"], fair["name"]) == ("Newsletter", "Spring fair")
    assert (fair["kind_code"], fair["kind_label"], float(fair["budgeted_cost"])) == (3, "Event", 1250.5)
    assert fair["proposed_start_at"].isoformat() == "2026-03-01T09:30:00+00:00"
    assert (fair["owner_type"], fair["region"], fair["crm_deleted_at"]) == ("systemuser", None, None)


def test_the_example_for_both_ways_writes_rows(both_ways: dict[str, Any], sync: Any) -> None:
    campaign = Entity.model_validate(both_ways)
    for _ in range(2):
        sync.run(campaign)
    sync.sql(
        "INSERT INTO campaign (name, description, expected_responses)"
        " VALUES ('Spring fair', 'In Oslo', 100), ('Too small', 'In Bergen', 99), ('Undescribed', NULL, 500)"
    )
    (counts,) = sync.reverse([campaign]).values()
    assert (counts["read"], counts["inserted"], counts["filtered"]) == (3, 1, 2)
    sync.run(campaign)
    alive = [row["name"] for row in sync.rows(campaign, order="name") if row["crm_version"] is not None]
    assert alive == ["Spring fair"]
