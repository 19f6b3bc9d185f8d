"""The catalogue: what is shipped is right, and each mistake is told with file, line and the nearest word."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from dynamics_sync.catalogue import DEFAULT_FOLDER, Catalogue, catalogue_folder, load_catalogue, load_entity
from dynamics_sync.entity import RESERVED_COLUMNS, Column, ColumnKind, Entity, FieldType
from dynamics_sync.errors import CatalogueError

GOOD = """\
entity: visit
table: visit
title: Visits
key: {name: visitid, column: visit_id}
fields:
  acme_name: {column: name, type: text}
  acme_fee:
    column: fee
    type: money
"""

Refusal = Callable[[str | bytes], str]


@pytest.fixture
def refusal(tmp_path: Path) -> Refusal:
    """Return a function from a file's text to the error that it is refused with."""

    def refuse(text: str | bytes) -> str:
        path = tmp_path / "visit.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(CatalogueError) as caught:
            load_entity(path)
        return str(caught.value)

    return refuse


# --- what is shipped --------------------------------------------------------------------------------


def test_the_shipped_folder_has_no_error() -> None:
    catalogue = load_catalogue(DEFAULT_FOLDER)
    assert catalogue.errors == {}
    assert len(catalogue.entities) == len(list(DEFAULT_FOLDER.iterdir())) > 0


def test_each_shipped_file_bears_the_name_of_its_entity() -> None:
    assert {path.stem for path in DEFAULT_FOLDER.glob("*.yaml")} == {
        entity.entity for entity in load_catalogue(DEFAULT_FOLDER).entities
    }


def test_leads_and_contacts_go_both_ways_with_the_winners_that_marketo_documents() -> None:
    two_way = {e.entity: e.wins for e in load_catalogue(DEFAULT_FOLDER).entities if e.direction == "two_way"}
    assert two_way == {"lead": "marketing", "contact": "dynamics"}


def test_an_entity_is_found_by_its_name_and_a_misspelt_one_names_the_nearest() -> None:
    catalogue = load_catalogue(DEFAULT_FOLDER)
    assert catalogue.entity("contact").table == "contact"
    with pytest.raises(CatalogueError, match=r"no entity contcat; did you mean `contact`\?"):
        catalogue.entity("contcat")


def test_an_empty_catalogue_says_so() -> None:
    with pytest.raises(CatalogueError, match="no entity lead"):
        Catalogue((), {}).entity("lead")


# --- columns ----------------------------------------------------------------------------------------

PLAIN = {
    "text": ColumnKind.TEXT,
    "integer": ColumnKind.INTEGER,
    "decimal": ColumnKind.NUMBER,
    "money": ColumnKind.NUMBER,
    "float": ColumnKind.FLOAT,
    "boolean": ColumnKind.BOOLEAN,
    "instant": ColumnKind.INSTANT,
    "date": ColumnKind.DATE,
    "guid": ColumnKind.GUID,
}
ENDINGS = {"instant": "_at", "date": "_on", "guid": "_id"}


@pytest.fixture
def entity_with(tmp_path: Path) -> Callable[..., Any]:
    """Return a function from fields to the entity that has them."""

    def load(fields: Mapping[str, Any], **words: Any) -> Any:
        path = tmp_path / "visit.yaml"
        path.write_text(yaml.safe_dump({**yaml.safe_load(GOOD), "fields": dict(fields), **words}))
        return load_entity(path)

    return load


@pytest.mark.parametrize("field_type", PLAIN)
def test_a_plain_field_fills_one_column_of_its_kind(entity_with: Callable[..., Any], field_type: str) -> None:
    name = f"thing{ENDINGS.get(field_type, '')}"
    (column,) = entity_with({"acme_x": {"column": name, "type": field_type}}).columns
    scale = {"money": 4, "decimal": 10}.get(field_type)
    assert column == Column(name, PLAIN[field_type], "acme_x", scale=scale)


def test_options_and_lookups_fill_columns_with_fixed_endings(entity_with: Callable[..., Any]) -> None:
    entity = entity_with(
        {
            "a": {"column": "one", "type": "option"},
            "b": {"column": "many", "type": "options"},
            "c": {"column": "plain", "type": "lookup", "targets": ["lead"]},
            "d": {"column": "owner", "type": "lookup", "targets": ["systemuser", "team"], "name": True},
        }
    )
    assert [(column.name, column.kind.value, column.part) for column in entity.columns] == [
        ("one_code", "integer", "code"),
        ("one_label", "text", "label"),
        ("many_code", "text", "code"),
        ("many_label", "text", "label"),
        ("plain_id", "guid", "id"),
        ("owner_id", "guid", "id"),
        ("owner_type", "text", "type"),
        ("owner_name", "text", "name"),
    ]


