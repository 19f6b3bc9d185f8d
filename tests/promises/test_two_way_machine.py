"""Random edits, inserts, deletes, qualifications, runs and crashes on both sides; after all settles, the promises hold.

Values are never used twice, so that each edit can be followed: it stands on both sides at the end, or somebody wrote
over it later, or it lost a conflict and is kept there.
"""

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

#: How many examples: 200 over both databases in every run of the suite, thousands for each with `make soak`.
EXAMPLES = {"sqlite": 140, "postgresql": 60}

TEXT = {"type": "text"}
LEAD = {
    "lastname": {"column": "last_name", **TEXT},
    "emailaddress1": {"column": "email", **TEXT},
    "jobtitle": {"column": "job_title", **TEXT},
    "subject": {"column": "topic", **TEXT, "wins": "dynamics"},
    "companyname": {"column": "company", **TEXT, "wins": "review"},
    "address1_city": {"column": "city", **TEXT, "wins": "latest"},
    "numberofemployees": {"column": "employee_count", "type": "integer"},
    "fullname": {"column": "full_name", **TEXT, "direction": "from_dynamics"},
    "statecode": {"column": "state", "type": "option", "wins": "dynamics"},
    "modifiedon": {"column": "modified_at", "type": "instant", "direction": "from_dynamics"},
}
CONTACT = {
    "lastname": {"column": "last_name", **TEXT},
    "jobtitle": {"column": "job_title", **TEXT, "wins": "fill_blank"},
    "department": {"column": "department", **TEXT},
    "modifiedon": {"column": "modified_at", "type": "instant", "direction": "from_dynamics"},
}
SIDES = {"lead": ("leads", "leadid"), "contact": ("contacts", "contactid")}
#: The fields that people write, by entity: column here and name there.
CELLS = {
    "lead": [("last_name", "lastname"), ("job_title", "jobtitle"), ("topic", "subject"), ("company", "companyname"),
             ("city", "address1_city"), ("employee_count", "numberofemployees")],
    "contact": [("last_name", "lastname"), ("job_title", "jobtitle"), ("department", "department")],
}  # fmt: skip

ENTITIES = st.sampled_from(["lead", "contact"])
NUMBERS = st.integers(0, 5)
#: What becomes there of a lead that is deleted here.
DELETIONS = (
    {"deleted_here": "nothing"},
    {"deleted_here": "delete"},
    {"deleted_here": "deactivate", "inactive_state": 2},
)
ALL_WORDS = {"deleted_here", "inactive_state"}


