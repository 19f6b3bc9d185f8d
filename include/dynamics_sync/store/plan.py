"""The plan: rows of `sync_plan`, one for each record and field. It is the same for a dry run and a real one."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

import sqlalchemy as sa

from dynamics_sync.entity import Entity
from dynamics_sync.store.changes import collect_records
from dynamics_sync.store.conflicts import WHOLE_RECORD
from dynamics_sync.store.database import MarketingDatabase
from dynamics_sync.store.field_sql import as_text
from dynamics_sync.store.own_writes import SENT
from dynamics_sync.store.runs import RunIdentity
from dynamics_sync.store.schema import VERSION, entity_table
from dynamics_sync.store.sync_tables import SYNC_PLAN

PLANNED, WRITTEN, EQUAL, REFUSED, POSTPONED = "planned", "written", "equal", "refused", "postponed"
#: Nothing has become of these yet, or it is not known what.
_PENDING = (PLANNED, SENT)
CREATE, UPDATE, LINK, DELETE, DEACTIVATE, RESTORE = "create", "update", "link", "delete", "deactivate", "restore"
#: Of a new record that matches several in Dynamics: `new_value` names them.
AMBIGUOUS = "ambiguous"

_MOST_IDS = 10_000
#: Airflow expands a task 1,024 times at most by default; batches grow where there would be more.
_MOST_BATCHES = 1_000

#: Operations that need no call of Dynamics.
LOCAL_OPERATIONS = frozenset({LINK, RESTORE, AMBIGUOUS})


@dataclass(frozen=True, slots=True)
class PlannedChange:
    """One field of one record: what was planned, as text (see `field_sql`)."""

    field: str
    column_name: str
    operation: str
    old_value: str | None
    new_value: str | None
    rule: str


@dataclass(frozen=True, slots=True)
class PlannedRecord:
    """One record: the version that it was planned against (0 for none), and its changes."""

    record_id: str
    version: int
    changes: tuple[PlannedChange, ...]

    @property
    def operation(self) -> str:
        """What is done to the record as a whole; putting a field back is only the matter of that field."""
        remote = [change.operation for change in self.changes if change.operation != RESTORE]
        return remote[0] if remote else RESTORE


@dataclass(frozen=True, slots=True)
class PlanLine:
    """How many records of an entity the plan holds for an operation, and how many fields of them."""

    entity: str
    operation: str
    records: int
    fields: int


def read_records(
    connection: sa.Connection, run: RunIdentity, *, batch: int | None = None, everything: bool = False
) -> Iterator[PlannedRecord]:
    """Yield the records of a run's plan, or of one batch, by their ids: those that are still to be done, or all."""
    query = sa.select(SYNC_PLAN).where(_of(run)).order_by(SYNC_PLAN.c.record_id, SYNC_PLAN.c.column_name)
    if batch is not None:
        query = query.where(SYNC_PLAN.c.batch == batch)
    if not everything:
        query = query.where(SYNC_PLAN.c.state.in_(_PENDING))
    rows = connection.execute(query.execution_options(yield_per=5_000)).mappings()
    for record_id, group in groupby(rows, key=lambda row: str(row["record_id"])):
        fields = list(group)
        yield PlannedRecord(
            record_id,
            fields[0][VERSION],
            tuple(
                PlannedChange(
                    row["field"],
                    row["column_name"],
                    row["operation"],
                    row["old_value"],
                    row["new_value"],
                    row["rule"],
                )
                for row in fields
            ),
        )


def summarise(db: MarketingDatabase, runs: Iterable[RunIdentity]) -> list[PlanLine]:
    """Count the plan by entity and operation."""
    keys = [run.run_key for run in runs]
    records, fields = sa.func.count(SYNC_PLAN.c.record_id.distinct()), sa.func.count()
    query = (
        sa.select(SYNC_PLAN.c.entity, SYNC_PLAN.c.operation, records, fields)
        .where(SYNC_PLAN.c.run_key.in_(keys), SYNC_PLAN.c.state == PLANNED)
        .group_by(SYNC_PLAN.c.entity, SYNC_PLAN.c.operation)
        .order_by(SYNC_PLAN.c.entity, SYNC_PLAN.c.operation)
    )
    with db.reading() as connection:
        return [PlanLine(*row) for row in connection.execute(query)]


def count_records(connection: sa.Connection, run: RunIdentity, *which: sa.ColumnElement[bool]) -> int:
    """Count the records of the plan for which the conditions hold."""
    query = sa.select(sa.func.count(SYNC_PLAN.c.record_id.distinct())).where(_of(run), *which)
    return int(connection.execute(query).scalar_one())


