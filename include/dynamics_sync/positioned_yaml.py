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


def read_yaml(text: str) -> PositionedDocument:
    """Parse with PyYAML's safe loader; YamlProblem if the text is not YAML or repeats a key."""
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        lines: dict[tuple[Any, ...], int] = {}
        if root is not None:
            _record_lines(root, (), lines)
        value = loader.construct_document(root) if root is not None else None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise YamlProblem(mark.line + 1 if mark else 1, str(error.problem or error.context)) from error
    except yaml.YAMLError as error:
        raise YamlProblem(1, "the file is not YAML") from error
    finally:
        loader.dispose()
    return PositionedDocument(value, lines)


def _record_lines(node: yaml.Node, path: tuple[Any, ...], lines: dict[tuple[Any, ...], int]) -> None:
    lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            child = (*path, key.value)
            if child in lines:
                # PyYAML would keep the last one silently.
                raise YamlProblem(key.start_mark.line + 1, f"`{key.value}` stands twice")
            _record_lines(value, child, lines)
            lines[child] = key.start_mark.line + 1
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _record_lines(value, (*path, index), lines)
