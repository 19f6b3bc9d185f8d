"""One part of the organisation: a few thousand rows that point only at each other, at its structure and its marketing.

Parts do not know each other. So an organisation of any size is made in the memory of one part, and comes out the same
wherever its making was interrupted.
"""

from collections.abc import Mapping

from dynamics_emulator.sample.custom import fill_custom_columns, make_custom_tables
from dynamics_emulator.sample.events import make_attendances, make_feedback, make_interests, make_members
from dynamics_emulator.sample.links import (
    COMPANY,
    PERSON,
    merge_leads,
    merge_within,
    name_primary_contacts,
    qualify_some,
)
from dynamics_emulator.sample.people import Setting, make_accounts, make_contacts, make_leads
from dynamics_emulator.sample.sales import make_closings, make_connections, make_opportunities
from dynamics_emulator.sample.sheet import Sheet

ROWS_OF_A_PART = 10_000
_SHARES = {
    "account": 12,
    "contact": 32,
    "lead": 28,
    "opportunity": 6,
    "pairs": 3,
    "acme_eventattendance": 6,
    "acme_attendancefeedback": 2,
    "acme_interest_contact": 3,
    "listmember": 3,
    "custom": 1,
}
"""Per cent of the rows; ``pairs`` of connections count twice, and ``custom`` is for each table that is not named."""


def make_part(setting: Setting, rows: int) -> list[Sheet]:
    """About so many rows."""
    count = {name: max(1, rows * share // 100) for name, share in _SHARES.items()}
    sheets = _make_sheets(setting, count)
    keys = {sheet.table: sheet.living() for sheet in (*setting.structure.sheets, *setting.marketing.sheets, *sheets)}
    for sheet in sheets:
        fill_custom_columns(setting, sheet, keys)
    return [*sheets, *make_custom_tables(setting, sheets, keys, count["custom"])]


def _make_sheets(setting: Setting, count: Mapping[str, int]) -> list[Sheet]:
    chance = setting.draft.chance
    accounts = make_accounts(setting, count["account"])
    merge_within(chance, accounts, COMPANY, "parentaccountid")
    contacts = make_contacts(setting, accounts.living(), count["contact"])
    merge_within(chance, contacts, PERSON, "parentcustomerid")
    name_primary_contacts(chance, accounts, contacts)
    leads = make_leads(setting, count["lead"])
    opportunities = make_opportunities(setting, accounts.living(), contacts, count["opportunity"])
    merge_leads(chance, leads, qualify_some(chance, leads, contacts, accounts, opportunities))
    attendances = make_attendances(setting, contacts.living(), count["acme_eventattendance"])
    people = {sheet.table: sheet.living() for sheet in (accounts, contacts, leads)}
    return [
        accounts,
        contacts,
        leads,
        opportunities,
        make_closings(setting, opportunities),
        make_connections(setting, accounts.living(), contacts, opportunities, count["pairs"]),
        attendances,
        make_feedback(setting, attendances, count["acme_attendancefeedback"]),
        make_interests(setting, contacts.living(), count["acme_interest_contact"]),
        make_members(setting, people, count["listmember"]),
    ]