def test_every_type_has_columns() -> None:
    assert {*PLAIN, "option", "options", "lookup"} == set(FieldType)


# --- refusals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "right", "expected"),
    [
        ("titel: Visits", "title: Visits", "visit.yaml:3: unknown word `titel`; did you mean `title`?"),
        ("zzz: 1\ntitle: Visits", "title: Visits", "visit.yaml:3: unknown word `zzz`; valid are entity, table, title"),
        (
            "name: visitid, columm",
            "name: visitid, column",
            "visit.yaml:4: unknown word `columm`; did you mean `column`?",
        ),
        (
            "column: name, typ: text",
            "column: name, type: text",
            "visit.yaml:6: unknown word `typ`; did you mean `type`?",
        ),
        ("typ: money", "type: money", "visit.yaml:9: unknown word `typ`; did you mean `type`?"),
        ("type: mony", "type: money", "visit.yaml:9: `fields.acme_fee.type` cannot be 'mony'; did you mean `money`?"),
        ("type: 7", "type: money", "visit.yaml:9: `fields.acme_fee.type` cannot be 7; valid are text, integer"),
        ("title: ''", "title: Visits", "visit.yaml:3: `title`: "),
        ("title: [a]", "title: Visits", "visit.yaml:3: `title`: "),
        ("entity: Visit", "entity: visit", "visit.yaml:1: `entity`: use lower-case letters"),
        ("entity: 2visit", "entity: visit", "visit.yaml:1: `entity`: use lower-case letters"),
        ("table: order", "table: visit", "visit.yaml:2: `table`: order is a reserved word in SQL"),
        ("column: user", "column: visit_id", "visit.yaml:4: `key.column`: user is a reserved word in SQL"),
        ("column: group", "column: fee", "the column name group is a reserved word in SQL"),
        (f"table: {'v' * 51}", "table: visit", "visit.yaml:2: `table`: use at most 50 characters"),
        (f"column: {'v' * 51}", "column: fee", "visit.yaml:8: `fields.acme_fee.column`: use at most 50 characters"),
        ("  acme_Fee:", "  acme_fee:", "visit.yaml:"),
        ("table: sync_run", "table: visit", "the table name sync_run is kept for the sync's own tables"),
        ("table: person", "table: visit", "the table name person is kept"),
        ("table: opportunity_contact_role", "table: visit", "the table name opportunity_contact_role is kept"),
        (
            "column: name, type: date",
            "column: name, type: text",
            "visit.yaml:6: `fields.acme_name`: a column of type date ends in _on, as in name_on",
        ),
        ("column: name, type: guid", "column: name, type: text", "ends in _id, as in name_id"),
        ("column: name, type: instant", "column: name, type: text", "ends in _at, as in name_at"),
        ("column: name_at", "column: name", "the ending of name_at is kept for other types"),
        ("column: name_code", "column: name", "the ending of name_code is kept for other types"),
        ("column: name, type: lookup", "column: name, type: text", "`targets` is needed by type lookup"),
        (
            "column: name, targets: [a], type: text",
            "column: name, type: text",
            "`targets` is needed by type lookup, and by no other",
        ),
        (
            "column: name, name: true, type: text",
            "column: name, type: text",
            "`name` belongs to type lookup, not to text",
        ),
        (
            "type: money\n    length: 5",
            "type: money",
            "visit.yaml:7: `fields.acme_fee`: `length` belongs to type text, not to money",
        ),
        ("column: name, length: 0,", "column: name,", "visit.yaml:6: `fields.acme_name.length`: "),
        ("column: name, wins: dynamics,", "column: name,", "`wins` of acme_name belongs to direction two_way"),
        ("column: fee, type: text", "column: name, type: text", "acme_name and acme_fee both fill the column fee"),
        (
            "column: visit, type: lookup, targets: [a]",
            "column: name, type: text",
            "visitid and acme_name both fill the column visit_id",
        ),
        ("title: Visits\ndirection: two_way", "title: Visits", "`wins` is needed by direction two_way"),
        ("title: Visits\nwins: marketing", "title: Visits", "`wins` is needed by direction two_way, and by no other"),
        (
            "title: Visits\ndirection: twoway",
            "title: Visits",
            "visit.yaml:4: `direction` cannot be 'twoway'; did you mean `two_way`?",
        ),
        (
            "title: Visits\nschedule: often",
            "title: Visits",
            "visit.yaml:4: `schedule`: 'often' is not a cron expression",
        ),
        (
            "title: Visits\nschedule: 61 * * * *",
            "title: Visits",
            "visit.yaml:4: `schedule`: '61 * * * *' is not a cron",
        ),
        ("title: Visits\nschedule: 0 0 30 2 *", "title: Visits", "visit.yaml:4: `schedule`: '0 0 30 2 *' never comes"),
        ("title: Visits\nschedule: ''", "title: Visits", "visit.yaml:4: `schedule`: '' is not a cron expression"),
        ("visitid: {column: again_id, type: guid}\n  acme_fee:", "acme_fee:", "visitid is read always"),
        ("versionnumber: {column: version, type: integer}\n  acme_fee:", "acme_fee:", "versionnumber is read always"),
    ],
)
def test_a_mistake_is_told_with_its_line(refusal: Refusal, wrong: str, right: str, expected: str) -> None:
    assert GOOD.count(right) == 1
    message = refusal(GOOD.replace(right, wrong))
    assert message.startswith("DS-101 visit.yaml:")
    assert expected in message
    assert message.endswith("Correct the file; its DAG appears with the next parse.")


