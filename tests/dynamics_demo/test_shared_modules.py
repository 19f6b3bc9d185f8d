"""What the workers import ahead exists: a name that is wrong would only be ignored, and make every task slower."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from dynamics_demo.installation import SHARED_MODULES


def _packages() -> Path:
    spec = find_spec("airflow")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parents[1]


# Looked up as files, as importing Airflow would write its configuration into the home folder.
@pytest.mark.parametrize("name", SHARED_MODULES)
def test_the_module_exists(name: str) -> None:
    place = _packages() / name.replace(".", "/")
    assert (
        place.with_suffix(".py").exists()
        or (place / "__init__.py").exists()
        or list(place.parent.glob(f"{place.name}.*.so"))
    )


def test_no_code_that_is_edited_is_imported_ahead() -> None:
    assert not [name for name in SHARED_MODULES if name.startswith("dynamics")]
