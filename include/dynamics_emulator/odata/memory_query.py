"""``$select``, ``$expand`` and ``$filter`` over metadata, which lie in memory."""

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from odata_query import ast

from dynamics_emulator.errors import DataverseError, bad_query
from dynamics_emulator.odata.expands import Expand, parse_expand
from dynamics_emulator.odata.expression import parse_filter
from dynamics_emulator.odata.options import split_outside
from dynamics_emulator.schema.described import CRM, Described
from dynamics_emulator.settings import Settings

_COMPARISONS: dict[type, Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
}
_ENUMS = {
    "AttributeType": "AttributeTypeCode",
    "EntityKeyIndexStatus": "EntityKeyIndexStatus",
    "OptionSetType": "OptionSetType",
    "OwnershipType": "OwnershipTypes",
    "RelationshipType": "RelationshipType",
    "RequiredLevel/Value": "AttributeRequiredLevel",
}
"""Properties whose values are enumerations, with the name of each."""
_ENUM_LITERAL = re.compile(r"'(?:[^']|'')*'|Microsoft\.Dynamics\.CRM\.(?P<type>\w+)'(?P<value>\w*)'")
_MARK = "\x1f"
_DERIVED_LISTS = frozenset({"Attributes"})


def filtered(
    items: list[Described], text: str | None, aliases: Mapping[str, str], settings: Settings, *, cast: bool
) -> list[Described]:
    """The items that fit a filter; ``cast`` says that the properties of the derived type are known.

    Raises a 400 for unknown properties, and the refusal of functions, which metadata do not take.
    """
    if text is None:
        return items
    tree = parse_filter(_ENUM_LITERAL.sub(_mark_enum, text), aliases)
    return [item for item in items if _fits(tree, _Bound(item, settings, cast))]


def _mark_enum(match: re.Match[str]) -> str:
    # The parser knows no enumerations: the literal travels as a string that remembers its type.
    return match.group() if match["type"] is None else f"'{_MARK}{match['type']}{_MARK}{match['value']}'"


class _Bound:
    """An item as a filter sees it."""

    def __init__(self, item: Described, settings: Settings, cast: bool) -> None:  # noqa: FBT001 - private, three plain facts
        self.item = item
        self.settings = settings
        self.cast = cast

    def value(self, node: Any) -> Any:
        match node:
            case ast.Identifier():
                return _property(self.item, node.name, cast=self.cast)
            case ast.Attribute(owner=ast.Identifier(name=name)):
                inner = _property(self.item, name, cast=self.cast)
                if not isinstance(inner, dict) or node.attr not in inner:
                    raise _unknown(node.attr, name)
                return inner[node.attr]
            case ast.GUID():
                return node.val.lower()
            case ast.Call():
                text = f'The "{node.func.name}" function isn\'t supported for Metadata Entities.'
                raise DataverseError(self.settings.metadata_function_status, "0x8006088a", text)
            case _:
                return node.py_val

    def compare(self, node: Any) -> bool:
        left, right = self.value(node.left), self.value(node.right)
        enum = _ENUMS.get(_path(node.left))
        if isinstance(right, str):
            right = self._plain(right, enum)
        if isinstance(node.comparator, ast.Eq | ast.NotEq) or (left is not None and right is not None):
            return bool(_COMPARISONS[type(node.comparator)](left, right))
        return False

    def _plain(self, text: str, enum: str | None) -> str:
        """A literal without its type. Raises a 400 when the type is not that of the property."""
        _, mark, typed = text.partition(_MARK)
        found, _, value = typed.partition(_MARK) if mark else ("", "", text)
        strict = self.settings.metadata_enum_literals_required or mark
        if strict and found != (enum or ""):
            names = [f"'{CRM}.{name}'" if name else "'Edm.String'" for name in (enum, found)]
            message = (
                "A binary operator with incompatible types was detected. Found operand types "
                f"{names[0]} and {names[1]} for operator kind 'Equal'."
            )
            raise bad_query(message)
        return value


def _path(node: Any) -> str:
    match node:
        case ast.Identifier():
            return str(node.name)
        case ast.Attribute(owner=ast.Identifier(name=name)):
            return f"{name}/{node.attr}"
        case _:
            return ""


def _fits(node: Any, bound: _Bound) -> bool:
    match node:
        case ast.BoolOp(op=ast.And()):
            return _fits(node.left, bound) and _fits(node.right, bound)
        case ast.BoolOp():
            return _fits(node.left, bound) or _fits(node.right, bound)
        case ast.UnaryOp(op=ast.Not()):
            return not _fits(node.operand, bound)
        case ast.Compare() if type(node.comparator) in _COMPARISONS:
            return bound.compare(node)
        case ast.Call() | ast.Identifier() | ast.Attribute():
            return bool(bound.value(node))
        case _:
            message = "The $filter expression is not supported on metadata."
            raise bad_query(message)


def _property(item: Described, name: str, *, cast: bool) -> Any:
    if name not in item.properties:
        raise _unknown(name, item.type_name if cast or not item.base else item.base)
    if item.base and not cast and name in item.own_properties:
        raise _unknown(name, item.base)
    return item.properties[name]


def _unknown(name: str, type_name: str) -> Exception:
    return bad_query(f"Could not find a property named '{name}' on type '{CRM}.{type_name}'.")


def shown(item: Described, options: Mapping[str, str], settings: Settings, *, cast: bool) -> dict[str, Any]:
    """An item as JSON.

    ``options`` are ``$select`` and ``$expand``. ``cast`` says that the derived type is known: its own properties may
    then be selected, and the item does not name its type.
    """
    derived = bool(item.base) and not cast
    printed: dict[str, Any] = {"@odata.type": f"#{CRM}.{item.type_name}"} if derived else {}
    select = options.get("$select")
    if select:
        names = split_outside(select, ",")
        printed |= {name: _property(item, name, cast=cast) for name in names if name not in item.navigations}
        printed.setdefault("MetadataId", item.properties["MetadataId"])
    else:
        printed |= item.properties
    for expand in parse_expand(options.get("$expand")):
        printed[expand.name] = _expanded(item, expand, settings, cast=cast)
    return printed


def _expanded(item: Described, expand: Expand, settings: Settings, *, cast: bool) -> Any:
    if expand.name not in item.navigations or (item.base and not cast):
        raise _unknown(expand.name, item.type_name if cast or not item.base else item.base)
    found = item.navigations[expand.name]
    if not isinstance(found, list):
        return None if found is None else shown(found, expand.options, settings, cast=True)
    known = expand.name not in _DERIVED_LISTS
    kept = filtered(found, expand.options.get("$filter"), {}, settings, cast=known)
    return [shown(child, expand.options, settings, cast=known) for child in kept]
