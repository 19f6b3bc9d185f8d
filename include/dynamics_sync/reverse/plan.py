"""plan: fit what differs to the organisation, find records that exist already, and cut the rest into batches.

Dynamics is read, nothing is written to it. A dry run ends here; its plan is the same as that of a real run.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from dynamics_sync.dataverse.bindings import read_bindings
from dynamics_sync.dataverse.client import DataverseClient
from dynamics_sync.dataverse.metadata import TableMetadata, read_table
from dynamics_sync.entity import DeletedHere, Entity, FieldType
from dynamics_sync.reverse.manifest import PLAN_FILE, PlannedEntity, ReverseRun
from dynamics_sync.reverse.matching import Matches, MatchQuery, match_records, plan_matches
from dynamics_sync.settings import Settings
from dynamics_sync.staging import StagingFolder
from dynamics_sync.store import plan
from dynamics_sync.store.database import MarketingDatabase
from dynamics_sync.store.deletions import Breaker, count_living
from dynamics_sync.store.plan import PlanLine, PlannedRecord
from dynamics_sync.translation.fields import plan_reading

#: So many records of each entity are shown to the person who approves the plan.
FIRST_RECORDS = 20

_DONE = {
    DeletedHere.DELETE: "deleted",
    DeletedHere.DEACTIVATE: "deactivated",
    DeletedHere.NOTHING: "left",
}


@dataclass(frozen=True, slots=True)
class PlanSummary:
    """What a plan amounts to, and its first records by entity.

    `api_calls` counts the calls that carrying it out takes, if nothing is in the way.
    """

    lines: tuple[PlanLine, ...]
    records: int
    api_calls: int
    needs_approval: bool
    first: Mapping[str, tuple[PlannedRecord, ...]]

    def as_table(self) -> str:
        """The plan in figures, as Markdown."""
        rows = [f"| {line.entity} | {line.operation} | {line.records:,} | {line.fields:,} |" for line in self.lines]
        return "\n".join(["| entity | operation | records | fields |", "| --- | --- | ---: | ---: |", *rows])

    def as_list(self) -> str:
        """The first records and their columns, as Markdown. Values are personal data, and are not shown."""
        rows = [
            f"| {entity} | {record.record_id} | {record.operation} | {_columns_of(record)} |"
            for entity, records in self.first.items()
            for record in records
        ]
        return "\n".join(["| entity | record | operation | columns |", "| --- | --- | --- | --- |", *rows])


def _columns_of(record: PlannedRecord) -> str:
    return ", ".join(change.column_name for change in record.changes if change.column_name) or "the whole record"


def plan_entity(
    entity: Entity,
    run: ReverseRun,
    client: DataverseClient,
    database: MarketingDatabase,
    settings: Settings,
) -> PlannedEntity:
    """Fit the collected differences of an entity to the organisation and cut them into batches.

    Raises DeletionBreaker if more records would be deleted there than a run may, ColumnMissing and ColumnRetyped as the
    forward run does.
    """
    table = read_table(client, entity.entity)
    reading = plan_reading(entity, table)
    bindings = read_bindings(client, table, _written_lookups(entity, table))
    identity = run.of(entity)
    known = [column for name, column in table.columns.items() if name in entity.fields]
    not_updated = tuple(column.name for column in known if not column.is_valid_for_update)
    not_created = tuple(column.name for column in known if not column.is_valid_for_create)
    with database.writing() as connection:
        plan.fit(connection, identity, reading.absent, not_updated, not_created)
        wanted = plan.values_to_match(connection, identity, entity)
        deletions = plan.count_records(connection, identity, plan.is_deletion())
        living = count_living(connection, entity)
    breaker = Breaker(
        settings.deletion_breaker_share, settings.deletion_breaker_at_least, open=run.request.allow_deletions
    )
    breaker.check(entity, deletions, living, done=f"{_DONE[entity.deleted_here]} in Dynamics")
    query = MatchQuery.of(entity, table) if entity.match else None
    matches = match_records(client, entity, query, wanted) if query and wanted else Matches({}, {}, ())
    with database.writing() as connection:
        # Whose row is here again, under another GUID, is not to be taken away there.
        plan.leave_out_deletions(connection, identity, list(matches.linked.values()))
        plan_matches(connection, identity, matches)
        batches = plan.number_batches(connection, identity, settings.records_per_batch)
        records = plan.count_records(connection, identity)
        calls = plan.count_calls(connection, identity, matched=bool(entity.match))
    return PlannedEntity(entity.entity, batches, records, not_updated, not_created, calls, reading, bindings, query)


def _written_lookups(entity: Entity, table: TableMetadata) -> list[str]:
    lookups = [field.name for field in entity.mapped_fields if field.spec.type is FieldType.LOOKUP]
    known = [table.columns[name] for name in lookups if name in table.columns]
    writable = {column.name for column in known if column.is_valid_for_update or column.is_valid_for_create}
    owned = {field.name for field in entity.mapped_fields if field.is_owned_by_dynamics}
    return [name for name in lookups if name in writable - owned]


def summarise(
    entities: Sequence[Entity], run: ReverseRun, planned: Sequence[PlannedEntity], database: MarketingDatabase
) -> PlanSummary:
    """Count what the plan amounts to, and say whether a person has to approve it."""
    lines = plan.summarise(database, [run.of(entity) for entity in entities])
    limits = {entity.entity: entity.approve_above for entity in entities}
    with database.reading() as connection:
        # A record of which one field is written and another put back stands in two lines.
        records = {
            entity.entity: plan.count_records(connection, run.of(entity), plan.is_planned()) for entity in entities
        }
        first = {
            entity.entity: tuple(islice(plan.read_records(connection, run.of(entity)), FIRST_RECORDS))
            for entity in entities
        }
    calls = sum(one.api_calls for one in planned)
    needed = any(records[name] > limit for name, limit in limits.items())
    return PlanSummary(tuple(lines), sum(records.values()), calls, needed, first)


def write_plan(
    folder: StagingFolder,
    entities: Sequence[Entity],
    run: ReverseRun,
    summary: PlanSummary,
    database: MarketingDatabase,
) -> None:
    """Write the plan as JSON: its figures, and one object for each record and field."""
    head = {
        "run_id": run.run_id,
        "begun_at": run.begun_at.isoformat(),
        "dry_run": run.request.dry_run,
        "records": summary.records,
        "api_calls": summary.api_calls,
        "needs_approval": summary.needs_approval,
        "summary": [asdict(line) for line in summary.lines],
    }
    with database.reading() as connection:
        folder.write_json_with_items(PLAN_FILE, head, "changes", _changes(connection, entities, run))


def _changes(connection: Any, entities: Sequence[Entity], run: ReverseRun) -> Iterator[dict[str, Any]]:
    for entity in entities:
        for record in plan.read_records(connection, run.of(entity), everything=True):
            for change in record.changes:
                yield plan.row_of(record, change, entity.entity)
