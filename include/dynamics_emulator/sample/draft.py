"""What the generators of rows share: where rows go, what they are drawn from, and the columns that most tables have."""

from collections.abc import Sequence
from dataclasses import dataclass

from dynamics_emulator.identity import APPLICATION_USER_ID
from dynamics_emulator.sample.chance import Chance
from dynamics_emulator.sample.pools import Pools
from dynamics_emulator.sample.sheet import Sheet
from dynamics_emulator.schema.model import Schema

OWNERSHIP = ("ownerid", "ownerid__type", "owninguser", "owningteam", "owningbusinessunit")
"""Columns in which the owner of a row is stored."""


@dataclass(frozen=True)
class Owner:
    """A user or a team, with its business unit."""

    id: str
    kind: str
    unit: str


@dataclass(frozen=True)
class Draft:
    """One part of an organisation that is being made up; its GUIDs lie behind those of the parts before it."""

    schema: Schema
    pools: Pools
    chance: Chance
    part: int = 0
    parts: int = 1

    def sheet(self, table: str, count: int) -> Sheet:
        """A sheet of new rows that have nothing but their key."""
        ids = self.chance.ids(count, self.part, self.parts)
        return Sheet(table, self.schema.table(table).primary_id, ids)

    def texts(self, count: int) -> list[str]:
        """Sentences in many languages."""
        return self.chance.choices(self.pools.texts, count)

    def memos(self, share: float, count: int) -> "list[str | None]":
        """Sentences, and now and then a page of them, for as many rows as ``share`` says."""
        sentences = self.chance.some(0.96, self.pools.texts, count)
        pages = self.chance.choices(self.pools.paragraphs, count)
        texts = [short or page for short, page in zip(sentences, pages, strict=True)]
        return self.chance.sometimes(share, texts)

    def options(self, table: str, column: str) -> list[int]:
        """The options of a column, whatever the tenant made of them; a number for a column that has none."""
        found = self.schema.table(table).find(column)
        return [option.value for option in found.options] if found and found.options else [0]

    def reasons(self, table: str) -> list[tuple[int, int]]:
        """States with their status reasons. Raises KeyError when the table has none."""
        options = self.schema.table(table).columns["statuscode"].options
        return [(option.state or 0, option.value) for option in options]

    def stamp(self, sheet: Sheet, users: Sequence[str] = (APPLICATION_USER_ID,)) -> None:
        """Say when and by whom the rows were made and last changed."""
        created, changed = self.chance.spans(len(sheet))
        sheet.put(createdon=created, modifiedon=changed, modifiedby=self.chance.choices(users, len(sheet)))
        sheet.put_same(createdby=APPLICATION_USER_ID)

    def own(self, sheet: Sheet, owners: Sequence[Owner]) -> None:
        """Give the rows to users and teams."""
        drawn = self.chance.choices(owners, len(sheet))
        sheet.put(
            ownerid=[owner.id for owner in drawn],
            ownerid__type=[owner.kind for owner in drawn],
            owninguser=[owner.id if owner.kind == "systemuser" else None for owner in drawn],
            owningteam=[owner.id if owner.kind == "team" else None for owner in drawn],
            owningbusinessunit=[owner.unit for owner in drawn],
        )

    def activate(self, sheet: Sheet, share: float) -> None:
        """Make as many rows active as ``share`` says, and the others inactive."""
        states = self.chance.flags(1 - share, len(sheet))
        sheet.put(statecode=states, statuscode=[state + 1 for state in states])