def test_logical_names_may_be_as_long_as_dynamics_lets_them(tmp_path: Path) -> None:
    long = "acme_" + "v" * 95
    path = tmp_path / "visit.yaml"
    path.write_text(GOOD.replace("entity: visit", f"entity: {long}").replace("acme_fee", long))
    assert load_entity(path).columns[1].field == load_entity(path).entity == long


@pytest.mark.parametrize("word", ["entity", "table", "title", "key", "fields"])
def test_a_missing_word_is_named(refusal: Refusal, word: str) -> None:
    document = yaml.safe_load(GOOD)
    del document[word]
    assert f"visit.yaml:1: `{word}` is missing" in refusal(yaml.safe_dump(document))


@pytest.mark.parametrize("word", ["column", "type"])
def test_a_word_that_a_field_lacks_is_named_at_the_field(refusal: Refusal, word: str) -> None:
    text = "".join(line for line in GOOD.splitlines(keepends=True) if not line.startswith(f"    {word}:"))
    assert f"visit.yaml:7: `fields.acme_fee.{word}` is missing" in refusal(text)


@pytest.mark.parametrize("column", sorted(name for name in RESERVED_COLUMNS if not name.endswith("_at")))
def test_a_column_of_the_sync_cannot_be_taken_by_a_field(refusal: Refusal, column: str) -> None:
    message = refusal(GOOD.replace("column: fee", f"column: {column}"))
    assert f"the column name {column} is kept for the sync" in message


@pytest.mark.parametrize("column", sorted(name for name in RESERVED_COLUMNS if name.endswith("_at")))
def test_an_instant_of_the_sync_cannot_be_taken_by_a_field(refusal: Refusal, column: str) -> None:
    text = GOOD.replace("column: fee", f"column: {column}").replace("type: money", "type: instant")
    assert f"the column name {column} is kept for the sync" in refusal(text)


