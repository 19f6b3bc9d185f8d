"""The Makefile explains itself, and the file that Airflow reads is the one that the project describes."""

import re
import subprocess
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
MAKEFILE = (PROJECT / "Makefile").read_text()
TARGETS = {"setup", "demo", "up", "stop", "test", "lint", "types", "lock", "lock-check", "emulator", "clean", "help"}


def _run_make(*arguments: str) -> str:
    command = ["make", "--no-print-directory", "-C", str(PROJECT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_help_lists_each_target_once_with_a_text() -> None:
    lines = re.findall(r"^  make (\S+) +(\S.*)$", _run_make("help"), re.MULTILINE)
    assert {name for name, _ in lines} == set(re.findall(r"^\.PHONY: (\S+)$", MAKEFILE, re.MULTILINE))
    assert len(lines) == len({name for name, _ in lines})


def test_the_promised_targets_exist() -> None:
    assert set(re.findall(r"^\.PHONY: (\S+)$", MAKEFILE, re.MULTILINE)) >= TARGETS


def test_make_alone_shows_the_help() -> None:
    assert _run_make() == _run_make("help")


def test_ci_runs_the_test_target_last() -> None:
    script = (PROJECT / ".ci" / "run").read_text()
    assert re.search(r"^for target in setup lint types lock-check test; do$", script, re.MULTILINE)
    assert (PROJECT / ".ci" / "run").stat().st_mode & 0o111