# --- fitting the plan to the organisation -----------------------------------------------------------


def fit(
    connection: sa.Connection,
    run: RunIdentity,
    absent: Sequence[str],
    not_updated: Sequence[str],
    not_created: Sequence[str],
) -> None:
    """Leave out the fields that the organisation does not have or does not let be written."""
    for operation in (CREATE, UPDATE, RESTORE):
        leave_out(connection, run, operation, absent)
    leave_out(connection, run, CREATE, not_created)
    put_back(connection, run, not_updated)


def put_back(connection: sa.Connection, run: RunIdentity, fields: Sequence[str]) -> None:
    """Turn updates of fields that Dynamics does not let be updated into their opposite."""
    which = sa.and_(_of(run), SYNC_PLAN.c.operation == UPDATE, SYNC_PLAN.c.field.in_(list(fields)))
    swapped = {"old_value": SYNC_PLAN.c.new_value, "new_value": SYNC_PLAN.c.old_value}
    connection.execute(SYNC_PLAN.update().where(which).values(operation=RESTORE, rule="dynamics", **swapped))


def leave_out(connection: sa.Connection, run: RunIdentity, operation: str, fields: Sequence[str]) -> None:
    """Take fields out of the records of an operation; a record to be created stays, be it without any."""
    which = sa.and_(_of(run), SYNC_PLAN.c.operation == operation, SYNC_PLAN.c.field.in_(list(fields)))
    if operation == CREATE:
        kept = SYNC_PLAN.alias("kept")
        others = sa.exists().where(
            kept.c.run_key == SYNC_PLAN.c.run_key,
            kept.c.record_id == SYNC_PLAN.c.record_id,
            kept.c.field.not_in(list(fields)),
        )
        first = sa.select(SYNC_PLAN.c.record_id, sa.func.min(SYNC_PLAN.c.column_name).label("column_name")).where(
            which, ~others
        )
        alone = first.group_by(SYNC_PLAN.c.record_id).subquery("alone")
        empty = sa.and_(
            _of(run), SYNC_PLAN.c.record_id == alone.c.record_id, SYNC_PLAN.c.column_name == alone.c.column_name
        )
        blank = {"column_name": WHOLE_RECORD, "field": "", "new_value": None}
        connection.execute(SYNC_PLAN.update().where(empty).values(blank))
    connection.execute(SYNC_PLAN.delete().where(which))


def values_to_match(
    connection: sa.Connection, run: RunIdentity, entity: Entity, batch: int | None = None
) -> dict[str, dict[str, str]]:
    """Return the values of the match fields of each record to be created that has them all: by record, by field."""
    if not entity.match:
        return {}
    query = sa.select(SYNC_PLAN.c.record_id, SYNC_PLAN.c.field, SYNC_PLAN.c.new_value).where(
        _of(run), is_planned(), SYNC_PLAN.c.operation == CREATE, SYNC_PLAN.c.field.in_(list(entity.match))
    )
    if batch is not None:
        query = query.where(SYNC_PLAN.c.batch == batch)
    found: dict[str, dict[str, str]] = {}
    for record_id, field, value in connection.execute(query.order_by(SYNC_PLAN.c.record_id)):
        if value and value.strip():  # An empty text says as little of a person as none.
            found.setdefault(record_id, {})[field] = value
    return {record_id: values for record_id, values in found.items() if len(values) == len(entity.match)}


def leave_out_deletions(connection: sa.Connection, run: RunIdentity, ids: Sequence[str]) -> None:
    """Take the deletion of records out of the plan."""
    for chunk in _chunks(ids):
        connection.execute(SYNC_PLAN.delete().where(of_records(run, chunk), is_deletion()))


def plan_otherwise(
    connection: sa.Connection, run: RunIdentity, operation: str, targets: Mapping[str, str], rule: str
) -> None:
    """Replace the creation of records by an operation on the whole record, with a target for each."""
    whole = {"column_name": WHOLE_RECORD, "field": "", "old_value": None, "operation": operation, "rule": rule}
    for chunk in _chunks(list(targets)):
        mine = of_records(run, chunk)
        query = sa.select(SYNC_PLAN).where(mine)
        rows = {row["record_id"]: dict(row) for row in connection.execute(query).mappings()}
        connection.execute(SYNC_PLAN.delete().where(mine))
        connection.execute(
            SYNC_PLAN.insert(), [{**row, **whole, "new_value": targets[record_id]} for record_id, row in rows.items()]
        )


