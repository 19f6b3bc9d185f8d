"""Find the records that Dynamics has already of rows that are new here."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote

import msgspec
import sqlalchemy as sa

from dynamics_sync.dataverse.client import DataverseClient, Request
from dynamics_sync.dataverse.metadata import TableMetadata
from dynamics_sync.dataverse.paging import Page, read_pages, split_page
from dynamics_sync.dataverse.query import in_filter, select_path
from dynamics_sync.entity import Entity, FieldType
from dynamics_sync.store import plan
from dynamics_sync.store.runs import RunIdentity

#: Characters of encoded values in one address; far below what Dynamics takes.
_LONGEST = 12_000


@dataclass(frozen=True, slots=True)
class MatchQuery:
    """How the organisation is asked for records that match: its names of the table and of the catalogue's fields."""

    set_name: str
    primary_id: str
    columns: tuple[str, ...]
    has_state: bool

    @classmethod
    def of(cls, entity: Entity, table: TableMetadata) -> Self:
        """Return the query for the catalogue's `match` fields; ColumnMissing if the organisation lacks one."""
        columns = tuple(table.column(field).property for field in entity.match)
        return cls(table.set_name, table.primary_id, columns, "statecode" in table.columns)


@dataclass(frozen=True, slots=True)
class Matches:
    """What was found for rows that are to be created, by their GUIDs here.

    `linked`: the one record there. `ambiguous`: several records there. `repeated`: rows that mean the same person as
    another row here, which goes first.
    """

    linked: Mapping[str, str]
    ambiguous: Mapping[str, tuple[str, ...]]
    repeated: tuple[str, ...]


class _Rows(msgspec.Struct):
    value: list[dict[str, object]]


_ROWS = msgspec.json.Decoder(_Rows)


def plan_matches(connection: sa.Connection, run: RunIdentity, matches: Matches) -> None:
    """Let the plan link, set aside or put off the rows that are not to be created."""
    plan.plan_otherwise(connection, run, plan.LINK, matches.linked, "matched")
    several = {born: " ".join(found) for born, found in matches.ambiguous.items()}
    plan.plan_otherwise(connection, run, plan.AMBIGUOUS, several, "matched")
    plan.set_state(connection, run, matches.repeated, plan.POSTPONED)


def match_records(
    client: DataverseClient, entity: Entity, query: MatchQuery, wanted: Mapping[str, Mapping[str, str]]
) -> Matches:
    """Look for active records with the values of the catalogue's `match` fields.

    `wanted` maps the GUID of a row here to its value of each field. Dynamics compares texts without regard to case, and
    so does this.
    """
    there = _read_candidates(client, entity, query, [values[entity.match[0]] for values in wanted.values()])
    linked: dict[str, str] = {}
    ambiguous: dict[str, tuple[str, ...]] = {}
    repeated: list[str] = []
    seen: set[tuple[str, ...]] = set()
    for record_id, values in wanted.items():
        key = _key(entity, values)
        candidates = there.get(key, ())
        if record_id in candidates:
            continue  # An earlier try created it.
        if key in seen:
            repeated.append(record_id)
        elif len(candidates) == 1:
            linked[record_id] = candidates[0]
        elif candidates:
            ambiguous[record_id] = candidates
        seen.add(key)
    return Matches(linked, ambiguous, tuple(repeated))


def _read_candidates(
    client: DataverseClient, entity: Entity, query: MatchQuery, values: Sequence[str]
) -> dict[tuple[str, ...], tuple[str, ...]]:
    active = " and statecode eq 0" if query.has_state else ""
    select = [query.primary_id, *query.columns]
    # With and without the blanks around them, as nobody documents whether Dynamics keeps those.
    asked = sorted({*values, *(value.strip() for value in values)})
    requests = [
        Request(select_path(query.set_name, select, filter=in_filter(entity.match[0], chunk) + active))
        for chunk in _chunks(asked)
    ]
    found: dict[tuple[str, ...], tuple[str, ...]] = {}
    for page in _pages(client, requests):
        for row in _ROWS.decode(page.body).value:
            named = {field: row.get(column) for field, column in zip(entity.match, query.columns, strict=True)}
            if None not in named.values():
                key = _key(entity, {field: str(value) for field, value in named.items()})
                found[key] = (*found.get(key, ()), str(row[query.primary_id]).lower())
    # What was asked for with and without blanks may come twice.
    return {key: tuple(dict.fromkeys(ids)) for key, ids in found.items()}


def _pages(client: DataverseClient, requests: Sequence[Request]) -> Iterator[Page]:
    """Read in a `$batch`, so that the values stand in a body and in no log of addresses."""
    for request, answer in zip(requests, client.batch(requests), strict=True):
        page = split_page(answer, 1)
        yield page
        if page.next_link is not None:
            yield from read_pages(client, request, resume_link=page.next_link, start_number=2)


def _key(entity: Entity, values: Mapping[str, str]) -> tuple[str, ...]:
    texts = (values[field] for field in entity.match)
    return tuple(
        text.strip().casefold() if entity.fields[field].type is FieldType.TEXT else text.lower()
        for field, text in zip(entity.match, texts, strict=True)
    )


def _chunks(values: Sequence[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    length = 0
    for value in values:
        size = len(quote(value)) + 10
        if chunk and length + size > _LONGEST:
            yield chunk
            chunk, length = [], 0
        chunk.append(value)
        length += size
    if chunk:
        yield chunk
