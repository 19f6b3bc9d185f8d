"""The tests that docs/guarantees.md names as evidence exist, and each promise has one."""

import re
from pathlib import Path
from typing import Any


def test_the_evidence_exists(papers: Any, root: Path) -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", papers["docs/guarantees.md"].text)
    assert named
    missing = [
        f"{path}::{name}"
        for path, name in named
        if not (root / path).exists() or not re.search(rf"^def {name}\(", (root / path).read_text(), re.MULTILINE)
    ]
    assert not missing


def test_each_promise_has_evidence(papers: Any) -> None:
    _, *sections = re.split(r"^## ", papers["docs/guarantees.md"].text.partition("\n## Limits")[0], flags=re.MULTILINE)
    assert [section.partition("\n")[0] for section in sections if "::test_" not in section] == []
