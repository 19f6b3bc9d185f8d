"""One local organisation: its rows, its schema and everything that shapes its answers."""

import json
import random
import threading
from dataclasses import dataclass, field
from pathlib import Path

from dynamics_emulator.clock import Clock, wire_time
from dynamics_emulator.control.faults import Faults
from dynamics_emulator.identity import (
    APPLICATION_USER_ID,
    BASE_CURRENCY_ID,
    CLIENT_ID,
    ROOT_BUSINESS_UNIT_ID,
    OrganisationIdentity,
)
from dynamics_emulator.schema.changes import apply_change
from dynamics_emulator.schema.model import Schema, Table
from dynamics_emulator.schema.source import default_schema
from dynamics_emulator.settings import Settings, SettingsHolder
from dynamics_emulator.storage.bulk import insert_rows
from dynamics_emulator.storage.database import Database, SqlValue

_BORN = "2019-01-07T08:00:00Z"


@dataclass
class Organisation:
    """A running organisation. Everything that a test may swap is an attribute of this object."""

    database: Database
    schema: Schema
    settings_holder: SettingsHolder
    clock: Clock
    random: random.Random
    faults: Faults
    identity: OrganisationIdentity = field(default_factory=OrganisationIdentity)
    unreadable: set[str] = field(default_factory=set)
    """Tables on which the callers have lost global read."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self.settings_holder.current

    def table_of_set(self, set_name: str) -> Table | None:
        """The table with this entity set name, or None."""
        return self.schema.sets.get(set_name)

    def user_of(self, client_id: str) -> str | None:
        """The enabled user that belongs to an application, or None."""
        query = "SELECT systemuserid FROM systemuser WHERE applicationid = ? AND ifnull(isdisabled, 0) = 0"
        row = self.database.connection.execute(query, (client_id.lower(),)).fetchone()
        return None if row is None else str(row[0])

    def close(self) -> None:
        """Release the files."""
        self.database.close()


def open_organisation(folder: Path, *, seed: int, settings: Settings, clock: Clock) -> Organisation:
    """Open the organisation in a folder, or build an empty one with its root unit, one user and one currency."""
    folder.mkdir(parents=True, exist_ok=True)
    database = Database(folder / "organisation.sqlite")
    database.create(default_schema())
    # What was drawn before must not be drawn again: an organisation that is opened anew would repeat its GUIDs.
    source = random.Random(f"{seed} from version {database.current_version()}")
    organisation = Organisation(
        database=database,
        schema=_changed_schema(database),
        settings_holder=SettingsHolder(settings),
        clock=clock,
        random=source,
        faults=Faults(random.Random(seed)),
        identity=_kept_identity(database),
    )
    if database.count("systemuser") == 0:
        _found(organisation)
    return organisation


def _changed_schema(database: Database) -> Schema:
    schema = default_schema()
    query = 'SELECT change FROM "_schema_change" ORDER BY number'
    for (text,) in database.connection.execute(query).fetchall():
        schema = apply_change(schema, json.loads(text))
    return schema


def _kept_identity(database: Database) -> OrganisationIdentity:
    text = database.read_state("identity")
    return OrganisationIdentity(**json.loads(text)) if text else OrganisationIdentity()


def _found(organisation: Organisation) -> None:
    """The rows without which no other row can exist."""
    system: dict[str, SqlValue] = {
        "createdon": _BORN,
        "modifiedon": _BORN,
        "createdby": APPLICATION_USER_ID,
        "modifiedby": APPLICATION_USER_ID,
    }
    first_rows: dict[str, dict[str, SqlValue]] = {
        "organization": {
            "organizationid": organisation.identity.organization_id,
            "name": organisation.identity.friendly_name,
            "expirechangetrackingindays": int(organisation.settings.token_life_days),
            "languagecode": 1033,
        },
        "businessunit": {"businessunitid": ROOT_BUSINESS_UNIT_ID, "name": "acme", "isdisabled": 0},
        "transactioncurrency": {
            "transactioncurrencyid": BASE_CURRENCY_ID,
            "currencyname": "Euro",
            "isocurrencycode": "EUR",
            "currencysymbol": "€",
            "currencyprecision": 2,
            "exchangerate": "1.0000000000",
            "statecode": 0,
            "statuscode": 1,
        },
        "systemuser": {
            "systemuserid": APPLICATION_USER_ID,
            "fullname": "# Marketing sync",
            "lastname": "Marketing sync",
            "firstname": "#",
            "domainname": "marketing-sync@acme.example",
            "applicationid": CLIENT_ID,
            "businessunitid": ROOT_BUSINESS_UNIT_ID,
            "accessmode": 4,
            "isdisabled": 0,
            "islicensed": 0,
            "isintegrationuser": 1,
        },
    }
    with organisation.database.transaction():
        for name, row in first_rows.items():
            insert_rows(organisation.database, organisation.schema.table(name), [{**row, **system}])


def present_time(organisation: Organisation) -> str:
    """The organisation's clock in wire form."""
    return wire_time(organisation.clock.now())
