"""apply: send one batch of the plan to Dynamics, and record what it did with it in the same step.

    send with If-Match: <version of the base>
        taken                 the base becomes what Dynamics now holds
        412, changed there    read theirs, merge, plan again, send again; at most a few times
        does not exist        it was deleted there: a conflict
        refused               quarantine, with the code; the others go on
        not known             Airflow tries the task again; what was written is then found to be there

What is still planned is sent, whatever an earlier try did: a batch can be killed and repeated at any moment.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import msgspec
import sqlalchemy as sa

from dynamics_sync.dataverse.client import Answer, DataverseClient, Request
from dynamics_sync.entity import Entity
from dynamics_sync.errors import (
    LOST_REFERENCE,
    SEVERAL_MATCHES,
    ColumnMissing,
    PrivilegeMissing,
    RecordNotFound,
    RequestRefused,
    ServiceUnavailable,
    SetRowAside,
    SyncError,
    TableMissing,
    VersionConflict,
)
from dynamics_sync.reverse.manifest import PlannedEntity
from dynamics_sync.reverse.matching import match_records, plan_matches
from dynamics_sync.reverse.requests import as_rows, request_for, sent_record, what_was_sent
from dynamics_sync.settings import Settings
from dynamics_sync.store import conflicts, links, plan, refused, restoring
from dynamics_sync.store.database import MarketingDatabase, take_lock
from dynamics_sync.store.deletions import mark_deleted_records
from dynamics_sync.store.merge import entity_lock, merge_rows
from dynamics_sync.store.plan import PlannedRecord
from dynamics_sync.store.quarantine import RejectedRow, set_aside
from dynamics_sync.store.refused import RefusedRecord
from dynamics_sync.store.runs import Counts, RunIdentity, record_slice, recorded_slice
from dynamics_sync.store.written import Outcomes, SentRecord, record_outcomes
from dynamics_sync.translation.fetching import fetch_rows, gone_ids
from dynamics_sync.translation.payload import UnfitChange
from dynamics_sync.translation.rejected import Rejected


@dataclass
class BatchApply:
    """One batch of one entity."""

    entity: Entity
    run: RunIdentity
    batch: int
    planned: PlannedEntity
    client: DataverseClient
    database: MarketingDatabase
    settings: Settings
    #: What Dynamics said of records that were then read again, by code.
    _said: set[tuple[str, str]] = field(default_factory=set)
    #: Whether Dynamics gave an answer for good to any record of the batch.
    _is_served: bool = False

    def apply(self) -> Counts:
        """Send the batch and return what became of its records; a batch that was done before is not sent again.

        Raises TryAgain where the outcome of some records is not known, after that of the others was recorded.
        """
        with self.database.writing() as connection:
            earlier = recorded_slice(connection, self.run.run_key, self.batch)
        if earlier is not None:
            return earlier
        self._match_again()
        again = self._begin()
        for _ in range(1 + self.settings.conflict_rounds):
            if again:
                self._read_again(again)
            records = self._still_planned()
            again = self._send(records) if records else []
            if not again:
                break
        else:
            # The last answer may speak of our own write, whose first answer was lost.
            self._read_again(again)
        return self._end()

    def _match_again(self) -> None:
        """Look for records that match the new rows once more: the plan may have waited for days, and people work."""
        with self.database.reading() as connection:
            wanted = plan.values_to_match(connection, self.run, self.entity, self.batch)
        if wanted and self.planned.matching is not None:
            matches = match_records(self.client, self.entity, self.planned.matching, wanted)
            with self._locked() as connection:
                plan_matches(connection, self.run, matches)

    # --- what needs no call ----------------------------------------------------------------------

    def _begin(self) -> list[str]:
        """Carry out what concerns this side only; return the records that were linked, whose values are to be read."""
        now = self.database.now()
        with self._locked() as connection:
            plan.postpone_edited(connection, self.entity, self.run, self.batch)
            records = list(plan.read_records(connection, self.run, batch=self.batch))
            conflicts.carry_out(connection, self.entity, self.run, self.batch, now)
            restoring.put_back(connection, self.entity, self.run, self.batch, now)
            ambiguous = [record for record in records if record.operation == plan.AMBIGUOUS]
            self._set_refused(connection, [self._ambiguous(record) for record in ambiguous], now)
            # An earlier try may have been killed before it had read what it linked.
            linked = set(plan.links_to_read(connection, self.run, self.batch))
            named = {r.record_id: r.changes[0].new_value or "" for r in records if r.operation == plan.LINK}
            if targets := {born: target for born, target in named.items() if target not in linked}:
                links.link_rows(connection, self.entity, self.run, targets, now)
                plan.set_sent(connection, self.run, list(targets))
        return [*linked, *targets.values()]

    def _ambiguous(self, record: PlannedRecord) -> RefusedRecord:
        candidates = (record.changes[0].new_value or "").split()
        payload = msgspec.json.encode({"candidates": candidates}).decode()
        return RefusedRecord(record.record_id, SEVERAL_MATCHES.code, SEVERAL_MATCHES.title, payload, 0)

    def _set_refused(self, connection: sa.Connection, records: Sequence[RefusedRecord], now: datetime) -> None:
        delay = timedelta(minutes=self.settings.retry_refused_minutes)
        refused.set_refused(connection, self.entity, self.run, records, now, delay)
        plan.set_state(connection, self.run, [record.record_id for record in records], plan.REFUSED)

    # --- sending -----------------------------------------------------------------------------------

    def _still_planned(self) -> list[PlannedRecord]:
        with self.database.reading() as connection:
            records = list(plan.read_records(connection, self.run, batch=self.batch))
        return [record for record in records if record.operation not in plan.LOCAL_OPERATIONS]

    def _send(self, records: Sequence[PlannedRecord]) -> list[str]:
        """Send records and record the outcome; return those that have to be read and planned again."""
        requests: list[tuple[PlannedRecord, Request]] = []
        unfit: list[RefusedRecord] = []
        for record in records:
            try:
                requests.append((record, request_for(self.entity, self.planned, record)))
            except UnfitChange as problem:
                payload = what_was_sent(record)
                column = next(change.column_name for change in record.changes if change.field == problem.field)
                what = problem.problem
                reason = f"{what.title}: {column}"
                unfit.append(
                    RefusedRecord(record.record_id, what.code, reason, payload, record.version, column_name=column)
                )
        with self._locked() as connection:
            plan.set_sent(connection, self.run, [record.record_id for record, _ in requests])
        sent_at = datetime.now(UTC)
        answers = self.client.write_each([request for _, request in requests]) if requests else []
        sorted_ = self._sort([record for record, _ in requests], answers)
        sorted_.refused += unfit
        self._record(sorted_, sent_at)
        if sorted_.error is not None:
            raise sorted_.error
        return sorted_.again

    def _sort(self, records: Sequence[PlannedRecord], answers: Sequence[Answer | SyncError]) -> "_Sorted":
        found = _Sorted()
        self._is_served |= any(isinstance(answer, Answer | SetRowAside | VersionConflict) for answer in answers)
        for record, answer in zip(records, answers, strict=True):
            match answer:
                case Answer() if record.operation == plan.DELETE:
                    found.deleted.append(record.record_id)
                case Answer():
                    found.sent.append(record)
                    found.bodies.append(answer.body)
                case RecordNotFound() if record.operation == plan.DELETE:
                    found.deleted.append(record.record_id)
                case VersionConflict() if record.operation in (plan.DELETE, plan.DEACTIVATE):
                    # It was changed there after it was deleted here. The next run knows what it is now.
                    found.postponed.append(record.record_id)
                    if record.operation == plan.DELETE:
                        found.edited.append(record.record_id)
                case VersionConflict() if record.operation == plan.CREATE:
                    # It is there already. If reading does not find it, something other than its GUID is taken.
                    self._once_more(found, self._refusal(record, answer, answer.code, answer.what))
                case VersionConflict():
                    found.again.append(record.record_id)
                case RecordNotFound():
                    # Either it was deleted there, or a record that it points at does not exist: reading it tells.
                    refusal = self._refusal(record, answer, LOST_REFERENCE.code, LOST_REFERENCE.title)
                    self._once_more(found, refusal, is_known=record.operation == plan.CREATE)
                case ServiceUnavailable() if self._is_served:
                    # Dynamics is there, and fails at this record. Whether it was written all the same, reading tells.
                    self._once_more(found, self._refusal(record, answer, answer.code, answer.what))
                case SetRowAside() | PrivilegeMissing() | RequestRefused() | ColumnMissing() | TableMissing():
                    found.refused.append(self._refusal(record, answer, answer.code, answer.what))
                case _:
                    # It concerns the run, and not the record, whose outcome may not even be known.
                    found.error = answer
        return found

    def _once_more(self, found: "_Sorted", refusal: RefusedRecord, *, is_known: bool = False) -> None:
        """Read a record again and plan it anew; if the same is said of it again, or it is known, it is refused."""
        said = (refusal.record_id, refusal.code)
        if is_known or said in self._said:
            found.refused.append(refusal)
        else:
            self._said.add(said)
            found.again.append(refusal.record_id)

    def _refusal(self, record: PlannedRecord, error: SyncError, code: str, reason: str) -> RefusedRecord:
        return RefusedRecord(
            record.record_id, code, reason, what_was_sent(record), record.version, error.dataverse_code
        )

    def _record(self, found: "_Sorted", sent_at: datetime) -> None:
        rows, rejected = as_rows(self.entity, self.planned.reading, found.bodies, self.database.exact_digits)
        unread = {row.record_key for row in rejected}
        sent: list[SentRecord] = []
        for record in found.sent:
            if record.record_id in unread:
                # Dynamics has it, and we cannot hold what it says; the same as on the way from there.
                found.refused.append(
                    self._unreadable(next(row for row in rejected if row.record_key == record.record_id))
                )
            else:
                sent.append(sent_record(self.entity, record))
        outcomes = Outcomes(sent, rows, found.deleted, found.refused, sent_at)
        now, delay = self.database.now(), timedelta(minutes=self.settings.retry_refused_minutes)
        absent = frozenset(self.planned.reading.absent)
        with self._locked() as connection:
            self._set_aside(connection, rejected, now)
            record_outcomes(connection, self.entity, self.run, outcomes, absent, now, delay)
            plan.set_state(connection, self.run, found.postponed, plan.POSTPONED)
            conflicts.note_edits_there(connection, self.entity, found.edited, self.run, now)

    def _fit(self, connection: sa.Connection) -> None:
        planned = self.planned
        plan.fit(connection, self.run, planned.reading.absent, planned.not_updated, planned.not_created)

    def _unreadable(self, row: Rejected) -> RefusedRecord:
        payload = msgspec.json.encode({"field": row.field}).decode()
        return RefusedRecord(row.record_key or "", row.code, row.reason, payload, row.version or 0)

    def _set_aside(self, connection: sa.Connection, rejected: Sequence[Rejected], now: datetime) -> None:
        rows = [RejectedRow(r.record_key, r.code, r.field, r.reason, r.payload, r.version) for r in rejected]
        set_aside(connection, self.entity, self.run, rows, now)

    # --- reading again -------------------------------------------------------------------------------

    def _read_again(self, ids: Sequence[str]) -> None:
        """Merge what Dynamics has of the records now, and plan them anew."""
        read_at = datetime.now(UTC)
        page = fetch_rows(self.client, self.planned.reading, ids)
        gone = gone_ids(self.client, self.planned.reading, ids, page)
        rows, rejected = as_rows(self.entity, self.planned.reading, page, self.database.exact_digits)
        as_read = replace(self.run, begun_at=read_at)
        now = self.database.now()
        with self._locked() as connection:
            self._set_aside(connection, rejected, now)
            absent = frozenset(self.planned.reading.absent)
            merge_rows(connection, self.entity, as_read, [rows], now, absent=absent)
            mark_deleted_records(connection, self.entity, as_read, gone, now, absent)
            # The base cannot follow: the record waits in quarantine until what we cannot hold is corrected.
            unread = [self._unreadable(row) for row in rejected if row.record_key in set(ids)]
            self._set_refused(connection, unread, now)
            known = [record_id for record_id in ids if record_id not in {row.record_id for row in unread}]
            plan.plan_again(connection, self.entity, self.run, known, self.batch, self._fit, now)
            plan.close_links(connection, self.run, self.batch)
            restoring.put_back(connection, self.entity, self.run, self.batch, now)
            refused.close_settled(connection, self.entity, now)

    # --- the end -------------------------------------------------------------------------------------

    def _end(self) -> Counts:
        now = self.database.now()
        with self._locked() as connection:
            left = [record.record_id for record in plan.read_records(connection, self.run, batch=self.batch)]
            # Somebody changes them in Dynamics all the time; the next run tries again.
            plan.set_state(connection, self.run, left, plan.POSTPONED)
            counts = count_states(plan.batch_states(connection, self.run, self.batch))
            counts.check()
            record_slice(connection, self.run, self.batch, counts, now)
        return counts

    @contextmanager
    def _locked(self) -> Iterator[sa.Connection]:
        with self.database.writing() as connection:
            take_lock(connection, entity_lock(self.entity))
            yield connection


@dataclass
class _Sorted:
    """Records by what Dynamics said to them."""

    sent: list[PlannedRecord] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    again: list[str] = field(default_factory=list)
    postponed: list[str] = field(default_factory=list)
    refused: list[RefusedRecord] = field(default_factory=list)
    #: Changed there, and about to be deleted there.
    edited: list[str] = field(default_factory=list)
    error: SyncError | None = None


def count_states(states: Sequence[tuple[str, str]]) -> Counts:
    """Count records by operation and state; deletions are counted apart, by the run."""
    figures: Counter[str] = Counter()
    for (operation, state), records in Counter(states).items():
        if operation not in (plan.DELETE, plan.DEACTIVATE) or state != plan.WRITTEN:
            figures["read"] += records
            figures[_figure(operation, state)] += records
    return Counts(**figures)


def _figure(operation: str, state: str) -> str:
    match state:
        case plan.WRITTEN if operation == plan.CREATE:
            return "inserted"
        case plan.WRITTEN if operation == plan.UPDATE:
            return "updated"
        case plan.REFUSED:
            return "rejected"
        case plan.POSTPONED:
            return "postponed"
        case _:
            return "unchanged"
