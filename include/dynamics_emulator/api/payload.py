"""Reads the body of a write: every member is checked against the metadata and turned into its stored form."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dynamics_emulator.api.keys import find_reference
from dynamics_emulator.api.values import Values, written_value
from dynamics_emulator.errors import (
    bad_query,
    lookup_written_directly,
    payload_error,
    undeclared_bind,
    unrecognized_path,
)
from dynamics_emulator.organisation import Organisation
from dynamics_emulator.schema.described import CRM
from dynamics_emulator.schema.model import Column, Table

_BIND = "@odata.bind"


@dataclass(frozen=True)
class NewRow:
    """The body of a create, cut into its own members and the rows that hang on it.

    ``parents`` are rows to make first, by single-valued navigation property; ``children`` rows to make afterwards and
    ``links`` rows to tie afterwards, both by collection-valued one.
    """

    own: Mapping[str, Any]
    parents: Mapping[str, Mapping[str, Any]]
    children: Mapping[str, list[Mapping[str, Any]]]
    links: Mapping[str, list[str]]


def cut_body(organisation: Organisation, table: Table, body: Mapping[str, Any]) -> NewRow:
    """Part a body for a deep insert. Raises a 400 for a collection that is not a list of rows."""
    own = dict(body)
    parents: dict[str, Mapping[str, Any]] = {}
    children: dict[str, list[Mapping[str, Any]]] = {}
    links: dict[str, list[str]] = {}
    for name, value in body.items():
        bind = name.removesuffix(_BIND)
        if isinstance(value, dict) and name in table.navigations:
            parents[name] = own.pop(name)
        elif isinstance(value, list) and is_collection(organisation, table, bind):
            if not all(isinstance(item, dict if bind == name else str) for item in value):
                raise payload_error(table.set_name, f"The members of '{name}' have the wrong type.")
            own.pop(name)
            if bind == name:
                children[name] = value
            else:
                links[bind] = value
    return NewRow(own, parents, children, links)


def is_collection(organisation: Organisation, table: Table, name: str) -> bool:
    """Whether a navigation property of the table leads to many rows."""
    schema = organisation.schema
    return name in schema.collections[table.name] or schema.association(table.name, name) is not None


def read_payload(organisation: Organisation, table: Table, body: Mapping[str, Any], *, creating: bool) -> Values:
    """Stored columns and values of a body without nested rows.

    Raises a 400 with Dataverse's code for anything that does not fit; nothing is written then.
    """
    values: Values = {}
    for name, value in body.items():
        if name.endswith(_BIND):
            values.update(_bound(organisation, table, name.removesuffix(_BIND), value, creating=creating))
        elif name == "@odata.type":
            require_type(table, value)
        elif "@" not in name:
            column = _writable_column(organisation, table, name, creating=creating)
            if column:
                values[column.name] = written_value(organisation.settings, table, column, value)
    return values


def require_type(table: Table, stated: Any) -> None:
    """Refuse a row whose ``@odata.type`` is not that of its table (400, 0x80048d19)."""
    expected = f"{CRM}.{table.name}"
    if str(stated).rpartition("#")[2] != expected:
        raise payload_error(table.set_name, inner=f"A row here has '@odata.type': '{expected}'.")


def bound_values(table: Table, navigation: str, target: Table | None, row_id: str | None) -> Values:
    """What a lookup stores for a row, or for no row. Raises a 400 when the property does not lead to that table."""
    column, targets = table.navigations[navigation]
    if target is not None and target.name not in targets:
        raise unrecognized_path()
    bound: Values = {column.name: row_id}
    if column.is_polymorphic:
        bound[column.type_column] = target.name if target else None
    return bound


def _writable_column(organisation: Organisation, table: Table, name: str, *, creating: bool) -> Column | None:
    column = table.properties.get(name)
    if column is None:
        lookup = table.find(name)
        if name in table.navigations or (lookup and lookup.is_lookup):
            raise lookup_written_directly()
        raise undeclared_column(table, name)
    if column.is_lookup:
        raise lookup_written_directly()
    if column.name == table.primary_id:
        return column if creating else None
    return column if _may_be_set(organisation, table, column, creating=creating) else None


def _may_be_set(organisation: Organisation, table: Table, column: Column, *, creating: bool) -> bool:
    """Whether a write may set a column; one that it may not is passed over, or refused by the setting for it (400)."""
    if column.creatable if creating else column.updatable:
        return True
    if organisation.settings.read_only_columns == "refuse":
        message = f"The property '{column.name}' of '{table.name}' cannot be set."
        raise bad_query(message)
    return False


def undeclared_column(table: Table, name: str) -> Exception:
    """A member of a body that the table does not have, or that is not published (400, 0x80048d19)."""
    inner = (
        f"The property '{name}' does not exist on type 'Microsoft.Dynamics.CRM.{table.name}'. "
        "Make sure to only use property names that are defined by the type."
    )
    return payload_error(table.set_name, inner)


def _bound(organisation: Organisation, table: Table, navigation: str, value: Any, *, creating: bool) -> Values:
    link = table.navigations.get(navigation)
    if link is None:
        raise undeclared_bind(table.set_name, navigation)
    if not _may_be_set(organisation, table, link[0], creating=creating):
        return {}
    if value is None:
        return bound_values(table, navigation, None, None)
    if not isinstance(value, str):
        raise unrecognized_path()
    target, row_id = find_reference(organisation, value)
    return bound_values(table, navigation, target, row_id)
