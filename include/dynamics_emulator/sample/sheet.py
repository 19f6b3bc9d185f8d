"""Rows of one table that are being made up, column by column."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from dynamics_emulator.storage.database import SqlValue


@dataclass
class Sheet:
    """Rows of one table. Each column is a list with a value for each row; a column that is missing is empty."""

    table: str
    key: str
    ids: list[str]
    columns: dict[str, list[SqlValue]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.columns[self.key] = list(self.ids)

    def __len__(self) -> int:
        return len(self.ids)

    def put(self, **columns: Iterable[SqlValue]) -> None:
        """Fill columns. Raises ValueError when one has too few values, or too many."""
        for name, values in columns.items():
            filled = list(values)
            if len(filled) != len(self.ids):
                message = f"{self.table}.{name} has {len(filled)} values for {len(self.ids)} rows"
                raise ValueError(message)
            self.columns[name] = filled

    def put_same(self, **values: SqlValue) -> None:
        """Give every row the same values."""
        for name, value in values.items():
            self.columns[name] = [value] * len(self.ids)

    def change(self, place: int, values: Mapping[str, SqlValue]) -> None:
        """Overwrite some values of one row."""
        for name, value in values.items():
            self.columns.setdefault(name, [None] * len(self.ids))[place] = value

    def living(self) -> list[str]:
        """Keys of the rows that were not merged into another one."""
        merged = self.columns.get("merged") or [0] * len(self.ids)
        return [key for key, gone in zip(self.ids, merged, strict=True) if not gone]

    def value(self, place: int, name: str) -> SqlValue:
        """One value; None when the column is empty."""
        return self.columns[name][place] if name in self.columns else None
