"""How long it takes to parse all DAG files in a fresh process, and what that imports."""

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.figures import Figure
from dynamics_demo.installation import PROJECT

TIMES = 5

_PROBE = """
import json, runpy, sys, time
from pathlib import Path
import airflow.sdk  # What Airflow imports for any DAG is not what ours cost.
before, began = set(sys.modules), time.perf_counter()
for path in sorted(Path(sys.argv[1]).glob("*.py")):
    runpy.run_path(str(path), run_name=path.stem)
seconds = time.perf_counter() - began
print(json.dumps({"seconds": seconds, "modules": sorted(set(sys.modules) - before)}))
"""
#: What would make parsing slow; SQLAlchemy itself is Airflow's, its engines and dialects are for databases.
_HEAVY = ("pandas", "pyarrow", "sqlalchemy.engine", "sqlalchemy.dialects", "psycopg", "psycopg2")


def measure(_folder: Path) -> list[Figure]:
    """Parse TIMES times; the middle counts."""
    parsed = [_parse() for _ in range(TIMES)]
    heavy = sorted({name for found in parsed for name in found["modules"] if _is_heavy(name)})
    seconds = statistics.median(found["seconds"] for found in parsed)
    print(f"  {seconds:.2f} s; heavy modules: {', '.join(heavy) or 'none'}", flush=True)
    return [
        Figure("parse_s", f"seconds to parse all DAG files in a fresh process, middle of {TIMES}", seconds, at_most=1),
        Figure("parse_heavy_modules", f"modules imported thereby of {', '.join(_HEAVY)}", len(heavy), at_most=0),
    ]


def _parse() -> dict[str, Any]:
    command = [sys.executable, "-c", _PROBE, str(PROJECT / "dags")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - our own interpreter
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _is_heavy(name: str) -> bool:
    return any(name == heavy or name.startswith(f"{heavy}.") for heavy in _HEAVY)
