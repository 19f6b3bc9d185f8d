"""The lead that docs/two-way.md follows from beginning to end: each table of the page is what the databases hold."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from dynamics_sync.catalogue import load_catalogue
from dynamics_sync.dataverse.client import Request
from dynamics_sync.entity import Entity, Winner
from dynamics_sync.store import plan
from dynamics_sync.translation.payload import Change, payload_of

#: The fields of the example whose column has another name in Dynamics.
_NAMES = {
    "last_name": "lastname",
    "rating_code": "leadqualitycode",
    "topic": "subject",
    "company": "companyname",
    "job_title": "jobtitle",
}


@pytest.fixture(scope="module")
def page(papers: Any) -> Any:
    return papers["docs/two-way.md"]


@pytest.fixture(scope="module")
def lead() -> Entity:
    return load_catalogue().entity("lead")


def test_the_example_is_what_happens(page: Any, lead: Entity, sync: Any) -> None:
    sides = {
        row[0].strip("`"): row[1:4] for row in page.table("column", "`lead_base`", "`lead`", "Dynamics", "what this is")
    }
    before = {column: values[0] for column, values in sides.items()}
    key = sync.create("leads", firstname="Ann", emailaddress1="ann.lee@example.com", **_in_dynamics(before))
    for _ in range(2):
        sync.run(lead)
    assert _row(sync, "lead", sides) == before
    versions = [_version(sync)]

    sync.sql(page.blocks("sql")[0])
    theirs = {column: values[2] for column, values in sides.items() if values[2] != values[0]}
    body = json.dumps(_in_dynamics(theirs)).encode()
    sync.client().send(Request(f"leads({key})", method="PATCH", headers={"If-Match": "*"}, body=body))
    assert _row(sync, "lead_base", sides) == before
    assert _row(sync, "lead", sides) == {column: values[1] for column, values in sides.items()}

    sync.run(lead)
    versions.append(_version(sync))
    merged = page.table("column", "`lead_base`, afterwards", "`lead`, afterwards")
    assert _row(sync, "lead_base", sides) == {row[0].strip("`"): row[1] for row in merged}
    assert _row(sync, "lead", sides) == {row[0].strip("`"): row[2] for row in merged}
    assert _shown(sync, page, "sync_conflict", "column_name", "base", "ours", "theirs", "rule", "outcome")

    assert sync.reverse([lead])["lead"]["updated"] == 1
    versions.append(_version(sync))
    shown = dict(zip(map(str, versions), ("5001", "5002", "5003"), strict=True))
    columns = ("column_name", "operation", "old_value", "new_value", "rule", "crm_version")
    assert _shown(sync, page, "sync_plan", *columns, shown=shown)
    planned = sync.sql("SELECT field, new_value FROM sync_plan")
    changes = [Change(row["field"], row["new_value"]) for row in planned]
    (call,) = page.blocks("http")
    assert json.loads(call.splitlines()[-1]) == payload_of(lead, changes, None)  # type: ignore[arg-type] # no lookups

    (row,) = sync.sql("SELECT * FROM lead")
    assert (row["full_name"], row["rating_label"]) == ("Ann Lee-Olsen", "Hot")
    columns = ("column_name", "old_value", "new_value", "side", "rule", "crm_version")
    assert _shown(sync, page, "sync_history", *columns, shown=shown)
    assert _row(sync, "lead", sides) == _row(sync, "lead_base", sides)
    assert sync.reverse([lead], mode="full")["lead"]["read"] == 0


def test_a_row_that_was_deleted_here_comes_back_as_the_page_says(page: Any, lead: Entity, sync: Any) -> None:
    key = sync.create("leads", lastname="Lee", jobtitle="Buyer")
    for _ in range(2):
        sync.run(lead)
    sync.sql("DELETE FROM lead")
    (statement,) = [block for block in page.blocks("sql") if block.startswith("DELETE FROM lead_base")]
    shown = statement.split("'")[1]
    sync.sql(statement.replace(shown, key))
    assert sync.reverse([lead], mode="full")["lead"]["read"] == 0
    sync.run(lead, mode="ids", ids=key)
    assert [row["job_title"] for row in sync.rows(lead, order="lead_id")] == ["Buyer"]
    assert sync.reverse([lead], mode="full")["lead"]["read"] == 0


def test_refused_records_are_replayed_as_the_page_says(page: Any, lead: Entity, sync: Any) -> None:
    sync.create("leads", lastname="Lee")
    for _ in range(2):
        sync.run(lead)
    sync.sql("UPDATE lead SET owner_type = NULL")
    assert sync.reverse([lead])["lead"]["rejected"] == 1
    assert sync.reverse([lead])["lead"]["read"] == 0
    (statement,) = [block for block in page.blocks("sql") if block.startswith("UPDATE sync_quarantine")]
    sync.sql(statement.replace("DS-204", "DS-607"))
    assert sync.reverse([lead])["lead"]["rejected"] == 1


def test_rules_and_operations_are_all_there(page: Any) -> None:
    assert {row[0].strip("`") for row in page.table("rule", "whose value stands")} == set(Winner)
    named = {word for row in page.table("operation", "what it does") for word in row[0].replace("`", "").split(", ")}
    assert named == {*plan.LOCAL_OPERATIONS, plan.CREATE, plan.UPDATE, plan.DEACTIVATE, plan.DELETE}


def _in_dynamics(values: Mapping[str, str]) -> dict[str, Any]:
    """The values as Dynamics takes them; the full name is its own."""
    return {
        _NAMES[column]: int(text) if text.isdigit() else text for column, text in values.items() if column in _NAMES
    }


def _row(sync: Any, table: str, columns: Any) -> dict[str, str]:
    """The one row of a table, in the columns of the example."""
    (row,) = sync.sql(f"SELECT * FROM {table}")
    return {column: str(row[column]) for column in columns}


def _version(sync: Any) -> int:
    (row,) = sync.sql("SELECT crm_version FROM lead")
    return int(row["crm_version"])


def _shown(sync: Any, page: Any, table: str, *columns: str, shown: Mapping[str, str] | None = None) -> bool:
    """Whether the page shows the rows of a table, with versions of its own."""
    held = sync.sql(f"SELECT {', '.join(columns)} FROM {table} WHERE column_name <> 'modified_at'")
    there = [tuple((shown or {}).get(str(value), str(value)) for value in row.values()) for row in held]
    return sorted(there) == sorted(tuple(cell.strip("`") for cell in row) for row in page.table(*columns))