def number_batches(connection: sa.Connection, run: RunIdentity, size: int) -> int:
    """Give each record its batch, new records first, as others may point at them; return how many batches there are."""
    size = max(size, math.ceil(count_records(connection, run) / _MOST_BATCHES))
    rank = sa.func.min(sa.case((SYNC_PLAN.c.operation == CREATE, 0), (SYNC_PLAN.c.operation == DELETE, 2), else_=1))
    records = (
        sa.select(
            SYNC_PLAN.c.record_id,
            sa.func.row_number().over(order_by=[rank, SYNC_PLAN.c.record_id]).label("position"),
        )
        .where(_of(run))
        .group_by(SYNC_PLAN.c.record_id)
        .subquery("records")
    )
    batch = sa.cast((records.c.position - 1) // size, sa.Integer) + 1
    same = sa.and_(_of(run), SYNC_PLAN.c.record_id == records.c.record_id)
    connection.execute(SYNC_PLAN.update().where(same).values(batch=batch))
    highest = sa.select(sa.func.coalesce(sa.func.max(SYNC_PLAN.c.batch), 0)).where(_of(run))
    return int(connection.execute(highest).scalar_one())


def count_calls(connection: sa.Connection, run: RunIdentity, *, matched: bool) -> int:
    """Count the calls of the Web API that the batches take if nothing is in the way.

    Each asks who Dynamics is, as the connection may have been changed since. One with new rows looks once more for
    records that match, and what was linked is read.
    """
    operation = SYNC_PLAN.c.operation
    kinds = [operation.not_in(LOCAL_OPERATIONS), operation == LINK]
    if matched:
        kinds.append(operation == CREATE)
    of_batch = sa.select(*(sa.func.max(sa.case((kind, 1), else_=0)).label(f"kind_{n}") for n, kind in enumerate(kinds)))
    batches = of_batch.where(_of(run), is_planned()).group_by(SYNC_PLAN.c.batch).subquery("batches")
    calls = sa.func.count() + sum(sa.func.coalesce(sa.func.sum(column), 0) for column in batches.c)
    return int(connection.execute(sa.select(calls).select_from(batches)).scalar_one())


def links_to_read(connection: sa.Connection, run: RunIdentity, batch: int) -> list[str]:
    """Return the records with which rows of a batch were linked, and whose values were not read since."""
    query = sa.select(SYNC_PLAN.c.new_value).where(_links(run, batch), SYNC_PLAN.c.state == SENT)
    return list(connection.execute(query).scalars())


def close_links(connection: sa.Connection, run: RunIdentity, batch: int) -> None:
    """Note that the records with which rows of a batch were linked have been read."""
    done = sa.and_(_links(run, batch), SYNC_PLAN.c.state == SENT)
    connection.execute(SYNC_PLAN.update().where(done).values(state=WRITTEN))


def _links(run: RunIdentity, batch: int) -> sa.ColumnElement[bool]:
    return sa.and_(_of(run), SYNC_PLAN.c.batch == batch, SYNC_PLAN.c.operation == LINK)


# --- what becomes of it -------------------------------------------------------------------------------


def postpone_edited(connection: sa.Connection, entity: Entity, run: RunIdentity, batch: int) -> None:
    """Leave for the next run what somebody changed here since it was planned: it says what is wanted now."""
    ours, dialect = entity_table(entity), connection.dialect.name
    key = ours.c[entity.key.column]
    mine = sa.and_(_of(run), SYNC_PLAN.c.batch == batch, SYNC_PLAN.c.state == PLANNED)
    # A row that is here again shall not be taken away there.
    here = sa.exists().where(key == sa.cast(SYNC_PLAN.c.record_id, key.type)).select_from(ours)
    back = sa.select(SYNC_PLAN.c.record_id).where(mine, SYNC_PLAN.c.operation.in_((DELETE, DEACTIVATE)), here)
    set_state(connection, run, list(connection.execute(back).scalars()), POSTPONED)
    query = sa.select(SYNC_PLAN.c.field).distinct().where(mine, SYNC_PLAN.c.operation.in_((CREATE, UPDATE)))
    planned = set(connection.execute(query).scalars())
    for field in entity.mapped_fields:
        if field.name in planned:
            same = sa.exists().where(
                key == sa.cast(SYNC_PLAN.c.record_id, key.type),
                as_text(field, ours, dialect).is_not_distinct_from(SYNC_PLAN.c.new_value),
            )
            which = sa.and_(mine, SYNC_PLAN.c.field == field.name, SYNC_PLAN.c.operation.in_((CREATE, UPDATE)), ~same)
            stale = list(connection.execute(sa.select(SYNC_PLAN.c.record_id).where(which)).scalars())
            if stale:
                set_state(connection, run, stale, POSTPONED)


def set_sent(connection: sa.Connection, run: RunIdentity, ids: Sequence[str]) -> None:
    """Write down that the records are about to be sent, so that the write is known when its answer gets lost.

    A link is sent, so to speak, when it was made here, and written when its record has been read.
    """
    which = sa.and_(of_records(run, ids), SYNC_PLAN.c.state == PLANNED, SYNC_PLAN.c.operation != RESTORE)
    connection.execute(SYNC_PLAN.update().where(which).values(state=SENT))


def set_state(connection: sa.Connection, run: RunIdentity, ids: Sequence[str], state: str) -> None:
    """Write what became of the records."""
    for chunk in _chunks(ids):
        which = sa.and_(of_records(run, chunk), SYNC_PLAN.c.state.in_(_PENDING))
        connection.execute(SYNC_PLAN.update().where(which).values(state=state))


def plan_again(
    connection: sa.Connection,
    entity: Entity,
    run: RunIdentity,
    ids: Sequence[str],
    batch: int,
    fit_plan: Callable[[sa.Connection], None],
    now: datetime,
) -> None:
    """Plan records of a batch anew, after Dynamics was read again; those without a difference are done."""
    rows = [dict(row) for row in connection.execute(sa.select(SYNC_PLAN).where(of_records(run, ids))).mappings()]
    collect_records(connection, entity, run, list(ids), batch, now)
    fit_plan(connection)
    left = set(connection.execute(sa.select(SYNC_PLAN.c.record_id).where(of_records(run, ids))).scalars())
    if done := [{**row, "state": EQUAL} for row in rows if row["record_id"] not in left]:
        connection.execute(SYNC_PLAN.insert(), done)


def batch_states(connection: sa.Connection, run: RunIdentity, batch: int) -> list[tuple[str, str]]:
    """Return operation and state of each record of a batch; a record of several takes the one that tells most."""
    query = sa.select(SYNC_PLAN.c.record_id, SYNC_PLAN.c.operation, SYNC_PLAN.c.state).where(
        _of(run), SYNC_PLAN.c.batch == batch
    )
    found: dict[str, tuple[str, str]] = {}
    for record_id, operation, state in connection.execute(query.order_by(SYNC_PLAN.c.record_id)):
        if record_id not in found or found[record_id][0] == RESTORE:
            found[record_id] = (operation, state)
    return list(found.values())


def remove_plans(db: MarketingDatabase, *, before: datetime) -> int:
    """Remove the plans of runs that were planned before an instant; they hold personal data. Returns how many rows."""
    with db.writing() as connection:
        return connection.execute(SYNC_PLAN.delete().where(SYNC_PLAN.c.planned_at < before)).rowcount


def is_planned() -> sa.ColumnElement[bool]:
    """Return the condition that a row of the plan is still to be carried out."""
    return SYNC_PLAN.c.state == PLANNED


def is_deletion() -> sa.ColumnElement[bool]:
    """Return the condition that a row of the plan takes a record away from those who use Dynamics."""
    return SYNC_PLAN.c.operation.in_((DELETE, DEACTIVATE))


def of_records(run: RunIdentity, ids: Sequence[str]) -> sa.ColumnElement[bool]:
    """Return the condition on `sync_plan` that a row is about one of the records."""
    return sa.and_(_of(run), SYNC_PLAN.c.record_id.in_(list(ids)))


def _chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Cut ids so that a statement has fewer parameters than either database takes."""
    return (ids[start : start + _MOST_IDS] for start in range(0, len(ids), _MOST_IDS))


def _of(run: RunIdentity) -> sa.ColumnElement[bool]:
    return SYNC_PLAN.c.run_key == run.run_key


def row_of(record: PlannedRecord, change: PlannedChange, entity: str) -> dict[str, Any]:
    """Return one change as the plan's JSON file holds it."""
    return {
        "entity": entity,
        "record": record.record_id,
        "operation": change.operation,
        "field": change.field,
        "column": change.column_name,
        "old": change.old_value,
        "new": change.new_value,
        "rule": change.rule,
    }
