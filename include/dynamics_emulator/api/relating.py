"""Ties rows together and parts them: by a lookup of the child, or by a row of an N:N's intersect table."""

from dynamics_emulator.api.access import require_link
from dynamics_emulator.api.changing import change_row, require_row
from dynamics_emulator.api.messages import ApiRequest
from dynamics_emulator.api.values import Values
from dynamics_emulator.api.writing import insert, new_id, remove
from dynamics_emulator.errors import row_missing, unknown_property, unrecognized_path
from dynamics_emulator.organisation import Organisation, present_time
from dynamics_emulator.schema.links import ManyToMany, Side
from dynamics_emulator.schema.model import Column, Table
from dynamics_emulator.storage.layout import quote

Other = tuple[Table, str]
"""The row at the other end: its table and key."""


def associate(
    organisation: Organisation, request: ApiRequest, table: Table, row_id: str, link: tuple[str, Other]
) -> None:
    """Tie a row to another through a collection-valued property; inside a transaction. A tie that is there stays.

    Raises a 400 for a property that the table does not have, or that leads to another table.
    """
    name, (other, other_id) = link
    association = organisation.schema.association(table.name, name)
    if association:
        relationship, mine, theirs = association
        _require_table(theirs.table, other)
        require_link(organisation, table, other, request.caller)
        _add_intersect(organisation, relationship, (mine, row_id), (theirs, other_id))
        return
    child, column = child_column(organisation, table, name)
    _require_table(child.name, other)
    values: Values = {column.name: row_id}
    if column.is_polymorphic:
        values[column.type_column] = table.name
    change_row(organisation, request, child, require_row(organisation, child, other_id), values)


def disassociate(
    organisation: Organisation, request: ApiRequest, table: Table, row_id: str, link: tuple[str, str]
) -> None:
    """Part a row from the one with this key; inside a transaction. Raises a 404 when they are not tied."""
    name, other_id = link
    association = organisation.schema.association(table.name, name)
    if association:
        relationship, mine, theirs = association
        require_link(organisation, table, organisation.schema.table(theirs.table), request.caller)
        intersect = organisation.schema.table(relationship.intersect)
        found = _intersect_key(organisation, relationship, (mine, row_id), (theirs, other_id))
        if found is None:
            raise row_missing(intersect.name, other_id)
        remove(organisation, intersect, found)
        return
    child, column = child_column(organisation, table, name)
    stored = require_row(organisation, child, other_id)
    if stored[column.name] != row_id:
        raise row_missing(child.name, other_id)
    values: Values = {column.name: None}
    if column.is_polymorphic:
        values[column.type_column] = None
    change_row(organisation, request, child, stored, values)


def child_column(organisation: Organisation, table: Table, name: str) -> tuple[Table, Column]:
    """The table behind a 1:N property and the lookup in it that points back. Raises a 400 for other names."""
    collection = organisation.schema.collections[table.name].get(name)
    if collection is None:
        raise unknown_property(name, table.name)
    child = organisation.schema.table(collection.child)
    return child, child.columns[collection.column]


End = tuple[Side, str]


def _add_intersect(organisation: Organisation, relationship: ManyToMany, mine: End, theirs: End) -> None:
    if _intersect_key(organisation, relationship, mine, theirs) is not None:
        return
    table = organisation.schema.table(relationship.intersect)
    now = present_time(organisation)
    row: Values = {
        table.primary_id: new_id(organisation),
        mine[0].column: mine[1],
        theirs[0].column: theirs[1],
        "createdon": now,
        "modifiedon": now,
        **_entity_type(table, relationship),
    }
    insert(organisation, table, {name: value for name, value in row.items() if name in table.columns})


def _intersect_key(organisation: Organisation, relationship: ManyToMany, mine: End, theirs: End) -> str | None:
    table = organisation.schema.table(relationship.intersect)
    ends = {mine[0].column: mine[1], theirs[0].column: theirs[1], **_entity_type(table, relationship)}
    conditions = " AND ".join(f"{quote(name)} = ?" for name in ends)
    query = f"SELECT {quote(table.primary_id)} FROM {quote(table.name)} WHERE {conditions}"
    found = organisation.database.connection.execute(query, list(ends.values())).fetchone()
    return None if found is None else str(found[0])


def _entity_type(table: Table, relationship: ManyToMany) -> dict[str, str]:
    """Intersect tables that serve several relationships say in ``entitytype`` what their second end is."""
    return {"entitytype": relationship.second.table} if "entitytype" in table.columns else {}


def _require_table(expected: str, other: Table) -> None:
    if other.name != expected:
        raise unrecognized_path()
