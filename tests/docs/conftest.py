"""The papers as data: their tables, fenced blocks, links and headings."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_FENCED = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


@dataclass(frozen=True, slots=True)
class Paper:
    """One Markdown file."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    @property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def prose(self) -> str:
        """The text without its fenced blocks."""
        return _FENCED.sub("", self.text)

    @property
    def anchors(self) -> set[str]:
        """What a link may name behind `#`, as GitHub makes it of the headings."""
        headings = re.findall(r"^#+ (.*)$", self.prose, re.MULTILINE)
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

    @property
    def links(self) -> list[tuple[bool, str]]:
        """Each link: whether it shows an image, and where it leads."""
        return [(bang == "!", target) for bang, _, target in _LINK.findall(self.prose)]

    def blocks(self, language: str) -> list[str]:
        """The fenced blocks of a language."""
        return [body for _, word, body in _FENCED.findall(self.text) if word == language]

    def table(self, *header: str) -> list[list[str]]:
        """The rows of the first table with that header; KeyError if there is none."""
        for table in self._tables():
            if table[0] == list(header):
                return table[2:]
        raise KeyError(header)

    def words(self, *header: str) -> dict[str, str]:
        """First and second column of a table, without backticks."""
        return {row[0].strip("`"): row[1].strip("`") for row in self.table(*header)}

    def _tables(self) -> Iterator[list[list[str]]]:
        for block in re.findall(r"(?:^ *\|.*\n)+", self.prose + "\n", re.MULTILINE):
            lines = [line.strip() for line in block.splitlines()]
            if len(lines) > 2:
                yield [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the project."""
    return ROOT


@pytest.fixture(scope="session")
def papers() -> Mapping[str, Paper]:
    """All papers by their path from the root."""
    files = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return {str(path.relative_to(ROOT)): Paper(path) for path in files}
