"""What the platform itself fills in or refuses when a row is written."""

from decimal import Decimal

from dynamics_emulator.api.messages import Caller
from dynamics_emulator.api.payload import Values
from dynamics_emulator.errors import DataverseError, bad_state_pair
from dynamics_emulator.identity import BASE_CURRENCY_ID, ROOT_BUSINESS_UNIT_ID
from dynamics_emulator.odata.literals import exact_number_text
from dynamics_emulator.organisation import Organisation, present_time
from dynamics_emulator.schema.model import Column, ColumnType, Table
from dynamics_emulator.storage.layout import quote

_FULL_NAMES = frozenset({"lead", "contact", "systemuser"})
_QUALIFIED = 1


def created(organisation: Organisation, table: Table, caller: Caller, values: Values) -> Values:
    """All values of a new row: what was sent, and what the platform adds."""
    now = present_time(organisation)
    row = dict(values)
    row.update(_stamp(table, caller, now, ("createdon", "modifiedon"), ("createdby", "modifiedby")))
    if row.get("overriddencreatedon"):
        # The caller's date becomes createdon, and this column then tells when the row really came.
        row["createdon"], row["overriddencreatedon"] = row["overriddencreatedon"], now
    if "ownerid" in table.columns and not row.get("ownerid"):
        row["ownerid"], row["ownerid__type"] = caller.user_id, "systemuser"
    _default_booleans(table, row)
    if "statecode" in table.columns and "statuscode" not in row:
        row.setdefault("statecode", 0)
    return completed(organisation, table, row, {})


def updated(organisation: Organisation, table: Table, caller: Caller, values: Values, stored: Values) -> Values:
    """The values to write over a stored row."""
    _require_open_lead(organisation, table, values, stored)
    row = dict(values)
    row.update(_stamp(table, caller, present_time(organisation), ("modifiedon",), ("modifiedby",)))
    return completed(organisation, table, row, stored)


def completed(organisation: Organisation, table: Table, row: Values, stored: Values) -> Values:
    """Add the values that follow from others: names, owner, state and status, currency."""
    _complete_state(table, row)
    _complete_owner(organisation, table, row)
    if table.name in _FULL_NAMES and ("firstname" in row or "lastname" in row):
        both = {**stored, **row}
        parts = [str(both[name]) for name in ("firstname", "lastname") if both.get(name)]
        row["fullname"] = " ".join(parts) or None
    _complete_money(organisation, table, row, stored)
    return row


def _stamp(table: Table, caller: Caller, now: str, instants: tuple[str, ...], users: tuple[str, ...]) -> Values:
    values: Values = {name: now for name in instants if name in table.columns}
    values.update({name: caller.user_id for name in users if name in table.columns})
    return values


def _default_booleans(table: Table, row: Values) -> None:
    for column in table.columns.values():
        if column.type is ColumnType.BOOLEAN:
            row.setdefault(column.name, 0)


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
    return [
        column
        for column in table.columns.values()
        if column.type is ColumnType.MONEY and not column.name.endswith("_base")
    ]


def _exchange_rate(organisation: Organisation, currency: object) -> Decimal:
    query = "SELECT exchangerate FROM transactioncurrency WHERE transactioncurrencyid = ?"
    found = organisation.database.connection.execute(query, (currency,)).fetchone()
    return Decimal(found[0]) if found and found[0] else Decimal(1)