@pytest.mark.parametrize("column", sorted(RESERVED_COLUMNS))
def test_a_column_of_the_sync_cannot_be_taken_by_the_key(refusal: Refusal, column: str) -> None:
    assert f"the column name {column} is kept" in refusal(GOOD.replace("column: visit_id", f"column: {column}"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "visit.yaml:1: the file is empty"),
        ("# only a comment\n", "visit.yaml:1: the file is empty"),
        ("- entity: visit\n", "visit.yaml:1: the file is no mapping"),
        ("visit", "visit.yaml:1: the file is no mapping"),
        ("entity: visit\ntable: [open\n", "visit.yaml:3: "),
        ("entity: visit\n\ttable: visit\n", "visit.yaml:2: "),
        ("entity: visit\n---\nentity: other\n", "visit.yaml:2: "),
        ("entity: a\nentity: b\n", "visit.yaml:2: `entity` stands twice"),
        (GOOD + "  acme_name: {column: other, type: text}\n", "visit.yaml:10: `acme_name` stands twice"),
        (GOOD.replace("type: text", "type: text, type: text"), "visit.yaml:6: `type` stands twice"),
        ("? [a]\n: b\n", "visit.yaml:1: a key must be a word"),
        ("entity: visit\ntitle: 2026-02-30\n", "visit.yaml:2: a value cannot be read; put it between quotes"),
        ("title: !!int many\n", "visit.yaml:1: a value cannot be read"),
        ("title: !!bool maybe\n", "visit.yaml:1: a value cannot be read"),
        ("title: !!python/object:os.system x\n", "visit.yaml:1: could not determine a constructor"),
        ("title: a\x00b", "visit.yaml:1: the file is not YAML"),
        ("a: &a [*a]", "visit.yaml:1: the file is nested too deeply"),
        ("[" * 5_000, "visit.yaml:1: the file is nested too deeply"),
        (
            "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
            + "".join(
                f"{to}: &{to} [{', '.join([f'*{of}'] * 10)}]\n" for of, to in ("ab", "bc", "cd", "de", "ef", "fg", "gh")
            ),
            "the file holds too many values",
        ),
        (b"title: \xff\xfe", "visit.yaml: the file cannot be read as UTF-8 text"),
        (GOOD.encode("utf-16"), "visit.yaml: the file cannot be read as UTF-8 text"),
    ],
)
def test_a_file_that_is_no_catalogue_is_told_so(refusal: Refusal, text: str | bytes, expected: str) -> None:
    assert expected in refusal(text)


@given(content=st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "replace")))
@settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_refused_in_the_same_way(refusal: Refusal, content: bytes) -> None:
    assert refusal(content).startswith("DS-101 visit.yaml")


WORDS = st.sampled_from(["entity", "table", "title", "key", "fields", "name", "column", "type", "text", "visit", "x"])
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(max_size=5) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.integers(), inner, max_size=5),
    max_leaves=10,
)


@given(change=DOCUMENTS, word=st.sampled_from(["entity", "title", "key", "fields", "tags", "owner", "schedule"]))
@settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_value_in_any_place_is_taken_or_refused(tmp_path: Path, change: Any, word: str) -> None:
    path = tmp_path / "visit.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(GOOD), word: change}), encoding="utf-8")
    catalogue = load_catalogue(tmp_path)
    assert len(catalogue.entities) + len(catalogue.errors) == 1
    assert all(str(error).startswith("DS-101 visit.yaml:") for error in catalogue.errors.values())


@given(
    text=st.lists(
        st.sampled_from(
            [*GOOD.splitlines(), "a: &a", "- *a", "<<: *a", "? x", ": y", "!!int", "|", ">", '"', "{", "]"]
        ),
        max_size=12,
    ).map("\n".join)
)
@settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_lines_are_taken_or_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "visit.yaml"
    path.write_text(text)
    catalogue = load_catalogue(tmp_path)
    assert len(catalogue.entities) + len(catalogue.errors) == 1


# --- several files ----------------------------------------------------------------------------------


