"""The folder of a served organisation: one process at a time may serve it."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from dynamics_emulator.storage.engine import sqlite3

ANOTHER_FOLDER = "Name another folder with --folder (with make: FOLDER=)"


class NotStartedError(Exception):
    """Nothing is served; the message says why, and what to do, to the person at the terminal."""


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Make the folder if it is missing and keep other processes from serving it until the block ends.

    Raises NotStartedError when it is no folder, cannot be written to, or is served already.
    """
    # The system drops the lock with the process, however it ends: no lock can be left behind.
    with _open_lock(folder) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as problem:
            message = f"Another emulator serves the folder {folder} already. End that one, or: {ANOTHER_FOLDER}."
            raise NotStartedError(message) from problem
        yield


@contextmanager
def told(folder: Path) -> Iterator[None]:
    """Tell what opening an organisation raises as NotStartedError."""
    try:
        yield
    except sqlite3.DatabaseError as problem:
        file = folder / "organisation.sqlite"
        message = f"{file} cannot be used as the organisation's database ({problem}). {ANOTHER_FOLDER}."
        raise NotStartedError(message) from problem
    except ValueError as problem:
        message = f"{problem}. {ANOTHER_FOLDER}, or remove this one (make clean removes .local)."
        raise NotStartedError(message[0].upper() + message[1:]) from problem


@contextmanager
def _open_lock(folder: Path) -> Iterator[BinaryIO]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "serving.lock").open("ab")
    except (FileExistsError, NotADirectoryError) as problem:
        message = f"{folder} is not a folder. {ANOTHER_FOLDER}."
        raise NotStartedError(message) from problem
    except OSError as problem:
        message = f"The folder {folder} cannot be written to ({problem.strerror}). {ANOTHER_FOLDER}."
        raise NotStartedError(message) from problem
    with file:
        yield file
