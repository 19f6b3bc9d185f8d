"""The rights of all callers, compiled from the rows of roles and kept until one of these rows changes."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from dynamics_emulator.security.privileges import Depth
from dynamics_emulator.security.rights import Grant, Rights
from dynamics_emulator.storage.database import Database
from dynamics_emulator.storage.layout import quote

_STAMP = "security"
_WATCHED = (
    "role",
    "privilege",
    "roleprivileges",
    "systemuserroles",
    "teamroles",
    "teammembership",
    "businessunit",
    "systemuser",
    "team",
)
# Each line: whose rows count as own, the unit, the role, and the greatest depth that it may give. A role that members
# inherit gives them Basic rights in their own name, beside the team's rights.
_ROLES_OF_USER = """
SELECT u.systemuserid, u.businessunitid, r.roleid, 8 FROM systemuserroles r
JOIN systemuser u ON u.systemuserid = r.systemuserid WHERE r.systemuserid = :user
UNION
SELECT t.teamid, t.businessunitid, r.roleid, 8 FROM teammembership m
JOIN teamroles r ON r.teamid = m.teamid JOIN team t ON t.teamid = m.teamid WHERE m.systemuserid = :user
UNION
SELECT u.systemuserid, u.businessunitid, r.roleid, 1 FROM teammembership m
JOIN teamroles r ON r.teamid = m.teamid JOIN role o ON o.roleid = r.roleid AND o.isinherited = 1
JOIN systemuser u ON u.systemuserid = m.systemuserid WHERE m.systemuserid = :user
"""
_ROLES_OF_TEAM = """
SELECT t.teamid, t.businessunitid, r.roleid, 8 FROM teamroles r
JOIN team t ON t.teamid = r.teamid WHERE r.teamid = :user
"""
_PRIVILEGES = """
SELECT p.name, l.privilegedepthmask FROM roleprivileges l JOIN privilege p ON p.privilegeid = l.privilegeid
WHERE l.roleid = ?
"""


@dataclass(frozen=True)
class _Page:
    """Rights of one principal as they stood at an instant, under a stamp."""

    rights: Rights
    stamp: str
    compiled_at: datetime


class RightsBook:
    """Tells the rights of users and teams. Safe to use from several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._pages: dict[str, _Page] = {}
        self._lock = threading.Lock()

    def watch(self) -> None:
        """Let every change of a row that rights follow from, whoever makes it, draw a new stamp."""
        # A random stamp cannot come back after a transaction that was undone.
        draw = f"UPDATE \"_state\" SET value = hex(randomblob(8)) WHERE key = '{_STAMP}'"
        with self._database.transaction() as connection:
            connection.execute('INSERT OR IGNORE INTO "_state" VALUES (?, ?)', (_STAMP, ""))
            for table in _WATCHED:
                for event in ("INSERT", "UPDATE", "DELETE"):
                    name, on = quote(f"{_STAMP}:{table}:{event}"), quote(table)
                    connection.execute(f"CREATE TRIGGER IF NOT EXISTS {name} AFTER {event} ON {on} BEGIN {draw}; END")
            connection.execute(draw)

    def rights(
        self, principal: str, now: datetime, *, cache_seconds: float = 0, fresh: bool = True, team: bool = False
    ) -> Rights:
        """The rights of a user, or of a team.

        ``cache_seconds`` lets older rights pass for so long unless the caller wants them ``fresh``.
        """
        page = self._pages.get(principal)
        if page and not fresh and timedelta() <= now - page.compiled_at < timedelta(seconds=cache_seconds):
            return page.rights
        stamp = self._database.read_state(_STAMP) or ""
        if page and page.stamp == stamp:
            if cache_seconds:
                self._keep(principal, _Page(page.rights, stamp, now))
            return page.rights
        rights = self._compiled(principal, _ROLES_OF_TEAM if team else _ROLES_OF_USER)
        self._keep(principal, _Page(rights, stamp, now))
        return rights

    def _keep(self, principal: str, page: _Page) -> None:
        with self._lock:
            self._pages[principal] = page

    def _compiled(self, principal: str, query: str) -> Rights:
        with self._database.snapshot() as connection:
            held = connection.execute(query, {"user": principal}).fetchall()
            listed = {role: connection.execute(_PRIVILEGES, (role,)).fetchall() for _, _, role, _ in held}
            pairs = connection.execute("SELECT businessunitid, parentbusinessunitid FROM businessunit").fetchall()
        grants: dict[str, dict[Grant, None]] = {}
        for owner, unit, role, limit in held:
            for name, mask in listed[role]:
                grant = Grant(name, Depth(min(mask, limit)), owner, unit)
                grants.setdefault(name, {})[grant] = None
        return Rights(principal, {name: tuple(found) for name, found in grants.items()}, _subtrees(pairs), len(listed))


def _subtrees(pairs: Iterable[tuple[str, str | None]]) -> dict[str, tuple[str, ...]]:
    """For each unit itself and all units below it."""
    parents = dict(pairs)
    found: dict[str, list[str]] = {unit: [] for unit in parents}
    for unit in parents:
        above: str | None = unit
        seen: set[str] = set()
        while above in found and above not in seen:
            found[above].append(unit)
            seen.add(above)
            above = parents[above]
    return {unit: tuple(below) for unit, below in found.items()}
