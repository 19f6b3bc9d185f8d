"""Reads ``$expand``: its parts, their options, and the combinations that Dataverse refuses."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from dynamics_emulator.errors import bad_query
from dynamics_emulator.odata.options import split_outside
from dynamics_emulator.schema.model import Schema, Table

_EXPAND_LIMIT = 15
_EXPAND = re.compile(r"(?P<name>\w+)(?P<ref>/\$ref)?(?:\((?P<options>.*)\))?", re.DOTALL)
_ALIAS = re.compile(r"'(?:[^']|'')*'|(?P<alias>@[A-Za-z_]\w*)")
_OPTIONS = ("$select", "$filter", "$orderby", "$top", "$expand")


@dataclass(frozen=True)
class Expand:
    """One expanded navigation property with the options in its parentheses."""

    name: str
    options: dict[str, str] = field(default_factory=dict)
    reference_only: bool = False

    @cached_property
    def nested(self) -> "list[Expand]":
        """What is expanded inside of it."""
        return parse_expand(self.options.get("$expand"))

    @property
    def ordered_or_cut(self) -> bool:
        """Whether ``$orderby`` or ``$top`` stand in its parentheses."""
        return "$orderby" in self.options or "$top" in self.options


def parse_expand(text: str | None) -> list[Expand]:
    """Read ``$expand``. Raises a 400 for what cannot be read."""
    return [_parse_part(part) for part in split_outside(text or "", ",")]


def _parse_part(text: str) -> Expand:
    match = _EXPAND.fullmatch(text)
    if match is None:
        message = f"Syntax error in $expand at '{text}'."
        raise bad_query(message)
    pairs = [part.partition("=") for part in split_outside(match["options"] or "", ";")]
    options = {name.strip(): value.strip() for name, _, value in pairs}
    for name in options:
        if name not in _OPTIONS:
            message = f"The query option '{name}' is not supported in $expand."
            raise bad_query(message)
    if any(found["alias"] for found in _ALIAS.finditer(match["options"] or "")):
        message = "Parameter aliases are not supported inside $expand."
        raise bad_query(message)
    return Expand(match["name"], options, match["ref"] is not None)


def require_allowed(expands: Sequence[Expand], schema: Schema, table: Table) -> None:
    """Refuse more than 15 parts, N:N beside or inside of others, and orders where parts are nested (400)."""
    parts = list(_all(expands))
    if len(parts) > _EXPAND_LIMIT:
        message = f"The number of $expand properties exceeds the limit of {_EXPAND_LIMIT}."
        raise bad_query(message)
    many = [schema.association(table.name, item.name) is not None for item in expands]
    if any(many) and not all(many):
        message = "Expanding a many-to-many relationship cannot be combined with other expands."
        raise bad_query(message)
    if any(many) and any(item.nested for item in expands):
        raise nested_many_to_many()
    if is_nested(expands) and any(item.ordered_or_cut for item in parts):
        raise only_select_and_filter()


def is_nested(expands: Sequence[Expand]) -> bool:
    """Whether an expand stands inside of another one."""
    return any(item.nested for item in expands)


def nested_many_to_many() -> Exception:
    """An N:N relationship is expanded inside of another expand, or has one inside."""
    return bad_query("A many-to-many relationship cannot be expanded inside another expand, nor hold one.")


def only_select_and_filter() -> Exception:
    """``$orderby`` or ``$top`` where Dataverse does not take them."""
    message = (
        "Only $select and $filter clause can be provided while doing $expand on many-to-one relationship or nested "
        "one-to-many relationship."
    )
    return bad_query(message)


def _all(expands: Sequence[Expand]) -> Iterator[Expand]:
    for item in expands:
        yield item
        yield from _all(item.nested)
