"""The organisation that the rows came from is recorded once, and compared ever after."""

import pytest
import sqlalchemy as sa

from dynamics_sync.errors import EnvironmentChanged
from dynamics_sync.store.environments import IDENTITY_FIELDS, check_environment
from dynamics_sync.store.sync_tables import SYNC_ENVIRONMENT

IDENTITY = {name: f"the {name}" for name in IDENTITY_FIELDS}


def recorded(db):
    with db.reading() as connection:
        return [dict(row) for row in connection.execute(sa.select(SYNC_ENVIRONMENT)).mappings()]


def test_the_first_run_records_it_and_the_same_passes(db, words):
    for _ in range(2):
        check_environment(db, IDENTITY)
    assert recorded(db) == [{**IDENTITY, "recorded_at": words.at(0)}]


@pytest.mark.parametrize("name", IDENTITY_FIELDS)
def test_each_difference_is_named_without_its_value(db, name):
    check_environment(db, IDENTITY)
    with pytest.raises(EnvironmentChanged, match=f"{name} differ") as raised:
        check_environment(db, {**IDENTITY, name: "another"})
    assert "another" not in str(raised.value).replace("another Dynamics organisation", "")
    assert recorded(db)[0][name] == IDENTITY[name]


def test_all_that_differ_are_named(db):
    check_environment(db, IDENTITY)
    with pytest.raises(EnvironmentChanged, match="organization_id, url_name differ"):
        check_environment(db, {**IDENTITY, "organization_id": "x", "url_name": "y"})


def test_a_field_that_dynamics_does_not_name_is_kept_as_empty(db):
    partial = {name: IDENTITY[name] for name in ("organization_id", "unique_name")}
    check_environment(db, partial)
    check_environment(db, partial)
    with pytest.raises(EnvironmentChanged, match="tenant_id differ"):
        check_environment(db, {**partial, "tenant_id": "appeared"})


def test_a_person_accepts_a_move_by_deleting_the_row(db):
    check_environment(db, IDENTITY)
    with db.writing() as connection:
        connection.execute(SYNC_ENVIRONMENT.delete())
    check_environment(db, {**IDENTITY, "organization_id": "new"})
    assert recorded(db)[0]["organization_id"] == "new"
