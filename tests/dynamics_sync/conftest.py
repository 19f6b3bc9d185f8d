"""One entity with a field of every type, its plan, and a few words to make pages of it."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from dynamics_sync.dataverse.metadata import ColumnMetadata, TableMetadata
from dynamics_sync.entity import Entity
from dynamics_sync.translation.fields import ReadPlan, plan_reading

#: Two options, and what the sample's fields are in Dynamics.
OPTIONS = {1: "One", 2: "Two"}
COLUMNS: Mapping[str, tuple[str, str | None]] = {
    "sampleid": ("Uniqueidentifier", None),
    "name": ("String", None),
    "count": ("Integer", None),
    "rate": ("Decimal", None),
    "price": ("Money", None),
    "score": ("Double", None),
    "active": ("Boolean", None),
    "seenon": ("DateTime", "UserLocal"),
    "born": ("DateTime", "DateOnly"),
    "other": ("Uniqueidentifier", None),
    "rating": ("Picklist", None),
    "interests": ("MultiSelectPicklist", None),
    "owner": ("Owner", None),
    "parent": ("Lookup", None),
}
FIELDS: Mapping[str, Mapping[str, Any]] = {
    "name": {"column": "name", "type": "text", "length": 10},
    "count": {"column": "count", "type": "integer"},
    "rate": {"column": "rate", "type": "decimal"},
    "price": {"column": "price", "type": "money"},
    "score": {"column": "score", "type": "float"},
    "active": {"column": "is_active", "type": "boolean"},
    "seenon": {"column": "seen_at", "type": "instant"},
    "born": {"column": "born_on", "type": "date"},
    "other": {"column": "other_id", "type": "guid"},
    "rating": {"column": "rating", "type": "option"},
    "interests": {"column": "interests", "type": "options"},
    "owner": {"column": "owner", "type": "lookup", "targets": ["systemuser", "team"], "name": True},
    "parent": {"column": "parent", "type": "lookup", "targets": ["sample"]},
    "absent": {"column": "absent", "type": "money", "optional": True},
}
LOOKUPS = frozenset({"Lookup", "Owner", "Customer"})


def make_entity(fields: Mapping[str, Mapping[str, Any]] = FIELDS, **words: Any) -> Entity:
    return Entity.model_validate(
        {
            "entity": "sample",
            "table": "sample",
            "title": "Samples",
            "key": {"name": "sampleid", "column": "sample_id"},
            "fields": fields,
            **words,
        }
    )


def make_metadata(columns: Mapping[str, tuple[str, str | None]] = COLUMNS) -> TableMetadata:
    return TableMetadata(
        name="sample",
        set_name="samples",
        primary_id="sampleid",
        primary_name="name",
        change_tracking=True,
        optimistic_concurrency=True,
        columns={
            name: ColumnMetadata(
                name,
                kind,
                f"_{name}_value" if kind in LOOKUPS else name,
                date_behavior=behavior,
                options=OPTIONS if "Picklist" in kind else None,
            )
            for name, (kind, behavior) in columns.items()
        },
    )


@pytest.fixture(scope="session", name="make_entity")
def _make_entity() -> Callable[..., Entity]:
    """Return a function from fields and other words of the catalogue to an entity."""
    return make_entity


@pytest.fixture(scope="session", name="make_metadata")
def _make_metadata() -> Callable[..., TableMetadata]:
    """Return a function from `{name: (attribute type, date behaviour)}` to a table's metadata."""
    return make_metadata


@pytest.fixture(scope="session")
def entity() -> Entity:
    """A field of every type."""
    return make_entity()


@pytest.fixture(scope="session")
def plan() -> ReadPlan:
    """How the sample is read."""
    return plan_reading(make_entity(), make_metadata())


@pytest.fixture(scope="session")
def page() -> Callable[[Sequence[Any]], bytes]:
    """Return a function from rows to the body that brings them."""
    return lambda rows: json.dumps({"@odata.context": "…", "value": rows}).encode()
