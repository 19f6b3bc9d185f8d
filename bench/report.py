"""The report of the benchmarks: Markdown, a section a part; its numbers as JSON beside it; and a chart."""

import json
import os
import platform
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import psutil

from bench.chart import as_svg, points
from bench.figures import Figure

_HEAD = """# Benchmarks of the sync

`make bench` measures everything side by side and prints this; `ARGS='--write docs/benchmarks.md'` keeps it, and
[its numbers](benchmarks.json) beside it. A part that is measured alone takes the place of its section only. What each
part does stands at the top of its module in `bench/`.
"""
_SECTION = re.compile(r"^## (\w+)\n", re.MULTILINE)


def machine() -> str:
    """What the machine is, and how busy it was when this was asked."""
    memory = psutil.virtual_memory().total / 2**30
    load = os.getloadavg()[0]
    return (
        f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GB of memory, {platform.system()}, "
        f"Python {platform.python_version()}; load before it began {load:.1f}"
    )


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.machine()
    found = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    return " ".join(found[1].split()) if found else platform.machine()


def section(name: str, figures: Sequence[Figure], where: str, doc: str) -> str:
    """One part as Markdown."""
    lines = [
        f"## {name}",
        "",
        doc.strip(),
        "",
        f"Measured on {datetime.now(UTC):%Y-%m-%d}: {where}.",
        "",
        "| number | what it is | figure | target |",
        "| --- | --- | ---: | ---: |",
        *(_row(figure) for figure in figures),
    ]
    details = [f"Where `{figure.name}` comes from:\n\n{figure.detail}" for figure in figures if figure.detail]
    return "\n".join([*lines, *(f"\n{detail}" for detail in details)]) + "\n"


def _row(figure: Figure) -> str:
    missed = "" if figure.is_met else " (missed)"
    return f"| `{figure.name}` | {figure.what} | {figure.value:,.2f} | {figure.target_text}{missed} |"


def keep(path: Path, figures: Sequence[Figure], sections: Mapping[str, str], order: Sequence[str]) -> None:
    """Write the report, its numbers and its chart; parts that were not measured stay as they were."""
    beside = path.with_suffix(".json")
    numbers = json.loads(beside.read_text(encoding="utf-8")) if beside.exists() else {}
    numbers |= {figure.name: round(figure.value, 3) for figure in figures}
    beside.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")
    held = _held(path) | dict(sections)
    chart = path.with_suffix(".svg")
    drawn = points(numbers)
    if drawn:
        chart.write_text(as_svg(drawn), encoding="utf-8")
    picture = f"\n![Seconds of the first copy by the number of leads]({chart.name})\n" if drawn else ""
    body = "\n".join(held[name] for name in order if name in held)
    path.write_text(f"{_HEAD}{picture}\n{body}", encoding="utf-8")


def _held(path: Path) -> dict[str, str]:
    """The sections of the report that was kept last."""
    if not path.exists():
        return {}
    _, *parts = _SECTION.split(path.read_text(encoding="utf-8"))
    return {name: f"## {name}\n{text.rstrip()}\n" for name, text in zip(parts[::2], parts[1::2], strict=True)}
