"""The record of runs: what each run read and did, in figures that must add up."""

import hashlib
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import Self

import sqlalchemy as sa

from dynamics_sync.entity import Entity
from dynamics_sync.errors import CountsDoNotAddUp, SyncError
from dynamics_sync.store.database import MarketingDatabase
from dynamics_sync.store.sync_tables import SYNC_RUN, SYNC_SLICE, ensure_sync_tables


class Way(StrEnum):
    """Which way a run goes."""

    FROM_DYNAMICS = "from_dynamics"
    TO_DYNAMICS = "to_dynamics"


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """Which attempt at which run of which entity. `run_key` is new for each attempt; `begun_at` is aware."""

    entity: str
    run_id: str
    run_key: str
    begun_at: datetime
    direction: Way = Way.FROM_DYNAMICS


def new_run_key(run_id: str, begun_at: datetime) -> str:
    """Name an attempt at a run; another one when the same run is cleared and runs again. It names a staging folder."""
    stamp = begun_at.astimezone(UTC).strftime("%Y%m%dT%H%M%S%f")
    return f"{stamp}-{hashlib.sha256(run_id.encode()).hexdigest()[:8]}"


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the rows that were read, in rows.

    On the way to Dynamics: the records that differ, and how many of them were created, updated, turned out to be equal,
    were held back, were refused, and were left for the next run.
    """

    read: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    filtered: int = 0
    rejected: int = 0
    postponed: int = 0

    def __add__(self, other: Self) -> Self:
        mine, theirs = asdict(self), asdict(other)
        return type(self)(**{name: mine[name] + theirs[name] for name in mine})

    def check(self) -> None:
        """Raise CountsDoNotAddUp, with the figures, unless each row that was read is accounted for once."""
        accounted = self.inserted + self.updated + self.unchanged + self.filtered + self.rejected + self.postponed
        if self.read == accounted and min(asdict(self).values()) >= 0:
            return
        message = (
            f"read {self.read} rows, but accounted for {accounted}: inserted {self.inserted} + updated {self.updated}"
            f" + unchanged {self.unchanged} + filtered {self.filtered} + rejected {self.rejected}"
            f" + postponed {self.postponed}"
        )
        raise CountsDoNotAddUp(message, not_done="Nothing was committed")


#: Where each figure of Counts stands in sync_run and sync_slice.
_FIGURES = {field.name: "read_rows" if field.name == "read" else field.name for field in fields(Counts)}


def count_values(counts: Counts) -> dict[str, int]:
    """Return the figures by the names of their columns in `sync_run` and `sync_slice`."""
    return {_FIGURES[name]: value for name, value in asdict(counts).items()}


def recorded_slice(connection: sa.Connection, run_key: str, slice_number: int) -> Counts | None:
    """Return what was counted when the slice was loaded; None if it was not loaded yet."""
    query = sa.select(*(SYNC_SLICE.c[column].label(name) for name, column in _FIGURES.items()))
    row = connection.execute(
        query.where(SYNC_SLICE.c.run_key == run_key, SYNC_SLICE.c.slice == slice_number)
    ).one_or_none()
    return Counts(**row._mapping) if row else None


def record_slice(connection: sa.Connection, run: RunIdentity, slice_number: int, counts: Counts, now: datetime) -> None:
    """Note that the slice is loaded; stands or falls with the transaction that loads it."""
    values = {"run_key": run.run_key, "slice": slice_number, "committed_at": now, **count_values(counts)}
    connection.execute(SYNC_SLICE.insert().values(values))


@dataclass(frozen=True, slots=True)
class EarlierAttempt:
    """The last attempt at a run; it has results if it succeeded, or loaded a slice."""

    run: RunIdentity
    has_results: bool


def earlier_attempt(db: MarketingDatabase, entity: Entity, run_id: str) -> EarlierAttempt | None:
    """Return the last attempt at a run from Dynamics; None if it is the first."""
    ensure_sync_tables(db)
    is_loaded = sa.exists().where(SYNC_SLICE.c.run_key == SYNC_RUN.c.run_key)
    query = sa.select(
        SYNC_RUN.c.run_key, SYNC_RUN.c.begun_at, sa.or_(SYNC_RUN.c.state == "success", is_loaded).label("has_results")
    ).where(SYNC_RUN.c.entity == entity.entity, SYNC_RUN.c.direction == Way.FROM_DYNAMICS, SYNC_RUN.c.run_id == run_id)
    with db.reading() as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        return None
    return EarlierAttempt(RunIdentity(entity.entity, run_id, row.run_key, row.begun_at), bool(row.has_results))


def begin_run(db: MarketingDatabase, run: RunIdentity, mode: str) -> None:
    """Write the run as running. A run that was cleared and begins again takes the place of its earlier attempt."""
    ensure_sync_tables(db)
    same_run = sa.and_(
        SYNC_RUN.c.entity == run.entity, SYNC_RUN.c.direction == run.direction, SYNC_RUN.c.run_id == run.run_id
    )
    earlier_keys = sa.select(SYNC_RUN.c.run_key).where(same_run, SYNC_RUN.c.run_key != run.run_key)
    values = {**asdict(run), "mode": mode, "state": "running"}
    with db.writing() as connection:
        connection.execute(SYNC_SLICE.delete().where(SYNC_SLICE.c.run_key.in_(earlier_keys)))
        connection.execute(SYNC_RUN.delete().where(same_run))
        connection.execute(SYNC_RUN.insert().values(values))


def fail_run(db: MarketingDatabase, run: RunIdentity, error: SyncError | str) -> None:
    """Write the run as failed, with the error's code and text. A run that succeeded stays as it is."""
    code = error.code if isinstance(error, SyncError) else None
    values = {"state": "failed", "finished_at": db.now(), "error_code": code, "error": str(error)}
    with db.writing() as connection:
        connection.execute(SYNC_RUN.update().where(_attempt(run), SYNC_RUN.c.state != "success").values(values))


