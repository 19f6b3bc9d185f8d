"""One tree of errors, grouped by what the caller does about them.

    SyncError
    ├── StopRun             retrying cannot help: somebody has to change something
    │   ├── AskPerson       nothing is wrong with the set-up; a person must decide
    ├── TryAgain            the same call may succeed later
    │   ├── WaitAsTold      from a known instant on; until then the task waits without a worker, and uses up no try
    ├── ReadAgain           the call must be replaced by another: a full read, a fresh version
    └── SetRowAside         one record cannot be applied; the others go on (see `RowProblem`)

Each class carries a stable code (`DS-…`), which logs, `sync_run`, `sync_quarantine` and `docs/errors.md` show. A
message says what happened, to which request or record, what was not done, and the next step. It never holds a token,
a secret or a value that came out of a record.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar


class SyncError(Exception):
    """Base of all errors that the sync raises on purpose.

    `what` names the event and the request or record; `not_done` says what was left undone because of it.
    """

    code: ClassVar[str] = ""
    next_step: ClassVar[str] = ""
    dataverse_code: str = ""  # what Dynamics itself called it (`0x80060882`), where it answered with a code
    http_status: int = 0  # of the answer that the error stands for, where there was one

    def __init__(self, what: str, *, not_done: str = "", next_step: str = "") -> None:
        self.what = what
        self.not_done = not_done
        self.step = next_step or type(self).next_step
        super().__init__(what)

    def __str__(self) -> str:
        parts = (self.what, self.not_done, self.step)
        sentences = [part if part.endswith("?") else part.rstrip(".") + "." for part in parts if part]
        return " ".join([self.code, *sentences])


class StopRun(SyncError):
    """Retrying cannot help; the run ends and the watermark stays where it is."""


class AskPerson(StopRun):
    """Nothing is broken, but going on could do harm; a person decides."""


class TryAgain(SyncError):
    """The same call may succeed later; `retry_after` is in seconds where the server said so."""

    def __init__(self, what: str, *, not_done: str = "", next_step: str = "", retry_after: float | None = None) -> None:
        super().__init__(what, not_done=not_done, next_step=next_step)
        self.retry_after = retry_after


class WaitAsTold(TryAgain):
    """Nothing is wrong; it is not this task's turn before `retry_after` seconds have passed."""


class ReadAgain(SyncError):
    """The answer shows that our knowledge is out of date; the caller reads anew instead of repeating."""


class SetRowAside(SyncError):
    """Dynamics refused one record for its content; the others go on."""


# --- 1xx: what people write -------------------------------------------------------------------------


class CatalogueError(StopRun):
    """A file of the catalogue is wrong; only its own DAG is missing."""

    code = "DS-101"
    next_step = "Correct the file; its DAG appears with the next parse"


class ConnectionSettingsError(StopRun):
    """The Airflow connection to Dynamics lacks something or contradicts itself."""

    code = "DS-102"
    next_step = "Correct the connection under Admin > Connections and press Test"


class SettingsError(StopRun):
    """The Airflow Variable `dynamics_sync` is wrong."""

    code = "DS-103"
    next_step = "Correct the Variable dynamics_sync under Admin > Variables"


class RunParameterError(StopRun):
    """The trigger form was filled in so that the run cannot be carried out."""

    code = "DS-104"
    next_step = "Trigger the run again with other parameters"


class WatermarkError(StopRun):
    """The Airflow Variable that holds a watermark cannot be read."""

    code = "DS-105"
    next_step = "Delete the Variable to start with a full copy, or restore its JSON"


class MarketingConnectionError(StopRun):
    """The Airflow connection of the marketing database names no database that we support."""

    code = "DS-106"
    next_step = "Use a connection of type sqlite or postgres"


# --- 2xx: sign-in and rights ------------------------------------------------------------------------


class SignInRefused(StopRun):
    """Entra refused the application: wrong secret, unknown application or tenant, expired certificate."""

    code = "DS-201"
    next_step = "Check tenant, client id and secret or certificate of the connection"


class TokenRefused(StopRun):
    """Dynamics refused a token that was just issued."""

    code = "DS-202"
    next_step = "Check that the connection's host and tenant belong together"


class NotAMember(StopRun):
    """The application is no user of the organisation (0x80072560), or its user is disabled (0x80040225)."""

    code = "DS-203"
    next_step = "Create an application user for the client id in the Power Platform admin centre"


class PrivilegeMissing(StopRun):
    """The application user lacks a privilege, or organisation-level depth of one."""

    code = "DS-204"
    next_step = "Give the application user's security role the privilege, at organisation level"


# --- 3xx: the wire ----------------------------------------------------------------------------------


class NetworkFault(TryAgain):
    """No complete answer came: connection refused or dropped, TLS failure in transit, time-out."""

    code = "DS-301"
    next_step = "The task is tried again by Airflow"


class Throttled(WaitAsTold):
    """429, to this task or to another: a service protection limit was reached; `retry_after` says how long to wait."""

    code = "DS-302"
    next_step = "The task goes on by itself after the wait; a smaller pool dynamics_api makes this rarer"


