"""What the shipped column list lacks: two standard tables, Marketo's columns, and one custom table."""

from dataclasses import replace
from types import MappingProxyType

from dynamics_emulator.schema.model import Column, ColumnType, Option, Table

CUSTOM_TABLE = "acme_eventattendance"
_YES_NO = (Option(0, "No"), Option(1, "Yes"))
_ACTIVE = (Option(0, "Active", default_status=1), Option(1, "Inactive", default_status=2))
_ACTIVE_STATUS = (Option(1, "Active", state=0), Option(2, "Inactive", state=1))
_CONNECTABLE = ("opportunity", "lead", "campaign")
"""Tables that the shipped list forgets as ends of a connection."""


def amend(table: str, column: Column) -> Column:
    """Correct one column of the shipped list."""
    if table == "connection" and column.name in ("record1id", "record2id"):
        missing = tuple(name for name in _CONNECTABLE if name not in column.targets)
        names = tuple(f"{column.name}_{name}" for name in missing)
        return replace(column, targets=column.targets + missing, navigation=column.navigation + names)
    if table == "connection" and column.name in ("owninguser", "owningteam"):
        target = column.name.removeprefix("owning").replace("user", "systemuser")
        return replace(column, type=ColumnType.LOOKUP, targets=(target,), navigation=(column.name,))
    if table == "teammembership" and column.is_lookup:
        return replace(column, type=ColumnType.UNIQUEIDENTIFIER, targets=(), navigation=())
    if column.name == "versionnumber":
        return replace(column, required="None", creatable=False, updatable=False)
    return column


def added_columns(table: str) -> list[Column]:
    """Columns that the Marketo solution, and the organisation itself, add to a standard table."""
    if table == "opportunityclose":
        return [_guid("activityid", "Opportunity Close")]
    if table not in ("lead", "contact"):
        return []
    columns = [
        _integer("mkt_priority", "Priority"),
        _integer("mkt_urgency", "Urgency"),
        _integer("mkt_relativescore", "Relative Score"),
        _moment("mkt_lastinterestingmomentdate", "Last Interesting Moment Date"),
        _text("mkt_lastinterestingmomentdesc", "Last Interesting Moment Desc", 2000),
        _text("mkt_lastinterestingmomenttype", "Last Interesting Moment Type", 255),
        _text("mkt_leadinterestingmomentsource", "Last Interesting Moment Source", 255),
        Column("new_synctomkto", ColumnType.BOOLEAN, "Sync to Marketo", options=_YES_NO),
    ]
    if table == "contact":
        columns.append(_integer("mkt_leadscore", "Lead Score"))
    return columns


def added_tables() -> list[Table]:
    """Tables that the shipped list does not have."""
    return [_currency(), _organization(), _event_attendance()]


def _table(columns: list[Column], **about: object) -> Table:
    by_name = MappingProxyType({column.name: column for column in columns})
    return Table(columns=by_name, **about)  # type: ignore[arg-type] # the callers below name every field


def _currency() -> Table:
    columns = [
        _guid("transactioncurrencyid", "Transaction Currency"),
        _text("currencyname", "Currency Name", 100),
        _text("isocurrencycode", "Currency Code", 5),
        _text("currencysymbol", "Currency Symbol", 13),
        Column("currencyprecision", ColumnType.INTEGER, "Currency Precision", minimum=0, maximum=4),
        Column("exchangerate", ColumnType.DECIMAL, "Exchange Rate", minimum=1e-10, maximum=1e11, precision=10),
        *_system_columns(),
        *_state_columns(),
    ]
    return _table(
        columns,
        name="transactioncurrency",
        set_name="transactioncurrencies",
        primary_id="transactioncurrencyid",
        primary_name="currencyname",
        ownership="OrganizationOwned",
        schema_name="TransactionCurrency",
    )


def _organization() -> Table:
    columns = [
        _guid("organizationid", "Organization"),
        _text("name", "Organization Name", 160),
        Column("expirechangetrackingindays", ColumnType.INTEGER, "Days to Expire Change Tracking Deleted"),
        Column("languagecode", ColumnType.INTEGER, "Language"),
        *_system_columns(),
    ]
    return _table(
        columns,
        name="organization",
        set_name="organizations",
        primary_id="organizationid",
        primary_name="name",
        ownership="None",
        tracked=False,
        schema_name="Organization",
    )


