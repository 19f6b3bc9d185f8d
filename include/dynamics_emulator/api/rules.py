"""What the platform itself fills in or refuses when a row is written."""

from decimal import Decimal

from dynamics_emulator.api.messages import Caller
from dynamics_emulator.api.values import Values
from dynamics_emulator.errors import DataverseError, bad_state_pair, date_out_of_range, required_missing
from dynamics_emulator.identity import BASE_CURRENCY_ID, ROOT_BUSINESS_UNIT_ID
from dynamics_emulator.odata.literals import exact_number_text
from dynamics_emulator.organisation import Organisation, present_time
from dynamics_emulator.schema.model import Column, ColumnType, Table
from dynamics_emulator.storage.layout import quote

_FULL_NAMES = frozenset({"lead", "contact", "systemuser"})
_QUALIFIED = 1
_PLATFORM_COLUMNS = frozenset(
    {"ownerid", "businessunitid", "administratorid", "organizationid", "transactioncurrencyid"}
)
_PLATFORM_TYPES = frozenset({ColumnType.UNIQUEIDENTIFIER, ColumnType.STATE, ColumnType.STATUS, ColumnType.BOOLEAN})
_STATES = (ColumnType.STATE, ColumnType.STATUS)
_SYSTEM_TABLES = frozenset({"systemuser", "businessunit", "organization", "connectionrole"})


def created(organisation: Organisation, table: Table, caller: Caller, values: Values) -> Values:
    """All values of a new row: what was sent, and what the platform adds.

    Raises a 400 for a bad pair of state and status, or when a required column is empty.
    """
    now = present_time(organisation)
    row = dict(values)
    row.update(_stamp(table, caller, now, ("created", "modified")))
    _override_creation(table, row, now)
    if "ownerid" in table.columns and not row.get("ownerid"):
        row["ownerid"], row["ownerid__type"] = caller.user_id, "systemuser"
    _fill_defaults(table, row)
    if "statecode" in table.columns and "statuscode" not in row:
        row.setdefault("statecode", 0)
    _require_columns(organisation, table, row)
    return completed(organisation, table, row, {})


def updated(organisation: Organisation, table: Table, caller: Caller, values: Values, stored: Values) -> Values:
    """The values to write over a stored row."""
    _require_open_lead(organisation, table, values, stored)
    row = dict(values)
    row.update(_stamp(table, caller, present_time(organisation), ("modified",)))
    return completed(organisation, table, row, stored)


def completed(organisation: Organisation, table: Table, row: Values, stored: Values) -> Values:
    """Add the values that follow from others: names, owner, state and status, currency.

    Raises a 400 when a value is cleared that each row has, or when state and status do not fit each other.
    """
    _require_kept(table, row)
    _complete_state(table, row)
    _complete_owner(organisation, table, row)
    if table.name in _FULL_NAMES and ("firstname" in row or "lastname" in row):
        both = {**stored, **row}
        parts = [str(both[name]) for name in ("firstname", "lastname") if both.get(name)]
        row["fullname"] = " ".join(parts) or None
    _complete_money(organisation, table, row, stored)
    return row


def _require_kept(table: Table, row: Values) -> None:
    for name, value in row.items():
        column = table.find(name) if value is None else None
        if column and (column.type in _STATES or (column.is_lookup and column.required == "SystemRequired")):
            raise required_missing(name)


def _override_creation(table: Table, row: Values, now: str) -> None:
    """Let the caller's date become createdon, and overriddencreatedon tell when the row really came."""
    name = "overriddencreatedon"
    stated = row.get(name)
    if not stated:
        return
    if str(stated) > now:
        raise date_out_of_range(name, table.name)
    row["createdon"], row[name] = stated, now


def _stamp(table: Table, caller: Caller, now: str, events: tuple[str, ...]) -> Values:
    """Who wrote and when; with impersonation also on whose account."""
    values: Values = {}
    for event in events:
        values |= {f"{event}on": now, f"{event}by": caller.user_id, f"{event}onbehalfby": caller.acting_user_id}
    return {name: value for name, value in values.items() if name in table.columns}


