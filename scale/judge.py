"""The judge of the scale demo: counts that must add up, every value of every row, and what a second run must find."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from dynamics_demo.comparison import Comparison, Difference, compare_pages
from dynamics_demo.console import Progress
from dynamics_demo.problems import DifferenceError
from scale.copying import Watched

if TYPE_CHECKING:
    # What it imports is installed for the demo only, while the report and its tests do without.
    from scale.start import Started

#: How many leads are changed before the second run.
EDITS = 100

_ROUTES = ("inserted", "updated", "unchanged", "filtered", "rejected")
_SHOWN_DIFFERENCES = 10


@dataclass(frozen=True, slots=True)
class Books:
    """What `sync_run` says of a run, and how many rows and different keys the table has."""

    counts: Mapping[str, int]
    rows: int
    keys: int
    slices: int

    def as_text(self) -> str:
        """The sum, as a person would write it."""
        parts = " + ".join(
            f"{self.counts[name]:,} {name}" for name in _ROUTES if self.counts[name] or name == "inserted"
        )
        return f"read {self.counts['read_rows']:,} = {parts}"


def check_books(started: "Started", watched: Watched, expected: Mapping[str, int]) -> Books:
    """Read the books of a run; DifferenceError if they do not add up, or are not as `expected` says.

    `expected` holds columns of `sync_run`, and `rows`, how many the table must have.
    """
    books = _read_books(started, watched)
    found = {**books.counts, "rows": books.rows}
    wrong = [f"{name} is {found[name]:,}, not {value:,}" for name, value in expected.items() if found[name] != value]
    if books.counts["read_rows"] != sum(books.counts[name] for name in _ROUTES):
        wrong.append(f"the counts do not add up: {dict(books.counts)}")
    if books.rows != books.keys:
        wrong.append(f"{books.rows:,} rows have {books.keys:,} keys")
    if left := len(started.store.sizes("staging/")):
        wrong.append(f"{left:,} staged objects were left")
    if wrong:
        message = f"The run {watched.run.run_id} is not right: {'; '.join(wrong)}. The table sync_run has the counts."
        raise DifferenceError(message)
    return books


def _read_books(started: "Started", watched: Watched) -> Books:
    marketing, entity = started.marketing, started.entity
    run_id = [watched.run.run_id]
    columns = ", ".join(("read_rows", *_ROUTES, "deleted"))
    (row,) = marketing.rows(f"SELECT run_key, {columns} FROM sync_run WHERE run_id = ?", run_id)
    counts = {name: int(value or 0) for name, value in row.items() if name != "run_key"}
    slices = marketing.number("SELECT count(*) FROM sync_slice WHERE run_key = ?", [str(row["run_key"])])
    rows = marketing.number(f'SELECT count(*) FROM "{entity.table}"')
    keys = marketing.number(f'SELECT count(DISTINCT "{entity.key_column}") FROM "{entity.table}"')
    return Books(counts, rows, keys, slices)


def compare_values(started: "Started", label: str) -> Comparison:
    """Compare each value of each row on both sides; DifferenceError with the first that differ."""
    progress = Progress(label)
    result = compare_pages(
        started.entity,
        started.dynamics,
        started.marketing,
        progress=lambda rows: progress.show(f"{rows:,} rows") if rows % 50_000 == 0 else None,
    )
    _require_none(result.differences)
    progress.done(f"{result.rows:,} rows with {result.values:,} values, 0 differences")
    return result


def edit_leads(started: "Started") -> Sequence[str]:
    """Change leads in Dynamics; returns their keys."""
    rows = started.dynamics.rows(started.entity.name, (started.entity.key,), "statecode eq 0")
    keys = [str(row[started.entity.key]) for row in islice(rows, EDITS)]
    for number, key in enumerate(keys):
        started.dynamics.update(started.entity.name, key, {"subject": f"Edited for the scale demo, {number}"})
    return keys


def compare_versions(started: "Started") -> int:
    """Compare the version of each row on both sides, which Dynamics raises with each change; returns how many.

    DifferenceError if a row is missing, older or unknown there. Costs a narrow read where all values cost a wide one.
    """
    entity, progress = started.entity, Progress("Compare versions")
    query = f'SELECT "{entity.key_column}" AS record, crm_version FROM "{entity.table}" WHERE crm_deleted_at IS NULL'
    here = {str(row["record"]): int(row["crm_version"]) for row in started.marketing.rows(query)}
    rows = 0
    for row in started.dynamics.rows(entity.name, (entity.key, "versionnumber")):
        rows += 1
        if here.pop(str(row[entity.key]).lower(), None) != row["versionnumber"]:
            _require_none([_difference(started, str(row[entity.key]), f"version {row['versionnumber']}", "another")])
    _require_none([_difference(started, key, "has not", "has the row") for key in here])
    progress.done(f"{rows:,} rows have the same version on both sides")
    return rows


def edited_titles(started: "Started") -> int:
    """How many rows here have a value that the demo wrote in Dynamics."""
    query = 'SELECT count(*) FROM "lead" WHERE topic LIKE ?'
    return started.marketing.number(query, ["Edited for the scale demo, %"])


def sizes_of_tables(started: "Started") -> Mapping[str, int]:
    """Bytes of each table in the marketing database, with indexes and all."""
    query = (
        "SELECT relname AS name, pg_total_relation_size(oid) AS bytes FROM pg_class"
        " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY bytes DESC"
    )
    return {str(row["name"]): int(row["bytes"]) for row in started.marketing.rows(query)}


def _difference(started: "Started", key: str, there: str, here: str) -> Difference:
    return Difference(started.entity.name, key, "", there, here)


def _require_none(differences: Sequence[Difference]) -> None:
    if differences:
        shown = "\n  ".join(str(difference) for difference in differences[:_SHOWN_DIFFERENCES])
        message = f"{len(differences):,} differences; the first:\n  {shown}"
        raise DifferenceError(message)
