"""Parses ``$filter`` with odata-query, after translating what that grammar does not know."""

import json
import re
from collections.abc import Mapping
from typing import Any

from odata_query.exceptions import ODataException
from odata_query.grammar import ODataLexer, ODataParser

from dynamics_emulator.errors import bad_query

_TOKENS = re.compile(
    r"""
    (?P<bound>(?:\w+/)+(?=Microsoft\.Dynamics\.CRM\.\w+\())  # primarycontactid/Microsoft.Dynamics.CRM.Today(
  | (?P<enum>[A-Za-z_][\w.]*\.[A-Za-z_]\w*(?='))             # Microsoft.Dynamics.CRM.AttributeTypeCode'Picklist'
  | (?P<pair>PropertyValue1\s*=\s*(?P<first>[^,()']+),\s*PropertyValue2\s*=\s*(?P<second>[^,()']+))
  | (?P<string>'(?:[^']|'')*')
  | (?P<array>\[)
  | (?P<alias>@[A-Za-z_]\w*)
    """,
    re.VERBOSE,
)
_QUOTED_ITEM = r"(?:'(?:[^']|'')*'|[^\s',\]\[]+)"
_QUOTED_ARRAY = re.compile(rf"\[\s*(?:{_QUOTED_ITEM}(?:\s*,\s*{_QUOTED_ITEM})*)?\s*\]")


def parse_filter(text: str, aliases: Mapping[str, str]) -> Any:
    """The syntax tree (a node of ``odata_query.ast``) of a filter. Raises a 400 when it cannot be read."""
    prepared = prepare(text, aliases)
    try:
        tree = ODataParser().parse(ODataLexer().tokenize(prepared))
    except (ODataException, ValueError, AttributeError) as problem:
        # An AttributeError is the grammar's own: it fails at a third named parameter.
        message = f"Syntax error in the expression '{text}'."
        raise bad_query(message) from problem
    if tree is None:
        message = f"Syntax error in the expression '{text}'."
        raise bad_query(message)
    return tree


def prepare(text: str, aliases: Mapping[str, str]) -> str:
    """Replace aliases by their values, JSON arrays by OData lists, and enum literals by strings.

    An alias without a value is null. The path before a function becomes part of its namespace, and two numbered values
    become one list, for the grammar knows neither.
    """
    parts: list[str] = []
    position = 0
    while match := _TOKENS.search(text, position):
        parts.append(text[position : match.start()])
        position = match.end()
        match match.lastgroup:
            case "bound":
                parts.append(match.group().replace("/", "."))
            case "pair":
                values = (prepare(match[name], aliases) for name in ("first", "second"))
                parts.append(f"PropertyValues=({', '.join(values)})")
            case "alias":
                parts.append(prepare(aliases.get(match.group(), "null"), {}))
            case "array":
                items, position = _read_array(text, match.start())
                parts.append(_list_literal(items))
            case "string":
                parts.append(match.group())
    parts.append(text[position:])
    return "".join(parts)


def _read_array(text: str, start: int) -> tuple[list[object], int]:
    """The items of an array and where it ends: JSON, or values in single quotes as OData has them."""
    try:
        found, end = json.JSONDecoder(strict=False).raw_decode(text, start)
    except ValueError:
        match = _QUOTED_ARRAY.match(text, start)
        if match is None:
            raise _bad_array() from None
        items = re.findall(_QUOTED_ITEM, match.group())
        return [item[1:-1].replace("''", "'") if item.startswith("'") else item for item in items], match.end()
    return list(found), end


def _bad_array() -> Exception:
    message = (
        "Invalid JSON. A comma character ',' was expected in scope 'Array'. Every two elements in an array and "
        "properties of an object must be separated by commas."
    )
    return bad_query(message)


def _list_literal(items: list[object]) -> str:
    if not items:
        message = "The list of values is empty."
        raise bad_query(message)
    literals = [_literal(item) for item in items]
    # With a single value the comma makes it a list; without, the grammar reads parentheses.
    return f"({', '.join(literals)}{',' if len(literals) == 1 else ''})"


def _literal(item: object) -> str:
    if isinstance(item, bool):
        return str(item).lower()
    if isinstance(item, int | float):
        return str(item)
    return "'" + str(item).replace("'", "''") + "'"
