"""The judge: reads both sides by ways of its own and compares them, row by row and field by field.

It knows the catalogue's files and nothing of the sync. The Web API's JSON and the database's values are each
brought into one plain form; what is then not equal is a difference.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from itertools import islice
from typing import Any
from uuid import UUID

from dynamics_demo.dynamics import DynamicsApi, Row
from dynamics_demo.entities import Entity, Field
from dynamics_demo.marketing import MarketingDatabase

_LABEL = "OData.Community.Display.V1.FormattedValue"
_TABLE = "Microsoft.Dynamics.CRM.lookuplogicalname"

#: A value in the plain form.
Plain = str | int | float | bool | Decimal | datetime | date | None
PlainRow = Mapping[str, Plain]


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not equal; `column` is empty if a whole row is there on one side only."""

    entity: str
    key: str
    column: str
    dynamics: str
    marketing: str

    def __str__(self) -> str:
        place = f"{self.entity} {self.key}" + (f" {self.column}" if self.column else "")
        return f"{place}: Dynamics {self.dynamics}, marketing database {self.marketing}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was compared of one entity, and what differs.

    Rows in quarantine, and records whose rows were deleted here on purpose, are counted, not compared.
    """

    entity: Entity
    rows: int
    values: int
    quarantined: int
    differences: tuple[Difference, ...]
    deleted_here: int = 0


def compare_entity(
    entity: Entity, dynamics: DynamicsApi, marketing: MarketingDatabase, deleted_here: frozenset[str] = frozenset()
) -> Comparison:
    """Read one entity from both sides, entirely, and compare; `deleted_here` are keys that Dynamics alone must have."""
    expected = {str(row[entity.key_column]): row for row in expected_rows(entity, dynamics)}
    query = f'SELECT {", ".join(_quoted(entity.columns))} FROM "{entity.table}" WHERE crm_deleted_at IS NULL'
    held = (held_row(entity, row, doubles=marketing.stores_doubles) for row in marketing.rows(query))
    found = {str(row[entity.key_column]): row for row in held}
    return compare_rows(entity, expected, found, marketing.quarantined(entity.name), deleted_here)


def compare_pages(
    entity: Entity,
    dynamics: DynamicsApi,
    marketing: MarketingDatabase,
    *,
    page_size: int = 5_000,
    progress: Callable[[int], None] = lambda _: None,
) -> Comparison:
    """Compare as `compare_entity` does, page by page, where the rows of a table would not fit into memory.

    A row is asked for by each key that Dynamics has. What is here beyond that shows in the number of living rows.
    `progress` is told how many rows were compared. Rows in quarantine are not compared.
    """
    quarantined = marketing.quarantined(entity.name)
    rows, seen, aside = 0, 0, 0
    differences: list[Difference] = []
    pages = expected_rows(entity, dynamics)
    while page := {str(row[entity.key_column]): row for row in islice(pages, page_size)}:
        result = compare_rows(entity, page, _held_rows(entity, marketing, list(page)), quarantined)
        differences += result.differences
        rows += result.rows
        seen += len(page)
        aside += result.quarantined
        progress(rows)
    living = marketing.number(f'SELECT count(*) FROM "{entity.table}" WHERE crm_deleted_at IS NULL')
    living -= len(_held_rows(entity, marketing, sorted(quarantined))) if quarantined else 0
    if living != seen - aside:
        differences.append(Difference(entity.name, "", "", f"has {seen - aside:,} rows", f"has {living:,}"))
    return Comparison(entity, rows, rows * len(entity.columns), aside, tuple(differences))


def _held_rows(entity: Entity, marketing: MarketingDatabase, keys: list[str]) -> dict[str, PlainRow]:
    named = ", ".join("?" * len(keys))
    query = f'SELECT {", ".join(_quoted(entity.columns))} FROM "{entity.table}"'
    rows = marketing.rows(f'{query} WHERE crm_deleted_at IS NULL AND "{entity.key_column}" IN ({named})', keys)
    held = (held_row(entity, row, doubles=marketing.stores_doubles) for row in rows)
    return {str(row[entity.key_column]): row for row in held}


def _quoted(names: Iterable[str]) -> Iterator[str]:
    return (f'"{name}"' for name in names)


def compare_rows(
    entity: Entity,
    expected: Mapping[str, PlainRow],
    found: Mapping[str, PlainRow],
    quarantined: frozenset[str],
    deleted_here: frozenset[str] = frozenset(),
) -> Comparison:
    """Compare the rows of both sides, each by its key; numbers count as equal as `_is_equal` says."""
    differences: list[Difference] = []
    compared = [key for key in expected if key in found and key not in quarantined]
    for key in compared:
        differences += _differing_values(entity, key, expected[key], found[key])
    for key in deleted_here & found.keys():
        differences.append(Difference(entity.name, key, "", "keeps the row", "had deleted it, and has it again"))
    for key in deleted_here - expected.keys():
        differences.append(Difference(entity.name, key, "", "has lost the row", "has deleted it here only"))
    for key in expected.keys() - found.keys() - quarantined - deleted_here:
        differences.append(Difference(entity.name, key, "", "has the row", "has not, nor is it in quarantine"))
    for key in found.keys() - expected.keys():
        differences.append(Difference(entity.name, key, "", "has not", "has the row"))
    values = len(compared) * len(entity.columns)
    aside = len(quarantined & expected.keys())
    return Comparison(entity, len(compared), values, aside, tuple(differences), len(deleted_here))


def _differing_values(entity: Entity, key: str, expected: PlainRow, found: PlainRow) -> Iterator[Difference]:
    for column in entity.columns:
        if not _is_equal(expected[column], found[column]):
            yield Difference(entity.name, key, column, _shown(expected[column]), _shown(found[column]))


def _is_equal(expected: Plain, found: Plain) -> bool:
    if isinstance(found, float) and isinstance(expected, Decimal | float):
        # A double keeps 15 significant digits, whatever the number.
        return f"{float(expected):.15g}" == f"{found:.15g}"
    return type(expected) is type(found) and expected == found


def _shown(value: Plain) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


# --- Dynamics' side ---------------------------------------------------------------------------------


def expected_rows(entity: Entity, dynamics: DynamicsApi) -> Iterator[PlainRow]:
    """Read all rows of an entity from Dynamics, as the marketing database should hold them."""
    there = dynamics.shape(entity.name).columns
    fields = [field for field in entity.fields if field.name in there or not field.is_optional]
    properties = (entity.key, "versionnumber", *dict.fromkeys(field.wire_name for field in fields))
    for row in dynamics.rows(entity.name, properties):
        yield expected_row(entity, row)


def expected_row(entity: Entity, row: Row) -> PlainRow:
    """Bring a row of the Web API into the plain form; a field that it lacks is null."""
    plain: dict[str, Plain] = {
        entity.key_column: row[entity.key].lower(),
        "crm_version": row["versionnumber"],
    }
    for field in entity.fields:
        plain |= zip(field.columns, _expected_values(field, row), strict=True)
    return plain


def _expected_values(field: Field, row: Row) -> list[Plain]:
    value = row.get(field.wire_name)
    if value is None:
        return [None] * len(field.columns)
    label = row.get(f"{field.wire_name}@{_LABEL}")
    match field.type:
        case "option" | "options":
            return [value, label]
        case "lookup":
            table = row.get(f"{field.wire_name}@{_TABLE}")
            further = ((table, field.has_type), (label, field.has_name))
            return [value.lower(), *(text for text, there in further if there)]
        case _:
            return [_FROM_JSON.get(field.type, _as_is)(value)]


def _as_is(value: Any) -> Plain:
    plain: Plain = value
    return plain


def _instant_from_json(value: str) -> datetime:
    return datetime.fromisoformat(value).astimezone(UTC)


_FROM_JSON: Mapping[str, Callable[[Any], Plain]] = {
    "instant": _instant_from_json,
    "date": lambda value: date.fromisoformat(value[:10]),
    "money": Decimal,
    "decimal": Decimal,
    "float": float,
    "guid": str.lower,
}


# --- the marketing database's side ------------------------------------------------------------------


def held_row(entity: Entity, row: Mapping[str, Any], *, doubles: bool) -> PlainRow:
    """Bring a row of the marketing database into the plain form; `doubles` is true for SQLite."""
    types = entity.types
    return {column: _held_value(row[column], types.get(column, ""), doubles=doubles) for column in entity.columns}


def _held_value(value: Any, field_type: str, *, doubles: bool) -> Plain:
    if value is None:
        return None
    if doubles:
        return _FROM_SQLITE.get(field_type, _as_is)(value)
    if isinstance(value, UUID):
        return str(value)
    return value.astimezone(UTC) if isinstance(value, datetime) else _as_is(value)


def _boolean_from_sqlite(value: Any) -> Plain:
    return bool(value) if value in (0, 1) else _as_is(value)


#: SQLite has neither booleans nor dates; what the columns hold instead is documented with the tables.
_FROM_SQLITE: Mapping[str, Callable[[Any], Plain]] = {
    "boolean": _boolean_from_sqlite,
    "instant": lambda value: datetime.fromisoformat(value).replace(tzinfo=UTC),
    "date": date.fromisoformat,
    "money": float,
    "decimal": float,
    "float": float,
}
