"""YAML that remembers on which line each value stands, so that an error can point at it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml


class YamlProblem(Exception):
    """The text is not YAML, or repeats a key; `line` counts from 1."""

    def __init__(self, line: int, text: str) -> None:
        self.line = line
        self.text = text
        super().__init__(text)


#: Aliases of aliases can make a small file endlessly large.
_MOST_VALUES = 10_000


@dataclass(frozen=True, slots=True)
class PositionedDocument:
    """A parsed document and the line of each path in it."""

    value: Any
    lines: Mapping[tuple[Any, ...], int]

    def line_of(self, path: Sequence[Any]) -> int:
        """Return the line of the path, or of its nearest ancestor that the document has."""
        for length in range(len(path), -1, -1):
            line = self.lines.get(tuple(path[:length]))
            if line is not None:
                return line
        return 1


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which tells the line of a value that is not what it looks like, such as 2026-02-30."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: FBT001, FBT002 - as PyYAML calls it
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError, TypeError, OverflowError) as error:
            # Whatever Python's own types say about the text; PyYAML lets it through.
            raise YamlProblem(node.start_mark.line + 1, "a value cannot be read; put it between quotes") from error


def read_yaml(text: str) -> PositionedDocument:
    """Parse with PyYAML's safe loader; YamlProblem if the text is not YAML, repeats a key or holds itself."""
    try:
        return _read(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlProblem(mark.line + 1 if mark else 1, str(error.problem or error.context)) from error
    except yaml.YAMLError as error:
        raise YamlProblem(1, "the file is not YAML") from error
    except RecursionError:
        raise YamlProblem(1, "the file is nested too deeply") from None


def _read(text: str) -> PositionedDocument:
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        lines: dict[tuple[Any, ...], int] = {}
        if root is None:
            return PositionedDocument(None, lines)
        _record_lines(root, (), lines)
        return PositionedDocument(loader.construct_document(root), lines)
    finally:
        loader.dispose()


def _record_lines(node: yaml.Node, path: tuple[Any, ...], lines: dict[tuple[Any, ...], int]) -> None:
    lines[path] = node.start_mark.line + 1
    if len(lines) > _MOST_VALUES:
        raise YamlProblem(node.start_mark.line + 1, "the file holds too many values")
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            _record_entry(key, value, path, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _record_lines(value, (*path, index), lines)


def _record_entry(key: yaml.Node, value: yaml.Node, path: tuple[Any, ...], lines: dict[tuple[Any, ...], int]) -> None:
    line = key.start_mark.line + 1
    if not isinstance(key, yaml.ScalarNode):
        raise YamlProblem(line, "a key must be a word")
    child = (*path, key.value)
    if child in lines:
        # PyYAML would keep the last one silently.
        raise YamlProblem(line, f"`{key.value}` stands twice")
    _record_lines(value, child, lines)
    lines[child] = line
