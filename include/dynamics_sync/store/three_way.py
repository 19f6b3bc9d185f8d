"""The three-way merge: what Dynamics says now reaches the marketing table field by field, with nobody's work undone.

    theirs changed, ours not                  theirs
    ours changed, theirs not                  ours stays
    both, to the same value                   nothing to do
    both, to different values                 a conflict: the catalogue's rule decides, and the loser is kept

*Changed* means: other than the base, which is what Dynamics said before. A record without a base (it was born here, or
was just linked) has a base of nulls. The rows are locked, compared and written in one transaction, so that an edit
that comes meanwhile waits, and is then seen as an edit.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from functools import cached_property, lru_cache
from typing import Any

import sqlalchemy as sa

from dynamics_sync.entity import Entity, MappedField, Winner
from dynamics_sync.store import conflicts, history
from dynamics_sync.store.bulk import temporary_table
from dynamics_sync.store.column_types import Instant, guid_type
from dynamics_sync.store.field_sql import is_blank, is_filled, is_same
from dynamics_sync.store.runs import RunIdentity
from dynamics_sync.store.schema import (
    DELETED_AT,
    EDITED_AT,
    READ_AT,
    UPDATED_AT,
    VERSION,
    WRITTEN_AT,
    base_table,
    entity_table,
)

#: Logical name of the instant that the rule `latest` compares.
MODIFIED = "modifiedon"
#: Columns of the table of decisions, whose others bear the logical names of fields.
_CHANGED, _EDITED_AT = "sync_changed", "sync_edited_at"


class Outcome(IntEnum):
    """What becomes of one field of one row."""

    UNTOUCHED = 0
    TAKEN = 1
    OURS = 2
    THEIRS = 3
    OPEN = 4
    AGREED = 5


#: For each outcome the fields that have it in some row.
_Hits = Mapping[Outcome, Sequence[MappedField]]


@dataclass(frozen=True)
class ThreeWayMerge:
    """The statements that bring `incoming`, each key once, into the marketing table of a two-way entity.

    `applies` is the condition on base and incoming that a row is not older than what is held. Run `before_base` while
    the base is still the old one, and `after_base` when it holds the new values.
    """

    entity: Entity
    fields: Sequence[MappedField]
    incoming: sa.Table
    applies: sa.ColumnElement[bool]
    run: RunIdentity
    now: datetime

    @cached_property
    def ours(self) -> sa.Table:
        return entity_table(self.entity)

    @cached_property
    def base(self) -> sa.Table:
        return base_table(self.entity)

    @property
    def key(self) -> str:
        return self.entity.key.column

    @cached_property
    def decided(self) -> sa.Table:
        return _decided_table(self.key, tuple(field.name for field in self.fields))

    def before_base(self, connection: sa.Connection) -> None:
        """Decide, write conflicts and history, and bring ours up to date."""
        lock_rows(connection, self.entity, self.incoming.c[self.key])
        self._decide(connection)
        hits = self._find_hits(connection)
        self._note_conflicts(connection, hits)
        self._note_history(connection, hits)
        self._update(connection)
        self.insert_new(connection)

    def after_base(self, connection: sa.Connection) -> None:
        """Note in the base which `updated_at` the sync gave, so that an edit after it is known as one."""
        decided, ours, base = self.decided, self.ours, self.base
        same = sa.and_(base.c[self.key] == decided.c[self.key], ours.c[self.key] == decided.c[self.key])
        values = {WRITTEN_AT: ours.c[UPDATED_AT], EDITED_AT: decided.c[_EDITED_AT]}
        connection.execute(base.update().where(same, decided.c[_CHANGED]).values(values))
        self.decided.drop(connection)

    # --- deciding --------------------------------------------------------------------------------

    def _decide(self, connection: sa.Connection) -> None:
        base, ours, incoming, decided = self.base, self.ours, self.incoming, self.decided
        decided.create(connection, checkfirst=False)
        joined = sa.join(ours, incoming, ours.c[self.key] == incoming.c[self.key]).outerjoin(
            base, base.c[self.key] == incoming.c[self.key]
        )
        news = sa.or_(
            base.c[self.key].is_(None),
            base.c[DELETED_AT].is_not(None),
            *(incoming.c[c.name].is_distinct_from(base.c[c.name]) for field in self.fields for c in field.columns),
            *self._foreign_labels(),
        )
        rows = (
            sa.select(
                incoming.c[self.key],
                sa.false(),
                edited_at(base, ours),
                *(self._outcome(field) for field in self.fields),
            )
            .select_from(joined)
            .where(sa.or_(base.c[self.key].is_(None), self.applies), news)
        )
        connection.execute(decided.insert().from_select([column.name for column in decided.columns], rows))
        if connection.dialect.name == "postgresql":
            # A new table has no statistics, and the planner would take its joins for smaller than they are.
            connection.exec_driver_sql("ANALYZE sync_decided")
        connection.execute(
            decided.update()
            .where(
                ours.c[self.key] == decided.c[self.key],
                incoming.c[self.key] == decided.c[self.key],
                sa.or_(
                    ours.c[DELETED_AT].is_not(None),
                    *(
                        sa.and_(self._takes(field), ours.c[c.name].is_distinct_from(incoming.c[c.name]))
                        for field in self.fields
                        for c in field.columns
                    ),
                ),
            )
            .values({_CHANGED: True})
        )

    def _foreign_labels(self) -> Iterator[sa.ColumnElement[bool]]:
        """Labels and names that somebody wrote here: they follow from the value, and are put right."""
        for field in self.fields:
            for column in field.columns:
                if column not in field.compared:
                    other = self.ours.c[column.name].is_distinct_from(self.incoming.c[column.name])
                    yield sa.and_(is_same(field, self.ours, self.incoming), other)

    def _outcome(self, field: MappedField) -> sa.ColumnElement[int]:
        base, ours, incoming = self.base, self.ours, self.incoming
        # Written into the statement: a parameter for each would pass SQLite's limit with a hundred fields.
        code = {outcome: sa.literal_column(str(int(outcome)), sa.SmallInteger) for outcome in Outcome}
        return sa.case(
            (is_same(field, incoming, base), code[Outcome.UNTOUCHED]),
            (is_same(field, incoming, ours), code[Outcome.AGREED]),
            (is_same(field, ours, base), code[Outcome.TAKEN]),
            else_=self._winner(field, code),
        )

    def _winner(self, field: MappedField, code: Mapping[Outcome, sa.ColumnElement[int]]) -> sa.ColumnElement[int]:
        match field.rule:
            case Winner.MARKETING:
                return code[Outcome.OURS]
            case Winner.DYNAMICS:
                return code[Outcome.THEIRS]
            case Winner.REVIEW:
                return code[Outcome.OPEN]
            case Winner.LATEST:
                modified = self.incoming.c[self.entity.fields[MODIFIED].column]
                ours_is_later = edited_at(self.base, self.ours) >= modified
                return sa.case((ours_is_later, code[Outcome.OURS]), else_=code[Outcome.THEIRS])
            case Winner.FILL_BLANK:
                fills = sa.and_(is_blank(field, self.incoming), is_filled(field, self.ours))
                return sa.case((fills, code[Outcome.OURS]), else_=code[Outcome.THEIRS])

    def _takes(self, field: MappedField) -> sa.ColumnElement[bool]:
        """Whether a row gets Dynamics' columns: its value where it won, its label where the values are the same."""
        won = self.decided.c[field.name].in_(_written(Outcome.TAKEN, Outcome.THEIRS))
        if len(field.compared) == len(field.columns):
            return won
        return sa.or_(won, is_same(field, self.ours, self.incoming))

    # --- writing -----------------------------------------------------------------------------------

    def _find_hits(self, connection: sa.Connection) -> _Hits:
        """Ask which outcomes each field has in some row; what no row has needs no statement of its own."""
        hits: dict[Outcome, list[MappedField]] = {outcome: [] for outcome in Outcome}
        if not self.fields:
            return hits
        # Most fields of most loads are untouched, so that one question leaves few to ask about.
        highest = connection.execute(sa.select(*(sa.func.max(self.decided.c[field.name]) for field in self.fields)))
        for field, code in zip(self.fields, highest.one(), strict=True):
            if code:
                for met in connection.execute(sa.select(self.decided.c[field.name]).distinct()).scalars():
                    hits[Outcome(met)].append(field)
        return hits

    def _rows(self, field: MappedField, *outcomes: Outcome) -> conflicts.ThreeSides:
        """The rows in which the field has one of the outcomes, with all three sides."""
        decided = self.decided
        joined = (
            sa.join(decided, self.ours, self.ours.c[self.key] == decided.c[self.key])
            .join(self.incoming, self.incoming.c[self.key] == decided.c[self.key])
            .outerjoin(self.base, self.base.c[self.key] == decided.c[self.key])
        )
        which = decided.c[field.name].in_(_written(*outcomes))
        return conflicts.ThreeSides(joined, which, decided.c[self.key], self.base, self.ours, self.incoming)

    def _note_conflicts(self, connection: sa.Connection, hits: _Hits) -> None:
        settled = (Outcome.TAKEN, Outcome.OURS, Outcome.THEIRS, Outcome.AGREED)
        disputed = conflicts.open_columns(connection, self.entity)
        for field in self.fields:
            if field.column in disputed and any(field in hits[outcome] for outcome in settled):
                conflicts.settle(connection, self.entity, field, self._rows(field, *settled), self.now)
        outcomes = ((Outcome.OURS, "ours"), (Outcome.THEIRS, "theirs"), (Outcome.OPEN, "open"))
        for outcome, word in outcomes:
            for field in hits[outcome]:
                sides = self._rows(field, outcome)
                conflicts.note(connection, self.entity, field, sides, self.run, self.now, outcome=word)
        conflicts.settle_deletions(connection, self.entity, self.decided.c[self.key], self.now)

    def _note_history(self, connection: sa.Connection, hits: _Hits) -> None:
        for outcome in (Outcome.TAKEN, Outcome.THEIRS):
            for field in hits[outcome]:
                sides = self._rows(field, outcome)
                rule = "changed there" if outcome is Outcome.TAKEN else field.rule.value
                history.note_ours(connection, self.entity, field, sides, self.run, self.now, rule=rule)

    def _update(self, connection: sa.Connection) -> None:
        decided, ours, incoming = self.decided, self.ours, self.incoming
        same = sa.and_(ours.c[self.key] == decided.c[self.key], incoming.c[self.key] == decided.c[self.key])
        values: dict[str, Any] = {
            column.name: sa.case((self._takes(field), incoming.c[column.name]), else_=ours.c[column.name])
            for field in self.fields
            for column in field.columns
        }
        state = {VERSION: incoming.c[VERSION], READ_AT: self._read_at, DELETED_AT: None}
        changed = ours.update().where(same, decided.c[_CHANGED])
        connection.execute(changed.values({**values, **state, UPDATED_AT: self.now}))
        self._update_versions(connection, state)

    def _update_versions(self, connection: sa.Connection, state: dict[str, Any]) -> None:
        """Rows whose values stay take over the version; `updated_at` speaks of values and stays, too."""
        ours, incoming, base = self.ours, self.incoming, self.base
        with_base = sa.exists().where(base.c[self.key] == incoming.c[self.key], self.applies)
        without = ~sa.exists().where(base.c[self.key] == incoming.c[self.key])
        connection.execute(
            ours.update()
            .where(
                ours.c[self.key] == incoming.c[self.key],
                ours.c[VERSION].is_distinct_from(incoming.c[VERSION]),
                sa.or_(with_base, without),
            )
            .values(state)
        )

    @property
    def _read_at(self) -> sa.ColumnElement[datetime]:
        held, begun_at = self.ours.c[READ_AT], sa.literal(self.run.begun_at, Instant())
        return sa.case((held > begun_at, held), else_=begun_at)

    def insert_new(self, connection: sa.Connection) -> None:
        """Add the records that are new here. One that has a base but no row was deleted here, and stays so."""
        ours, incoming, base = self.ours, self.incoming, self.base
        names = [self.key, VERSION, *(column.name for field in self.fields for column in field.columns)]
        instants = (sa.literal(instant, Instant()) for instant in (self.run.begun_at, self.now))
        rows = sa.select(*(incoming.c[name] for name in names), *instants).where(
            ~sa.exists().where(base.c[self.key] == incoming.c[self.key]),
            ~sa.exists().where(ours.c[self.key] == incoming.c[self.key]).select_from(ours),
        )
        connection.execute(ours.insert().from_select([*names, READ_AT, UPDATED_AT], rows))


