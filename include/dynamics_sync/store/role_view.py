"""The query of the view `opportunity_contact_role`: which contacts take part in which opportunity.

Marketo takes this from the same two places: the opportunity's customer, where that is a contact, and the active
connections between an opportunity and a contact that give the contact a role.
"""

import sqlalchemy as sa

from dynamics_sync.store.view_sql import column_kinds, number, text

#: `statecode` of a connection that holds; one that was ended is inactive.
_ACTIVE = number(0)

_OPPORTUNITY = sa.table(
    "opportunity",
    sa.column("opportunity_id"),
    sa.column("customer_id"),
    sa.column("customer_type"),
    sa.column("crm_deleted_at"),
)
_CONNECTION = sa.table(
    "connection",
    *(sa.column(f"record{side}_{part}") for side in (1, 2) for part in ("id", "type", "role_id", "role_name")),
    sa.column("state_code"),
    sa.column("crm_deleted_at"),
)


def role_query(connection: sa.Connection) -> sa.CompoundSelect[object] | None:
    """Return the view's query; None without the two tables that it reads, or without one of their columns."""
    for table in (_OPPORTUNITY, _CONNECTION):
        if not set(table.columns.keys()) <= set(column_kinds(connection, table.name)):
            return None
    return _roles()


def _roles() -> sa.CompoundSelect[object]:
    """UNION takes out what Dynamics holds twice: each connection has a mirrored twin."""
    customers = sa.select(
        _OPPORTUNITY.c.opportunity_id,
        _OPPORTUNITY.c.customer_id.label("contact_id"),
        text("Customer").label("role"),
        text("customer").label("origin"),
        sa.true().label("is_primary"),
    ).where(
        _OPPORTUNITY.c.customer_type == text("contact"),
        _OPPORTUNITY.c.customer_id.is_not(None),
        _OPPORTUNITY.c.crm_deleted_at.is_(None),
    )
    return sa.union(
        customers,
        _connected(opportunity_side=1, contact_side=2),
        _connected(opportunity_side=2, contact_side=1),
    )


def _connected(*, opportunity_side: int, contact_side: int) -> sa.Select[object]:
    """Return the active connections with the opportunity on one side and the contact, with a role, on the other."""
    columns = _CONNECTION.c
    opportunity_id, contact_id = columns[f"record{opportunity_side}_id"], columns[f"record{contact_side}_id"]
    return (
        sa.select(
            opportunity_id.label("opportunity_id"),
            contact_id.label("contact_id"),
            columns[f"record{contact_side}_role_name"].label("role"),
            text("connection").label("origin"),
            sa.false().label("is_primary"),
        )
        .join_from(_CONNECTION, _OPPORTUNITY, _OPPORTUNITY.c.opportunity_id == opportunity_id)
        .where(
            columns[f"record{opportunity_side}_type"] == text("opportunity"),
            columns[f"record{contact_side}_type"] == text("contact"),
            columns[f"record{contact_side}_role_id"].is_not(None),
            columns.state_code == _ACTIVE,
            columns.crm_deleted_at.is_(None),
            _OPPORTUNITY.c.crm_deleted_at.is_(None),
        )
    )
