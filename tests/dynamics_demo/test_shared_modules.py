"""What the workers import ahead exists: a name that is wrong would only be ignored, and make every task slower."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from dynamics_demo.installation import PROJECT, SHARED_MODULES


def _packages() -> Path:
    spec = find_spec("airflow")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parents[1]


# Looked up as files, as importing Airflow would write its configuration into the home folder.
@pytest.mark.parametrize("name", SHARED_MODULES)
def test_the_module_exists(name: str) -> None:
    root = PROJECT / "include" if name.startswith("dynamics_") else _packages()
    place = root / name.replace(".", "/")
    assert (
        place.with_suffix(".py").exists()
        or (place / "__init__.py").exists()
        or list(place.parent.glob(f"{place.name}.*.so"))
    )


def test_no_step_of_a_run_is_forgotten() -> None:
    """A task imports its step when it takes it; one that is not imported ahead makes each such task slower."""
    tasks = (PROJECT / "include/dynamics_sync/forward/tasks.py").read_text(encoding="utf-8")
    steps = set(re.findall(r"^    from (dynamics_sync\.forward\.\w+) import", tasks, re.MULTILINE))
    assert len(steps) >= 6
    assert steps <= set(SHARED_MODULES)
