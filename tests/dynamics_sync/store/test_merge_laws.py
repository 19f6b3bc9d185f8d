"""Laws of the merge, against an oracle in plain Python: late, repeated, doubled and deleted rows in any order."""

from dataclasses import dataclass, field

import pyarrow as pa
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dynamics_sync.store.deletions import Breaker, mark_absent, mark_deleted
from dynamics_sync.store.runs import Counts, finish_run
from dynamics_sync.store.schema import entity_table

OPEN = Breaker(0, 0, open=True)

#: The fixture gives one database for all examples; each of them begins by emptying its table.
LAWS = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@dataclass(frozen=True)
class Load:
    begun: int
    rows: list[tuple[int, int, str | None]]


@dataclass(frozen=True)
class Delete:
    begun: int
    read_for: int
    keys: list[int]

    @property
    def seen(self) -> int:
        """The minute at which the feed was read to its end."""
        return self.begun + self.read_for


class Sweep(Delete):
    """A scan; `keys` are those that Dynamics has."""


@dataclass
class HeldRow:
    version: int
    name: str | None
    updated: int
    read: int
    deleted: int | None = None


@dataclass
class Oracle:
    """What the table must hold. Instants are minutes; the clock of step n stands at minute n."""

    rows: dict[int, HeldRow] = field(default_factory=dict)

    def load(self, step: Load, now: int) -> Counts:
        inserted = updated = 0
        best: dict[int, tuple[int, str | None]] = {}
        for key, version, name in step.rows:
            if key not in best or version >= best[key][0]:
                best[key] = (version, name)
        for key, (version, name) in best.items():
            held = self.rows.get(key)
            if held is None:
                self.rows[key] = HeldRow(version, name, now, step.begun)
                inserted += 1
            elif version >= held.version and (held.deleted is None or step.begun > held.deleted):
                if held.name != name or held.deleted is not None:
                    held.updated, updated = now, updated + 1
                    held.read = max(held.read, step.begun)
                elif version > held.version:
                    held.read = max(held.read, step.begun)
                held.version, held.name, held.deleted = version, name, None
        return Counts(len(step.rows), inserted, updated, len(step.rows) - inserted - updated)

    def delete(self, step: Delete, now: int) -> int:
        named = set(step.keys)
        gone = [held for key, held in self.rows.items() if (key in named) != isinstance(step, Sweep)]
        for held in gone:
            if held.deleted is None and held.read <= step.seen and held.read != step.begun:
                held.deleted, held.updated = step.seen, now
        return sum(1 for held in gone if held.deleted == step.seen)


KEYS = st.integers(1, 5)
BEGUN = st.integers(0, 8)
READ_FOR = st.integers(0, 3)
ROWS = st.lists(st.tuples(KEYS, st.integers(1, 4), st.sampled_from([None, "", "a", "b"])), max_size=6)
STEPS = st.lists(
    st.one_of(
        st.builds(Load, BEGUN, ROWS),
        st.builds(Delete, BEGUN, READ_FOR, st.lists(KEYS, max_size=3)),
        st.builds(Sweep, BEGUN, READ_FOR, st.lists(KEYS, min_size=1, max_size=4)),
    ),
    min_size=1,
    max_size=7,
)


def empty_table(sandbox):
    with sandbox.db.writing() as connection:
        connection.execute(entity_table(sandbox.entity).delete())


def take_step(sandbox, words, step, now):
    run = sandbox.begin(minutes=step.begun)
    sandbox.clock.set(now)
    match step:
        case Load():
            rows = [words.row(key, version, name=name) for key, version, name in step.rows]
            counts = sandbox.load(run, rows)
            assert sandbox.load(run, rows) == counts
            assert finish_run(sandbox.db, run, 0) == counts
            return counts
        case Delete():
            marked = mark(sandbox, words, run, step)
            assert mark(sandbox, words, run, step) == marked
            return marked


def mark(sandbox, words, run, step):
    if isinstance(step, Sweep):
        keys = words.keys(*step.keys)
        return mark_absent(sandbox.db, sandbox.entity, run, [keys], OPEN, seen_at=words.at(step.seen))
    ids = pa.array([words.guid(key) for key in step.keys], pa.string())
    return mark_deleted(sandbox.db, sandbox.entity, run, ids, OPEN, seen_at=words.at(step.seen))


