"""What a test or a demo may do to a running organisation behind the back of its Web API."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from dynamics_emulator.api.writing import overwrite, remove, stored_row
from dynamics_emulator.control.faults import ActiveFault
from dynamics_emulator.odata.tracking import expire_tokens
from dynamics_emulator.organisation import Organisation
from dynamics_emulator.schema.changes import apply_change
from dynamics_emulator.schema.model import ColumnType
from dynamics_emulator.settings import Settings
from dynamics_emulator.storage.bulk import insert_rows
from dynamics_emulator.storage.database import SqlValue
from dynamics_emulator.storage.layout import quote


class Control:
    """Switches of one organisation. Every method takes effect at once, also for requests that are under way."""

    def __init__(self, organisation: Organisation) -> None:
        self._organisation = organisation

    def add_fault(
        self, name: str, times: int | None = None, probability: float | None = None, match: str = ""
    ) -> ActiveFault:
        """Switch a fault on; see :class:`dynamics_emulator.control.faults.Fault` for the names.

        It strikes requests whose path contains ``match``: once, or ``times`` times, or with a probability.
        """
        return self._organisation.faults.add(name, times, probability, match)

    def clear_faults(self) -> None:
        """Switch all faults off."""
        self._organisation.faults.clear()

    def active_faults(self) -> list[dict[str, object]]:
        """The faults that can still strike."""
        return [active.describe() for active in self._organisation.faults.active()]

    def change_settings(self, **changes: object) -> Settings:
        """Change settings by name. Raises pydantic.ValidationError for an unknown name or a bad value."""
        return self._organisation.settings_holder.change(**changes)

    def advance_clock(self, seconds: float) -> None:
        """Move the organisation's clock by seconds."""
        self._organisation.clock.advance(seconds)

    def stop_clock(self, instant: datetime) -> None:
        """Let the organisation's clock stand still at an instant."""
        self._organisation.clock.stop_at(instant)

    def resume_clock(self) -> None:
        """Let the organisation's clock follow the system's again."""
        self._organisation.clock.resume()

    def swap_organization(self, **parts: str) -> None:
        """Give the organisation another identity, in whole or in part, as after a copy or a refresh.

        Raises TypeError for an unknown part.
        """
        organisation = self._organisation
        identity = organisation.identity.swapped(**parts)
        with organisation.database.transaction():
            organisation.database.write_state("identity", json.dumps(asdict(identity)))
        organisation.identity = identity

    def set_read(self, table: str, *, allowed: bool) -> None:
        """Give or take the global read privilege on a table. Raises KeyError for an unknown table."""
        self._organisation.schema.table(table)
        if allowed:
            self._organisation.unreadable.discard(table)
        else:
            self._organisation.unreadable.add(table)

    def expire_tracking(self, table: str | None = None) -> None:
        """Declare the delta tokens given so far expired: of one table, or of all."""
        expire_tokens(self._organisation.database, table)

    def drop_column(self, table: str, column: str) -> None:
        """Take a column out of the schema. Its stored values stay behind, unseen."""
        self._change({"kind": "drop", "table": table, "column": column})

    def rename_column(self, table: str, column: str, to: str) -> None:
        """Give a column another name; its values go with it. Lookups cannot be renamed."""
        if self._organisation.schema.table(table).columns[column].is_lookup:
            message = f"{table}.{column} is a lookup"
            raise ValueError(message)
        self._change({"kind": "rename", "table": table, "column": column, "to": to})

    def shorten_column(self, table: str, column: str, length: int) -> None:
        """Set the maximum length of a text column; longer stored values stay as they are."""
        self._change({"kind": "shorten", "table": table, "column": column, "length": length})

    def remove_option(self, table: str, column: str, value: int) -> None:
        """Take an option out of a list; rows that hold it stay as they are."""
        self._change({"kind": "remove_option", "table": table, "column": column, "value": value})

    def relabel_option(self, table: str, column: str, value: int, label: str) -> None:
        """Give an option another label."""
        self._change({"kind": "relabel_option", "table": table, "column": column, "value": value, "label": label})

    def write_raw(self, table: str, row_id: str, values: Mapping[str, SqlValue]) -> None:
        """Write stored values straight into a row, past every check; the row gets a new version.

        Names are logical names (``<lookup>__type`` for the table of a polymorphic lookup). Raises KeyError when the
        table, a column or the row does not exist.
        """
        organisation = self._organisation
        found = organisation.schema.table(table)
        with organisation.database.transaction():
            stored = stored_row(organisation, found, row_id)
            if stored is None:
                raise KeyError(row_id)
            unknown = set(values) - set(stored)
            if unknown:
                raise KeyError(*sorted(unknown))
            overwrite(organisation, found, row_id, dict(values))

    def insert_rows(self, table: str, rows: Sequence[Mapping[str, SqlValue]]) -> None:
        """Insert many stored rows at once, past every rule of the API.

        Each row needs its key and whatever else is to be set; booleans that it leaves out become 0.
        Raises KeyError for an unknown table.
        """
        organisation = self._organisation
        found = organisation.schema.table(table)
        booleans = {column.name: 0 for column in found.columns.values() if column.type is ColumnType.BOOLEAN}
        with organisation.database.transaction():
            insert_rows(organisation.database, found, [{**booleans, **row} for row in rows])

    def delete_rows(self, table: str, row_ids: Sequence[str]) -> None:
        """Delete rows and log them for change tracking; rows that point at them stay as they are."""
        organisation = self._organisation
        found = organisation.schema.table(table)
        with organisation.database.transaction():
            for row_id in row_ids:
                remove(organisation, found, row_id)

    def _change(self, change: dict[str, Any]) -> None:
        organisation = self._organisation
        schema = apply_change(organisation.schema, change)
        database = organisation.database
        with database.transaction() as connection:
            if change["kind"] == "rename":
                names = (quote(change["table"]), quote(change["column"]), quote(change["to"]))
                connection.execute("ALTER TABLE {} RENAME COLUMN {} TO {}".format(*names))
            connection.execute('INSERT INTO "_schema_change" (change) VALUES (?)', (json.dumps(change),))
        organisation.schema = schema
        if organisation.settings.metadata_change_expires_tokens:
            expire_tokens(database, change["table"])
