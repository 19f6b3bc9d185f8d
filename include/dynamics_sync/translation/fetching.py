"""Fetch named rows as they are now."""

from collections.abc import Sequence

import pyarrow as pa

from dynamics_sync.dataverse.batch import MOST_PARTS
from dynamics_sync.dataverse.client import DataverseClient, Request
from dynamics_sync.dataverse.paging import split_page
from dynamics_sync.dataverse.query import ids_chunks, ids_per_url, in_filter, select_path
from dynamics_sync.errors import IncompleteAnswer, RecordNotFound, SyncError, UnexpectedAnswer
from dynamics_sync.translation.decode import DecodedPage, decode_page
from dynamics_sync.translation.fields import ReadPlan


def fetch_rows(client: DataverseClient, plan: ReadPlan, ids: Sequence[str]) -> DecodedPage:
    """Return the rows of those ids that Dynamics has, with one `$batch`; those that it lacks bring none."""
    per_url = ids_per_url(plan.set_name, plan.select, plan.key)
    requests = [
        Request(select_path(plan.set_name, plan.select, filter=in_filter(plan.key, chunk)), prefer=plan.prefer)
        for chunk in ids_chunks(ids, per_url)
    ]
    pages = [split_page(answer, 1) for answer in client.batch(requests)]
    if any(page.next_link for page in pages):
        message = f"a read of at most {per_url} named rows of {plan.set_name} came in several pages"
        raise UnexpectedAnswer(message, not_done="The rows were not staged")
    decoded = [decode_page(page.body, plan) for page in pages]
    merged = DecodedPage(
        pa.concat_tables([page.table for page in decoded]), tuple(r for page in decoded for r in page.rejected)
    )
    check_page(merged.rows, sum(page.rows for page in pages), plan)
    return merged


def gone_ids(client: DataverseClient, plan: ReadPlan, ids: Sequence[str], page: DecodedPage) -> list[str]:
    """Ask for each row that was named but did not come; return those of which Dynamics says that they do not exist.

    Only that counts as gone. Anything else is raised: it would lose a change, as no later read names the row again.
    """
    brought = {key.lower() for key in page.table[plan.key].to_pylist() if key is not None}
    brought |= {row.record_key.lower() for row in page.rejected if row.record_key is not None}
    missing = [key for key in ids if key not in brought]
    for start in range(0, len(missing), MOST_PARTS):
        requests = [
            Request(f"{plan.set_name}({key})?$select={plan.key}") for key in missing[start : start + MOST_PARTS]
        ]
        for outcome in client.batch_each(requests):
            if isinstance(outcome, RecordNotFound):
                continue
            if isinstance(outcome, SyncError):
                raise outcome
            message = f"Dynamics left out {len(missing)} of {len(ids)} rows of {plan.set_name} that it has"
            raise IncompleteAnswer(message, not_done="The rows were not staged")
    return missing


def check_page(decoded: int, given: int, plan: ReadPlan) -> None:
    """Raise UnexpectedAnswer unless each row that was given was read."""
    if decoded != given:
        message = f"a page of {plan.set_name} holds {given} rows, of which {decoded} were read"
        raise UnexpectedAnswer(message, not_done="The page was not staged")
