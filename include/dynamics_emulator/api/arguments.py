"""The parameters of an action, checked by name and type."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dynamics_emulator.api.keys import locate_stored
from dynamics_emulator.api.messages import ApiRequest
from dynamics_emulator.errors import DataverseError, method_not_allowed, required_missing, unresolved_parameters
from dynamics_emulator.organisation import Organisation
from dynamics_emulator.schema.model import Table


@dataclass(frozen=True)
class Arguments:
    """What a caller sent to an action."""

    organisation: Organisation
    values: Mapping[str, Any]

    def number(self, name: str) -> int:
        """A required whole number."""
        return int(self._typed(name, int))

    def flag(self, name: str) -> bool:
        """A required boolean."""
        return bool(self._typed(name, bool))

    def content(self, name: str) -> Mapping[str, Any]:
        """A required object."""
        found: Mapping[str, Any] = self._typed(name, dict)
        return found

    def optional_row(self, name: str) -> tuple[Table, str] | None:
        """The row that a reference names by ``@odata.type`` and key, or None.

        Raises a 400 for any other shape, and a 404 when there is no such row.
        """
        found = self.values.get(name)
        if found is None:
            return None
        if not isinstance(found, dict):
            raise invalid_argument()
        table = self.organisation.schema.tables.get(str(found.get("@odata.type", "")).rpartition(".")[2])
        if table is None or not isinstance(found.get(table.primary_id), str):
            raise invalid_argument()
        return table, locate_stored(self.organisation, table, found[table.primary_id])

    def row(self, name: str) -> tuple[Table, str]:
        """The same for a required reference."""
        found = self.optional_row(name)
        if found is None:
            raise required_missing(name)
        return found

    def _typed(self, name: str, kind: type) -> Any:
        found = self.values.get(name)
        if found is None:
            raise required_missing(name)
        if type(found) is not kind:
            raise invalid_argument()
        return found


def read_arguments(organisation: Organisation, request: ApiRequest, known: frozenset[str]) -> Arguments:
    """The body of an action. Raises a 405 for another verb than POST and a 400 for a parameter it does not have."""
    if request.method != "POST":
        raise method_not_allowed(request.method)
    values = {name: value for name, value in request.json_body().items() if not name.startswith("@")}
    if not values.keys() <= known:
        raise unresolved_parameters()
    return Arguments(organisation, values)


def invalid_argument() -> DataverseError:
    """A parameter of the wrong type or shape (400, 0x80040203)."""
    return DataverseError(400, "0x80040203", "Invalid argument.")