def _require_columns(organisation: Organisation, table: Table, row: Values) -> None:
    settings = organisation.settings
    for column in table.required_columns:
        needed = (column.required == "SystemRequired" and settings.system_required_enforced) or (
            column.required == "ApplicationRequired" and settings.application_required_enforced
        )
        if needed and column.creatable and row.get(column.name) is None and not _filled_by_platform(table, column):
            raise required_missing(column.name)


def _filled_by_platform(table: Table, column: Column) -> bool:
    if column.name in _PLATFORM_COLUMNS or column.type in _PLATFORM_TYPES:
        return True
    # An intersect row of the platform, or a column of a system table that only its set-up wizard knows.
    return table.intersect or table.name in _SYSTEM_TABLES


def _fill_defaults(table: Table, row: Values) -> None:
    """No for every yes-or-no column, and the first option where the system needs one."""
    for column in table.by_type[ColumnType.BOOLEAN]:
        row.setdefault(column.name, 0)
    for column in table.required_columns:
        if column.type is ColumnType.PICKLIST and column.required == "SystemRequired" and column.options:
            row.setdefault(column.name, column.options[0].value)
    if table.name == "list":
        row.setdefault("membertype", row.get("createdfromcode"))


def _require_open_lead(organisation: Organisation, table: Table, values: Values, stored: Values) -> None:
    if table.name != "lead" or not organisation.settings.qualified_leads_read_only:
        return
    if stored.get("statecode") == _QUALIFIED and values.get("statecode", _QUALIFIED) == _QUALIFIED:
        raise DataverseError(400, "0x80040230", "The object cannot be updated because it is inactive.")


def _complete_state(table: Table, row: Values) -> None:
    state_column, status_column = table.find("statecode"), table.find("statuscode")
    if not state_column or not status_column or not {"statecode", "statuscode"} & row.keys():
        return
    status = row.get("statuscode")
    if status is None:
        state = row.get("statecode")
        defaults = {option.value: option.default_status for option in state_column.options}
        row["statuscode"] = defaults.get(int(str(state)))
        return
    implied = {option.value: option.state for option in status_column.options}.get(int(str(status)))
    if row.get("statecode", implied) != implied:
        raise bad_state_pair(table.name, row["statecode"], status)
    row["statecode"] = implied


def _complete_owner(organisation: Organisation, table: Table, row: Values) -> None:
    if not row.get("ownerid") or "owninguser" not in table.columns:
        return
    owner, kind = str(row["ownerid"]), row.get("ownerid__type")
    row["owninguser"] = owner if kind == "systemuser" else None
    row["owningteam"] = owner if kind == "team" else None
    owners = organisation.schema.table(str(kind))
    query = f"SELECT businessunitid FROM {quote(owners.name)} WHERE {quote(owners.primary_id)} = ?"
    found = organisation.database.connection.execute(query, (owner,)).fetchone()
    row["owningbusinessunit"] = found[0] if found and found[0] else ROOT_BUSINESS_UNIT_ID


def _complete_money(organisation: Organisation, table: Table, row: Values, stored: Values) -> None:
    written = [column for column in _money_columns(table) if column.name in row]
    if not written and "transactioncurrencyid" not in row:
        return
    both = {**stored, **row}
    if "transactioncurrencyid" in table.columns and not both.get("transactioncurrencyid"):
        row["transactioncurrencyid"] = both["transactioncurrencyid"] = BASE_CURRENCY_ID
    rate = _exchange_rate(organisation, both.get("transactioncurrencyid"))
    if "exchangerate" in table.columns:
        row["exchangerate"] = exact_number_text(str(rate), 10)
    for column in _money_columns(table):
        amount = both.get(column.name)
        if f"{column.name}_base" in table.columns and (column in written or amount is not None):
            text = None if amount is None else exact_number_text(str(Decimal(str(amount)) / rate), 4)
            row[f"{column.name}_base"] = text


def _money_columns(table: Table) -> list[Column]:
    return [column for column in table.by_type[ColumnType.MONEY] if not column.name.endswith("_base")]


def _exchange_rate(organisation: Organisation, currency: object) -> Decimal:
    query = "SELECT exchangerate FROM transactioncurrency WHERE transactioncurrencyid = ?"
    found = organisation.database.connection.execute(query, (currency,)).fetchone()
    return Decimal(found[0]) if found and found[0] else Decimal(1)
