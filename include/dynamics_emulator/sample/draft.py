"""An organisation that is being made up: rows so far, and the draws that all generators share."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TypeVar

from dynamics_emulator.clock import wire_time
from dynamics_emulator.identity import APPLICATION_USER_ID, BASE_CURRENCY_ID, ROOT_BUSINESS_UNIT_ID
from dynamics_emulator.sample.pools import Pools
from dynamics_emulator.storage.database import SqlValue

Row = dict[str, SqlValue]
Item = TypeVar("Item")
_FIRST_DAY = datetime(2023, 1, 2, tzinfo=UTC)
_SECONDS = 3 * 365 * 86400
_RATES = {"EUR": 1.0, "USD": 1.08, "JPY": 162.5, "GBP": 0.85}


@dataclass
class Draft:
    """Rows by table, in the order in which they were made."""

    random: Random
    pools: Pools
    rows: dict[str, list[Row]] = field(default_factory=dict)

    def add(self, table: str, row: Row) -> Row:
        """Put a row into a table."""
        self.rows.setdefault(table, []).append(row)
        return row

    def new_id(self) -> str:
        """A GUID; the same one for the same seed."""
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def sometimes(self, probability: float) -> bool:
        """True as often as this."""
        return self.random.random() < probability

    def one_of(self, items: Sequence[Item]) -> Item:
        """A random item."""
        return self.random.choice(items)

    def maybe(self, probability: float, value: SqlValue) -> SqlValue:
        """The value as often as this, else None."""
        return value if self.sometimes(probability) else None

    def text(self) -> str:
        """A sentence in some language."""
        return self.random.choice(self.pools.texts)

    def any_row(self, table: str) -> Row:
        """A row that was made before."""
        return self.random.choice(self.rows[table])

    def instant(self) -> datetime:
        """Some moment in the three years that the sample covers."""
        return _FIRST_DAY + timedelta(seconds=self.random.randrange(_SECONDS))

    def stamps(self) -> Row:
        """When and by whom a row was made and last changed."""
        created = self.instant()
        changed = created + timedelta(seconds=self.random.randrange(60 * 86400))
        return {
            "createdon": wire_time(created),
            "modifiedon": wire_time(changed),
            "createdby": APPLICATION_USER_ID,
            "modifiedby": self._user(),
        }

    def owner(self) -> Row:
        """Owner columns: mostly a user, sometimes a team."""
        if self.rows.get("team") and self.sometimes(0.15):
            team = self.any_row("team")
            return _owner_columns(team, str(team["teamid"]), "team")
        user = self.any_row("systemuser")
        return _owner_columns(user, str(user["systemuserid"]), "systemuser")

    def _user(self) -> str:
        users = self.rows.get("systemuser")
        return str(self.one_of(users)["systemuserid"]) if users else APPLICATION_USER_ID

    def currency(self) -> tuple[str, float]:
        """A currency and its rate to the base currency."""
        found = self.rows.get("transactioncurrency", [])
        if not found or self.sometimes(0.6):
            return BASE_CURRENCY_ID, 1.0
        row = self.one_of(found)
        return str(row["transactioncurrencyid"]), _RATES[str(row["isocurrencycode"])]

    def money(self, row: Row, *columns: str) -> None:
        """Fill money columns, their base amounts and the currency of a row."""
        currency, rate = self.currency()
        row |= {"transactioncurrencyid": currency, "exchangerate": f"{rate:.10f}"}
        for column in columns:
            amount = self.amount()
            row[column] = f"{amount:.4f}"
            row[f"{column}_base"] = f"{amount / rate:.4f}"

    def amount(self) -> float:
        """Mostly ordinary amounts, sometimes huge ones or ones with four decimals."""
        if self.sometimes(0.02):
            return 999_999_999_999.9999
        if self.sometimes(0.1):
            return round(self.random.uniform(0, 1), 4)
        return round(self.random.uniform(0, 250_000), 2)


def _owner_columns(row: Row, owner: str, kind: str) -> Row:
    return {
        "ownerid": owner,
        "ownerid__type": kind,
        "owninguser": owner if kind == "systemuser" else None,
        "owningteam": owner if kind == "team" else None,
        "owningbusinessunit": row.get("businessunitid") or ROOT_BUSINESS_UNIT_ID,
    }
