"""Staging: where rows travel from task to task, as Arrow files, in a folder or an object store that all workers reach.

A run has one folder, `<staging>/<entity>/<run key>/`. Files are written once by one task and read by the next; a file
that a killed task left half-written is written again under the same name before anybody reads it.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import IO, Any, Protocol, Self

import pyarrow as pa
from pyarrow import ipc

from dynamics_sync.errors import StagedFileDamaged, StagingGone

#: A run's folder begins with the instant at which the run began; see `new_run`.
_RUN_FOLDER = re.compile(r"\d{8}T\d{12}-[0-9a-f]{8}")

#: A third of the bytes for a few milliseconds a page; Parquet halves them again, and takes several times as long.
_COMPRESSED = ipc.IpcWriteOptions(compression="lz4")

_NOTHING_WRITTEN = "Nothing was written by this task"


class StagingPath(Protocol):
    """What `pathlib.Path` and Airflow's `ObjectStoragePath` have in common, as far as it is needed here."""

    @property
    def name(self) -> str: ...

    def __truediv__(self, name: str) -> Self: ...

    def open(self, mode: str) -> IO[Any]: ...

    def exists(self) -> bool: ...

    def iterdir(self) -> Iterator[Self]: ...

    def is_dir(self) -> bool: ...

    def unlink(self) -> None: ...

    def rmdir(self) -> None: ...

    def mkdir(self, *, parents: bool, exist_ok: bool) -> None: ...


@dataclass(frozen=True, slots=True)
class StagingFolder:
    """The folder of one run."""

    path: StagingPath

    def write_json(self, name: str, value: Any) -> None:
        """Write a small JSON document."""
        with self._create(name) as file:
            file.write(json.dumps(value, default=str).encode())

    def write_json_with_items(self, name: str, head: Mapping[str, Any], word: str, items: Iterable[Any]) -> None:
        """Write a JSON object that ends in a list, which may be long: one item a line, none of them kept in memory."""
        with self._create(name) as file:
            file.write(json.dumps(head, default=str)[:-1].encode())
            file.write(f', "{word}": ['.encode())
            for number, item in enumerate(items):
                file.write((",\n" if number else "\n").encode() + json.dumps(item, default=str).encode())
            file.write(b"\n]}\n")

    def read_json(self, name: str) -> Any:
        """Read a JSON document; StagingGone if it is not there, StagedFileDamaged if it is not whole."""
        content = self._read(name)
        try:
            return json.loads(content)
        except ValueError:
            # The parser's own error holds the document, and with it values of rows.
            raise self._damaged(name) from None

    def read_json_if_whole(self, name: str) -> Any | None:
        """Read a JSON document; None if it is not there, or if whoever wrote it was killed over it."""
        try:
            return self.read_json(name)
        except (StagingGone, StagedFileDamaged):
            return None

    def write_table(self, name: str, table: pa.Table) -> None:
        """Write a table as an Arrow file. It is a page, so that its bytes are put together in memory first."""
        content = pa.BufferOutputStream()
        with ipc.new_file(content, table.schema, options=_COMPRESSED) as writer:
            writer.write_table(table)
        with self._create(name) as file:
            file.write(memoryview(content.getvalue()))

    def read_table(self, name: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Read an Arrow file, or only those of its columns; StagingGone and StagedFileDamaged as for `read_json`."""
        content = pa.BufferReader(self._read(name))
        try:
            reader = ipc.open_file(content)
            if columns is not None:
                wanted = [reader.schema.get_field_index(column) for column in columns]
                reader = ipc.open_file(content, options=ipc.IpcReadOptions(included_fields=wanted))
            table = reader.read_all()
            table.validate()
        except (pa.ArrowException, OSError):
            raise self._damaged(name) from None
        return table

    def exists(self, name: str) -> bool:
        """Say whether a file of that name was written."""
        return self._at(name).exists()

    def remove_file(self, name: str) -> None:
        """Remove one file; one that is not there is no error."""
        path = self._at(name)
        if path.exists():
            path.unlink()

    def remove(self) -> None:
        """Remove the folder with all that is in it; staged rows are personal data."""
        remove_tree(self.path)

    def _at(self, name: str) -> StagingPath:
        path = self.path
        for part in name.split("/"):
            path = path / part
        return path

    def _damaged(self, name: str) -> StagedFileDamaged:
        message = f"the staged file {name} of this run in {self.path} is not whole"
        return StagedFileDamaged(message, not_done=_NOTHING_WRITTEN)

    @contextmanager
    def _create(self, name: str) -> Iterator[IO[Any]]:
        parent = self.path
        *folders, _ = name.split("/")
        for folder in folders:
            parent = parent / folder
        parent.mkdir(parents=True, exist_ok=True)
        with self._at(name).open("wb") as file:
            yield file

    def _read(self, name: str) -> bytes:
        try:
            with self._at(name).open("rb") as file:
                content: bytes = file.read()
        except FileNotFoundError:
            message = f"the staged file {name} of this run is not in {self.path}"
            next_step = StagingGone.next_step
            if getattr(self.path, "protocol", "file") == "file":
                next_step += (
                    "; with workers on several machines first set `staging` in the Variable dynamics_sync to an object "
                    "store that all of them reach, as this folder is looked for on the machine of each task"
                )
            raise StagingGone(message, not_done=_NOTHING_WRITTEN, next_step=next_step) from None
        return content


def remove_tree(path: StagingPath) -> None:
    """Remove a folder and what is in it; a folder that is not there is no error."""
    if not path.exists():
        return
    place: Any = path
    if store := getattr(place, "fs", None):
        # An object store removes a thousand files with one request; one by one, those of a million rows take a minute.
        with suppress(FileNotFoundError):
            store.rm(place.path, recursive=True)
        return
    for child in list(path.iterdir()):
        if child.is_dir():
            remove_tree(child)
        else:
            child.unlink()
    try:
        path.rmdir()
    except (FileNotFoundError, NotADirectoryError):
        # An object store has no folders: this one went with its last file.
        return


def names_a_run(name: str) -> bool:
    """Say whether a folder of that name is one of a run; anything else is not ours to remove."""
    return bool(_RUN_FOLDER.fullmatch(name))


def remove_old_runs(root: StagingPath, *, days: int, now: datetime) -> int:
    """Remove the folders of runs that began more than so many days ago; return how many. The name tells when."""
    removed = 0
    limit = f"{now.astimezone(UTC) - timedelta(days=days):%Y%m%dT%H%M%S}"
    entities = [folder for folder in root.iterdir() if folder.is_dir()] if root.exists() else []
    for run in [run for entity in entities for run in entity.iterdir()]:
        if names_a_run(run.name) and run.name < limit:
            remove_tree(run)
            removed += 1
    return removed
