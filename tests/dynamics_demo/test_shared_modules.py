"""What the workers import ahead exists: a name that is wrong would only be ignored, and make every task slower."""

from importlib.util import find_spec

import pytest

from dynamics_demo.installation import SHARED_MODULES


@pytest.mark.parametrize("name", SHARED_MODULES)
def test_the_module_exists(name: str) -> None:
    assert find_spec(name) is not None


def test_no_code_that_is_edited_is_imported_ahead() -> None:
    assert not [name for name in SHARED_MODULES if name.startswith(("dynamics", "include"))]
