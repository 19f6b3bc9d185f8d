"""The feed: ids, versions and deletions, and the link for the next time."""

import json
from urllib.parse import unquote

import pytest

from dynamics_sync import errors
from dynamics_sync.dataverse.feed import FeedPage, read_keys, read_tracked
from dynamics_sync.dataverse.metadata import ColumnMetadata, TableMetadata

ROOT = "https://acme.crm4.dynamics.com/api/data/v9.2/"
DELETED = {"@odata.context": ROOT + "$metadata#leads/$deletedEntity", "id": "DD", "reason": "deleted"}


def table(*columns: str, change_tracking: bool = True) -> TableMetadata:
    found = {name: ColumnMetadata(name, "BigInt", name) for name in columns}
    return TableMetadata("lead", "leads", "leadid", "fullname", change_tracking, True, found)


LEAD = table("leadid", "versionnumber")


def row(key: str | None, version: int | None) -> dict:
    return {"@odata.etag": f'W/"{version}"', "leadid": key, "versionnumber": version, "lastname": "Okafor"}


def test_the_first_read_is_tracked_and_narrow(rig, reply) -> None:
    made = rig([
        reply(body={"value": [row("AA", 5)], "@odata.nextLink": ROOT + "leads?p=2"}),
        reply(body={"value": [row("bb", 6)], "@odata.deltaLink": ROOT + "leads?d=1"}),
    ])  # fmt: skip
    feed = read_tracked(made.client, LEAD, page_size=1)
    assert list(feed.pages()) == [
        FeedPage(["aa"], [5], [], next_link=ROOT + "leads?p=2"),
        FeedPage(["bb"], [6], [], delta_link=ROOT + "leads?d=1"),
    ]
    assert made.paths[0] == "leads?$select=leadid,versionnumber"
    assert {request.headers["Prefer"] for request in made.wire.asked} == {"odata.track-changes,odata.maxpagesize=1"}


def test_a_delta_brings_changes_and_deletions(rig, reply) -> None:
    made = rig([reply(body={"value": [row("aa", 7), DELETED], "@odata.deltaLink": ROOT + "leads?d=2"})])
    feed = read_tracked(made.client, LEAD, ROOT + "leads?$deltatoken=1%21x")
    assert list(feed.pages()) == [FeedPage(["aa"], [7], ["dd"], delta_link=ROOT + "leads?d=2")]
    assert made.paths == ["leads?$deltatoken=1%21x"]


def test_no_change_is_an_empty_page_and_a_new_link(rig, reply) -> None:
    feed = read_tracked(rig([reply(body={"value": [], "@odata.deltaLink": ROOT + "d"})]).client, LEAD, ROOT + "c")
    assert list(feed.pages()) == [FeedPage([], [], [], delta_link=ROOT + "d")]


def test_a_value_that_looks_like_a_deletion_is_none(rig, reply) -> None:
    odd = row("aa", 7) | {"reason": "deleted", "description": json.dumps(DELETED)}
    made = rig([reply(body={"value": [odd], "@odata.deltaLink": ROOT + "d"})])
    assert list(read_tracked(made.client, LEAD).pages()) == [FeedPage(["aa"], [7], [], delta_link=ROOT + "d")]


def test_rows_without_key_or_version_are_not_lost_in_silence(rig, reply) -> None:
    made = rig([reply(body={"value": [row(None, 7), row("bb", None)], "@odata.deltaLink": ROOT + "d"})])
    assert list(read_tracked(made.client, LEAD).pages()) == [
        FeedPage(["bb"], [None], [], without_key=1, delta_link=ROOT + "d")
    ]


def test_a_feed_is_read_on_from_a_link(rig, reply) -> None:
    made = rig([reply(body={"value": [row("bb", 6)], "@odata.deltaLink": ROOT + "d"})])
    feed = read_tracked(made.client, LEAD, page_size=1)
    (page,) = feed.pages(resume_link=ROOT + "leads?p=2")
    assert (page.ids, page.delta_link) == (["bb"], ROOT + "d")
    assert made.paths == ["leads?p=2"]


def test_a_tracked_read_without_a_link_at_its_end_is_no_feed(rig, reply) -> None:
    with pytest.raises(errors.IncompleteAnswer, match="delta link"):
        list(read_tracked(rig([reply(body={"value": [row("aa", 1)]})]).client, LEAD).pages())


def test_an_untracked_table_is_refused_before_anything_is_sent(rig) -> None:
    made = rig([])
    with pytest.raises(errors.ChangeTrackingOff, match="lead"):
        read_tracked(made.client, table("leadid", change_tracking=False))
    assert made.wire.asked == []


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (400, "0x80044352", errors.ChangeTrackingExpired),
        (410, "0x80044352", errors.ChangeTrackingExpired),
        (400, "0x80072491", errors.ChangeTrackingOff),
        (500, "0x80072492", errors.ChangeTrackingOff),
        (403, "0x80040220", errors.PrivilegeMissing),
    ],
)
def test_what_dynamics_refuses(rig, refused, status, code, expected) -> None:
    with pytest.raises(expected):
        list(read_tracked(rig([refused(status, code)]).client, LEAD, ROOT + "leads?$deltatoken=1").pages())


def test_keys_can_be_read_without_tracking_and_with_a_filter(rig, reply) -> None:
    made = rig([reply(body={"value": [row("aa", 1)]})])
    feed = read_keys(made.client, table("leadid"), filter="modifiedon ge 2026-03-01T00:00:00Z", page_size=7)
    assert list(feed.pages()) == [FeedPage(["aa"], [1], [])]
    assert unquote(made.paths[0]) == "leads?$select=leadid&$filter=modifiedon ge 2026-03-01T00:00:00Z"
    assert made.wire.asked[0].headers["Prefer"] == "odata.maxpagesize=7"


@pytest.mark.parametrize("value", [[{"leadid": 7}], [{"leadid": "aa", "versionnumber": "x"}], [7]])
def test_rows_of_another_shape_are_unexpected(rig, reply, value) -> None:
    with pytest.raises(errors.UnexpectedAnswer):
        list(read_keys(rig([reply(body={"value": value})]).client, LEAD).pages())