def hold_run(db: MarketingDatabase, run: RunIdentity, error: SyncError) -> None:
    """Write the run as waiting, with the code and the text that say for what and until when; a failed one stays so."""
    values = {"state": "waiting", "error_code": error.code, "error": str(error)}
    goes_on = SYNC_RUN.c.state.in_(["running", "waiting"])
    with db.writing() as connection:
        connection.execute(SYNC_RUN.update().where(_attempt(run), goes_on).values(values))


def go_on_with_run(db: MarketingDatabase, run: RunIdentity) -> None:
    """Write a run that was waiting as running."""
    waiting = sa.and_(_attempt(run), SYNC_RUN.c.state == "waiting")
    with db.reading() as connection:
        # Most have not waited, and looking locks nothing.
        if not connection.execute(sa.select(sa.exists().where(waiting))).scalar_one():
            return
    values = {"state": "running", "error_code": None, "error": None}
    with db.writing() as connection:
        connection.execute(SYNC_RUN.update().where(waiting).values(values))


def finish_run(db: MarketingDatabase, run: RunIdentity, deleted: int) -> Counts:
    """Sum the slices of the run, check the sum and write the run as successful, in one transaction.

    Returns the sum. Raises CountsDoNotAddUp, also if another attempt took the run's place meanwhile.
    """
    with db.writing() as connection:
        counts = _sum_of_slices(connection, run.run_key)
        counts.check()
        values = {"state": "success", "finished_at": db.now(), "deleted": deleted, **count_values(counts)}
        cleared = {"error_code": None, "error": None}
        done = connection.execute(SYNC_RUN.update().where(_attempt(run)).values(**values, **cleared))
        if done.rowcount != 1:
            message = f"{run.entity}: the run {run.run_id} was begun anew while this attempt was still going on"
            raise CountsDoNotAddUp(message, not_done="Its counts were not written")
    return counts


def check_slices(db: MarketingDatabase, run: RunIdentity, expected: int) -> None:
    """Raise CountsDoNotAddUp unless so many slices were loaded: a task may have been marked as successful by hand."""
    query = sa.select(sa.func.count()).where(SYNC_SLICE.c.run_key == run.run_key)
    with db.reading() as connection:
        loaded = connection.execute(query).scalar_one()
    if loaded != expected:
        message = f"{run.entity}: {loaded} of {expected} slices were loaded"
        raise CountsDoNotAddUp(message, not_done="Nothing was marked as deleted, and the run was not ended")


def check_sum(db: MarketingDatabase, run: RunIdentity, *, at_least: int) -> None:
    """Raise CountsDoNotAddUp if the slices account for fewer rows: some of what was planned has vanished."""
    with db.reading() as connection:
        accounted = _sum_of_slices(connection, run.run_key).read
    if accounted < at_least:
        message = f"{run.entity}: {at_least} records were planned, but only {accounted} are accounted for"
        raise CountsDoNotAddUp(message, not_done="The run was not ended, and the watermark did not move")


def is_recorded(
    db: MarketingDatabase, entity: Entity, begun_at: datetime | None = None, *, direction: Way = Way.FROM_DYNAMICS
) -> bool:
    """Say whether this database knows of a successful run of the entity, and of one that began at that instant."""
    ensure_sync_tables(db)
    same = sa.and_(SYNC_RUN.c.entity == entity.entity, SYNC_RUN.c.direction == direction, SYNC_RUN.c.state == "success")
    if begun_at is not None:
        same = sa.and_(same, SYNC_RUN.c.begun_at == begun_at)
    with db.reading() as connection:
        return bool(connection.execute(sa.select(sa.exists().where(same))).scalar_one())


def run_state(db: MarketingDatabase, run: RunIdentity) -> str | None:
    """Return running, waiting, success or failed; None if this attempt at the run was never begun."""
    ensure_sync_tables(db)
    with db.reading() as connection:
        return connection.execute(sa.select(SYNC_RUN.c.state).where(_attempt(run))).scalar_one_or_none()


def _attempt(run: RunIdentity) -> sa.ColumnElement[bool]:
    """The attempt's own row: another attempt at the same run has taken its place if the key differs."""
    return sa.and_(
        SYNC_RUN.c.entity == run.entity, SYNC_RUN.c.direction == run.direction, SYNC_RUN.c.run_key == run.run_key
    )


def _sum_of_slices(connection: sa.Connection, run_key: str) -> Counts:
    sums = (sa.func.coalesce(sa.func.sum(SYNC_SLICE.c[column]), 0).label(name) for name, column in _FIGURES.items())
    row = connection.execute(sa.select(*sums).where(SYNC_SLICE.c.run_key == run_key)).one()
    # PostgreSQL sums up BIGINT as NUMERIC.
    return Counts(**{name: int(value) for name, value in row._mapping.items()})
