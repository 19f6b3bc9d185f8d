"""The duplicate detection rules that an organisation starts with, as Dynamics 365 ships them."""

import uuid

from dynamics_emulator.identity import APPLICATION_USER_ID
from dynamics_emulator.schema.model import Schema
from dynamics_emulator.storage.bulk import insert_rows
from dynamics_emulator.storage.database import Database, SqlValue

_NAMES = uuid.UUID("7e57ab1e-0000-4000-8000-0000000000d1")
_BORN = "2019-01-07T08:00:00Z"
_RULES = (
    ("Leads with the same e-mail address", "lead", "emailaddress1"),
    ("Contacts with the same e-mail address", "contact", "emailaddress1"),
    ("Accounts with the same account name", "account", "name"),
)
_ACTIVE, _PUBLISHED, _EXACT_MATCH = 1, 2, 0


def found_duplicate_rules(database: Database, schema: Schema) -> None:
    """Give an organisation that has no rules the standard ones."""
    with database.transaction():
        if database.count("duplicaterule"):
            return
        insert_rows(database, schema.table("duplicaterule"), [_rule(*about) for about in _RULES])
        insert_rows(database, schema.table("duplicaterulecondition"), [_condition(*about) for about in _RULES])


def _stamps() -> dict[str, SqlValue]:
    return {
        "createdon": _BORN,
        "modifiedon": _BORN,
        "createdby": APPLICATION_USER_ID,
        "modifiedby": APPLICATION_USER_ID,
    }


def _rule(name: str, table: str, _column: str) -> dict[str, SqlValue]:
    return {
        "duplicateruleid": str(uuid.uuid5(_NAMES, name)),
        "name": name,
        "baseentityname": table,
        "matchingentityname": table,
        "iscasesensitive": 0,
        "excludeinactiverecords": 0,
        "ownerid": APPLICATION_USER_ID,
        "ownerid__type": "systemuser",
        "statecode": _ACTIVE,
        "statuscode": _PUBLISHED,
        **_stamps(),
    }


def _condition(name: str, _table: str, column: str) -> dict[str, SqlValue]:
    return {
        "duplicateruleconditionid": str(uuid.uuid5(_NAMES, f"{name}/{column}")),
        "regardingobjectid": str(uuid.uuid5(_NAMES, name)),
        "baseattributename": column,
        "matchingattributename": column,
        "operatorcode": _EXACT_MATCH,
        "ignoreblankvalues": 1,
        **_stamps(),
    }
