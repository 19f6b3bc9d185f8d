"""One local organisation: its rows, its schema and everything that shapes its answers."""

import json
import random
import threading
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from dynamics_emulator.business_rules import BusinessRule
from dynamics_emulator.clock import Clock, wire_time
from dynamics_emulator.control.faults import Faults
from dynamics_emulator.control.journal import RequestJournal
from dynamics_emulator.default_rules import found_duplicate_rules
from dynamics_emulator.identity import (
    APPLICATION_USER_ID,
    BASE_CURRENCY_ID,
    CLIENT_ID,
    ROOT_BUSINESS_UNIT_ID,
    OrganisationIdentity,
)
from dynamics_emulator.schema.changes import apply_changes
from dynamics_emulator.schema.model import Schema, Table
from dynamics_emulator.schema.profiles import Profile, profile_schema
from dynamics_emulator.sdk_messages import found_messages
from dynamics_emulator.security.book import RightsBook
from dynamics_emulator.security.founding import found_roles
from dynamics_emulator.settings import Settings, SettingsHolder
from dynamics_emulator.signin.directory import Directory, object_id
from dynamics_emulator.storage.bulk import insert_rows
from dynamics_emulator.storage.database import Database, SqlValue

_BORN = "2019-01-07T08:00:00Z"


class WaitingJob(Protocol):
    """A system job that starts when the organisation's clock has come to its instant."""

    @property
    def due(self) -> datetime:
        """When it may start."""

    def run(self, organisation: "Organisation") -> None:
        """Do its work."""


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
    rules: list[BusinessRule] = field(default_factory=list)
    """Business logic that refuses rows."""
    jobs: list[WaitingJob] = field(default_factory=list)
    """System jobs whose time has not come yet."""
    closed_until: datetime | None = None
    """Until when every request is refused, as while an environment is being refreshed."""
    journal: RequestJournal = field(default_factory=RequestJournal)
    lock: threading.Lock = field(default_factory=threading.Lock)
    directory: Directory = field(default_factory=Directory)
    """The applications that Entra knows."""
    security: RightsBook = field(init=False)

    def __post_init__(self) -> None:
        self.security = RightsBook(self.database)

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self.settings_holder.current

    def table_of_set(self, set_name: str) -> Table | None:
        """The table with this entity set name, or None."""
        return self.schema.sets.get(set_name)

    def close(self) -> None:
        """Release the files."""
        self.database.close()


def open_organisation(
    folder: Path, *, seed: int, settings: Settings, clock: Clock, profile: Profile | None = None
) -> Organisation:
    """Open the organisation in a folder, or build an empty one with its root unit, one user and one currency.

    ``profile`` says what kind of tenant a new organisation is; None takes what it is already, or the standard.
    Raises ValueError when the organisation was built with another profile.
    """
    folder.mkdir(parents=True, exist_ok=True)
    database = Database(folder / "organisation.sqlite")
    database.create_bookkeeping()
    _keep_profile(database, profile)
    schema = changed_schema(database)
    database.create(schema)
    # What was drawn before must not be drawn again: an organisation that is opened anew would repeat its GUIDs.
    source = random.Random(f"{seed} from version {database.current_version()}")
    organisation = Organisation(
        database=database,
        schema=schema,
        settings_holder=SettingsHolder(settings),
        clock=clock,
        random=source,
        faults=Faults(seed),
        identity=_kept_identity(database),
    )
    if database.count("systemuser") == 0:
        _found(organisation)
    found_roles(database, schema)
    found_messages(database, schema)
    found_duplicate_rules(database, schema)
    organisation.security.watch()
    return organisation


def _keep_profile(database: Database, asked: Profile | None) -> None:
    """Write down the profile of a new organisation. Raises ValueError when an old one has another profile."""
    kept = database.read_state("profile")
    if kept is None:
        # An organisation that has tables but no profile was built before there were any.
        old = "systemuser" in database.stored_columns()
        kept = Profile.STANDARD if old or asked is None else asked
        with database.transaction():
            database.write_state("profile", str(kept))
    if asked is not None and asked != kept:
        message = f"the organisation in this folder has the profile {kept!s}, not {asked!s}"
        raise ValueError(message)


def changed_schema(database: Database) -> Schema:
    """The schema of an organisation: its profile, and the changes that were made since."""
    profile = Profile(database.read_state("profile") or Profile.STANDARD)
    return apply_changes(profile_schema(profile), kept_changes(database))


def kept_changes(database: Database) -> list[dict[str, Any]]:
    """The changes that were made to the schema, in their order, each with the row version at which it was made."""
    query = 'SELECT change FROM "_schema_change" ORDER BY number'
    return [json.loads(text) for (text,) in database.connection.execute(query).fetchall()]


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
            "azureactivedirectoryobjectid": object_id(CLIENT_ID),
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
