"""Amounts of money, worked out once in each currency, so that a base amount is always the amount by its rate."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from random import Random

from dynamics_emulator.odata.literals import exact_number_text
from dynamics_emulator.sample.chance import Chance
from dynamics_emulator.sample.sheet import Sheet
from dynamics_emulator.schema.model import Column, Table
from dynamics_emulator.storage.database import SqlValue

_AMOUNTS = 400


@dataclass(frozen=True)
class Currency:
    """A currency and how much of it one unit of the base currency is; ``weight`` says how often it is drawn."""

    id: str
    rate: Decimal
    weight: int


@dataclass(frozen=True)
class Amount:
    """An amount in some currency, as it is stored."""

    currency: str
    rate: str
    amount: str
    base: str


class Treasury:
    """Draws amounts in several currencies that fit their columns."""

    def __init__(self, seed: int, currencies: Sequence[Currency]) -> None:
        self._drawn = _draw_amounts(Random(f"money {seed}"))
        self._currencies = currencies
        self._made: dict[tuple[object, ...], list[Amount]] = {}

    def fill(self, chance: Chance, sheet: Sheet, table: Table, share: float, *names: str) -> None:
        """Fill money columns, their base amounts and the currency of as many rows as ``share`` says."""
        drawn = chance.some(share, range(_AMOUNTS * sum(one.weight for one in self._currencies)), len(sheet))
        for shift, name in enumerate(name for name in names if name in table.columns):
            amounts = self._amounts(table.columns[name])
            found = [None if at is None else amounts[self._shifted(at, shift)] for at in drawn]
            put_amounts(sheet, name, found)

    def _shifted(self, at: int, shift: int) -> int:
        """Another amount in the same currency: the currencies take turns."""
        turn = sum(one.weight for one in self._currencies)
        return (at + 7 * shift * turn) % (_AMOUNTS * turn)

    def _amounts(self, column: Column) -> list[Amount]:
        bounds = (column.minimum, column.maximum, column.precision)
        if bounds not in self._made:
            fitting = [amount for amount in self._drawn if _fits(amount, column)] or [Decimal(0)]
            self._made[bounds] = [
                printed
                for place in range(_AMOUNTS)
                for currency in self._currencies
                for printed in [print_amount(fitting[place % len(fitting)], currency, column)] * currency.weight
            ]
        return self._made[bounds]


def put_amounts(sheet: Sheet, name: str, amounts: Sequence[Amount | None]) -> None:
    """Store drawn amounts in a money column, with what belongs to them."""
    columns: dict[str, list[SqlValue]] = {
        name: [None if drawn is None else drawn.amount for drawn in amounts],
        f"{name}_base": [None if drawn is None else drawn.base for drawn in amounts],
        "transactioncurrencyid": [None if drawn is None else drawn.currency for drawn in amounts],
        "exchangerate": [None if drawn is None else drawn.rate for drawn in amounts],
    }
    sheet.put(**columns)


def print_amount(amount: Decimal, currency: Currency, column: Column) -> Amount:
    """An amount with its base amount, both with the digits of their columns."""
    digits = 4 if column.precision is None else column.precision
    text = exact_number_text(str(amount), digits)
    base = exact_number_text(str(Decimal(text) / currency.rate), 4)
    return Amount(currency.id, exact_number_text(str(currency.rate), 10), text, base)


def _draw_amounts(source: Random) -> list[Decimal]:
    """Mostly ordinary amounts; some with four decimals, some huge, some below zero."""
    ordinary = [Decimal(source.randrange(25_000_000)) / 100 for _ in range(_AMOUNTS * 85 // 100)]
    small = [Decimal(source.randrange(10_000)) / 10_000 for _ in range(_AMOUNTS * 10 // 100)]
    huge = [Decimal("999999999999.9999"), Decimal("1000000000000"), Decimal("123456789012.3456")]
    negative = [-Decimal(source.randrange(1, 10_000_000)) / 100 for _ in range(_AMOUNTS * 3 // 100)]
    drawn = [*ordinary, *small, *huge, *negative]
    source.shuffle(drawn)
    return drawn


def _fits(amount: Decimal, column: Column) -> bool:
    low, high = column.minimum, column.maximum
    return (low is None or amount >= Decimal(low)) and (high is None or amount <= Decimal(high))
