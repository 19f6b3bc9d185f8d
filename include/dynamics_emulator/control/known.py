"""What the switchboard is asked for by name: found, or refused with the name that was probably meant."""

from collections.abc import Collection
from difflib import get_close_matches

from dynamics_emulator.schema.model import Column, Schema, Table

_LISTED_AT_MOST = 40


def require_known(kind: str, name: str, known: Collection[str]) -> None:
    """Raise ValueError for a name that is not among the known ones, with the nearest, or with all if they are few."""
    if name in known:
        return
    message = f"there is no {kind} {name}"
    near = get_close_matches(name, known, n=3)
    if near:
        message += f"; near it are: {', '.join(near)}"
    elif len(known) <= _LISTED_AT_MOST:
        message += f"; there are: {', '.join(sorted(known))}"
    raise ValueError(message)


def known_table(schema: Schema, name: str) -> Table:
    """The table of a logical name. Raises ValueError for any other name, also for that of an entity set."""
    if name in schema.sets and name not in schema.tables:
        message = f"there is no table {name}; the table of this entity set is {schema.sets[name].name}"
        raise ValueError(message)
    require_known("table", name, schema.tables)
    return schema.tables[name]


def known_column(schema: Schema, table: str, name: str) -> Column:
    """The column of a logical name. Raises ValueError when the table or the column does not exist."""
    columns = known_table(schema, table).columns
    require_known(f"column of {table}", name, columns)
    return columns[name]
