"""Change tracking: what is told, what is refused, and that the changes replayed are the table."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamics_emulator.testing import running_emulator
from dynamics_emulator.testing_client import Client, connect

TRACKED = "odata.track-changes"


def _apply(held: dict[str, str], page: dict[str, Any]) -> None:
    for entry in page["value"]:
        if entry.get("reason") == "deleted":
            held.pop(entry["id"], None)
        else:
            held[entry["leadid"]] = entry["lastname"]


def _follow(client: Client, link: str, held: dict[str, str], prefer: str | None) -> str:
    """Apply all pages and return the delta link of the last one; no earlier page may have one."""
    pages = client.pages(link, prefer=prefer)
    for page in pages:
        _apply(held, page)
    assert ["@odata.deltaLink" in page for page in pages] == [False] * (len(pages) - 1) + [True]
    found: str = pages[-1]["@odata.deltaLink"]
    return found


@pytest.fixture(scope="module")
def shared() -> Iterator[Client]:
    """One organisation for all examples of the property; each example starts with a full read of what is there."""
    with running_emulator() as emulator:
        client = connect(emulator)
        with client.session:
            yield client


EDITS = st.lists(
    st.one_of(
        st.tuples(st.just("create"), st.integers(0, 5)),
        st.tuples(st.just("update"), st.integers(0, 5)),
        st.tuples(st.just("delete"), st.integers(0, 5)),
        st.tuples(st.just("recreate"), st.integers(0, 5)),
        st.tuples(st.just("page"), st.integers(1, 3)),
    ),
    max_size=14,
)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(edits=EDITS, size=st.integers(1, 4))
def test_changes_replayed_are_the_table(shared: Client, edits: list[tuple[str, int]], size: int) -> None:
    prefer = f"{TRACKED},odata.maxpagesize={size}"
    held: dict[str, str] = {}
    link = _follow(shared, "leads?$select=lastname", held, prefer)
    for number, (kind, which) in enumerate(edits):
        if kind == "page":
            link = _follow(shared, link, held, f"odata.maxpagesize={which}")
        else:
            _edit(shared, kind, which, f"name {number}")

    _follow(shared, link, held, prefer)

    assert held == {row["leadid"]: row["lastname"] for row in shared.emulator.database.rows("lead")}


def _edit(client: Client, kind: str, which: int, name: str) -> None:
    identifier = f"leads(00000000-0000-4000-8000-00000000000{which})"
    if kind in ("delete", "recreate"):
        client.call("DELETE", identifier)
    if kind != "delete":
        client.call("PATCH", identifier, json={"lastname": name})


def test_rows_written_between_two_pages_come_with_the_next_delta(client: Client) -> None:
    addresses = [client.create("leads", lastname=str(number)) for number in range(6)]
    first = client.get("leads?$select=lastname", prefer=f"{TRACKED},odata.maxpagesize=3").json()
    held: dict[str, str] = {}
    _apply(held, first)
    for address in addresses:
        client.call("PATCH", address, json={"lastname": "changed"})
    client.create("leads", lastname="new")

    link = _follow(client, first["@odata.nextLink"], held, TRACKED)
    _follow(client, link, held, None)

    assert held == {row["leadid"]: row["lastname"] for row in client.emulator.database.rows("lead")}


def test_nothing_is_lost_while_several_clients_write(client: Client) -> None:
    def write(worker: int) -> None:
        writer = connect(client.emulator)
        for number in range(12):
            identifier = f"leads(00000000-0000-4000-8000-{worker:08d}{number % 5:04d})"
            if number % 4 == 3:
                writer.call("DELETE", identifier)
            else:
                writer.call("PATCH", identifier, json={"lastname": f"{worker} {number}"})
        writer.session.close()

    held: dict[str, str] = {}
    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(write, worker) for worker in range(4)]
        link = _follow(client, "leads?$select=lastname", held, f"{TRACKED},odata.maxpagesize=3")
        while not all(future.done() for future in running):
            link = _follow(client, link, held, "odata.maxpagesize=2")
    for future in running:
        future.result()

    _follow(client, link, held, None)

    assert held == {row["leadid"]: row["lastname"] for row in client.emulator.database.rows("lead")}


def test_shape_of_a_delta(client: Client) -> None:
    kept = client.create("leads", lastname="kept")
    gone = client.create("leads", lastname="gone")
    answer = client.get("leads?$select=lastname", prefer=TRACKED)
    link = answer.json()["@odata.deltaLink"]
    client.call("PATCH", kept, json={"subject": "an unselected column"})
    client.call("DELETE", gone)

    delta = client.get(link).json()

    assert answer.headers["Preference-Applied"] == TRACKED
    assert "/leads?$select=lastname&$deltatoken=" in link
    assert link.partition("$deltatoken=")[2].count("%2f") == 2
    assert delta["@odata.context"].endswith("/$metadata#leads(lastname)/$delta")
    changed, deleted = delta["value"]
    assert changed["lastname"] == "kept"
    assert deleted == {
        "@odata.context": f"{client.emulator.api}/$metadata#leads/$deletedEntity",
        "id": gone[-37:-1],
        "reason": "deleted",
    }


def test_no_change_is_an_empty_delta_with_a_new_link(client: Client) -> None:
    link = client.get("leads?$select=lastname", prefer=TRACKED).json()["@odata.deltaLink"]

    body = client.get(link).json()

    assert body["value"] == []
    assert body["@odata.deltaLink"]


def test_created_and_deleted_in_between_is_a_lone_delete(client: Client) -> None:
    link = client.get("leads?$select=lastname", prefer=TRACKED).json()["@odata.deltaLink"]
    client.call("DELETE", client.create("leads", lastname="brief"))

    [entry] = client.rows(link)

    assert entry["reason"] == "deleted"


def test_equal_values_still_count_as_a_change(client: Client) -> None:
    address = client.create("leads", lastname="same")
    link = client.get("leads?$select=lastname", prefer=TRACKED).json()["@odata.deltaLink"]
    client.call("PATCH", address, json={"lastname": "same"})

    assert len(client.rows(link)) == 1


def test_changes_come_in_the_order_of_their_version_then_deletes(client: Client) -> None:
    addresses = [client.create("leads", lastname=str(number)) for number in range(5)]
    link = client.get("leads?$select=lastname", prefer=TRACKED).json()["@odata.deltaLink"]
    client.call("DELETE", addresses[0])
    for address in (addresses[3], addresses[1], addresses[4]):
        client.call("PATCH", address, json={"lastname": "later"})

    entries = client.rows(link)

    assert [entry.get("leadid", entry.get("id")) for entry in entries] == [
        address[-37:-1] for address in (addresses[3], addresses[1], addresses[4], addresses[0])
    ]


def test_count_of_changes(client: Client) -> None:
    address = client.create("leads", lastname="one")
    link = client.get("leads?$select=lastname", prefer=TRACKED).json()["@odata.deltaLink"]
    client.create("leads", lastname="two")
    client.call("DELETE", address)

    assert client.get("leads/$count?$deltatoken=" + link.partition("$deltatoken=")[2]).text == "2"


@pytest.mark.parametrize(
    "option",
    [
        "$filter=statecode eq 0",
        "$orderby=lastname",
        "$expand=ownerid",
        "$top=5",
        "$count=true",
        "$apply=aggregate($count as n)",
    ],
)
def test_refused_options(client: Client, option: str) -> None:
    answer = client.get(f"leads?{option}", prefer=TRACKED)

    name = option.partition("=")[0]
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == (
        f'The "{name}" query parameter isn\'t supported when Change Tracking is enabled.'
    )


@pytest.mark.parametrize("set_name", ["connections", "teammemberships"])
def test_table_without_tracking(client: Client, set_name: str) -> None:
    assert client.error("GET", set_name, prefer=TRACKED) == (400, "0x80072491")


@pytest.mark.parametrize("side", ["team", "systemuser"])
def test_relationship_with_an_untracked_side(client: Client, side: str) -> None:
    client.emulator.control.set_tracking("teammembership", enabled=True)
    assert client.get("teammemberships", prefer=TRACKED).ok

    client.emulator.control.set_tracking(side, enabled=False)
    assert client.error("GET", "teammemberships", prefer=TRACKED) == (400, "0x80072492")
    assert client.error("GET", "teammemberships/$count?$deltatoken=1!01/01/2026 00:00:00") == (400, "0x80072492")


@pytest.mark.parametrize("option", ["$count=true", "$apply=aggregate($count as n)"])
def test_options_are_refused_with_a_token_too(client: Client, option: str) -> None:
    link = client.get("leads?$select=lastname", prefer=TRACKED).json()["@odata.deltaLink"]

    assert client.error("GET", f"{link}&{option}") == (400, "0x80060888")


def test_a_count_may_be_passed_over(client: Client) -> None:
    client.emulator.control.change_settings(tracked_count_refused=False)

    assert "@odata.count" not in client.get("leads?$count=true", prefer=TRACKED).json()


def test_token_expires_with_age(client: Client) -> None:
    link = client.get("leads?$select=lastname", prefer=TRACKED).json()["@odata.deltaLink"]
    client.emulator.control.change_settings(token_life_days=0.0001)
    client.emulator.control.advance_clock(60)

    assert client.error("GET", link) == (400, "0x80044352")


@pytest.mark.parametrize(("table", "expired"), [(None, True), ("lead", True), ("contact", False)])
def test_tokens_can_be_expired_on_demand(client: Client, table: str | None, *, expired: bool) -> None:
    link = client.get("leads?$select=lastname", prefer=TRACKED).json()["@odata.deltaLink"]
    client.emulator.control.expire_tracking(table)

    assert client.get(link).status_code == (400 if expired else 200)
    fresh = client.get("leads?$select=lastname", prefer=TRACKED).json()["@odata.deltaLink"]
    assert client.get(fresh).status_code == 200


def test_metadata_change_may_expire_tokens(client: Client) -> None:
    client.emulator.control.change_settings(metadata_change_expires_tokens=True, expired_token_status=410)
    link = client.get("leads?$select=lastname", prefer=TRACKED).json()["@odata.deltaLink"]
    client.emulator.control.drop_column("lead", "fax")

    assert client.error("GET", link) == (410, "0x80044352")


def test_bad_token(client: Client) -> None:
    assert client.error("GET", "leads?$deltatoken=1") == (400, "0x8006088a")
    assert client.error("GET", "leads?$deltatoken=1!99/99/2026 00:00:00") == (400, "0x8006088a")


def test_tracking_survives_a_restart(tmp_path: Any) -> None:
    with running_emulator(tmp_path) as emulator:
        client = connect(emulator)
        address = client.create("leads", lastname="before")
        token = client.get("leads?$select=lastname", prefer=TRACKED).json()["@odata.deltaLink"].partition("token=")[2]
        client.call("DELETE", address)
        client.session.close()
    with running_emulator(tmp_path) as emulator:
        client = connect(emulator)

        [entry] = client.rows(f"leads?$select=lastname&$deltatoken={token}")
        assert entry["reason"] == "deleted"
        client.session.close()


def test_rows_made_after_a_restart_have_ids_of_their_own(tmp_path: Any) -> None:
    made = []
    for _ in range(3):
        with running_emulator(tmp_path) as emulator:
            client = connect(emulator)
            made += [client.create("leads", lastname="Lee").rpartition("/")[2] for _ in range(3)]
            client.session.close()
    assert len(set(made)) == 9
