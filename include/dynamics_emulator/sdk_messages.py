"""Which messages which tables support: the rows of ``sdkmessage`` and ``sdkmessagefilter``."""

import uuid
from collections.abc import Iterable, Mapping

from dynamics_emulator.identity import APPLICATION_USER_ID
from dynamics_emulator.schema.model import Schema, Table
from dynamics_emulator.storage.bulk import insert_rows
from dynamics_emulator.storage.database import Database, SqlValue

_NAMES = uuid.UUID("7e57ab1e-0000-4000-8000-0000000000e3")
_BORN = "2019-01-07T08:00:00Z"
_SYSTEM = frozenset({"organization", "privilege", "role", "asyncoperation", "sdkmessage", "sdkmessagefilter"})
"""Tables whose rows the platform makes itself: they take no writes of many rows."""
_ROW_MESSAGES = ("Create", "Update", "Delete", "Retrieve", "RetrieveMultiple", "Upsert")
_BULK_MESSAGES = ("CreateMultiple", "UpdateMultiple", "UpsertMultiple")
_SPECIAL_MESSAGES: Mapping[str, tuple[str, ...]] = {
    "QualifyLead": ("lead",),
    "Merge": ("account", "contact", "lead"),
    "Win": ("opportunity",),
    "Lose": ("opportunity",),
    "BulkDelete": (),
    "WhoAmI": (),
}

Row = Mapping[str, SqlValue]


def found_messages(database: Database, schema: Schema) -> None:
    """Give the organisation its messages, and every table that is new to it those that it supports."""
    with database.transaction() as connection:
        for table, rows in (("sdkmessage", _messages()), ("sdkmessagefilter", _filters(schema))):
            found = schema.table(table)
            query = f"SELECT {found.primary_id} FROM {found.name}"
            known = {str(key) for (key,) in connection.execute(query)}
            insert_rows(database, found, [row for row in rows if row[found.primary_id] not in known])


def supported_messages(table: Table) -> list[str]:
    """The messages that a table supports."""
    special = [name for name, tables in _SPECIAL_MESSAGES.items() if table.name in tables]
    if table.intersect:
        return ["Retrieve", "RetrieveMultiple"]
    bulk = () if table.name in _SYSTEM else _BULK_MESSAGES
    owned = ("Assign",) if table.ownership == "UserOwned" else ()
    return [*_ROW_MESSAGES, *bulk, *owned, *special]


def _messages() -> Iterable[Row]:
    for name in (*_ROW_MESSAGES, *_BULK_MESSAGES, "Assign", *_SPECIAL_MESSAGES):
        yield {"sdkmessageid": _id(name), "name": name, "isprivate": 0, **_stamps()}


def _filters(schema: Schema) -> Iterable[Row]:
    for table in schema.tables.values():
        for name in supported_messages(table):
            yield {
                "sdkmessagefilterid": _id(name, table.name),
                "name": f"{name} of {table.name}",
                "sdkmessageid": _id(name),
                "primaryobjecttypecode": table.name,
                "secondaryobjecttypecode": "none",
                "iscustomprocessingstepallowed": 1,
                **_stamps(),
            }


def _stamps() -> Row:
    users = {"createdby": APPLICATION_USER_ID, "modifiedby": APPLICATION_USER_ID}
    return {"createdon": _BORN, "modifiedon": _BORN, **users}


def _id(*names: str) -> str:
    return str(uuid.uuid5(_NAMES, "/".join(names)))
