"""What a test or a demo may do to a running organisation behind the back of its Web API."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime

from pydantic.types import JsonValue

from dynamics_emulator.api.writing import overwrite, remove, stored_row
from dynamics_emulator.control.environment import EnvironmentControl
from dynamics_emulator.control.faults import ActiveFault, Fault
from dynamics_emulator.control.overview import TableCounts, setting_lines
from dynamics_emulator.control.people import PeopleControl
from dynamics_emulator.control.schema_control import SchemaControl
from dynamics_emulator.odata.tracking import expire_tokens
from dynamics_emulator.organisation import Organisation
from dynamics_emulator.schema.model import ColumnType, Schema
from dynamics_emulator.settings import Settings
from dynamics_emulator.storage.bulk import insert_rows
from dynamics_emulator.storage.database import SqlValue


class Control(PeopleControl, SchemaControl, EnvironmentControl):
    """Switches of one organisation. Every method takes effect at once, also for requests that are under way."""

    def __init__(self, organisation: Organisation) -> None:
        super().__init__(organisation)
        self._counts = TableCounts(organisation)

    @property
    def schema(self) -> Schema:
        """The schema of now."""
        return self._organisation.schema

    def add_fault(
        self,
        name: str,
        times: int | None = None,
        probability: float | None = None,
        match: str = "",
        at: Sequence[int] = (),
        *,
        in_batch: bool = False,
    ) -> ActiveFault:
        """Switch a fault on; see :class:`dynamics_emulator.control.faults.Fault` for the names.

        It strikes requests whose address contains ``match``: once, or ``times`` times, or with a probability, or the
        requests ``at`` these places among those that it could strike, counted from 1. With ``in_batch`` it strikes the
        parts of batches that write in the same way, and ``match`` may hold their method too: ``DELETE``. Raises
        ValueError for what makes no sense.
        """
        return self._organisation.faults.add(name, times, probability, match, at, in_batch=in_batch)

    def clear_faults(self, name: str | None = None) -> None:
        """Switch one fault off, or all."""
        self._organisation.faults.clear(name)

    @staticmethod
    def available_faults() -> dict[str, str]:
        """What each fault does, by its name."""
        return {fault.value: fault.description for fault in Fault}

    def active_faults(self) -> list[dict[str, object]]:
        """The faults that can still strike."""
        return [active.describe() for active in self._organisation.faults.active()]

    def change_settings(self, **changes: object) -> Settings:
        """Change settings by name. Raises pydantic.ValidationError for an unknown name or a bad value."""
        return self._organisation.settings_holder.change(**changes)

    def settings(self) -> dict[str, dict[str, JsonValue]]:
        """Each setting with its value, its default, and the further values that a client must live with."""
        return {
            line.name: {
                "value": line.value,
                "default": line.default,
                "others": list(line.others),
                "description": line.description,
            }
            for line in setting_lines(self._organisation.settings)
        }

    def status(self) -> dict[str, object]:
        """Identity, clock, row counts, what is switched on, and the last requests."""
        organisation = self._organisation
        counts = self._counts.read()
        return {
            "identity": asdict(organisation.identity),
            "now": organisation.clock.now().isoformat(),
            "tables": counts,
            "rows": sum(counts.values()),
            "version": organisation.database.current_version(),
            "faults": self.active_faults(),
            "changed_settings": {
                line.name: line.value for line in setting_lines(organisation.settings) if line.is_changed
            },
            "requests": organisation.journal.total,
            "last_requests": [entry.describe() for entry in organisation.journal.latest(10)],
        }

    def count_requests(self) -> dict[str, int]:
        """How many requests there were so far of each kind: ``POST /$batch``, ``GET /leads``, ``GET /leads(…)``.

        Those for tokens are ``POST /…/oauth2/v2.0/token``; requests whose connection broke count too.
        """
        return self._organisation.journal.by_kind()

    def advance_clock(self, seconds: float) -> None:
        """Move the organisation's clock by seconds."""
        self._organisation.clock.advance(seconds)

    def stop_clock(self, instant: datetime) -> None:
        """Let the organisation's clock stand still at an instant."""
        self._organisation.clock.stop_at(instant)

    def resume_clock(self) -> None:
        """Let the organisation's clock follow the system's again."""
        self._organisation.clock.resume()

    def expire_tracking(self, table: str | None = None) -> None:
        """Declare the delta tokens given so far expired: of one table, or of all.

        Raises KeyError for an unknown table.
        """
        if table is not None:
            self.schema.table(table)
        expire_tokens(self._organisation.database, table)

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
