"""The life of a quarantined row: set aside, seen again, closed when the record comes through."""

import pyarrow as pa
import pytest
import sqlalchemy as sa

from dynamics_sync.store import quarantine
from dynamics_sync.store.deletions import Breaker, mark_absent, mark_deleted
from dynamics_sync.store.merge import RejectedRow
from dynamics_sync.store.schema import ensure_tables
from dynamics_sync.store.sync_tables import SYNC_QUARANTINE

BREAKER = Breaker(share=0.5, at_least=100)


def rows_in_quarantine(sandbox):
    return sandbox.query(sa.select(SYNC_QUARANTINE).order_by(SYNC_QUARANTINE.c.record_key))


def open_keys(sandbox):
    return quarantine.open_record_keys(sandbox.db, sandbox.entity)


def test_an_empty_database_has_no_open_rows(db, sample):
    assert quarantine.open_record_keys(db, sample) == []
    assert quarantine.counts(db, sample) == {}


def test_a_rejected_row_is_kept_with_its_reason_and_leaves_the_table_alone(sandbox, words):
    sandbox.load(sandbox.begin(), [words.row(1, 1, name="Ada")])
    run = sandbox.begin(minutes=5)
    sandbox.load(run, [], rejected=[words.rejected(1, version=2)])
    (row,) = rows_in_quarantine(sandbox)
    assert row == {
        "entity": "sample",
        "direction": "from_dynamics",
        "record_key": words.guid(1),
        "code": "DS-603",
        "column_name": "name",
        "reason": "21 characters, 20 fit",
        "payload": '{"name": "…"}',
        "dataverse_code": None,
        "crm_version": 2,
        "attempts": 1,
        "retry_at": None,
        "row_updated_at": None,
        "run_id": run.run_id,
        "first_seen_at": words.at(5),
        "last_seen_at": words.at(5),
        "resolved_at": None,
    }
    assert sandbox.held()[words.guid(1)]["name"] == "Ada"
    assert quarantine.counts(sandbox.db, sandbox.entity) == {"DS-603": 1}


def test_a_row_that_comes_through_is_closed_and_reopened_by_the_next_refusal(sandbox, words):
    sandbox.load(sandbox.begin(minutes=1), [], rejected=[words.rejected(1, version=2)])
    assert open_keys(sandbox) == [words.guid(1)]
    sandbox.load(sandbox.begin(minutes=2), [words.row(1, 2)])
    assert open_keys(sandbox) == []
    assert rows_in_quarantine(sandbox)[0]["resolved_at"] == words.at(2)

    sandbox.load(sandbox.begin(minutes=3), [], rejected=[words.rejected(1, version=3, code="DS-604")])
    (row,) = rows_in_quarantine(sandbox)
    assert (row["code"], row["resolved_at"]) == ("DS-604", None)
    assert (row["first_seen_at"], row["last_seen_at"]) == (words.at(1), words.at(3))


def test_a_row_that_is_closed_keeps_the_instant_at_which_it_was(sandbox, words):
    sandbox.load(sandbox.begin(minutes=1), [], rejected=[words.rejected(1, version=2)])
    for minutes in (2, 3):
        sandbox.load(sandbox.begin(minutes=minutes), [words.row(1, 2)])
    assert rows_in_quarantine(sandbox)[0]["resolved_at"] == words.at(2)


def test_an_older_row_does_not_close_a_newer_refusal(sandbox, words):
    sandbox.load(sandbox.begin(), [words.row(1, 1)], rejected=[words.rejected(1, version=2)])
    sandbox.load(sandbox.begin(), [words.row(1, 1)])
    assert open_keys(sandbox) == [words.guid(1)]


def test_a_refusal_that_comes_late_does_not_open_what_was_overtaken(sandbox, words):
    sandbox.load(sandbox.begin(), [words.row(1, 5)])
    sandbox.load(sandbox.begin(), [], rejected=[words.rejected(1, version=4)])
    assert open_keys(sandbox) == []


def test_of_two_refusals_the_newer_version_stands(sandbox, words):
    both = [words.rejected(1, version=7, code="DS-604"), words.rejected(1, version=6)]
    sandbox.load(sandbox.begin(), [], rejected=both)
    sandbox.load(sandbox.begin(), [], rejected=[words.rejected(1, version=5)])
    (row,) = rows_in_quarantine(sandbox)
    assert (row["code"], row["crm_version"]) == ("DS-604", 7)


def test_a_row_without_version_is_closed_by_any_that_comes_through(sandbox, words):
    sandbox.load(sandbox.begin(), [], rejected=[words.rejected(1, version=None, code="DS-606")])
    assert open_keys(sandbox) == [words.guid(1)]
    sandbox.load(sandbox.begin(), [words.row(1, 1)])
    assert open_keys(sandbox) == []


@pytest.mark.parametrize("key", [None, "not a GUID"])
def test_a_row_without_guid_is_kept_once_by_its_payload_and_cannot_be_replayed(sandbox, key):
    row = RejectedRow(key, "DS-601", None, "the key is null", '{"name": "Ada"}', 3)
    for _ in range(2):
        sandbox.load(sandbox.begin(), [], rejected=[row])
    (kept,) = rows_in_quarantine(sandbox)
    assert kept["record_key"].startswith("sha256:")
    assert open_keys(sandbox) == []
    assert quarantine.counts(sandbox.db, sandbox.entity) == {"DS-601": 1}


def test_a_row_without_guid_does_not_hinder_those_that_have_one(sandbox, words):
    rejected = [words.rejected(None), words.rejected(1)]
    sandbox.load(sandbox.begin(), [], rejected=rejected)
    sandbox.load(sandbox.begin(), [words.row(1, 1)])
    assert quarantine.counts(sandbox.db, sandbox.entity) == {"DS-603": 1}


def test_a_record_that_is_deleted_in_dynamics_is_closed(sandbox, words):
    sandbox.load(sandbox.begin(), [], rejected=[words.rejected(1), words.rejected(2), words.rejected(3)])
    deleted = pa.array([words.guid(1)])
    mark_deleted(sandbox.db, sandbox.entity, sandbox.begin(minutes=1), deleted, BREAKER, seen_at=words.at(1))
    assert open_keys(sandbox) == [words.guid(2), words.guid(3)]
    mark_absent(sandbox.db, sandbox.entity, sandbox.begin(minutes=2), [words.keys(3)], BREAKER, seen_at=words.at(2))
    assert open_keys(sandbox) == [words.guid(3)]


@pytest.mark.parametrize("way", ["feed", "keys"])
def test_a_record_that_was_refused_after_the_deletion_was_seen_stays_open(sandbox, words, way):
    delayed = sandbox.begin(minutes=1)
    sandbox.load(sandbox.begin(minutes=3), [], rejected=[words.rejected(1)])
    if way == "feed":
        named = pa.array([words.guid(1)])
        mark_deleted(sandbox.db, sandbox.entity, delayed, named, BREAKER, seen_at=words.at(2))
    else:
        mark_absent(sandbox.db, sandbox.entity, delayed, [words.keys(2)], BREAKER, seen_at=words.at(2))
    assert open_keys(sandbox) == [words.guid(1)]


def test_entities_have_their_own_quarantine(sandbox, words):
    other = words.entity("sample", entity="other", table="other")
    ensure_tables(sandbox.db, other)
    sandbox.load(sandbox.begin(), [], rejected=[words.rejected(1)])
    sandbox.load(sandbox.begin(entity=other), [words.row(1, 9)], entity=other)
    assert quarantine.counts(sandbox.db, other) == {}
    assert open_keys(sandbox) == [words.guid(1)]
