"""System jobs: BulkDelete, which deletes the rows of its queries when its time has come."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from dynamics_emulator.api.access import require_special
from dynamics_emulator.api.arguments import invalid_argument, read_arguments
from dynamics_emulator.api.changing import delete_row
from dynamics_emulator.api.messages import ApiRequest, ApiResponse, Caller, json_response
from dynamics_emulator.api.query_expressions import compile_criteria, queried_table
from dynamics_emulator.api.values import Values
from dynamics_emulator.api.writing import create_row, overwrite, stored_row
from dynamics_emulator.errors import DataverseError, required_missing
from dynamics_emulator.odata.scope import Parameters
from dynamics_emulator.organisation import Organisation, present_time
from dynamics_emulator.schema.described import CRM
from dynamics_emulator.schema.model import Table
from dynamics_emulator.security.privileges import BULK_DELETE
from dynamics_emulator.storage.layout import quote

_PARAMETERS = frozenset(
    {
        "QuerySet",
        "JobName",
        "SendEmailNotification",
        "ToRecipients",
        "CCRecipients",
        "RecurrencePattern",
        "StartDateTime",
        "SourceImportId",
        "RunNow",
    }
)
_BULK_DELETE = 13
_READY, _WAITING_FOR_RESOURCES = 0, 0
_COMPLETED, _SUCCEEDED = 3, 30


@dataclass(frozen=True)
class BulkDeletion:
    """A job that waits: its key, when it may start, on whose behalf it runs, and the rows it is to delete."""

    job_id: str
    due: datetime
    caller: Caller
    queries: tuple[Mapping[str, Any], ...]

    def run(self, organisation: Organisation) -> None:
        """Delete the rows, each with what its deletion entails; a row that refuses is counted and left."""
        with organisation.database.transaction():
            outcomes = [
                _deleted(organisation, self.caller, table, row_id)
                for table, row_id in _selected(organisation, self.queries)
            ]
            _finish(organisation, self.job_id, outcomes)


def bulk_delete(organisation: Organisation, request: ApiRequest) -> ApiResponse:
    """Queue a job and answer with its key; it starts at ``StartDateTime``, at once for an instant in the past."""
    arguments = read_arguments(organisation, request, _PARAMETERS)
    require_special(organisation, request.caller, BULK_DELETE)
    queries = arguments.values.get("QuerySet")
    if not isinstance(queries, list) or not queries or not all(isinstance(query, dict) for query in queries):
        raise invalid_argument()
    if not isinstance(arguments.values.get("JobName"), str):
        raise required_missing(column="JobName")
    # The queries are tried now, so that a bad one is refused instead of failing unseen.
    _selected(organisation, queries)
    due = _start(organisation, arguments.values.get("StartDateTime"))
    with organisation.database.transaction():
        job_id = _queue(organisation, request.caller, str(arguments.values["JobName"]), queries)
    organisation.jobs.append(BulkDeletion(job_id, due, request.caller, tuple(queries)))
    run_due_jobs(organisation)
    context = f"{request.base}/$metadata#{CRM}.BulkDeleteResponse"
    return json_response({"@odata.context": context, "JobId": job_id})


def run_due_jobs(organisation: Organisation) -> None:
    """Run the waiting jobs whose time has come; called before each request, so that nothing has to tick by itself."""
    # A job that started inside of a change set would be undone with it.
    if not organisation.jobs or organisation.database.connection.in_transaction:
        return
    now = organisation.clock.now()
    with organisation.lock:
        due = [job for job in organisation.jobs if job.due <= now]
        organisation.jobs = [job for job in organisation.jobs if job.due > now]
    for job in due:
        job.run(organisation)


def _start(organisation: Organisation, text: object) -> datetime:
    earliest = organisation.clock.now() + timedelta(seconds=organisation.settings.bulk_delete_wait_seconds)
    if text is None:
        return earliest
    try:
        asked = datetime.fromisoformat(str(text))
    except ValueError as problem:
        raise invalid_argument() from problem
    return max(earliest, asked if asked.tzinfo else asked.replace(tzinfo=UTC))


def _queue(organisation: Organisation, caller: Caller, name: str, queries: list[Mapping[str, Any]]) -> str:
    table = organisation.schema.table("asyncoperation")
    waiting: Values = {"name": name[:256], "statecode": _READY, "statuscode": _WAITING_FOR_RESOURCES}
    target = str(queries[0].get("EntityName"))
    job: Values = {**waiting, "operationtype": _BULK_DELETE, "primaryentitytype": target}
    job_id = create_row(organisation, table, caller, job)
    operation: Values = {**waiting, "asyncoperationid": job_id}
    create_row(organisation, organisation.schema.table("bulkdeleteoperation"), caller, operation)
    return job_id


def _selected(organisation: Organisation, queries: Sequence[Mapping[str, Any]]) -> list[tuple[Table, str]]:
    found: list[tuple[Table, str]] = []
    for query in queries:
        table, parameters = queried_table(organisation, query), Parameters()
        condition = compile_criteria(table, query.get("Criteria"), parameters)
        sql = f"SELECT {quote(table.primary_id)} FROM {quote(table.name)} WHERE {condition}"
        rows = organisation.database.connection.execute(sql, parameters.values)
        found += [(table, str(row_id)) for (row_id,) in rows]
    return found


def _deleted(organisation: Organisation, caller: Caller, table: Table, row_id: str) -> bool:
    try:
        with organisation.database.transaction():
            stored = stored_row(organisation, table, row_id)
            if stored is not None:
                delete_row(organisation, table, caller, stored)
    except DataverseError:
        return False
    return True


def _finish(organisation: Organisation, job_id: str, outcomes: list[bool]) -> None:
    now = present_time(organisation)
    done: Values = {"statecode": _COMPLETED, "statuscode": _SUCCEEDED, "modifiedon": now}
    jobs, operations = organisation.schema.table("asyncoperation"), organisation.schema.table("bulkdeleteoperation")
    overwrite(organisation, jobs, job_id, {**done, "startedon": now, "completedon": now})
    query = "SELECT bulkdeleteoperationid FROM bulkdeleteoperation WHERE asyncoperationid = ?"
    counts: Values = {"successcount": sum(outcomes), "failurecount": len(outcomes) - sum(outcomes)}
    for (row_id,) in organisation.database.connection.execute(query, (job_id,)).fetchall():
        overwrite(organisation, operations, str(row_id), {**done, **counts})
