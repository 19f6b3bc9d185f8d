"""Change tracking: delta tokens, and what changed or was deleted since one."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dynamics_emulator.errors import DataverseError
from dynamics_emulator.odata.options import QueryOptions
from dynamics_emulator.schema.model import Schema, Table
from dynamics_emulator.settings import Settings
from dynamics_emulator.storage.database import Database

_TOKEN = re.compile(r"(\d+)!(\d\d/\d\d/\d{4} \d\d:\d\d:\d\d)")
STAMP_FORMAT = "%m/%d/%Y %H:%M:%S"
_REFUSED = ("$filter", "$orderby", "$expand", "$top", "$apply")
_FLOOR = "tracking_floor"


@dataclass(frozen=True)
class DeltaToken:
    """The row version up to which the caller has read, and when it was told so."""

    version: int
    issued: datetime

    def encoded(self) -> str:
        """As it stands in a deltaLink, percent-encoded in lower case."""
        text = f"{self.version}!{self.issued.strftime(STAMP_FORMAT)}"
        return text.replace("!", "%21").replace("/", "%2f").replace(" ", "%20").replace(":", "%3a")


def parse_token(text: str) -> DeltaToken:
    """Read a decoded ``$deltatoken``. Raises a 400 when it is none."""
    match = _TOKEN.fullmatch(text)
    if match is None:
        message = "The delta token is not valid."
        raise DataverseError(400, "0x8006088a", message)
    try:
        issued = datetime.strptime(match.group(2), STAMP_FORMAT).replace(tzinfo=UTC)
    except ValueError as problem:
        message = "The delta token is not valid."
        raise DataverseError(400, "0x8006088a", message) from problem
    return DeltaToken(int(match.group(1)), issued)


def require_trackable(schema: Schema, table: Table, options: QueryOptions, settings: Settings) -> None:
    """Refuse a tracked read of a table without the flag, or with an option that tracking does not take."""
    _require_tracked_sides(schema, table, settings)
    if not table.tracked:
        message = f"Entity {table.name} isn't enabled for change tracking."
        raise DataverseError(settings.tracking_disabled_status, "0x80072491", message)
    counting = ("$count",) if settings.tracked_count_refused else ()
    for name in (*_REFUSED, *counting):
        if options.get(name) is not None:
            message = f'The "{name}" query parameter isn\'t supported when Change Tracking is enabled.'
            raise DataverseError(settings.refused_option_status, settings.refused_option_code, message)


def _require_tracked_sides(schema: Schema, table: Table, settings: Settings) -> None:
    """An N:N table has changes only when both of its sides are tracked (0x80072492)."""
    links = [link for link in schema.many_to_many if link.intersect == table.name]
    sides = {side.table for link in links for side in (link.first, link.second)}
    if not all(schema.table(side).tracked for side in sides):
        message = (
            f"Changes cannot be retrieved for the intersect entity {table.name}, since both related entities are not "
            "enabled for change tracking."
        )
        raise DataverseError(settings.tracking_disabled_status, "0x80072492", message)


def require_fresh(token: DeltaToken, table: Table, database: Database, now: datetime, settings: Settings) -> None:
    """Refuse a token that is too old, or that was declared expired (0x80044352)."""
    aged = now - token.issued > timedelta(days=settings.token_life_days)
    if aged or token.version <= expired_up_to(database, table.name):
        message = "Version stamp associated with the client has expired. Please perform a full sync."
        raise DataverseError(settings.expired_token_status, "0x80044352", message)


def expire_tokens(database: Database, table: str | None) -> None:
    """Declare all delta tokens expired that were given so far: for one table, or for all."""
    with database.transaction():
        # A token given right afterwards must not carry the version that has just expired.
        version = database.next_version() - 1
        database.write_state(f"{_FLOOR}:{table}" if table else _FLOOR, str(version))


def expired_up_to(database: Database, table: str) -> int:
    """The highest version whose tokens are expired; 0 when none are."""
    floors = (database.read_state(_FLOOR), database.read_state(f"{_FLOOR}:{table}"))
    return max(int(floor or 0) for floor in floors)