def expect_step(oracle, step, now):
    match step:
        case Load():
            return oracle.load(step, now)
        case Delete():
            return oracle.delete(step, now)


def expected_table(oracle, words):
    return {
        words.guid(key): (
            row.version,
            row.name,
            words.at(row.updated),
            words.at(row.read),
            None if row.deleted is None else words.at(row.deleted),
        )
        for key, row in oracle.rows.items()
    }


def held_table(sandbox):
    return {
        key: tuple(row[name] for name in ("crm_version", "name", "updated_at", "crm_read_at", "crm_deleted_at"))
        for key, row in sandbox.held().items()
    }


@LAWS
@given(steps=STEPS)
def test_table_and_counts_are_those_of_the_oracle(sandbox, words, steps):
    empty_table(sandbox)
    oracle = Oracle()
    for now, step in enumerate(steps):
        assert take_step(sandbox, words, step, now) == expect_step(oracle, step, now)
    assert held_table(sandbox) == expected_table(oracle, words)


@LAWS
@given(slices=st.lists(ROWS, min_size=1, max_size=4))
def test_loading_the_same_slices_again_changes_nothing(sandbox, words, slices):
    empty_table(sandbox)
    for rows in slices:
        sandbox.load(sandbox.begin(), [words.row(key, version, name=name) for key, version, name in rows])
    before = held_table(sandbox)
    highest = {key: max(v for rows in slices for k, v, _ in rows if k == key) for rows in slices for key, _, _ in rows}
    last = sandbox.begin(minutes=9)
    for number, rows in enumerate(slices):
        # Rows of the highest version may differ from one another here, which Dynamics' rows cannot.
        older = [words.row(key, version, name=name) for key, version, name in rows if version < highest[key]]
        counts = sandbox.load(last, older, slice_number=number)
        assert counts == Counts(read=len(older), unchanged=len(older))
    assert held_table(sandbox) == before


@LAWS
@given(versions=st.lists(st.tuples(KEYS, st.integers(1, 6)), min_size=1, max_size=5), data=st.data())
def test_the_order_of_slices_does_not_matter(sandbox, words, versions, data):
    tables = []
    for order in (versions, data.draw(st.permutations(versions))):
        empty_table(sandbox)
        for key, version in order:
            # As in Dynamics, a version stands for one state of the record.
            sandbox.load(sandbox.begin(), [words.row(key, version, name=f"state {version}")])
        tables.append({key: (row["crm_version"], row["name"]) for key, row in sandbox.held().items()})
    assert tables[0] == tables[1]


@LAWS
@given(held=ROWS, deleted=st.lists(KEYS, max_size=3), named=st.lists(st.tuples(KEYS, st.integers(1, 4)), max_size=6))
def test_what_has_to_be_fetched_is_what_the_table_lacks(sandbox, words, held, deleted, named):
    empty_table(sandbox)
    sandbox.load(sandbox.begin(), [words.row(key, version, name=name) for key, version, name in held])
    ids = pa.array([words.guid(key) for key in deleted], pa.string())
    mark_deleted(sandbox.db, sandbox.entity, sandbox.begin(minutes=1), ids, OPEN, seen_at=words.at(1))

    best = {key: max(v for k, v, _ in held if k == key) for key, _, _ in held if key not in deleted}
    wanted = {words.guid(key) for key, version in named if best.get(key, 0) < version}
    keys = pa.table(
        {"id": [words.guid(key) for key, _ in named], "version": [version for _, version in named]},
        schema=pa.schema([("id", pa.string()), ("version", pa.int64())]),
    )
    half = len(named) // 2
    fetched = [row["id"] for row in sandbox.to_fetch(keys.slice(0, half), keys.slice(half))]
    assert sorted(fetched) == sorted(wanted)


def test_a_slice_of_many_rows_is_merged_by_statements_that_do_not_grow(sandbox, words):
    statements = []
    sa.event.listen(sandbox.db.engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    figures = []
    for first, size in ((0, 1), (10, 3_000)):
        # New rows, and then the same rows changed; the new ones are not compared with any.
        for version in (1, 2):
            statements.clear()
            rows = [words.row(first + number, version) for number in range(size)]
            sandbox.load(sandbox.begin(), rows, page_size=5_000)
            figures.append(len(statements))
    assert figures[:2] == figures[2:]