class ServiceUnavailable(TryAgain):
    """500, 502, 503, 504 or a SQL time-out or deadlock inside Dynamics, still there after several tries."""

    code = "DS-303"
    next_step = "The task is tried again by Airflow"


class IncompleteAnswer(TryAgain):
    """The body is cut, is not JSON, or is an HTML page."""

    code = "DS-304"
    next_step = "The task is tried again by Airflow; if it repeats, look for a proxy in between"


class UnknownHost(StopRun):
    """The host does not exist, or its certificate is not trusted."""

    code = "DS-305"
    next_step = "Check the host of the connection, and its CA file if it has one"


class ForeignLink(TryAgain):
    """A next page or delta link leads to another host; the token was not sent there."""

    code = "DS-306"
    next_step = "The task is tried again by Airflow; if it repeats, look for what changes links in between"


class PagingLoop(TryAgain):
    """A page's link does not advance, so that reading on would never end."""

    code = "DS-307"
    next_step = "The task is tried again by Airflow; if it repeats, report the table to Microsoft support"


class UnexpectedAnswer(StopRun):
    """The answer is well-formed but is not what the Web API documents."""

    code = "DS-308"
    next_step = "Report the request id to the project"


class StaleAnswer(TryAgain):
    """A row came in an older version than the one that Dynamics had named before."""

    code = "DS-309"
    next_step = "The task is tried again by Airflow; if it repeats, report the request id to Microsoft support"


class NoPlaceFree(WaitAsTold):
    """As many tasks talk to Dynamics as it likes to serve at once."""

    code = "DS-310"
    next_step = "The task goes on by itself when others are done; the table sync_api_place says which they are"


class BudgetSpent(WaitAsTold):
    """The requests that may be sent on one day are used up."""

    code = "DS-311"
    next_step = (
        "The task goes on by itself on the next day (UTC); to go on at once, raise the budget in the Variable"
        " dynamics_sync and clear the task"
    )


# --- 4xx: what Dynamics refuses ---------------------------------------------------------------------


class RequestRefused(StopRun):
    """Dynamics refused the request itself (400, 405, 413 and codes without a class of their own)."""

    code = "DS-400"
    next_step = "Read the Dynamics code in the message; the same request will be refused again"


class RecordNotFound(SetRowAside):
    """The record does not exist (any more)."""

    code = "DS-404"
    next_step = "It is marked as deleted by the next run if it was deleted in Dynamics"


class TableMissing(StopRun):
    """The catalogue names a table that the organisation does not have."""

    code = "DS-405"
    next_step = "Correct `entity` in the catalogue, or install the solution that brings the table"


class ColumnMissing(StopRun):
    """The catalogue names a column that the table does not have or that is not published."""

    code = "DS-406"
    next_step = "Publish the column in Dynamics, or take it out of the catalogue"


class ColumnRetyped(StopRun):
    """A column has another type in Dynamics than in the catalogue."""

    code = "DS-407"
    next_step = "Give the field the new type and a new column name in the catalogue"


class VersionConflict(ReadAgain):
    """412: the record changed in Dynamics after it was read, or exists where none was expected."""

    code = "DS-412"
    next_step = "It will be read and decided again"


class RecordRefused(SetRowAside):
    """Dynamics refused the content of one record: validation, duplicate rule, business logic."""

    code = "DS-422"
    next_step = "Correct the record; it is tried again when it changes"


# --- 5xx: the feed ----------------------------------------------------------------------------------


class ChangeTrackingExpired(ReadAgain):
    """0x80044352: the delta token is too old, or the table's metadata changed."""

    code = "DS-501"
    next_step = "The run reads the keys of the whole table instead"


class ChangeTrackingOff(StopRun):
    """0x80072491: change tracking is off for a table that said it was on."""

    code = "DS-502"
    next_step = "Turn on change tracking for the table, or set `changes` to modifiedon or keys in the catalogue"


class StagingGone(StopRun):
    """What an earlier task of this run staged is no longer there."""

    code = "DS-503"
    next_step = "Clear the run from its task begin"


class CatalogueChanged(StopRun):
    """The entity's file of the catalogue was edited while a run of it was going on."""

    code = "DS-504"
    next_step = "Clear the run from its task begin"


class StagedFileDamaged(TryAgain):
    """A staged file is not whole: somebody is still writing it, or was stopped over it."""

    code = "DS-505"
    next_step = "The task is tried again by Airflow; if it repeats, clear the run from its task begin"


# --- 7xx: guarantees --------------------------------------------------------------------------------


class EnvironmentChanged(AskPerson):
    """The connection leads to another organisation than the one that the rows came from."""

    code = "DS-701"
    next_step = (
        "If the move is intended, follow docs/operations.md, The environment changed; otherwise correct the connection"
    )


class DeletionBreaker(AskPerson):
    """More rows would be marked as deleted than the limit allows; none was marked."""

    code = "DS-702"
    next_step = "If the deletions are real, trigger the DAG with allow_deletions"