class TwoWay(RuleBasedStateMachine):
    """Two sides, and people who work on them."""

    sync: Any = None  # Set by the test: one local Dynamics and one database for all examples.

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.here: dict[tuple[str, str, str], list[Any]] = {}
        self.there: dict[tuple[str, str, str], list[Any]] = {}
        self.born_here: dict[str, str] = {}
        self.born_there: set[str] = set()
        self.deleted_here: set[str] = set()
        self.deleted_there: set[str] = set()
        self.sync.empty()

    @initialize(words=st.sampled_from(DELETIONS))
    def choose(self, words: dict[str, Any]) -> None:
        self.words = words
        kept = {word: value for word, value in self.sync.changed["lead"].items() if word not in ALL_WORDS}
        self.sync.changed["lead"] = kept | words

    def value(self, column: str) -> Any:
        """A value that nobody ever used."""
        self.count += 1
        return self.count if column == "employee_count" else f"{column} {self.count}"

    def row_here(self, entity: str, number: int) -> str | None:
        rows = sorted(self.sync.keys_here(entity))
        return rows[number % len(rows)] if rows else None

    def row_there(self, entity: str, number: int) -> str | None:
        rows = sorted(self.sync.their_rows(*SIDES[entity]))
        return rows[number % len(rows)] if rows else None

    # --- people ----------------------------------------------------------------------------------

    @rule(entity=ENTITIES, number=NUMBERS, cell=NUMBERS)
    def edit_here(self, entity: str, number: int, cell: int) -> None:
        key = self.row_here(entity, number)
        if key is None:
            return
        column, _ = CELLS[entity][cell % len(CELLS[entity])]
        value = self.value(column)
        self.sync.write(f"UPDATE {entity} SET {column} = :value WHERE {entity}_id = :key", value=value, key=key)
        self.here.setdefault((entity, key, column), []).append(value)

    @rule(entity=ENTITIES, number=NUMBERS, cell=NUMBERS)
    def edit_there(self, entity: str, number: int, cell: int) -> None:
        key = self.row_there(entity, number)
        if key is None:
            return
        column, name = CELLS[entity][cell % len(CELLS[entity])]
        value = self.value(column)
        if self.sync.edit_there(SIDES[entity][0], key, {name: value}):
            self.there.setdefault((entity, key, column), []).append(value)

    @rule(entity=ENTITIES)
    def insert_here(self, entity: str) -> None:
        before = self.sync.keys_here(entity)
        name = self.value("last_name")
        self.sync.write(f"INSERT INTO {entity} (last_name) VALUES (:name)", name=name)
        (key,) = self.sync.keys_here(entity) - before
        self.born_here[key] = entity
        self.here[entity, key, "last_name"] = [name]

    @rule(number=NUMBERS, is_blank=st.booleans())
    def insert_twin_here(self, number: int, is_blank: bool) -> None:
        """Somebody enters a lead that is there already, which its e-mail address tells; a form leaves fields empty."""
        key = self.row_there("lead", number)
        if key is None:
            return
        email = self.sync.their_rows("leads", "leadid")[key]["emailaddress1"]
        before, name, title = (
            self.sync.keys_here("lead"),
            self.value("last_name"),
            "" if is_blank else self.value("job_title"),
        )
        values = {"name": name, "email": email, "title": title}
        self.sync.write("INSERT INTO lead (last_name, email, job_title) VALUES (:name, :email, :title)", **values)
        (born,) = self.sync.keys_here("lead") - before
        self.born_here[born] = "lead"
        self.here["lead", born, "last_name"] = [name]
        if not is_blank:
            self.here["lead", born, "job_title"] = [title]

    @rule(entity=ENTITIES)
    def insert_there(self, entity: str) -> None:
        name = self.value("last_name")
        self.count += 1
        email = {"emailaddress1": f"{self.count}@example.com"} if entity == "lead" else {}
        key = self.sync.create(SIDES[entity][0], lastname=name, **email)
        self.born_there.add(key)
        self.there[entity, key, "last_name"] = [name]

    @rule(entity=ENTITIES, number=NUMBERS)
    def delete_here(self, entity: str, number: int) -> None:
        key = self.row_here(entity, number)
        if key is not None:
            self.sync.write(f"DELETE FROM {entity} WHERE {entity}_id = :key", key=key)
            self.deleted_here.add(key)

    @rule(entity=ENTITIES, number=NUMBERS)
    def delete_there(self, entity: str, number: int) -> None:
        key = self.row_there(entity, number)
        if key is not None:
            self.sync.api("DELETE", f"{SIDES[entity][0]}({key})")
            self.deleted_there.add(key)

    @rule(number=NUMBERS)
    def qualify(self, number: int) -> None:
        key = self.row_there("lead", number)
        if key is not None:
            self.born_there |= self.sync.qualify(key)

    @rule(number=NUMBERS, side=st.sampled_from(["ours", "theirs"]))
    def decide(self, number: int, side: str) -> None:
        self.sync.decide(number, side)

    # --- runs ------------------------------------------------------------------------------------

    @rule(entity=ENTITIES)
    def copy(self, entity: str) -> None:
        self.sync.run(entity)

    @rule()
    def write_back(self) -> None:
        self.sync.reverse()

    @rule(entity=ENTITIES, number=NUMBERS, cell=NUMBERS)
    def write_back_while_people_work(self, entity: str, number: int, cell: int) -> None:
        run_key = self.sync.collect()
        references = self.sync.plan(run_key)
        self.edit_here(entity, number, cell)
        self.edit_there(entity, number, cell + 1)
        for reference in references:
            self.sync.apply(reference)
        self.sync.record(run_key)

    @rule(moment=st.integers(1, 40))
    def write_back_and_crash(self, moment: int) -> None:
        self.sync.crash(moment, self.sync.reverse)

    @rule(entity=ENTITIES, moment=st.integers(1, 40))
    def copy_and_crash(self, entity: str, moment: int) -> None:
        self.sync.crash(moment, lambda: self.sync.run(entity))

    # --- the promises ------------------------------------------------------------------------------

    def teardown(self) -> None:
        self.sync.settle()
        for entity in SIDES:
            self.check_sides(entity)
            self.check_edits(entity)
        self.check_creations()

    def check_sides(self, entity: str) -> None:
        """Both sides are equal, but for what was deleted and what Dynamics refuses."""
        here, there = self.sync.rows(entity), self.sync.their_rows(*SIDES[entity])
        refused = self.sync.refused(entity)
        living = {key for key, row in here.items() if row["crm_deleted_at"] is None}
        assert set(there) - living <= self.deleted_here
        if entity == "lead":
            # What was deleted here is gone there, or inactive, by choice.
            left = {key for key in set(there) - living if key not in refused}
            policy = self.words["deleted_here"]
            assert policy != "delete" or not left
            assert policy != "deactivate" or all(there[key]["statecode"] != 0 for key in left)
        assert living - set(there) <= refused
        for key in living & set(there):
            for column, name in CELLS[entity]:
                assert here[key][column] == there[key][name] or key in refused, (entity, key, column)

    def check_edits(self, entity: str) -> None:
        """No edit is lost: it stands, or was written over on its own side, or is kept where it lost."""
        kept, written = self.sync.kept_values(entity), self.sync.written_values(entity)
        here, there = self.sync.rows(entity), self.sync.their_rows(*SIDES[entity])
        linked = self.sync.linked(entity)
        for (table, born, column), values in (*self.here.items(), *self.there.items()):
            key = linked.get(born, born)
            if table != entity or {born, key} & (self.deleted_here | self.deleted_there):
                continue
            name = dict(CELLS[entity])[column]
            last = values[-1]
            found = {here.get(key, {}).get(column), there.get(key, {}).get(name)}
            assert last in found or str(last) in kept[key, column], (entity, key, column, last)
        for (table, born, column), values in self.here.items():
            key = linked.get(born, born)
            # Each value that came to stand there from here is in the history.
            if table == entity and there.get(key, {}).get(dict(CELLS[entity])[column]) in values:
                assert str(there[key][dict(CELLS[entity])[column]]) in written, (entity, key, column)

    def check_creations(self) -> None:
        """Nothing was made twice: each record was born once, on one of the sides."""
        for entity, side in SIDES.items():
            there = set(self.sync.their_rows(*side))
            born = {key for key, table in self.born_here.items() if table == entity}
            assert there <= born | self.born_there
            missing = born - there - self.deleted_here - self.deleted_there - set(self.sync.linked(entity))
            assert missing <= self.sync.refused(entity)


@pytest.fixture
def two_sides(make_two_way: Callable[..., Any]) -> Any:
    sides = make_two_way({"lead": LEAD, "contact": CONTACT})
    sides.changed["lead"]["match"] = ("emailaddress1",)
    return sides


def test_whatever_people_do_and_wherever_it_crashes_the_promises_hold(two_sides: Any) -> None:
    machine = type("TwoWayHere", (TwoWay,), {"sync": two_sides})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=int(os.environ.get("SOAK_EXAMPLES", EXAMPLES[two_sides.database.dialect_name])),
            stateful_step_count=8,
            deadline=None,
            derandomize="SOAK_EXAMPLES" not in os.environ,
            phases=(Phase.explicit, Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        ),
    )
