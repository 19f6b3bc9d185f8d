"""A worker machine of `test_two_machines.py`: does the tasks that it is told on its standard input, one line each.

What has to outlive it, it asks the steering process to keep, as Airflow's workers ask the API server.
"""

import json
import logging
import os
import sys
from typing import Any

from airflow.sdk import ObjectStoragePath
from airflow.sdk.io import attach
from s3fs import S3FileSystem

from dynamics_sync.catalogue import load_catalogue
from dynamics_sync.dataverse.auth import Credentials
from dynamics_sync.dataverse.client import open_client
from dynamics_sync.forward import tasks
from dynamics_sync.services import Services
from dynamics_sync.settings import Settings
from dynamics_sync.store.database import MarketingDatabase

#: The pipe to the steering process. What others write to the standard output, as Airflow's log does, goes elsewhere.
_PIPE = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def say(**words: Any) -> None:
    """Tell the steering process something."""
    _PIPE.write(json.dumps(words) + "\n")
    _PIPE.flush()


class TellsPages(logging.Handler):
    """Says of each page that it is staged, and goes on when it is told to."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith("Page "):
            say(staged=record.getMessage())
            json.loads(sys.stdin.readline())


class Kept:
    """Variables, which the steering process keeps under that name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def get(self, key: str, default: Any = None) -> Any:
        say(get=[self.name, key])
        value = json.loads(sys.stdin.readline())
        return default if value is None else value

    def set(self, key: str, value: Any) -> None:
        say(set=[self.name, key, value])
        json.loads(sys.stdin.readline())


def services(about: dict[str, Any]) -> Services:
    """What a task works with, by addresses that any machine can reach."""
    attach("s3", fs=S3FileSystem())
    return Services(
        Settings(**about["settings"]),
        Kept("variables"),
        ObjectStoragePath(about["staging"]),
        dynamics=lambda: open_client(Credentials(**about["credentials"]), about["url"]),
        marketing=lambda: MarketingDatabase.open(about["marketing"]),
    )


def main() -> None:
    """Do tasks until the standard input ends."""
    given = services(json.loads(sys.stdin.readline()))
    entity = load_catalogue().entity("lead")
    tasks.log.addHandler(TellsPages())
    say(ready=True)
    while line := sys.stdin.readline():
        order = json.loads(line)
        match order["task"]:
            case "begin":
                done: Any = tasks.begin(entity, given, tasks.Trigger("run 1"))
            case "extract":
                done = tasks.extract(entity, given, order["slice"])
            case "transform":
                done = tasks.transform(entity, given, order["slice"])
            case "load":
                done = tasks.load(entity, given, order["slice"])
            case _:
                done = tasks.finish(entity, given, "run 1", order["run_key"])
        say(done=done)


if __name__ == "__main__":
    main()
