"""Parses ``$filter`` with odata-query, after translating what that grammar does not know."""

import json
import re
from collections.abc import Mapping
from typing import Any

from odata_query import ast
from odata_query.exceptions import ODataException
from odata_query.grammar import ODataLexer, ODataParser

from dynamics_emulator.errors import bad_query

_TOKENS = re.compile(
    r"""
    (?P<enum>[A-Za-z_][\w.]*\.[A-Za-z_]\w*(?='))        # Microsoft.Dynamics.CRM.AttributeTypeCode'Picklist'
  | (?P<string>'(?:[^']|'')*')
  | (?P<array>\[[^\]]*\])
  | (?P<alias>@[A-Za-z_]\w*)
    """,
    re.VERBOSE,
)


def parse_filter(text: str, aliases: Mapping[str, str]) -> Any:
    """The syntax tree (a node of ``odata_query.ast``) of a filter. Raises a 400 when it cannot be read."""
    prepared = prepare(text, aliases)
    try:
        tree = ODataParser().parse(ODataLexer().tokenize(prepared))
    except (ODataException, ValueError) as problem:
        message = f"Syntax error in the expression '{text}'."
        raise bad_query(message) from problem
    if tree is None:
        message = f"Syntax error in the expression '{text}'."
        raise bad_query(message)
    return tree


def prepare(text: str, aliases: Mapping[str, str]) -> str:
    """Replace aliases by their values, JSON arrays by OData lists, and enum literals by strings."""

    def translate(match: re.Match[str]) -> str:
        token = match.group()
        match match.lastgroup:
            case "enum":
                return ""
            case "alias":
                return prepare(aliases.get(token, "null"), {})
            case "array":
                return _list_literal(token)
            case _:
                return token

    return _TOKENS.sub(translate, text)


def _list_literal(text: str) -> str:
    items = _array_items(text)
    if not items:
        message = "The list of values is empty."
        raise bad_query(message)
    literals = [_literal(item) for item in items]
    # With a single value the comma makes it a list; without, the grammar reads parentheses.
    return f"({', '.join(literals)}{',' if len(literals) == 1 else ''})"


def _array_items(text: str) -> list[object]:
    try:
        found = json.loads(text)
    except ValueError:
        found = [part.replace("''", "'") for part in re.findall(r"'((?:[^']|'')*)'", text)]
    return list(found)


def _literal(item: object) -> str:
    if isinstance(item, bool):
        return str(item).lower()
    if isinstance(item, int | float):
        return str(item)
    return "'" + str(item).replace("'", "''") + "'"


__all__ = ["ast", "parse_filter", "prepare"]
