"""How many rows fulfil a condition, as far as Dataverse counts: an aggregation may look at 50,000 rows."""

from collections.abc import Sequence

import msgspec

from dynamics_sync.dataverse.client import DataverseClient
from dynamics_sync.dataverse.query import function_path
from dynamics_sync.dataverse.wire import Answer, Request, decode
from dynamics_sync.errors import RequestRefused, SyncError, UnexpectedAnswer

#: `AggregateQueryRecordLimitExceeded`.
_TOO_MANY = "0x8004e023"


class _Row(msgspec.Struct):
    rows: int = 0


class _Counted(msgspec.Struct):
    value: list[_Row]


_COUNTED = msgspec.json.Decoder(_Counted)


def count_rows(client: DataverseClient, set_name: str, conditions: Sequence[str]) -> list[int | None]:
    """Count the rows of a table for each condition, all in one `$batch`; None where there are more than it counts.

    Raises RequestRefused where the table cannot be aggregated, and like `send`.
    """
    requests = [
        Request(function_path(set_name, {"$apply": f"filter({condition})/aggregate($count as rows)"}))
        for condition in conditions
    ]
    return [_counted(outcome) for outcome in client.batch_each(requests)]


def _counted(outcome: Answer | SyncError) -> int | None:
    match outcome:
        case Answer():
            rows = decode(outcome, _COUNTED).value
            if len(rows) > 1:
                message = "a count came with several rows"
                raise UnexpectedAnswer(message, not_done="The rows were not counted")
            return rows[0].rows if rows else 0
        case RequestRefused() if outcome.dataverse_code == _TOO_MANY:
            return None
        case _:
            raise outcome
