"""Creates rows from bodies, with the related rows that a body nests or names: all or nothing."""

from collections.abc import Mapping
from typing import Any

from dynamics_emulator.api.changing import insert_row
from dynamics_emulator.api.keys import find_reference
from dynamics_emulator.api.messages import ApiRequest
from dynamics_emulator.api.payload import NewRow, bound_values, cut_body, read_payload
from dynamics_emulator.api.relating import associate, child_column
from dynamics_emulator.api.values import Values
from dynamics_emulator.errors import payload_error
from dynamics_emulator.organisation import Organisation
from dynamics_emulator.schema.model import Table

_DEPTH = 16
"""Levels of nested rows; a body from outside must not drive the recursion without end."""


def create_from_body(
    organisation: Organisation,
    request: ApiRequest,
    table: Table,
    body: Mapping[str, Any],
    given: Values | None = None,
    depth: int = 0,
) -> str:
    """Make a row and all rows nested in its body, and return its key; inside a transaction.

    ``given`` are values that win over those of the body, such as a key from the address. Rows behind a single-valued
    property are made first, rows behind a collection-valued one afterwards.
    """
    if depth > _DEPTH:
        raise payload_error(table.set_name, inner="The rows of the body are nested too deeply.")
    cut = cut_body(organisation, table, body)
    values = read_payload(organisation, table, cut.own, creating=True)
    for name, nested in cut.parents.items():
        values |= _parent(organisation, request, table, (name, nested), depth)
    row_id = insert_row(organisation, request, table, {**values, **(given or {})})
    _add_children(organisation, request, table, row_id, cut, depth)
    return row_id


def _parent(
    organisation: Organisation, request: ApiRequest, table: Table, link: tuple[str, Mapping[str, Any]], depth: int
) -> Values:
    name, nested = link
    targets = table.navigations[name][1]
    stated = str(nested.get("@odata.type", "")).rpartition(".")[2]
    target = organisation.schema.tables.get(stated if stated in targets else targets[0])
    if target is None or (stated and stated not in targets):
        raise payload_error(table.set_name, f"The type of the row in '{name}' is not one that it leads to.")
    row_id = create_from_body(organisation, request, target, nested, depth=depth + 1)
    return bound_values(table, name, target, row_id)


def _add_children(
    organisation: Organisation, request: ApiRequest, table: Table, row_id: str, cut: NewRow, depth: int
) -> None:
    for name, rows in cut.children.items():
        for nested in rows:
            _add_child(organisation, request, table, row_id, (name, nested), depth)
    for name, references in cut.links.items():
        for reference in references:
            other = find_reference(organisation, reference)
            associate(organisation, request, table, row_id, (name, other))


def _add_child(
    organisation: Organisation,
    request: ApiRequest,
    table: Table,
    row_id: str,
    link: tuple[str, Mapping[str, Any]],
    depth: int,
) -> None:
    name, nested = link
    association = organisation.schema.association(table.name, name)
    if association:
        other = organisation.schema.table(association[2].table)
        other_id = create_from_body(organisation, request, other, nested, depth=depth + 1)
        associate(organisation, request, table, row_id, (name, (other, other_id)))
        return
    child, column = child_column(organisation, table, name)
    given: Values = {column.name: row_id}
    if column.is_polymorphic:
        given[column.type_column] = table.name
    create_from_body(organisation, request, child, nested, given, depth + 1)
