"""Fills an empty organisation with made-up rows; the same rows for the same seed."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass

from dynamics_emulator.organisation import Organisation
from dynamics_emulator.sample.chance import Chance
from dynamics_emulator.sample.draft import Draft
from dynamics_emulator.sample.fitting import fit
from dynamics_emulator.sample.marketing import make_marketing
from dynamics_emulator.sample.money import Treasury
from dynamics_emulator.sample.oddities import Oddities, place_oddities
from dynamics_emulator.sample.part import ROWS_OF_A_PART, make_part
from dynamics_emulator.sample.people import Setting
from dynamics_emulator.sample.pools import make_pools
from dynamics_emulator.sample.sheet import Sheet
from dynamics_emulator.sample.structure import make_structure
from dynamics_emulator.schema.model import Schema
from dynamics_emulator.storage.bulk import insert_columns, without_indexes
from dynamics_emulator.storage.database import Database

DEFAULT_ROWS = 12_000
_USERS = 30
_ROWS_OF_A_USER = 5_000
_SEEDED, _SEEDING = "seeded", "seeding"
_COUNT_MEMBERS = "UPDATE list SET membercount = (SELECT count(*) FROM listmember WHERE listmember.listid = list.listid)"

Report = Callable[[int, int], None]
"""Is told how many rows were made so far, and how many there will be."""


@dataclass(frozen=True)
class Plan:
    """A sample: about so many rows, drawn from a seed."""

    rows: int = DEFAULT_ROWS
    seed: int = 7
    oddities: Oddities = Oddities.GENTLE

    @property
    def parts(self) -> int:
        """How many parts the rows are made in."""
        return max(1, -(-self.rows // ROWS_OF_A_PART))


@dataclass(frozen=True)
class Sample:
    """What a plan leads to under one schema: the rows that all others point at, then the others part by part."""

    plan: Plan
    schema: Schema
    organization_id: str

    def sheets(self, first: int = 0) -> Iterator[list[Sheet]]:
        """The sheets of each part from ``first`` on; part 0 is the organisation's structure."""
        seed = self.plan.seed
        draft = Draft(self.schema, make_pools(seed), Chance(f"structure {seed}"))
        structure = make_structure(draft, self.organization_id, _USERS + self.plan.rows // _ROWS_OF_A_USER)
        treasury = Treasury(seed, structure.currencies)
        marketing = make_marketing(draft, structure, treasury, self.plan.rows)
        if first == 0:
            yield [*structure.sheets, *marketing.sheets]
        size, rest = divmod(max(self.plan.rows, 1), self.plan.parts)
        for part in range(max(first - 1, 0), self.plan.parts):
            chance = Chance(f"part {part} of {seed}")
            draft = Draft(self.schema, make_pools(seed), chance, part, self.plan.parts)
            setting = Setting(draft, structure, marketing, treasury, part * ROWS_OF_A_PART)
            yield make_part(setting, size + (part < rest))

    def fitted(self, first: int = 0) -> Iterator[list[Sheet]]:
        """The same, with odd values in their places and all others fitting the schema."""
        for number, sheets in enumerate(self.sheets(first), start=first):
            odd = number <= 1
            if odd:
                place_oddities(sheets, legacy=False)
            for sheet in sheets:
                fit(sheet, self.schema.table(sheet.table))
            if odd and self.plan.oddities is Oddities.ALL:
                place_oddities(sheets, legacy=True)
            yield sheets


def fill(
    organisation: Organisation,
    rows: int,
    seed: int,
    oddities: Oddities = Oddities.GENTLE,
    report: Report = lambda _made, _of: None,
) -> None:
    """Insert made-up rows once; a second call does nothing.

    Memory holds one part of the rows at a time. A filling that was killed goes on where it stopped, as it was begun.
    """
    database = organisation.database
    if database.read_state(_SEEDED):
        return
    plan, done = _begun(database) or (Plan(rows, seed, oddities), 0)
    sample = Sample(plan, organisation.schema, organisation.identity.organization_id)
    with without_indexes(database):
        for number, sheets in enumerate(sample.fitted(done), start=done):
            with database.transaction():
                _insert(database, sample, number, sheets)
                database.write_state(_SEEDING, json.dumps({**asdict(plan), "done": number + 1}))
            report(min(plan.rows, number * plan.rows // plan.parts), plan.rows)
    with database.transaction() as connection:
        connection.execute(_COUNT_MEMBERS)
        database.write_state(_SEEDED, f"{plan.rows} rows, seed {plan.seed}")


def _begun(database: Database) -> tuple[Plan, int] | None:
    text = database.read_state(_SEEDING)
    if text is None:
        return None
    kept = json.loads(text)
    return Plan(kept["rows"], kept["seed"], Oddities(kept["oddities"])), int(kept["done"])


def _insert(database: Database, sample: Sample, number: int, sheets: Iterable[Sheet]) -> None:
    """Insert sheets. Versions are dealt at random: rows that lie side by side were not changed one after another."""
    filled = [sheet for sheet in sheets if len(sheet)]
    count = sum(len(sheet) for sheet in filled)
    first = database.reserve_versions(count)
    versions = iter(
        Chance(f"versions {number} of {sample.plan.seed}").random.sample(range(first, first + count), count)
    )
    for sheet in filled:
        insert_columns(database, sample.schema.table(sheet.table), sheet.columns, versions)
