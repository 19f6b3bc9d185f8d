"""The pages of a filtered read: their keys are kept between pages, and never when something was written since."""

import threading

from dynamics_emulator.storage.sorted_keys import SortedKeys
from dynamics_emulator.testing_client import Client

_PAGES = "odata.maxpagesize=2"


def _key(number: int) -> str:
    return f"{number:08d}-0000-4000-8000-000000000000"


def _names(page: dict[str, object]) -> list[str]:
    rows = page["value"]
    assert isinstance(rows, list)
    return [row["lastname"] for row in rows]


def test_what_is_written_between_two_pages_shows_on_the_next(client: Client) -> None:
    for number in (1, 2, 4, 5, 6, 8):
        client.create("leads", leadid=_key(number), lastname=f"n{number}", jobtitle="kept")
    page = client.get("leads?$select=lastname&$filter=jobtitle eq 'kept'", prefer=_PAGES).json()
    assert _names(page) == ["n1", "n2"]

    client.create("leads", leadid=_key(3), lastname="n3", jobtitle="kept")
    client.call("PATCH", f"leads({_key(4)})", json={"jobtitle": "other"})
    client.call("DELETE", f"leads({_key(5)})")
    page = client.get(page["@odata.nextLink"], prefer=_PAGES).json()
    assert _names(page) == ["n3", "n6"]
    page = client.get(page["@odata.nextLink"], prefer=_PAGES).json()
    assert _names(page) == ["n8"]
    assert "@odata.nextLink" not in page


def test_keys_are_found_once_for_all_pages_and_anew_for_another_state() -> None:
    kept, searches = SortedKeys(), []

    def find(most: int) -> list[str]:
        searches.append(most)
        return [_key(number) for number in range(10)]

    assert kept.after("state 1", None, 4, find) == [_key(number) for number in range(5)]
    assert kept.after("state 1", _key(3), 4, find) == [_key(number) for number in range(4, 9)]
    assert kept.after("state 1", _key(7), 4, find) == [_key(8), _key(9)]
    assert len(searches) == 1
    kept.after("state 2", None, 4, find)
    assert len(searches) == 2


def test_no_more_keys_are_kept_than_memory_allows() -> None:
    kept = SortedKeys()
    assert kept.after("all", None, 5, lambda most: [_key(number) for number in range(most)]) is None

    def several() -> None:
        for number in range(200):
            assert kept.after(number, None, 1, lambda _: [_key(1), _key(2), _key(3)]) == [_key(1), _key(2)]

    threads = [threading.Thread(target=several) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(kept) <= 16
