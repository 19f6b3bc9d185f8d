"""Creates, changes and deletes rows on behalf of a request, past duplicate detection and business rules."""

from dynamics_emulator.api.access import require_delete
from dynamics_emulator.api.cascades import after_create, before_delete
from dynamics_emulator.api.duplicates import require_no_duplicate
from dynamics_emulator.api.messages import ApiRequest, Caller
from dynamics_emulator.api.table_rules import require_permitted
from dynamics_emulator.api.values import Values
from dynamics_emulator.api.writing import create_row, remove, stored_row, update_row
from dynamics_emulator.errors import DataverseError, deletion_restricted, row_missing
from dynamics_emulator.identity import BASE_CURRENCY_ID
from dynamics_emulator.organisation import Organisation
from dynamics_emulator.schema.model import Table

_NEVER_DELETED = frozenset({"systemuser", "businessunit", "organization"})


def require_row(organisation: Organisation, table: Table, row_id: str) -> Values:
    """The row as stored. Raises a 404 when there is none."""
    stored = stored_row(organisation, table, row_id)
    if stored is None:
        raise row_missing(table.name, row_id)
    return stored


def insert_row(organisation: Organisation, request: ApiRequest, table: Table, values: Values) -> str:
    """Make a row and return its key; inside a transaction."""
    require_no_duplicate(organisation, request, table, values, None)
    row_id = create_row(organisation, table, request.caller, values)
    after_create(organisation, table, request.caller, row_id)
    require_permitted(organisation, request, table, row_id)
    return row_id


def change_row(organisation: Organisation, request: ApiRequest, table: Table, stored: Values, values: Values) -> None:
    """Write values over a stored row; inside a transaction."""
    require_no_duplicate(organisation, request, table, values, stored)
    update_row(organisation, table, request.caller, stored, values)
    require_permitted(organisation, request, table, str(stored[table.primary_id]))


def delete_row(organisation: Organisation, table: Table, caller: Caller, stored: Values) -> None:
    """Delete a stored row with all that its deletion entails; inside a transaction.

    Raises a 405 for a table whose rows are never deleted, and for a row that other rows or the organisation itself hold
    on to (0x80040227).
    """
    if table.name in _NEVER_DELETED or table.intersect:
        message = f"The 'Delete' method does not support entities of type '{table.name}'."
        raise DataverseError(405, "0x80040800", message)
    require_delete(organisation, table, caller, stored)
    row_id = str(stored[table.primary_id])
    if row_id == BASE_CURRENCY_ID:
        # The organisation itself needs it: amounts without a currency of their own are in this one.
        raise deletion_restricted()
    before_delete(organisation, table, row_id)
    remove(organisation, table, row_id)
