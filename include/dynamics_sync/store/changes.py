"""Collect what has to be written to Dynamics: the marketing table minus its base, field by field, into `sync_plan`.

The difference is found by the database itself; no row leaves it. Which rows are looked at is a matter of speed only:
those that were touched since an instant, or all.
"""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import sqlalchemy as sa

from dynamics_sync.entity import Condition, DeletedHere, Entity, MappedField, Test
from dynamics_sync.store import conflicts, refused
from dynamics_sync.store.bulk import temporary_table
from dynamics_sync.store.column_types import Instant, guid_type
from dynamics_sync.store.conflicts import WHOLE_RECORD, is_open, record_text
from dynamics_sync.store.database import MarketingDatabase
from dynamics_sync.store.field_sql import as_text, differs, is_blank, is_filled
from dynamics_sync.store.runs import RunIdentity
from dynamics_sync.store.schema import DELETED_AT, UPDATED_AT, VERSION, base_table, entity_table
from dynamics_sync.store.sync_tables import SYNC_CONFLICT, SYNC_PLAN

#: `rule` of a value that was changed on this side only.
CHANGED_HERE = "changed here"


@dataclass(frozen=True, slots=True)
class Scope:
    """Which rows to look at: those touched since an instant, or all if there is none.

    `retry_refused` also takes rows in quarantine whose time has not come.
    """

    since: datetime | None
    retry_refused: bool = False


@dataclass(frozen=True, slots=True)
class Collected:
    """How many records differ, and how many new ones are held back by the catalogue."""

    records: int
    held_back: int


def database_instant(db: MarketingDatabase) -> datetime:
    """Return the database's own time, by which rows bear their `updated_at`."""
    postgresql = db.dialect_name == "postgresql"
    query = "SELECT clock_timestamp() AS at" if postgresql else "SELECT strftime('%Y-%m-%d %H:%M:%f000', 'now') AS at"
    with db.reading() as connection:
        moment: datetime = connection.execute(sa.text(query).columns(at=Instant())).scalar_one()
        return moment


def collect_changes(db: MarketingDatabase, entity: Entity, run: RunIdentity, scope: Scope) -> Collected:
    """Write what differs into `sync_plan` under the run's key, replacing what an earlier try wrote there."""
    with db.writing() as connection:
        # An earlier attempt at the same run bears another key. What it planned is not what will be done; what it sent
        # is known by these rows only.
        mine = sa.and_(SYNC_PLAN.c.entity == entity.entity, SYNC_PLAN.c.run_id == run.run_id)
        connection.execute(SYNC_PLAN.delete().where(mine, SYNC_PLAN.c.state == "planned"))
        conflicts.refresh(connection, entity)
        return _Collection(entity, run, scope, db.now()).collect(connection)


def collect_records(
    connection: sa.Connection, entity: Entity, run: RunIdentity, ids: list[str], batch: int, now: datetime
) -> None:
    """Write anew what differs in the named records, as part of a batch; their earlier rows in the plan are replaced."""
    mine = sa.and_(SYNC_PLAN.c.run_key == run.run_key, SYNC_PLAN.c.record_id.in_(ids))
    connection.execute(SYNC_PLAN.delete().where(mine))
    collection = _Collection(entity, run, Scope(None, retry_refused=True), now, tuple(ids))
    collection.collect(connection)
    connection.execute(SYNC_PLAN.update().where(mine).values(batch=batch))


#: Made once, so that statements about them are compiled once.
_TOUCHED = temporary_table("sync_touched", sa.Column("key", guid_type(), primary_key=True))
_FOUND = temporary_table(
    "sync_found",
    sa.Column("key", guid_type(), primary_key=True),
    sa.Column("operation", sa.String(20), nullable=False),
    sa.Column(VERSION, sa.BigInteger, nullable=False),
)