@lru_cache(maxsize=64)
def _decided_table(key: str, fields: tuple[str, ...]) -> sa.Table:
    """Return the temporary table of decisions; the same one again, so that statements about it are compiled once."""
    return temporary_table(
        "sync_decided",
        sa.Column(key, guid_type(), primary_key=True),
        sa.Column(_CHANGED, sa.Boolean, nullable=False),
        sa.Column(_EDITED_AT, Instant),
        *(sa.Column(field, sa.SmallInteger, nullable=False) for field in fields),
    )


def lock_rows(connection: sa.Connection, entity: Entity, keys: sa.ColumnElement[Any]) -> None:
    """Let edits of the rows of those keys wait until the transaction ends. SQLite has one writer at a time anyway."""
    if connection.dialect.name != "postgresql":
        return
    ours = entity_table(entity)
    key = ours.c[entity.key.column]
    # In the order of keys, so that two of us cannot wait for each other.
    rows = sa.select(key).where(key.in_(sa.select(keys))).order_by(key).with_for_update()
    connection.execute(sa.select(sa.func.count()).select_from(rows.subquery()))


def edited_at(base: sa.FromClause, ours: sa.FromClause) -> sa.ColumnElement[Any]:
    """When somebody other than the sync last changed a row here; null if nobody did since it came from Dynamics."""
    by_sync = base.c[WRITTEN_AT].is_not_distinct_from(ours.c[UPDATED_AT])
    return sa.case((by_sync, base.c[EDITED_AT]), else_=ours.c[UPDATED_AT])


def _written(*outcomes: Outcome) -> list[sa.ColumnElement[int]]:
    return [sa.literal_column(str(int(outcome)), sa.SmallInteger) for outcome in outcomes]
