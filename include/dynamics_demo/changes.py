"""What people do in Dynamics between two rounds: rows are changed, created and deleted through the Web API."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from typing import Any

from dynamics_demo.dynamics import DynamicsApi, Row

_OPEN = "statecode eq 0"


@dataclass(frozen=True, slots=True)
class Moved:
    """How many rows of an entity were created, changed and deleted, on whichever side."""

    created: int = 0
    changed: int = 0
    deleted: int = 0


@dataclass(frozen=True, slots=True)
class Work:
    """What is done to one entity.

    `edit` gives the new values for a row that was read with `properties`; `new` gives the values of the n-th new row;
    `condition` is a `$filter` that keeps to rows that Dynamics lets be changed.
    """

    entity: str
    key: str
    changes: int = 0
    creations: int = 0
    deletions: int = 0
    condition: str = ""
    properties: tuple[str, ...] = ()
    edit: Callable[[Row, str], Mapping[str, Any]] = lambda _row, _stamp: {}
    new: Callable[[int, str], Mapping[str, Any]] = lambda _number, _stamp: {}


def _person(number: int, stamp: str) -> dict[str, Any]:
    return {"firstname": f"Demo {number}", "lastname": f"Okafor {stamp}", "emailaddress1": f"demo.{number}@example.com"}


def _raised(row: Row, _: str) -> dict[str, Any]:
    return {"estimatedvalue": float(Decimal(row["estimatedvalue"] or 0) + Decimal("250.50"))}


#: Rows are deleted only where no other row points at them: Dynamics would otherwise change those too.
WORK = (
    Work("lead", "leadid", 5, 3, 2, _OPEN, edit=lambda _, stamp: {"subject": f"Called back {stamp}"},
         new=lambda number, stamp: {**_person(number, stamp), "companyname": "Demo Ltd", "subject": f"Fair {stamp}"}),
    Work("contact", "contactid", 5, 2, edit=lambda _, stamp: {"jobtitle": f"Head of {stamp}"}, new=_person),
    Work("account", "accountid", 3, 1, edit=lambda _, stamp: {"description": f"Visited {stamp}"},
         new=lambda number, stamp: {"name": f"Demo {number} {stamp} Ltd"}),
    Work("opportunity", "opportunityid", 4, condition=f"{_OPEN} and estimatedvalue lt 1000000",
         properties=("estimatedvalue",), edit=_raised),
    Work("acme_eventattendance", "acme_eventattendanceid", 2, 3, 2, edit=lambda _, stamp: {"acme_eventname": stamp},
         new=lambda number, stamp: {"acme_name": f"Demo {number}", "acme_eventname": f"Fair {stamp}"}),
    Work("connection", "connectionid", 2, edit=lambda _, stamp: {"description": f"Met {stamp}"}),
)  # fmt: skip


def make_changes(
    dynamics: DynamicsApi, quarantined: Callable[[str], frozenset[str]], stamp: str
) -> Mapping[str, Moved]:
    """Do the work, and one user leaves a team while another joins; returns what was done to each entity.

    `stamp` makes the new values different from all earlier ones. Rows in quarantine are left alone: they would
    not move.
    """
    done = {work.entity: _do(work, dynamics, quarantined(work.entity), stamp) for work in WORK}
    done["teammembership"] = _exchange_member(dynamics)
    return done


def _do(work: Work, dynamics: DynamicsApi, quarantined: frozenset[str], stamp: str) -> Moved:
    rows = _free_rows(work, dynamics, quarantined)
    changed = list(islice(rows, work.changes))
    deleted = list(islice(rows, work.deletions))
    for row in changed:
        dynamics.update(work.entity, row[work.key], work.edit(row, stamp))
    for row in deleted:
        dynamics.delete(work.entity, row[work.key])
    for number in range(work.creations):
        dynamics.create(work.entity, work.new(number + 1, stamp))
    return Moved(work.creations, len(changed), len(deleted))


def _free_rows(work: Work, dynamics: DynamicsApi, quarantined: frozenset[str]) -> Iterator[Row]:
    rows = dynamics.rows(work.entity, (work.key, *work.properties), work.condition)
    return (row for row in rows if row[work.key] not in quarantined)


def _exchange_member(dynamics: DynamicsApi) -> Moved:
    """Take a user out of a team and put another in: the table of memberships knows no dates and no change tracking."""
    members = list(dynamics.rows("teammembership", ("teammembershipid", "teamid", "systemuserid")))
    if not members:
        return Moved()
    team, leaver = members[0]["teamid"], members[0]["systemuserid"]
    present = {row["systemuserid"] for row in members if row["teamid"] == team}
    users = (row["systemuserid"] for row in dynamics.rows("systemuser", ("systemuserid",), "isdisabled eq false"))
    joiner = next((user for user in users if user not in present), None)
    dynamics.leave_team(team, leaver)
    if joiner is None:
        return Moved(deleted=1)
    dynamics.join_team(team, joiner)
    return Moved(created=1, deleted=1)
