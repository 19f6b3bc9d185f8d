"""The query of the view `person`: one row for each human that leads and contacts are about.

Rows are about one human if links tie them together, over any number of steps: a lead and the contact that it was
qualified into, a row and the one that it was merged into, and a lead and a contact with the same GUID, which nobody
gives twice by chance. One row of them is shown: one that is alive in Dynamics before one that was deleted there, then
a contact before a lead, then one that stands by itself before one that was merged into another.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from dynamics_sync.store.view_sql import TEXT, column_kinds, number, text

#: `statecode` of a lead that became a contact.
_QUALIFIED = number(1)

#: What the view says of each row, whatever else the two tables share.
_OWN = frozenset({"person_id", "crm_type", "table_name", "lead_id", "contact_id", "company"})


@dataclass(frozen=True)
class _Source:
    """A table as it is in the database today; its key is `<name>_id`."""

    name: str
    kinds: Mapping[str, str]
    rows: sa.FromClause

    @classmethod
    def find(cls, connection: sa.Connection, name: str) -> "_Source | None":
        """Return the table; None if it is not there, or not one that the sync made."""
        kinds = column_kinds(connection, name)
        if not {f"{name}_id", "crm_version", "crm_deleted_at"} <= set(kinds):
            return None
        return cls(name, kinds, sa.table(name, *map(sa.column, kinds)))

    @property
    def key(self) -> sa.ColumnElement[Any]:
        return self.rows.c[f"{self.name}_id"]

    @property
    def is_lead(self) -> sa.ColumnElement[bool]:
        return sa.true() if self.name == "lead" else sa.false()

    @property
    def is_deleted(self) -> sa.ColumnElement[bool]:
        return self.rows.c.crm_deleted_at.is_not(None)

    def points(self, column: str, other: "_Source") -> bool:
        """Say whether the table has the column, and it is of the kind of the other's key."""
        return self.kinds.get(column) == other.kinds[f"{other.name}_id"]

    def again(self, name: str) -> "_Source":
        """Return the same table under another name, to join it with itself."""
        return _Source(self.name, self.kinds, self.rows.alias(name))


def person_query(connection: sa.Connection) -> sa.CompoundSelect[Any] | None:
    """Return the view's query, with the links and the common columns that are there; None without one of the tables."""
    lead, contact = _Source.find(connection, "lead"), _Source.find(connection, "contact")
    if lead is None or contact is None or not lead.points("lead_id", contact):
        return None
    link = sa.union_all(*_qualified(lead, contact), *_merged(lead), *_merged(contact)).cte("link")
    member = _members(lead, contact, link)
    shared = [name for name, kind in lead.kinds.items() if contact.kinds.get(name) == kind and name not in _OWN]
    account = _Source.find(connection, "account")
    return sa.union_all(_shown_leads(lead, member, shared), _shown_contacts(contact, lead, account, member, shared))


def _link(
    one: _Source, other: _Source, *, ends: sa.ColumnElement[bool] | None = None, covers: sa.ColumnElement[bool]
) -> sa.Select[Any]:
    """Return a link from a row to one that stands for it. Along those that do not end there, nobody goes in circles.

    `covers` says that the other row is there to be shown, as it was not deleted, or both were.
    """
    return sa.select(
        one.is_lead.label("is_lead"),
        one.key.label("id"),
        one.is_deleted.label("is_deleted"),
        other.is_lead.label("to_is_lead"),
        other.key.label("to_id"),
        other.is_deleted.label("to_is_deleted"),
        (sa.false() if ends is None else ends).label("ends"),
        covers.label("covers"),
    )


def _qualified(lead: _Source, contact: _Source) -> list[sa.Select[Any]]:
    ties = [lead.key == contact.key]
    if contact.points("originating_lead_id", lead):
        ties.append(contact.rows.c.originating_lead_id == lead.key)
    if lead.points("parent_contact_id", contact) and "state_code" in lead.kinds:
        ties.append(sa.and_(lead.rows.c.parent_contact_id == contact.key, lead.rows.c.state_code == _QUALIFIED))
    # Each is a join of its own: joined by one OR, the tables would be compared row by row.
    return [_link(lead, contact, covers=sa.false()).join_from(lead.rows, contact.rows, tie) for tie in ties]


def _merged(source: _Source) -> list[sa.Select[Any]]:
    column = f"master_{source.name}_id"
    if not source.points(column, source) or "is_merged" not in source.kinds:
        return []
    master = source.again("master")
    # Rows that were merged in a circle are all merged, and one of them points to a greater GUID.
    ends = sa.and_(master.rows.c.is_merged.is_(sa.true()), source.key < master.key)
    covers = sa.or_(~master.is_deleted, source.is_deleted)
    return [
        _link(source, master, ends=sa.case((ends, sa.true()), else_=sa.false()), covers=covers)
        .join_from(source.rows, master.rows, source.rows.c[column] == master.key)
        .where(source.rows.c.is_merged.is_(sa.true()), source.key != master.key)
    ]


