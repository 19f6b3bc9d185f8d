"""One contract for every place that staging can be: a local folder, and Airflow's object storage, S3 among it."""

import json
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest.mock import ANY
from uuid import uuid4

import pyarrow as pa
import pytest
from airflow.sdk import ObjectStoragePath
from airflow.sdk.io import attach
from fsspec.implementations.memory import MemoryFileSystem
from s3fs import S3FileSystem

from dynamics_sync.errors import StagedFileDamaged, StagingGone
from dynamics_sync.forward.attempt import new_run
from dynamics_sync.staging import StagingFolder, StagingPath, remove_old_runs, remove_tree

TABLE = pa.table(
    {
        "id": ["a", None],
        "price": pa.array([None, 1], pa.decimal128(19, 4)),
        "at": pa.array([datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)], pa.timestamp("us", "UTC")),
    }
)
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


@pytest.fixture(params=["pathlib", "file", "memory", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StagingPath]:
    """A place for staging that does not exist yet, once of each kind."""
    match request.param:
        case "s3":
            attach("s3", fs=S3FileSystem())
            # The store keeps what earlier tests wrote.
            yield ObjectStoragePath(f"{request.getfixturevalue('s3_bucket')}/{uuid4().hex}/staging")
        case "pathlib":
            yield tmp_path / "staging"
        case "file":
            yield ObjectStoragePath(f"file://{tmp_path}/staging")
        case _:
            attach("memory", fs=MemoryFileSystem())
            place = ObjectStoragePath(f"memory://{uuid4().hex}/staging")
            yield place
            # What is in memory is shared by the whole process.
            remove_tree(place)


@pytest.fixture
def folder(root: StagingPath) -> StagingFolder:
    return StagingFolder(root / "lead" / "20260301T120000000000-0123abcd")


def test_a_table_comes_back_as_it_was(folder: StagingFolder) -> None:
    folder.write_table("slice-0001/page-00001.arrow", TABLE)
    read = folder.read_table("slice-0001/page-00001.arrow")
    assert read.schema == TABLE.schema
    assert read.equals(TABLE)


def test_a_table_without_rows_keeps_its_columns(folder: StagingFolder) -> None:
    folder.write_table("rows.arrow", TABLE.schema.empty_table())
    assert folder.read_table("rows.arrow").schema == TABLE.schema


def test_json_comes_back_as_it_was(folder: StagingFolder) -> None:
    value = {"pages": 3, "text": "Zoë 😀\x00", "list": [None, 1.5, {"a": True}], "2": []}
    folder.write_json("slice-0001/extract.json", value)
    assert folder.read_json("slice-0001/extract.json") == value


def test_a_second_write_replaces_the_first(folder: StagingFolder) -> None:
    folder.write_json("begin.json", {"long": "x" * 10_000})
    folder.write_json("begin.json", {})
    assert folder.read_json("begin.json") == {}
    folder.write_table("rows.arrow", TABLE)
    folder.write_table("rows.arrow", TABLE.slice(0, 1))
    assert folder.read_table("rows.arrow").num_rows == 1


def test_what_a_killed_task_left_half_written_is_written_again(folder: StagingFolder) -> None:
    folder.write_table("rows.arrow", TABLE)
    with (folder.path / "rows.arrow").open("rb") as file:
        half = file.read()[:100]
    with (folder.path / "rows.arrow").open("wb") as file:
        file.write(half)
    folder.write_table("rows.arrow", TABLE)
    assert folder.read_table("rows.arrow").equals(TABLE)


def test_what_is_not_there_is_an_error_with_a_next_step(folder: StagingFolder) -> None:
    reads: tuple[Callable[[str], object], ...] = (folder.read_json, folder.read_table)
    for read in reads:
        with pytest.raises(StagingGone) as caught:
            read("slice-0001/rows.arrow")
        text = str(caught.value)
        assert "slice-0001/rows.arrow" in text
        assert str(folder.path) in text
        assert "Clear the run from its task begin" in text
        # Another machine's folder is the usual cause, where staging is a folder.
        is_folder = getattr(folder.path, "protocol", "file") == "file"
        assert ("set `staging` in the Variable dynamics_sync to an object store" in text) == is_folder


@pytest.mark.parametrize("name", ["rows.arrow", "rows.json"])
def test_a_file_that_is_cut_anywhere_is_an_error_that_is_tried_again(tmp_path: Path, name: str) -> None:
    folder = StagingFolder(tmp_path)
    folder.write_table("rows.arrow", TABLE)
    folder.write_json("rows.json", {"rejected": [{"payload": "confidential"}]})
    whole = (tmp_path / name).read_bytes()
    read: Callable[[str], object] = folder.read_json if name.endswith(".json") else folder.read_table
    for length in range(len(whole)):
        (tmp_path / name).write_bytes(whole[:length])
        with pytest.raises(StagedFileDamaged, match=f"staged file {name} .* is not whole") as caught:
            read(name)
        assert "confidential" not in "".join(traceback.format_exception(caught.value))
    assert folder.read_json_if_whole("rows.json") == (None if name == "rows.json" else {"rejected": [ANY]})


def test_a_file_of_which_a_part_never_reached_the_disk_ends_no_process(tmp_path: Path) -> None:
    """What a power loss leaves: the right length, and zeros where a block is missing."""
    folder = StagingFolder(tmp_path)
    table = pa.table({"text": [f"text {n}" for n in range(200)], "number": list(range(200))})
    folder.write_table("rows.arrow", table)
    whole = (tmp_path / "rows.arrow").read_bytes()
    damaged = 0
    for start in range(0, len(whole), 64):
        (tmp_path / "rows.arrow").write_bytes(
            whole[:start] + bytes(len(whole[start : start + 64])) + whole[start + 64 :]
        )
        try:
            folder.read_table("rows.arrow")
        except StagedFileDamaged:
            damaged += 1
    assert damaged > len(whole) / 64 / 2


def test_a_task_on_another_machine_is_seen_by_all_at_once(root: StagingPath, folder: StagingFolder) -> None:
    """Each task opens staging anew: what it lists, finds or misses must not be what an earlier look left in a cache."""
    assert not folder.exists("begin.json")
    folder.write_json("slice-0001/extract.json", {})
    list(folder.path.iterdir())
    other = StagingFolder(type(root)(str(root)) / "lead" / folder.path.name)
    other.write_json("begin.json", {"run": 1})
    assert folder.exists("begin.json")
    assert {path.name for path in folder.path.iterdir()} == {"begin.json", "slice-0001"}
    other.remove_file("begin.json")
    assert not folder.exists("begin.json")


def test_exists_says_what_was_written(folder: StagingFolder) -> None:
    assert not folder.exists("deleted.arrow")
    folder.write_table("deleted.arrow", TABLE)
    assert folder.exists("deleted.arrow")
    assert not folder.exists("keys.arrow")


def test_remove_takes_all_of_the_run_and_nothing_else(root: StagingPath, folder: StagingFolder) -> None:
    other = StagingFolder(root / "lead" / "20260301T130000000000-0123abcd")
    for one in (folder, other):
        one.write_json("begin.json", {})
        one.write_table("slice-0001/page-00001.arrow", TABLE)
    folder.remove()
    assert not folder.path.exists()
    assert not folder.exists("begin.json")
    assert other.read_table("slice-0001/page-00001.arrow").equals(TABLE)
    folder.remove()


def test_an_object_store_is_asked_once_to_remove_many_files(s3_bucket: str) -> None:
    """One request for each file took a run of a million rows a minute at its end."""
    attach("s3", fs=S3FileSystem())
    folder = StagingFolder(ObjectStoragePath(f"{s3_bucket}/{uuid4().hex}/lead/run"))
    for number in range(12):
        folder.write_json(f"slice-{number:04}/extract.json", {})
    sent: list[str] = []
    folder.path.fs.s3.meta.events.register("before-send.s3", lambda request, **_: sent.append(request.method))
    folder.remove()
    assert not folder.path.exists()
    # It may be listed more than once; what counts is that requests do not grow with the files.
    assert 0 < len(sent) < 8, sent


def stage(root: StagingPath, entity: str, begun_at: datetime) -> StagingFolder:
    """Stage something for a run that began then, under the name that begin gives it."""
    folder = StagingFolder(root / entity / new_run(entity, "run", begun_at).run_key)
    folder.write_json("slice-0001/extract.json", {})
    return folder


def test_only_old_runs_are_removed(root: StagingPath) -> None:
    ages = [timedelta(days=30), timedelta(days=7, seconds=1), timedelta(days=7, seconds=-1), timedelta(0)]
    folders = [stage(root, entity, NOW - age) for age in ages for entity in ("lead", "contact")]
    assert remove_old_runs(root, days=7, now=NOW) == 4
    assert [folder.exists("slice-0001/extract.json") for folder in folders] == [False] * 4 + [True] * 4
    assert remove_old_runs(root, days=7, now=NOW) == 0


def test_what_is_not_a_run_of_ours_stays(root: StagingPath) -> None:
    foreign = StagingFolder(root / "lead" / "somebody's folder")
    foreign.write_json("mine.json", {})
    early = StagingFolder(root / "20200101")
    early.write_json("mine.json", {})
    with (root / "note.txt").open("wb") as file:
        file.write(b"x")
    assert remove_old_runs(root, days=1, now=NOW) == 0
    assert foreign.exists("mine.json")
    assert early.exists("mine.json")
    assert (root / "note.txt").exists()


def test_nothing_staged_yet_is_nothing_to_remove(root: StagingPath) -> None:
    assert remove_old_runs(root, days=1, now=NOW) == 0


def test_a_run_that_began_in_another_zone_is_as_old_as_it_is(root: StagingPath) -> None:
    begun_at = datetime.fromisoformat("2026-03-10T20:00:00+14:00")  # 06:00 in UTC
    folder = stage(root, "lead", begun_at)
    assert remove_old_runs(root, days=1, now=begun_at + timedelta(hours=23)) == 0
    assert folder.exists("slice-0001/extract.json")
    assert remove_old_runs(root, days=1, now=begun_at + timedelta(hours=25)) == 1


def test_json_is_written_as_text_that_others_can_read(tmp_path: Path) -> None:
    StagingFolder(tmp_path).write_json("begin.json", {"name": "Zoë"})
    assert json.loads((tmp_path / "begin.json").read_text()) == {"name": "Zoë"}


class KeyOnlyPath:
    """A path of a store that knows only files, as S3 does: a folder is there while a name begins with it."""

    def __init__(self, files: dict[str, bytes], key: str) -> None:
        self.files, self.key = files, key

    @property
    def name(self) -> str:
        return self.key.rpartition("/")[2]

    def __truediv__(self, name: str) -> "KeyOnlyPath":
        return KeyOnlyPath(self.files, f"{self.key}/{name}")

    def is_dir(self) -> bool:
        return any(key.startswith(f"{self.key}/") for key in self.files)

    def exists(self) -> bool:
        return self.key in self.files or self.is_dir()

    def iterdir(self) -> Iterator["KeyOnlyPath"]:
        inner = (key[len(self.key) + 1 :] for key in self.files if key.startswith(f"{self.key}/"))
        return iter([self / name for name in sorted({rest.partition("/")[0] for rest in inner})])

    def unlink(self) -> None:
        del self.files[self.key]

    def rmdir(self) -> None:
        # s3fs looks for the folder, finds nothing, and says so.
        raise NotADirectoryError(self.key)


def test_removal_needs_no_folders() -> None:
    kept = {"sync/contact/run/begin.json": b"{}"}
    files = {"sync/lead/run/begin.json": b"{}", "sync/lead/run/slice-0001/page-00001.arrow": b"rows", **kept}
    remove_tree(KeyOnlyPath(files, "sync/lead/run"))
    assert files == kept