@dataclass(frozen=True)
class _Collection:
    """The statements of one collection."""

    entity: Entity
    run: RunIdentity
    scope: Scope
    now: datetime
    ids: tuple[str, ...] | None = None

    @cached_property
    def ours(self) -> sa.Table:
        return entity_table(self.entity)

    @cached_property
    def base(self) -> sa.Table:
        return base_table(self.entity)

    @property
    def key(self) -> str:
        return self.entity.key.column

    touched = _TOUCHED
    found = _FOUND

    def collect(self, connection: sa.Connection) -> Collected:
        if self.is_narrow:
            self._find_touched(connection)
        self.found.create(connection, checkfirst=False)
        held_back = self._find_records(connection)
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("ANALYZE sync_found")
        self._plan_updates(connection)
        self._plan_creates(connection)
        self._plan_deletions(connection)
        records = sa.select(sa.func.count(SYNC_PLAN.c.record_id.distinct())).where(
            SYNC_PLAN.c.run_key == self.run.run_key
        )
        count = int(connection.execute(records).scalar_one())
        self.found.drop(connection)
        if self.is_narrow:
            self.touched.drop(connection)
        return Collected(count, held_back)

    # --- which records -------------------------------------------------------------------------

    @property
    def is_narrow(self) -> bool:
        """Whether only some of the rows are looked at."""
        return self.ids is not None or self.scope.since is not None

    def _find_touched(self, connection: sa.Connection) -> None:
        self.touched.create(connection, checkfirst=False)
        if self.ids is not None:
            if self.ids:
                connection.execute(self.touched.insert(), [{"key": key} for key in self.ids])
            return
        key = self.ours.c[self.key]
        since = sa.select(key).where(self.ours.c[UPDATED_AT] >= self.scope.since)
        again = refused.due_keys(self.entity, key.type, self.now, everything=self.scope.retry_refused)
        decided = sa.select(sa.cast(SYNC_CONFLICT.c.record_id, key.type)).where(
            is_open(self.entity), SYNC_CONFLICT.c.decision.is_not(None)
        )
        connection.execute(self.touched.insert().from_select(["key"], sa.union(since, again, decided)))
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("ANALYZE sync_touched")

    def _is_touched(self, key: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
        return key.in_(sa.select(self.touched.c.key)) if self.is_narrow else sa.true()

    def _find_records(self, connection: sa.Connection) -> int:
        """Fill `found`; return how many new records are held back."""
        ours, base = self.ours, self.base
        same = ours.c[self.key] == base.c[self.key]
        free = sa.true() if self.scope.retry_refused else ~refused.is_waiting(self.entity, ours, self.key, self.now)
        alive = base.c[DELETED_AT].is_(None)
        changed = sa.or_(*(differs(field, ours, base) for field in self.entity.mapped_fields))
        # A record that was deleted there moves only when a person has decided.
        decided = self._has_decision(ours.c[self.key], WHOLE_RECORD)
        joined = sa.join(ours, base, same)
        touched = self._is_touched(ours.c[self.key])
        updates = sa.select(ours.c[self.key], sa.literal("update"), base.c[VERSION]).select_from(joined)
        self._find(connection, updates.where(touched, alive, changed, free))
        again = sa.select(ours.c[self.key], self._decision_operation(ours.c[self.key]), base.c[VERSION])
        self._find(connection, again.select_from(joined).where(touched, ~alive, decided, free))
        born = sa.and_(touched, ~sa.exists().where(same).select_from(base), free)
        new = sa.select(ours.c[self.key], sa.literal("create"), sa.literal(0, sa.BigInteger))
        wanted = sa.and_(sa.true(), *(self._condition(condition) for condition in self.entity.create_when))
        self._find(connection, new.where(born, wanted))
        if not self.entity.create_when:
            return 0
        # A condition about an empty value is neither true nor false.
        held = sa.select(sa.func.count()).select_from(ours).where(born, ~sa.func.coalesce(wanted, sa.false()))
        return int(connection.execute(held).scalar_one())

    def _find(self, connection: sa.Connection, rows: sa.Select[Any]) -> None:
        connection.execute(self.found.insert().from_select(["key", "operation", VERSION], rows))

    def _condition(self, condition: Condition) -> sa.ColumnElement[bool]:
        field = next(field for field in self.entity.mapped_fields if field.name == condition.field)
        value = self.ours.c[field.column]
        match condition.test:
            case Test.FILLED:
                return is_filled(field, self.ours)
            case Test.BLANK:
                return is_blank(field, self.ours)
            case Test.AT_LEAST:
                return value >= condition.value
            case Test.AT_MOST:
                return value <= condition.value
            case Test.EQUAL:
                return value == condition.value
            case Test.NOT_EQUAL:
                return value != condition.value

    def _has_decision(self, key: sa.ColumnElement[Any], column: str, *decisions: str) -> sa.ColumnElement[bool]:
        which = SYNC_CONFLICT.c.decision.in_(decisions) if decisions else SYNC_CONFLICT.c.decision.is_not(None)
        same = sa.and_(SYNC_CONFLICT.c.column_name == column, SYNC_CONFLICT.c.record_id == record_text(key))
        return sa.exists().where(is_open(self.entity), same, which)

    def _decision_operation(self, key: sa.ColumnElement[Any]) -> sa.ColumnElement[str]:
        return sa.case((self._has_decision(key, WHOLE_RECORD, "ours"), "create"), else_="restore")

    # --- what about them ---------------------------------------------------------------------------

    def _plan(
        self,
        connection: sa.Connection,
        field: MappedField | None,
        operation: str,
        old: Any,
        new: Any,
        rule: Any,
        source: sa.FromClause,
        which: sa.ColumnElement[bool],
    ) -> None:
        column, name = (field.column, field.name) if field else (WHOLE_RECORD, "")
        texts = [self.run.run_key, self.entity.entity, column, self.run.run_id, name, operation, "planned"]
        rows = (
            sa.select(
                record_text(self.found.c.key),
                self.found.c[VERSION],
                old,
                new,
                rule,
                *(sa.literal(text, sa.Text) for text in texts),
                sa.literal(self.now, Instant()),
            )
            .select_from(source)
            .where(which)
        )
        names = ["record_id", VERSION, "old_value", "new_value", "rule", "run_key", "entity", "column_name", "run_id"]
        names += ["field", "operation", "state", "planned_at"]
        connection.execute(SYNC_PLAN.insert().from_select(names, rows))

    def _joined(self) -> sa.FromClause:
        ours, base = self.ours, self.base
        return sa.join(self.found, ours, ours.c[self.key] == self.found.c.key).outerjoin(
            base, base.c[self.key] == self.found.c.key
        )

    def _plan_updates(self, connection: sa.Connection) -> None:
        dialect = connection.dialect.name
        # Records that were deleted there and shall stay so lose their edits here.
        is_restored = self.found.c.operation == "restore"
        is_updated = self.found.c.operation == "update"
        for field in self._differing(connection):
            apart = differs(field, self.ours, self.base)
            mine, base = as_text(field, self.ours, dialect), as_text(field, self.base, dialect)
            theirs = self._has_decision(self.found.c.key, field.column, "theirs")
            restored = sa.or_(is_restored, sa.and_(is_updated, theirs))
            if field.is_owned_by_dynamics:
                restored = sa.or_(is_restored, is_updated)
            rule = sa.literal("dynamics" if field.is_owned_by_dynamics else "review", sa.Text)
            self._plan(connection, field, "restore", mine, base, rule, self._joined(), sa.and_(apart, restored))
            if not field.is_owned_by_dynamics:
                which = sa.and_(apart, is_updated, ~self._is_undecided(field), ~theirs)
                self._plan(connection, field, "update", base, mine, self._rule(field, mine), self._joined(), which)

    def _differing(self, connection: sa.Connection) -> list[MappedField]:
        """The fields in which some of the records differ; the others need no statement of their own."""
        fields = self.entity.mapped_fields
        hits = [sa.func.max(sa.case((differs(field, self.ours, self.base), 1), else_=0)) for field in fields]
        which = self.found.c.operation.in_(("update", "restore"))
        row = connection.execute(sa.select(*hits).select_from(self._joined()).where(which)).one()
        return [field for field, hit in zip(fields, row, strict=True) if hit]

    def _is_undecided(self, field: MappedField) -> sa.ColumnElement[bool]:
        same = sa.and_(
            SYNC_CONFLICT.c.column_name == field.column, SYNC_CONFLICT.c.record_id == record_text(self.found.c.key)
        )
        return sa.exists().where(is_open(self.entity), same, SYNC_CONFLICT.c.decision.is_(None))

    def _rule(self, field: MappedField, mine: sa.ColumnElement[Any]) -> sa.ColumnElement[str]:
        """The rule that decided for this value, if there was a conflict about it."""
        conflict = SYNC_CONFLICT.c
        won = sa.or_(conflict.outcome == "ours", conflict.decision == "ours")
        latest = (
            sa.select(conflict.rule)
            .where(
                conflict.entity == self.entity.entity,
                conflict.record_id == record_text(self.found.c.key),
                conflict.column_name == field.column,
                conflict.ours == mine,
                won,
            )
            .order_by(conflict.conflict_id.desc())
            .limit(1)
            .scalar_subquery()
        )
        return sa.func.coalesce(latest, CHANGED_HERE)

    def _plan_creates(self, connection: sa.Connection) -> None:
        dialect = connection.dialect.name
        created = self.found.c.operation == "create"
        if not connection.execute(sa.select(self.found.c.key).where(created).limit(1)).first():
            return
        rule = sa.literal(CHANGED_HERE, sa.Text)
        for field in self.entity.mapped_fields:
            if not field.is_owned_by_dynamics:
                # An empty text is sent, too: Dynamics says what it makes of it, and nothing is left to be written.
                value = as_text(field, self.ours, dialect)
                which = sa.and_(created, value.is_not(None))
                self._plan(connection, field, "create", sa.null(), value, rule, self._joined(), which)
        # A row without any value is a record, too.
        mine = sa.and_(SYNC_PLAN.c.run_key == self.run.run_key, SYNC_PLAN.c.record_id == record_text(self.found.c.key))
        empty = sa.and_(created, ~sa.exists().where(mine))
        self._plan(connection, None, "create", sa.null(), sa.null(), rule, self._joined(), empty)

    def _plan_deletions(self, connection: sa.Connection) -> None:
        """Records whose row was deleted here, where the catalogue wants that to have an effect."""
        if self.entity.deleted_here is DeletedHere.NOTHING or self.ids is not None:
            return
        ours, base, key = self.ours, self.base, self.key
        gone = ~sa.exists().where(ours.c[key] == base.c[key]).select_from(ours)
        free = sa.true() if self.scope.retry_refused else ~refused.is_waiting(self.entity, base, key, self.now)
        which = sa.and_(gone, base.c[DELETED_AT].is_(None), free)
        if self.scope.retry_refused:
            which = sa.and_(which, self._is_touched(base.c[key]))
        operation, field = self.entity.deleted_here.value, None
        old: Any = sa.null()
        new: Any = sa.null()
        if self.entity.deleted_here is DeletedHere.DEACTIVATE:
            field = next(field for field in self.entity.mapped_fields if field.name == "statecode")
            which = sa.and_(which, base.c[field.column].is_distinct_from(self.entity.inactive_state))
            old, new = as_text(field, base, connection.dialect.name), str(self.entity.inactive_state)
            new = sa.literal(new, sa.Text)
        self._find(connection, sa.select(base.c[key], sa.literal(operation), base.c[VERSION]).where(which))
        source = sa.join(self.found, base, base.c[key] == self.found.c.key)
        rule = sa.literal("deleted here", sa.Text)
        self._plan(connection, field, operation, old, new, rule, source, self.found.c.operation == operation)
