"""The verbs of the control that an administrator of environments has: bulk jobs, refresh and copy."""

import itertools
import json
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

from dynamics_emulator.api.writing import remove
from dynamics_emulator.business_rules import BusinessRule
from dynamics_emulator.errors import DataverseError
from dynamics_emulator.identity import APPLICATION_USER_ID
from dynamics_emulator.odata.conditions import compile_filter
from dynamics_emulator.odata.scope import Parameters, Scope
from dynamics_emulator.organisation import Organisation, changed_schema, present_time
from dynamics_emulator.schema.model import Table
from dynamics_emulator.storage.database import Database
from dynamics_emulator.storage.layout import quote

_BUMP = """
UPDATE {table} SET {changes} FROM
  (SELECT {key} AS chosen, row_number() OVER (ORDER BY {key}) - 1 AS place FROM {table} ORDER BY {key} LIMIT :rows)
WHERE {key} = chosen
"""


class EnvironmentControl:
    """Bulk jobs and the life of the environment. Everything takes effect at once."""

    _organisation: Organisation

    def bulk_update(self, table: str, rows: int) -> int:
        """Give up to so many rows a new version and a new ``modifiedon``, as a nightly job does that changes nothing.

        Returns how many there were. Raises KeyError for an unknown table, ValueError for fewer than one row.
        """
        _require_some(rows)
        organisation = self._organisation
        found = organisation.schema.table(table)
        stamps = {"modifiedon": present_time(organisation), "modifiedby": APPLICATION_USER_ID}
        values = {name: value for name, value in stamps.items() if name in found.columns}
        changes = ", ".join(["versionnumber = :first + place", *(f"{quote(name)} = :{name}" for name in values)])
        statement = _BUMP.format(table=quote(table), key=quote(found.primary_id), changes=changes)
        with organisation.database.transaction() as connection:
            chosen = min(rows, organisation.database.count(table))
            first = organisation.database.reserve_versions(chosen) if chosen else 0
            connection.execute(statement, {**values, "first": first, "rows": chosen})
        return chosen

    def bulk_delete(self, table: str, rows: int) -> int:
        """Delete up to so many rows and log them for change tracking; rows that point at them stay as they are.

        Returns how many there were. Raises KeyError for an unknown table, ValueError for fewer than one row.
        """
        _require_some(rows)
        organisation = self._organisation
        found = organisation.schema.table(table)
        key = quote(found.primary_id)
        with organisation.database.transaction() as connection:
            query = f"SELECT {key} FROM {quote(table)} ORDER BY {key} LIMIT ?"
            chosen = [str(row[0]) for row in connection.execute(query, (rows,)).fetchall()]
            for row_id in chosen:
                remove(organisation, found, row_id)
        return len(chosen)

    def add_rule(self, table: str, condition: str, message: str) -> BusinessRule:
        """Let business logic refuse the rows of a table that fulfil an OData filter (400, 0x80040265).

        Raises KeyError for an unknown table, ValueError for a condition that is no filter of it.
        """
        _require_filter(self._organisation, self._organisation.schema.table(table), condition)
        rule = BusinessRule(table, condition, message)
        self._organisation.rules.append(rule)
        return rule

    def clear_rules(self) -> None:
        """Take all business logic out again."""
        self._organisation.rules.clear()

    def keep_moment(self) -> None:
        """Remember the rows, versions and schema of now for :meth:`refresh_environment`; forgets an earlier moment."""
        database = self._organisation.database
        place = _moment(database)
        place.unlink(missing_ok=True)
        database.connection.execute("VACUUM INTO ?", (str(place),))

    def refresh_environment(self, closed_seconds: float = 0) -> list[str]:
        """Put the kept moment in the place of everything, as when another environment is copied over this one.

        Rows, versions, deletions and schema are those of that moment, and the parts of the identity that the setting
        ``refresh_changes`` names are new; returns their names. For ``closed_seconds`` of the organisation's clock every
        request is refused, as in administration mode. Raises ValueError when no moment was kept.
        """
        organisation = self._organisation
        place = _moment(organisation.database)
        if not place.exists():
            message = "no moment was kept; keep one first"
            raise ValueError(message)
        _take_over(organisation, place)
        if closed_seconds:
            organisation.closed_until = organisation.clock.now() + timedelta(seconds=closed_seconds)
        return self._change_identity(organisation.settings.refresh_changes)

    def copy_environment(self) -> list[str]:
        """Go on as a copy of this environment: the same rows and versions under another identity.

        The parts that the setting ``copy_changes`` names are new; returns their names.
        """
        return self._change_identity(self._organisation.settings.copy_changes)

    def swap_organization(self, **parts: str) -> None:
        """Give the organisation another identity, in whole or in part, as after a copy or a refresh.

        Raises TypeError for an unknown part.
        """
        organisation = self._organisation
        identity = organisation.identity.swapped(**parts)
        with organisation.database.transaction():
            organisation.database.write_state("identity", json.dumps(asdict(identity)))
        organisation.identity = identity

    def _change_identity(self, parts: Sequence[str]) -> list[str]:
        drawn = {part: uuid.UUID(int=self._organisation.random.getrandbits(128), version=4) for part in parts}
        self.swap_organization(**{part: _named(part, value) for part, value in drawn.items()})
        return list(parts)


def _require_filter(organisation: Organisation, table: Table, condition: str) -> None:
    now = organisation.clock.now()
    scope = Scope(organisation.schema, table, "t", Parameters(), organisation.settings, now, APPLICATION_USER_ID)
    try:
        compile_filter(condition, scope)
    except DataverseError as problem:
        message = f"the condition is no OData filter of {table.name}: {problem.message}"
        raise ValueError(message) from problem


def _require_some(rows: int) -> None:
    if rows < 1:
        message = "a job needs at least one row"
        raise ValueError(message)


def _named(part: str, drawn: uuid.UUID) -> str:
    match part:
        case "unique_name":
            return f"unq{drawn.hex[:26]}"
        case "url_name":
            return f"org{drawn.hex[:8]}"
        case _:
            return str(drawn)


def _moment(database: Database) -> Path:
    """The file of the kept moment, beside that of the organisation."""
    listed = database.connection.execute("PRAGMA database_list").fetchall()
    return Path(next(file for _, name, file in listed if name == "main")).with_name("moment.sqlite")


def _take_over(organisation: Organisation, moment: Path) -> None:
    database = organisation.database
    connection = database.connection
    connection.execute("ATTACH DATABASE ? AS moment", (str(moment),))
    try:
        with database.transaction():
            query = "SELECT name FROM moment.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            tables = [str(row[0]) for row in connection.execute(query).fetchall()]
            # The emulator's own tables come first: they say which columns the others have.
            for name in filter(_is_bookkeeping, tables):
                _replace_rows(database, name)
            schema = changed_schema(database)
            database.create(schema)
            for name in itertools.filterfalse(_is_bookkeeping, tables):
                _replace_rows(database, name)
    finally:
        connection.execute("DETACH DATABASE moment")
    organisation.schema = schema


def _is_bookkeeping(table: str) -> bool:
    return table.startswith("_")


def _replace_rows(database: Database, table: str) -> None:
    query = "SELECT name FROM pragma_table_info(?, 'moment')"
    names = ", ".join(quote(str(row[0])) for row in database.connection.execute(query, (table,)).fetchall())
    name = quote(table)
    database.connection.execute(f"DELETE FROM main.{name}")
    database.connection.execute(f"INSERT INTO main.{name} ({names}) SELECT {names} FROM moment.{name}")
