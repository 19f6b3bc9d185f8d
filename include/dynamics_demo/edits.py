"""What people do on both sides before changes are written to Dynamics: plain SQL here, the Web API there.

Each new value bears a stamp, so that it can be followed to the other side.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from dynamics_demo.dynamics import DynamicsApi, Row
from dynamics_demo.entities import Entity
from dynamics_demo.marketing import MarketingDatabase
from dynamics_demo.problems import DemoError

#: Records of each entity that are edited here only, on both sides in different fields, on both sides in one field.
_HERE, _APART, _SAME = 3, 1, 2

#: Only records that Dynamics lets be changed.
_OPEN = "statecode eq 0"

#: The catalogue's rule, and who wins by it, in the words of `sync_conflict`.
WINNERS = {"marketing": "ours", "dynamics": "theirs"}


@dataclass(frozen=True, slots=True)
class Value:
    """A value of one record that was written here, and has to be written to Dynamics."""

    key: str
    column: str
    text: str


@dataclass(frozen=True, slots=True)
class Edits:
    """What was done to one entity, by the keys of its records.

    `contested` are those of which both sides edited the same field, `linked` is one that Dynamics has, `born` one that
    it had not; `values` are all that must be written there, no more and no less.
    """

    edited: frozenset[str]
    contested: frozenset[str]
    linked: str
    born: str
    deleted: str
    values: frozenset[Value]


def edit_both_sides(
    entity: Entity, dynamics: DynamicsApi, marketing: MarketingDatabase, stamp: str, spared: frozenset[str]
) -> Edits:
    """Edit, insert and delete rows here, then edit some of them in Dynamics too; rows in `spared` are left alone.

    First here: a scheduled run that comes in between then finds nothing new in Dynamics, and decides no conflict early.
    Raises DemoError if there are too few rows.
    """
    editor = _Editor(entity, marketing)
    chosen = _choose(entity, dynamics, spared)
    for key in (*chosen.here, *chosen.same):
        editor.edit(key, "job_title", f"Buyer {stamp}")
    for key in chosen.apart:
        editor.edit(key, "city", f"Town {stamp}")
    editor.delete(chosen.deleted)
    editor.link(chosen.linked, {"email": chosen.address, "home_phone": f"Line {stamp}"})
    address = f"ito.{''.join(filter(str.isdigit, stamp))}@{entity.name}.example.org"
    born = editor.add({"first_name": "Ada", "last_name": f"Ito {stamp}", "email": address, "city": f"Town {stamp}"})
    for key in chosen.same:
        dynamics.update(entity.name, key, {"jobtitle": f"Seller {stamp}"})
    for key in chosen.apart:
        dynamics.update(entity.name, key, {"telephone1": f"Line {stamp}"})
    contested = frozenset(chosen.same)
    lost = contested if WINNERS[entity.wins] == "theirs" else frozenset()
    return Edits(
        edited=frozenset({*chosen.here, *chosen.apart}),
        contested=contested,
        linked=chosen.linked,
        born=born,
        deleted=chosen.deleted,
        values=frozenset(value for value in editor.values if value.key not in lost),
    )


@dataclass(slots=True)
class _Editor:
    """Writes to one table with SQL, and remembers the values."""

    entity: Entity
    marketing: MarketingDatabase
    values: list[Value] = field(default_factory=list)

    def edit(self, key: str, column: str, text: str) -> None:
        statement = f'UPDATE "{self.entity.table}" SET "{column}" = ? WHERE "{self.entity.key_column}" = ?'
        if self.marketing.write(statement, [text, key]) != 1:
            message = f"The table {self.entity.table} has no row {key}, which Dynamics has."
            raise DemoError(message)
        self.values.append(Value(key, column, text))

    def delete(self, key: str) -> None:
        self.marketing.write(f'DELETE FROM "{self.entity.table}" WHERE "{self.entity.key_column}" = ?', [key])

    def link(self, target: str, values: Mapping[str, str]) -> None:
        """Add a row that means a record of Dynamics: all but the address, by which it is found, is written there."""
        self._insert(values)
        self.values += [Value(target, column, text) for column, text in values.items() if column != "email"]

    def add(self, values: Mapping[str, str]) -> str:
        """Add a row that Dynamics has not; returns the key that the database gave it."""
        self._insert(values)
        query = f'SELECT "{self.entity.key_column}" AS record FROM "{self.entity.table}" WHERE "email" = ?'
        key = str(next(self.marketing.rows(query, [values["email"]]))["record"])
        self.values += [Value(key, column, text) for column, text in values.items()]
        return key

    def _insert(self, values: Mapping[str, str]) -> None:
        names = ", ".join(f'"{name}"' for name in values)
        marks = ", ".join("?" * len(values))
        self.marketing.write(f'INSERT INTO "{self.entity.table}" ({names}) VALUES ({marks})', list(values.values()))


@dataclass(frozen=True, slots=True)
class _Chosen:
    here: Sequence[str]
    apart: Sequence[str]
    same: Sequence[str]
    deleted: str
    linked: str
    address: str


def _choose(entity: Entity, dynamics: DynamicsApi, spared: frozenset[str]) -> _Chosen:
    rows = list(dynamics.rows(entity.name, (entity.key, "emailaddress1", "telephone2"), _OPEN))
    free = (row[entity.key].lower() for row in rows)
    keys = iter([key for key in free if key not in spared])
    here, apart, same = (tuple(islice(keys, count)) for count in (_HERE, _APART, _SAME))
    deleted = next(keys, None)
    left = frozenset(keys)
    matching = next((row for row in _unmistakable(rows) if row[entity.key].lower() in left), None)
    if deleted is None or matching is None:
        message = f"Dynamics has too few open rows of {entity.name} for the demo. Run `make clean` first."
        raise DemoError(message)
    return _Chosen(here, apart, same, deleted, matching[entity.key].lower(), matching["emailaddress1"])


def _unmistakable(rows: Sequence[Row]) -> Iterator[Row]:
    """Yield the rows whose e-mail address no other open row has, and to which a home phone can be added."""
    addresses = Counter((row["emailaddress1"] or "").casefold() for row in rows)
    for row in rows:
        address = row["emailaddress1"]
        if address and addresses[address.casefold()] == 1 and not row["telephone2"]:
            yield row
