"""What Dynamics holds comes over, and then only what changed."""

from typing import Any


def test_first_copy_and_changes(sync: Any) -> None:
    ids = [sync.create("leads", lastname=f"Lee {n}", firstname="Ann") for n in range(5)]
    first = sync.run("lead")
    assert (first["state"], first["read_rows"], first["inserted"]) == ("success", 5, 5)
    assert {key: row["last_name"] for key, row in sync.rows("lead").items()} == {
        key: f"Lee {n}" for n, key in enumerate(ids)
    }
    sync.api("PATCH", f"leads({ids[0]})", {"lastname": "Okafor"}, **{"If-Match": "*"})
    sync.api("DELETE", f"leads({ids[1]})")
    added = sync.create("leads", lastname="New")
    second = sync.run("lead")
    assert [second[name] for name in ("read_rows", "inserted", "updated", "unchanged", "deleted")] == [2, 1, 1, 0, 1]
    assert sync.rows("lead")[ids[0]]["last_name"] == "Okafor"
    assert set(sync.living("lead")) == {ids[0], *ids[2:], added}
    third = sync.run("lead")
    assert (third["read_rows"], third["deleted"]) == (0, 0)