def _event_attendance() -> Table:
    return _table(
        [*_event_columns(), *_system_columns(), *_owner_columns(), *_state_columns()],
        name=CUSTOM_TABLE,
        set_name="acme_eventattendanceset",
        primary_id="acme_eventattendanceid",
        primary_name="acme_name",
        ownership="UserOwned",
        schema_name="acme_EventAttendance",
    )


def _event_columns() -> list[Column]:
    status = (Option(100000000, "Registered"), Option(100000001, "Attended"), Option(100000002, "No Show"))
    interests = ("Email", "Analytics", "Integration", "Lead scoring", "Privacy")
    options = tuple(Option(100000000 + number, label) for number, label in enumerate(interests))
    return [
        _guid("acme_eventattendanceid", "Event Attendance"),
        _text("acme_name", "Name", 200),
        _text("acme_eventname", "Event Name", 200),
        replace(_lookup("acme_contactid", "contact", "Contact"), navigation=("acme_ContactId",)),
        _moment("acme_attendedon", "Attended On"),
        Column("acme_checkindate", ColumnType.DATE_TIME, "Check-in Date", format="DateOnly", behavior="DateOnly"),
        Column(
            "acme_status",
            ColumnType.PICKLIST,
            "Attendance Status",
            options=status,
            global_option_set="acme_attendancestatus",
        ),
        Column("acme_interests", ColumnType.MULTI_SELECT, "Interests", options=options),
        Column("acme_rating", ColumnType.DECIMAL, "Rating", minimum=-100, maximum=100, precision=2),
        Column("acme_fee", ColumnType.MONEY, "Fee", minimum=-1e12, maximum=1e12, precision=4),
        Column("acme_fee_base", ColumnType.MONEY, "Fee (Base)", creatable=False, updatable=False),
        _lookup("transactioncurrencyid", "transactioncurrency", "Currency"),
        Column(
            "exchangerate",
            ColumnType.DECIMAL,
            "Exchange Rate",
            precision=10,
            creatable=False,
            updatable=False,
        ),
    ]


def _system_columns() -> list[Column]:
    return [
        replace(_moment("createdon", "Created On"), creatable=False, updatable=False),
        replace(_moment("modifiedon", "Modified On"), creatable=False, updatable=False),
        replace(_lookup("createdby", "systemuser", "Created By"), creatable=False, updatable=False),
        replace(_lookup("modifiedby", "systemuser", "Modified By"), creatable=False, updatable=False),
        replace(_moment("overriddencreatedon", "Record Created On"), updatable=False),
        Column("versionnumber", ColumnType.BIG_INT, "Version Number", creatable=False, updatable=False),
    ]


def _owner_columns() -> list[Column]:
    owner = Column(
        "ownerid",
        ColumnType.OWNER,
        "Owner",
        required="SystemRequired",
        targets=("systemuser", "team"),
        navigation=("ownerid",),
    )
    derived = [
        _lookup("owninguser", "systemuser", "Owning User"),
        _lookup("owningteam", "team", "Owning Team"),
        _lookup("owningbusinessunit", "businessunit", "Owning Business Unit"),
    ]
    return [owner, *(replace(column, creatable=False, updatable=False) for column in derived)]


def _state_columns() -> list[Column]:
    return [
        Column("statecode", ColumnType.STATE, "Status", required="SystemRequired", options=_ACTIVE),
        Column("statuscode", ColumnType.STATUS, "Status Reason", options=_ACTIVE_STATUS),
    ]


def _text(name: str, display: str, length: int) -> Column:
    return Column(name, ColumnType.STRING, display, max_length=length)


def _integer(name: str, display: str) -> Column:
    return Column(name, ColumnType.INTEGER, display, minimum=-2147483648, maximum=2147483647)


def _moment(name: str, display: str) -> Column:
    return Column(name, ColumnType.DATE_TIME, display, format="DateAndTime", behavior="UserLocal")


def _guid(name: str, display: str) -> Column:
    return Column(name, ColumnType.UNIQUEIDENTIFIER, display, required="SystemRequired", updatable=False)


def _lookup(name: str, target: str, display: str) -> Column:
    return Column(name, ColumnType.LOOKUP, display, targets=(target,), navigation=(name,))
