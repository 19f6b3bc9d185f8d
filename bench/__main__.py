"""`make bench`: measure the sync against the local Dynamics, print a report, and keep it with `--write`.

Each part is a module with `measure(folder) -> list[Figure]`; `--only` chooses one. Ratios are taken in one run, side by
side, as machines are noisy.
"""

import argparse
import importlib
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from bench.figures import Figure
from bench.report import keep, machine, section

#: The parts in the order of the report, each with its module, whose docstring opens its section.
PARTS: Mapping[str, str] = {
    "copy": "bench.first_copy",
    "parallel": "bench.parallel_pages",
    "incremental": "bench.incremental",
    "parse": "bench.parse_speed",
    "reverse": "bench.reverse_speed",
    "plan": "bench.plan_speed",
}


def main() -> int:
    """Measure and print; with ``--write`` also keep the report as Markdown, its numbers as JSON and a chart."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--only", choices=list(PARTS), help="measure one part")
    parser.add_argument("--write", type=Path, help="keep the report in this Markdown file")
    chosen = parser.parse_args()
    # Whatever ends us, the servers that were started end with us.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    figures: list[Figure] = []
    sections: dict[str, str] = {}
    for name, module in PARTS.items():
        if chosen.only in (None, name):
            print(f"{name} …", flush=True)
            found, sections[name] = _measure(name, module)
            figures += found
            if chosen.write:
                # After each part, so that a long measurement is not lost with a later one.
                keep(chosen.write, figures, sections, list(PARTS))
    print("\n" + "\n".join(sections.values()))
    missed = [figure.name for figure in figures if not figure.is_met]
    if missed:
        print(f"Not met: {', '.join(missed)}")
    return 1 if missed else 0


def _measure(name: str, module_name: str) -> tuple[list[Figure], str]:
    """The figures of a part, and its section of the report."""
    module, where = importlib.import_module(module_name), machine()
    with tempfile.TemporaryDirectory(prefix="dynamics-bench-") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL runs as another user where we are root.
        figures = module.measure(Path(folder))
    return figures, section(name, figures, where, module.__doc__ or "")


if __name__ == "__main__":
    sys.exit(main())