def _members(lead: _Source, contact: _Source, link: sa.CTE) -> sa.CTE:
    """Return the linked rows, each with the lead and the contact of its human, and which of the two is shown."""
    reached = _reached(link)
    best = _best(link, reached)
    its_lead, its_contact = best.alias("its_lead"), best.alias("its_contact")

    def of_human(row: sa.FromClause, source: _Source) -> sa.ColumnElement[bool]:
        same = (row.c[name] == reached.c[name] for name in ("end_is_lead", "end_id"))
        return sa.and_(*same, row.c.is_lead.is_(source.is_lead))

    shows_lead = sa.or_(
        its_contact.c.id.is_(None), sa.and_(its_contact.c.is_deleted, its_lead.c.is_deleted.is_(sa.false()))
    )
    return (
        sa.select(
            reached.c.is_lead,
            reached.c.id,
            its_lead.c.id.label("lead_id"),
            its_contact.c.id.label("contact_id"),
            shows_lead.label("shows_lead"),
        )
        .distinct()
        .join_from(reached, its_lead, of_human(its_lead, lead), isouter=True)
        .join(its_contact, of_human(its_contact, contact), isouter=True)
        .cte("member")
    )


def _reached(link: sa.CTE) -> sa.CTE:
    """Return all rows of a human for each of its ends, mostly one: a row that others lead to and that leads nowhere.

    To begin at the ends, and not at each row, keeps a contact that thousands of leads were qualified into cheap.
    """
    onward = link.alias("onward")
    leads_on = sa.exists().where(onward.c.is_lead == link.c.to_is_lead, onward.c.id == link.c.to_id, ~onward.c.ends)
    ends = sa.select(
        link.c.to_is_lead.label("end_is_lead"),
        link.c.to_id.label("end_id"),
        link.c.to_is_lead.label("is_lead"),
        link.c.to_id.label("id"),
        link.c.to_is_deleted.label("is_deleted"),
    ).where(~leads_on)
    one, other = (link.c.is_lead, link.c.id), (link.c.to_is_lead, link.c.to_id)
    onto, back = sa.select(*one, *other, link.c.to_is_deleted), sa.select(*other, *one, link.c.is_deleted)
    step = sa.union_all(onto, back).cte("step")
    reached = ends.cte("reached", recursive=True)
    return reached.union(
        sa.select(
            reached.c.end_is_lead, reached.c.end_id, step.c.to_is_lead, step.c.to_id, step.c.to_is_deleted
        ).join_from(reached, step, sa.and_(step.c.is_lead == reached.c.is_lead, step.c.id == reached.c.id))
    )


def _best(link: sa.CTE, reached: sa.CTE) -> sa.CTE:
    """Return the one lead and the one contact that would be shown of each human, were there no other table."""
    cover = link.alias("cover")
    covered = sa.and_(cover.c.is_lead == reached.c.is_lead, cover.c.id == reached.c.id, cover.c.covers)
    place = sa.func.row_number().over(
        partition_by=(reached.c.end_is_lead, reached.c.end_id, reached.c.is_lead),
        order_by=(reached.c.is_deleted, cover.c.id.is_not(None), reached.c.id),
    )
    placed = (
        sa.select(reached, place.label("place")).join_from(reached, cover, covered, isouter=True).subquery("placed")
    )
    return sa.select(placed).where(placed.c.place == number(1)).cte("best")


def _shown_leads(lead: _Source, member: sa.CTE, shared: list[str]) -> sa.Select[Any]:
    company = lead.rows.c.company if lead.kinds.get("company") == TEXT else text(None)
    is_shown = sa.or_(member.c.id.is_(None), sa.and_(member.c.shows_lead, member.c.lead_id == lead.key))
    own = _own_columns(lead, lead.key, member.c.contact_id, company)
    return sa.select(*own, *_values(lead, shared)).select_from(_with_member(lead, member)).where(is_shown)


def _shown_contacts(
    contact: _Source, lead: _Source, account: _Source | None, member: sa.CTE, shared: list[str]
) -> sa.Select[Any]:
    rows, company = _with_member(contact, member), text(None)
    lead_id: sa.ColumnElement[Any] = member.c.lead_id
    if contact.points("originating_lead_id", lead):
        origin = lead.again("origin")
        rows = rows.outerjoin(origin.rows, origin.key == contact.rows.c.originating_lead_id)
        lead_id = sa.func.coalesce(origin.key, lead_id)
    if contact.kinds.get("company") == TEXT:
        company = contact.rows.c.company
    elif account and contact.points("parent_customer_id", account) and account.kinds.get("name") == TEXT:
        # A GUID is of one record in all of Dynamics, so that the kind of the customer need not be asked.
        rows = rows.outerjoin(account.rows, account.key == contact.rows.c.parent_customer_id)
        company = account.rows.c.name
    is_shown = sa.or_(member.c.id.is_(None), sa.and_(~member.c.shows_lead, member.c.contact_id == contact.key))
    own = _own_columns(contact, lead_id, contact.key, company)
    return sa.select(*own, *_values(contact, shared)).select_from(rows).where(is_shown)


def _own_columns(
    source: _Source, lead_id: sa.ColumnElement[Any], contact_id: sa.ColumnElement[Any], company: sa.ColumnElement[str]
) -> list[sa.Label[Any]]:
    return [
        source.key.label("person_id"),
        sa.case((source.rows.c.crm_version.is_not(None), text(source.name))).label("crm_type"),
        text(source.name).label("table_name"),
        lead_id.label("lead_id"),
        contact_id.label("contact_id"),
        company.label("company"),
    ]


def _values(source: _Source, shared: list[str]) -> list[sa.ColumnElement[Any]]:
    return [source.rows.c[name] for name in shared]


def _with_member(source: _Source, member: sa.CTE) -> sa.Join:
    is_same = sa.and_(member.c.is_lead.is_(source.is_lead), member.c.id == source.key)
    return source.rows.outerjoin(member, is_same)
