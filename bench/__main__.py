"""`make bench`: measure the sync against the local Dynamics, print a report, and keep it with `--write`.

Each part is a module with `measure(folder, ...) -> Figures`; `--only` chooses one. Ratios are taken in one run, side by
side, as machines are noisy.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from bench import plan_speed, reverse_speed
from bench.figures import Figure

PARTS: Mapping[str, Callable[[Path], list[Figure]]] = {"reverse": reverse_speed.measure, "plan": plan_speed.measure}


def main() -> int:
    """Measure and print; with ``--write`` also keep the report as Markdown, and its numbers as JSON beside it."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--only", choices=list(PARTS), help="measure one part")
    parser.add_argument("--write", type=Path, help="keep the report in this Markdown file")
    chosen = parser.parse_args()
    figures: list[Figure] = []
    for name, measure in PARTS.items():
        if chosen.only in (None, name):
            print(f"{name} …", flush=True)
            with tempfile.TemporaryDirectory(prefix="dynamics-bench-") as folder:
                Path(folder).chmod(0o755)  # PostgreSQL runs as another user where we are root.
                figures += measure(Path(folder))
    report = as_markdown(figures)
    print(f"\n{report}")
    if chosen.write:
        keep(chosen.write, figures, report)
    missed = [figure.name for figure in figures if not figure.is_met]
    if missed:
        print(f"Not met: {', '.join(missed)}")
    return 1 if missed else 0


def as_markdown(figures: list[Figure]) -> str:
    """The figures as a table, with the machine and the day that they come from."""
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    lines = [
        f"Measured on {datetime.now(UTC):%Y-%m-%d}: {machine}.",
        "",
        "| number | what it is | figure | target |",
        "| --- | --- | ---: | ---: |",
        *(f"| `{figure.name}` | {figure.what} | {figure.value:,.2f} | {figure.target_text} |" for figure in figures),
    ]
    return "\n".join(lines)


def keep(path: Path, figures: list[Figure], report: str) -> None:
    """Write the report, and one number a name beside it; numbers of other parts stay as they were."""
    path.write_text(f"# Benchmarks of the sync\n\n`make bench` prints this.\n\n{report}\n", encoding="utf-8")
    beside = path.with_suffix(".json")
    held = json.loads(beside.read_text()) if beside.exists() else {}
    held |= {figure.name: round(figure.value, 3) for figure in figures}
    beside.write_text(json.dumps(held, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
