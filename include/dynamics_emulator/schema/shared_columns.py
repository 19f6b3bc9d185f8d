"""Columns that many tables share: stamps, owner, state and money. A declared table names the parts that it has."""

from dataclasses import replace

from dynamics_emulator.schema.model import Column, ColumnType, OnDelete, Option

ACTIVE = (Option(0, "Active", default_status=1), Option(1, "Inactive", default_status=2))
ACTIVE_STATUS = (Option(1, "Active", state=0), Option(2, "Inactive", state=1))


def shared_columns(part: str, states: tuple[Option, ...] = (), statuses: tuple[Option, ...] = ()) -> list[Column]:
    """The columns of one part. Raises ValueError for an unknown part."""
    match part:
        case "version":
            return [_version()]
        case "stamps":
            return _stamps()
        case "owner":
            return _owner()
        case "state":
            return _state(states or ACTIVE, statuses or ACTIVE_STATUS)
        case "money":
            return _money()
        case _:
            message = f"unknown part {part!r}"
            raise ValueError(message)


def _version() -> Column:
    return Column("versionnumber", ColumnType.BIG_INT, "Version Number", creatable=False, updatable=False)


def _stamps() -> list[Column]:
    derived = [
        _moment("createdon", "Created On"),
        _moment("modifiedon", "Modified On"),
        _lookup("createdby", "systemuser", "Created By"),
        _lookup("modifiedby", "systemuser", "Modified By"),
        _lookup("createdonbehalfby", "systemuser", "Created By (Delegate)"),
        _lookup("modifiedonbehalfby", "systemuser", "Modified By (Delegate)"),
    ]
    return [
        *(_derived(column) for column in derived),
        replace(_moment("overriddencreatedon", "Record Created On"), format="DateOnly", updatable=False),
        _version(),
    ]


def _owner() -> list[Column]:
    owner = Column(
        "ownerid",
        ColumnType.OWNER,
        "Owner",
        required="SystemRequired",
        targets=("systemuser", "team"),
        navigation=("ownerid",),
        on_delete=OnDelete.RESTRICT,
    )
    derived = [
        _lookup("owninguser", "systemuser", "Owning User"),
        _lookup("owningteam", "team", "Owning Team"),
        _lookup("owningbusinessunit", "businessunit", "Owning Business Unit"),
    ]
    return [owner, *(_derived(column) for column in derived)]


def _state(states: tuple[Option, ...], statuses: tuple[Option, ...]) -> list[Column]:
    return [
        Column("statecode", ColumnType.STATE, "Status", required="SystemRequired", options=states),
        Column("statuscode", ColumnType.STATUS, "Status Reason", options=statuses),
    ]


def _money() -> list[Column]:
    rate = Column("exchangerate", ColumnType.DECIMAL, "Exchange Rate", minimum=1e-10, maximum=1e11, precision=10)
    currency = _lookup("transactioncurrencyid", "transactioncurrency", "Currency")
    return [replace(currency, on_delete=OnDelete.RESTRICT), _derived(rate)]


def _derived(column: Column) -> Column:
    return replace(column, creatable=False, updatable=False)


def _moment(name: str, display: str) -> Column:
    return Column(name, ColumnType.DATE_TIME, display, format="DateAndTime", behavior="UserLocal")


def _lookup(name: str, target: str, display: str) -> Column:
    return Column(name, ColumnType.LOOKUP, display, targets=(target,), navigation=(name,))
