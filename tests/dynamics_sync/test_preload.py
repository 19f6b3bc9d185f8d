"""What is imported ahead: all of it can be, nothing that tasks take is forgotten, what is broken breaks no other."""

import os
import re
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "include" / "dynamics_sync"


def import_ahead(folder: Path, *shadows: Path) -> str:
    """Import the module in a process of its own; return what it says."""
    path = os.pathsep.join([*map(str, shadows), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "AIRFLOW_HOME": str(folder), "PYTHONPATH": path}
    code = "import dynamics_sync.preload, sys; print('dynamics_sync.forward.load' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


def test_all_of_it_can_be_imported(tmp_path: Path) -> None:
    said = import_ahead(tmp_path)
    assert "True" in said
    assert "is not imported ahead" not in said


def test_what_is_broken_is_named_and_ends_nothing(tmp_path: Path) -> None:
    shadows = tmp_path / "shadows"
    shadows.mkdir()
    (shadows / "asyncpg.py").write_text("def broken(:\n", encoding="utf-8")
    said = import_ahead(tmp_path, shadows)
    assert "asyncpg is not imported ahead: SyntaxError" in said
    assert "True" in said


def test_no_step_of_a_run_is_forgotten() -> None:
    """A task imports its step when it takes it; one that is not imported ahead makes each such task slower."""
    names = ("forward/tasks.py", "airflow_services.py")
    taken = "".join((PACKAGE / name).read_text(encoding="utf-8") for name in names)
    steps = set(re.findall(r"^    from (dynamics_sync\.[\w.]+) import", taken, re.MULTILINE))
    ahead = set(re.findall(r'"(dynamics_sync\.[\w.]+)"', (PACKAGE / "preload.py").read_text(encoding="utf-8")))
    assert len(steps) >= 7
    assert steps - ahead <= {"dynamics_sync.dataverse.client", "dynamics_sync.store.schema"}
