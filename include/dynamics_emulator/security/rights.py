"""What one caller may do: its privileges with their depths, ready to be asked for every row and every query."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from dynamics_emulator.schema.model import Table
from dynamics_emulator.security.privileges import Depth, Right, privilege_name
from dynamics_emulator.storage.layout import quote, quote_text

ALL_ROWS = "1"
_OWN_COLUMNS = {"systemuser": "systemuserid", "team": "teamid", "businessunit": "", "role": ""}
"""The column that says whose row it is, for tables without ``ownerid``; empty where only the unit counts."""


@dataclass(frozen=True)
class Grant:
    """A privilege that one principal, a user or a team, holds through one of its roles."""

    privilege: str
    depth: Depth
    principal: str
    unit: str


@dataclass(frozen=True)
class Rights:
    """The grants of a user, and which business units lie at or below each unit."""

    user_id: str
    grants: Mapping[str, tuple[Grant, ...]]
    units: Mapping[str, tuple[str, ...]]
    roles: int = 1
    """How many roles the user holds."""

    def depth(self, privilege: str) -> Depth | None:
        """The greatest depth at which a privilege is held, or None."""
        return max((grant.depth for grant in self.grants.get(privilege, ())), default=None)

    def holds(self, privilege: str) -> bool:
        """Whether a privilege is held at any depth."""
        return privilege in self.grants

    def condition(self, table: Table, alias: str, right: Right = Right.READ) -> str:
        """SQL condition for the rows of a table under an alias that a right reaches; ``1`` for all of them."""
        owner, unit = _owning_columns(table)
        parts: list[str] = []
        for grant in self.grants.get(privilege_name(table, right), ()):
            if grant.depth is Depth.GLOBAL or not unit:
                return ALL_ROWS
            parts += _reached(grant, self._units(grant), f"{alias}.{quote(owner)}" if owner else "", alias, unit)
        return f"({' OR '.join(dict.fromkeys(parts))})" if parts else "0"

    def reaches(self, table: Table, row: Mapping[str, object], right: Right) -> bool:
        """Whether a right reaches a stored row."""
        owner, unit = _owning_columns(table)
        for grant in self.grants.get(privilege_name(table, right), ()):
            if grant.depth is Depth.GLOBAL or not unit:
                return True
            if owner and row.get(owner) == grant.principal:
                return True
            if row.get(unit) in self._units(grant):
                return True
        return False

    def within(self, other: "Rights") -> "Rights":
        """What is left when another user acts in this one's place: no privilege deeper than that user's own."""
        capped: dict[str, tuple[Grant, ...]] = {}
        for name, grants in self.grants.items():
            limit = other.depth(name)
            if limit is not None:
                kept = (Grant(name, min(grant.depth, limit), grant.principal, grant.unit) for grant in grants)
                capped[name] = tuple(dict.fromkeys(kept))
        return Rights(self.user_id, capped, self.units, self.roles)

    @cached_property
    def privileges(self) -> int:
        """How many privileges the user holds."""
        return len(self.grants)

    def _units(self, grant: Grant) -> tuple[str, ...]:
        match grant.depth:
            case Depth.BASIC:
                return ()
            case Depth.LOCAL:
                return (grant.unit,)
            case Depth.DEEP | Depth.GLOBAL:
                return self.units.get(grant.unit, (grant.unit,))


def _reached(grant: Grant, units: Iterable[str], owner: str, alias: str, unit: str) -> list[str]:
    found = [f"{owner} = {quote_text(grant.principal)}"] if owner else []
    listed = ", ".join(quote_text(name) for name in units)
    return [*found, f"{alias}.{quote(unit)} IN ({listed})"] if listed else found


def _owning_columns(table: Table) -> tuple[str, str]:
    """Columns that say who owns a row and to which unit it belongs; empty for rows that belong to all."""
    if "ownerid" in table.columns and "owningbusinessunit" in table.columns:
        return "ownerid", "owningbusinessunit"
    if table.name in _OWN_COLUMNS and "businessunitid" in table.columns:
        return _OWN_COLUMNS[table.name], "businessunitid"
    return "", ""