class CountsDoNotAddUp(StopRun):
    """read is not inserted + updated + unchanged + filtered + rejected."""

    code = "DS-703"
    next_step = "The watermark did not move; report the run to the project"


class ColumnConflict(StopRun):
    """A column of the marketing database has a type that the catalogue's field cannot be stored in."""

    code = "DS-704"
    next_step = "Give the field a new column name in the catalogue; nothing is ever dropped"


class MarketingDatabaseBusy(TryAgain):
    """The marketing database is locked or not reachable."""

    code = "DS-705"
    next_step = "The task is tried again by Airflow"


class MarketingDatabaseRefused(StopRun):
    """The marketing database refused a statement; its own words are left out, as they quote values of rows."""

    code = "DS-707"
    next_step = "Look the time up in the log of the marketing database, which holds the statement"


class FirstCopyMissing(StopRun):
    """An entity is to be written to Dynamics before it was ever read from there."""

    code = "DS-708"
    next_step = "Run the entity's own DAG first; what Dynamics has must be known before anything is written"


class PlanRefused(AskPerson):
    """A person refused a plan in Airflow; nothing of it was written."""

    code = "DS-709"
    next_step = "The next run plans anew and asks again; correct the rows, or raise `approve_above` in the catalogue"


class EntityStopped(StopRun):
    """One of the entities of a run to Dynamics could not be planned; the others were written."""

    code = "DS-710"
    next_step = "Do what the quoted error says; the next run of dynamics_reverse takes the entity in again"


# --- 9xx: what nobody thought of --------------------------------------------------------------------


class Unexpected(TryAgain):
    """An error that the sync did not raise on purpose. Its own text is left out: it may quote values of records."""

    code = "DS-901"
    next_step = "The task is tried again by Airflow; if it repeats, report the place to the project"


@dataclass(frozen=True, slots=True)
class RowProblem:
    """Why one row stands in `sync_quarantine`. Row problems are returned, never raised."""

    code: str
    title: str
    next_step: str


NULL_KEY = RowProblem("DS-601", "the row has no key", "Look the record up in Dynamics; report it to Microsoft support")
INVALID_VALUE = RowProblem(
    "DS-602",
    "a value is not of its column's type",
    "Correct the value in Dynamics; the next change brings the row again",
)
VALUE_TOO_LONG = RowProblem(
    "DS-603",
    "a text is longer than its column",
    "Shorten it in Dynamics, or raise `length` in the catalogue, and replay",
)
UNKNOWN_OPTION = RowProblem(
    "DS-604",
    "an option value is not in the option set",
    "Add the option in Dynamics, or set `unknown_options: keep` in the catalogue, and replay",
)
INEXACT_NUMBER = RowProblem(
    "DS-605",
    "the marketing database cannot hold the number exactly",
    "Use PostgreSQL, or correct the value in Dynamics, and replay",
)
NULL_VERSION = RowProblem("DS-606", "the row has no version number", "Report the table to Microsoft support")

LOOKUP_WITHOUT_TABLE = RowProblem(
    "DS-607",
    "a lookup does not name a table that it can point at",
    "Set the column that ends in _type to one of the catalogue's targets",
)
SEVERAL_MATCHES = RowProblem(
    "DS-608",
    "several records in Dynamics match the new row",
    "Merge them in Dynamics, or delete the row here; the payload names them",
)
LOST_REFERENCE = RowProblem(
    "DS-609",
    "a record that the row points at does not exist in Dynamics",
    "Correct the lookup; a record that is new itself is there by the next try",
)

ROW_PROBLEMS: tuple[RowProblem, ...] = (
    NULL_KEY,
    INVALID_VALUE,
    VALUE_TOO_LONG,
    UNKNOWN_OPTION,
    INEXACT_NUMBER,
    NULL_VERSION,
)

#: Of rows on the way to Dynamics. Refusals of Dynamics itself bear the code of their error class.
OUTGOING_PROBLEMS: tuple[RowProblem, ...] = (LOOKUP_WITHOUT_TABLE, SEVERAL_MATCHES, LOST_REFERENCE)


#: Seconds: less is no reason to give a worker away, and a wait of nothing would come back at once.
_SHORTEST_WAIT = 5.0
#: Seconds, where Dynamics said to wait and not how long.
_WAIT_UNTOLD = 30.0


def told_wait(error: BaseException) -> float | None:
    """Return in how many seconds the same call may succeed, where that is known: the task waits, and has not failed."""
    if not isinstance(error, WaitAsTold):
        return None
    return max(_SHORTEST_WAIT, _WAIT_UNTOLD if error.retry_after is None else error.retry_after)


def error_classes(root: type[SyncError] = SyncError) -> Iterator[type[SyncError]]:
    """Yield each class of the tree that has a code, in the order in which they are defined."""
    for child in root.__subclasses__():
        if child.code:
            yield child
        yield from error_classes(child)