def test_one_wrong_file_leaves_the_others(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    (tmp_path / "b.yaml").write_text("entity: [")
    (tmp_path / "c.yaml").write_text(GOOD.replace("visit\n", "call\n"))
    (tmp_path / "d.yaml").mkdir()
    (tmp_path / "readme.txt").write_text("not of the catalogue")
    catalogue = load_catalogue(tmp_path)
    assert [entity.entity for entity in catalogue.entities] == ["visit", "call"]
    assert sorted(path.name for path in catalogue.errors) == ["b.yaml", "d.yaml"]


@pytest.mark.parametrize("word", ["entity", "table"])
def test_two_files_for_the_same_thing_are_refused_and_the_first_stays(tmp_path: Path, word: str) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    other = "table" if word == "entity" else "entity"
    (tmp_path / "b.yaml").write_text(GOOD.replace(f"{other}: visit\n", f"{other}: call\n"))
    catalogue = load_catalogue(tmp_path)
    assert len(catalogue.entities) == 1
    assert f"b.yaml: `{word}: visit` stands in a.yaml already" in str(catalogue.errors[tmp_path / "b.yaml"])


def test_a_folder_that_does_not_exist_is_an_error_and_not_an_empty_catalogue(tmp_path: Path) -> None:
    catalogue = load_catalogue(tmp_path / "nowhere")
    assert catalogue.entities == ()
    assert "DYNAMICS_SYNC_CATALOGUE" in str(catalogue.errors[tmp_path / "nowhere"])


def test_the_folder_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    monkeypatch.setenv("DYNAMICS_SYNC_CATALOGUE", str(tmp_path))
    assert [entity.dag_id for entity in load_catalogue().entities] == ["dynamics_visit"]
    monkeypatch.setenv("DYNAMICS_SYNC_CATALOGUE", "")
    assert catalogue_folder() == DEFAULT_FOLDER
    monkeypatch.delenv("DYNAMICS_SYNC_CATALOGUE")
    assert catalogue_folder() == DEFAULT_FOLDER


# --- both ways ------------------------------------------------------------------------------------------


TWO_WAY: dict[str, Any] = {
    "entity": "sample",
    "table": "sample",
    "title": "Samples",
    "direction": "two_way",
    "wins": "marketing",
    "key": {"name": "sampleid", "column": "sample_id"},
    "fields": {
        "name": {"column": "name", "type": "text"},
        "score": {"column": "score", "type": "integer"},
        "statecode": {"column": "state", "type": "option"},
        "owner": {"column": "owner", "type": "lookup", "targets": ["team"]},
        "modifiedon": {"column": "modified_at", "type": "instant", "direction": "from_dynamics"},
    },
}


def test_the_words_of_an_entity_that_goes_both_ways() -> None:
    words = {
        "match": ["name"],
        "create_when": [{"field": "score", "is": "at_least", "value": 50}, {"field": "name", "is": "filled"}],
        "deleted_here": "deactivate",
        "inactive_state": 1,
        "approve_above": 5,
    }
    entity = Entity.model_validate({**TWO_WAY, **words})
    assert [field.rule for field in entity.mapped_fields] == ["marketing"] * 4 + ["dynamics"]
    assert [field.name for field in entity.mapped_fields if field.is_owned_by_dynamics] == ["modifiedon"]
    assert Entity.model_validate(entity.model_dump(by_alias=True)) == entity


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"match": ["nothing"]}, "`match` names nothing, which is not among `fields`"),
        ({"match": ["owner"]}, "`match` cannot use owner, a field of type lookup"),
        ({"deleted_here": "deactivate"}, "`inactive_state` is needed by deleted_here deactivate"),
        ({"inactive_state": 1}, "`inactive_state` is needed by deleted_here deactivate"),
        (
            {"create_when": [{"field": "score", "is": "at_least"}]},
            "`value` is needed by all tests but filled and blank",
        ),
        ({"create_when": [{"field": "score", "is": "filled", "value": 1}]}, "`value` is needed by all tests"),
        ({"create_when": [{"field": "score", "is": "equal", "value": "x"}]}, "cannot compare score"),
        ({"create_when": [{"field": "score", "is": "equal", "value": True}]}, "cannot compare score"),
        ({"create_when": [{"field": "gone", "is": "filled"}]}, "`create_when` names gone"),
        ({"table": "sample_base"}, "is kept for the sync's own tables"),
    ],
)
def test_words_that_contradict_each_other(words: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Entity.model_validate({**TWO_WAY, **words})


def test_latest_needs_the_time_of_the_change_in_dynamics() -> None:
    fields = {name: spec for name, spec in TWO_WAY["fields"].items() if name != "modifiedon"}
    with pytest.raises(ValidationError, match="`latest` compares with modifiedon"):
        Entity.model_validate({**TWO_WAY, "wins": "latest", "fields": fields})


@pytest.mark.parametrize("word", ["match", "create_when", "approve_above", "deleted_here", "detect_duplicates"])
def test_words_of_both_ways_belong_to_no_other_direction(word: str) -> None:
    value = {"match": ["name"], "create_when": [{"field": "name", "is": "filled"}], "approve_above": 5,
             "deleted_here": "delete", "detect_duplicates": False}[word]  # fmt: skip
    fields = {"name": TWO_WAY["fields"]["name"]}
    one_way = {**TWO_WAY, "direction": "from_dynamics", "wins": None, "fields": fields, word: value}
    with pytest.raises(ValidationError, match=f"`{word}` belongs to direction two_way"):
        Entity.model_validate(one_way)


def test_a_field_of_dynamics_has_no_rule() -> None:
    fields = {"name": {"column": "name", "type": "text", "direction": "from_dynamics", "wins": "review"}}
    with pytest.raises(ValidationError, match="`wins` has no meaning beside direction from_dynamics"):
        Entity.model_validate({**TWO_WAY, "fields": fields})
