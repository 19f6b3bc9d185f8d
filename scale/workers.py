"""Worker machines: each a Celery worker with folders and code of its own, and what it takes of the computer."""

import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

from dynamics_demo.processes import ProcessRecord, members_of, start_process
from scale.environment import worker_environment
from scale.site import Site

#: What a worker machine needs of this project.
_CODE = ("dags", "plugins", "include")


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a machine's processes take: megabytes of memory at this moment, and seconds of computing so far."""

    megabytes: float
    cpu_seconds: float


def start_worker(site: Site, ports: Mapping[str, int], name: str, ca_file: str) -> ProcessRecord:
    """Lay out a machine and start its worker, which answers once it has joined the others at the broker."""
    home = lay_out(site, name, ca_file)
    return start_process(
        name,
        [
            str(Path(sys.executable).parent / "airflow"),
            "celery",
            "worker",
            "--skip-serve-logs",
            "--celery-hostname",
            name,
        ],
        environment=worker_environment(site, ports, name),
        folder=home / "work",
        log=site.log_of(name),
        records=site.process_records,
    )


def lay_out(site: Site, name: str, ca_file: str) -> Path:
    """Make the folders of a machine, with code and certificate of its own, and return the one that holds them."""
    home = site.machine(name)
    shutil.rmtree(home, ignore_errors=True)
    for folder in ("airflow", "home", "tmp", "work"):
        (home / folder).mkdir(parents=True)
    for part in _CODE:
        shutil.copytree(site.project / part, home / "code" / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(site.catalogue, home / "code" / "catalogue")
    shutil.copy(Path(__file__).with_name("celery_config.py"), home / "code")
    # The connection names `ca.pem`, which each machine has in the folder that its worker runs in.
    shutil.copy(ca_file, home / "work" / "ca.pem")
    # Whoever staged in AIRFLOW_HOME, as is the default, would have to make a folder where a file is.
    (home / "airflow" / "dynamics_staging").write_text("Nothing may be staged on this machine.\n", encoding="utf-8")
    return home


def footprint(record: ProcessRecord) -> Footprint:
    """Look at a machine's processes; shared memory is counted once, ended children by the time that they took."""
    memory, seconds = 0.0, 0.0
    for process in members_of(record):
        try:
            memory += getattr(process.memory_full_info(), "pss", 0) or process.memory_info().rss
            seconds += sum(process.cpu_times()[:4])
        except psutil.Error:
            continue  # It ended while it was looked at, or does not let itself be looked at.
    return Footprint(memory / 2**20, seconds)
