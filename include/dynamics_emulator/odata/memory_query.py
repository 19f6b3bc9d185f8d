"""``$select``, ``$expand`` and ``$filter`` over metadata, which lie in memory."""

import operator
from collections.abc import Callable, Mapping
from typing import Any

from odata_query import ast

from dynamics_emulator.errors import bad_query
from dynamics_emulator.odata.expression import parse_filter
from dynamics_emulator.odata.options import QueryOptions, split_outside
from dynamics_emulator.odata.selection import Expand, parse_expand
from dynamics_emulator.schema.described import CRM, Described

_COMPARISONS: dict[type, Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
}


def filtered(items: list[Described], text: str | None, aliases: Mapping[str, str]) -> list[Described]:
    """The items that fit a filter. Raises a 400 for functions, which metadata do not take."""
    if text is None:
        return items
    tree = parse_filter(text, aliases)
    return [item for item in items if _fits(tree, item)]


def _fits(node: Any, item: Described) -> bool:
    match node:
        case ast.BoolOp(op=ast.And()):
            return _fits(node.left, item) and _fits(node.right, item)
        case ast.BoolOp():
            return _fits(node.left, item) or _fits(node.right, item)
        case ast.UnaryOp(op=ast.Not()):
            return not _fits(node.operand, item)
        case ast.Compare() if type(node.comparator) in _COMPARISONS:
            left, right = _value(node.left, item), _value(node.right, item)
            if isinstance(node.comparator, ast.Eq | ast.NotEq) or (left is not None and right is not None):
                return bool(_COMPARISONS[type(node.comparator)](left, right))
            return False
        case _:
            message = "The $filter expression is not supported on metadata."
            raise bad_query(message)


def _value(node: Any, item: Described) -> Any:
    match node:
        case ast.Identifier():
            return _property(item, node.name)
        case ast.Attribute(owner=ast.Identifier(name=name)):
            inner = _property(item, name)
            return inner.get(node.attr) if isinstance(inner, dict) else None
        case ast.GUID():
            return node.val.lower()
        case _:
            return node.py_val


def _property(item: Described, name: str) -> Any:
    if name not in item.properties:
        raise _unknown(name, item)
    return item.properties[name]


def _unknown(name: str, item: Described) -> Exception:
    return bad_query(f"Could not find a property named '{name}' on type '{CRM}.{item.type_name}'.")


def shown(item: Described, options: QueryOptions, *, cast: bool) -> dict[str, Any]:
    """An item as JSON. ``cast`` says that the URL names the derived type, so its own properties may be selected."""
    select = options.get("$select")
    return _print(item, select, parse_expand(options.get("$expand")), typed=not cast)


def _print(item: Described, select: str | None, expands: list[Expand], *, typed: bool) -> dict[str, Any]:
    derived = typed and item.type_name.endswith("AttributeMetadata")
    printed: dict[str, Any] = {"@odata.type": f"#{CRM}.{item.type_name}"} if derived else {}
    if select:
        for name in split_outside(select, ","):
            if derived and (name in item.own_properties or name not in item.properties):
                message = f"Could not find a property named '{name}' on type '{CRM}.AttributeMetadata'."
                raise bad_query(message)
            printed[name] = _property(item, name)
        printed.setdefault("MetadataId", item.properties["MetadataId"])
    else:
        printed |= item.properties
    for expand in expands:
        printed[expand.name] = _expanded(item, expand)
    return printed


def _expanded(item: Described, expand: Expand) -> Any:
    if expand.name not in item.navigations:
        raise _unknown(expand.name, item)
    found = item.navigations[expand.name]
    if found is None:
        return None
    select, inner = expand.options.get("$select"), parse_expand(expand.options.get("$expand"))
    if isinstance(found, list):
        kept = filtered(found, expand.options.get("$filter"), {})
        return [_print(child, select, inner, typed=True) for child in kept]
    return _print(found, select, inner, typed=False)
