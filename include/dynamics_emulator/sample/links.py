"""What joins people and companies: primary contacts, leads that were qualified, rows that were merged."""

from collections.abc import Sequence

from dynamics_emulator.sample.chance import Chance
from dynamics_emulator.sample.sheet import Sheet
from dynamics_emulator.storage.database import SqlValue

PERSON = (
    "firstname", "lastname", "fullname", "jobtitle", "emailaddress1", "telephone1", "mobilephone", "description",
    "address1_line1", "address1_city", "address1_postalcode", "address1_country", "donotemail", "donotbulkemail",
)  # fmt: skip
"""Columns of a person that a qualified lead hands to its contact, and that duplicates share."""
COMPANY = ("name", "websiteurl", "address1_line1", "address1_city", "address1_postalcode", "address1_country")
"""Columns that duplicate accounts share."""
_MERGED_SHARE = 0.01
_QUALIFIED_SHARE = 0.1
_INACTIVE = {"statecode": 1, "statuscode": 2}
_CANCELLED = {"statecode": 2, "statuscode": 7}


def merge_within(chance: Chance, sheet: Sheet, shared: Sequence[str], parent: str) -> None:
    """Merge one row in a hundred into an older active one, to which its children in column ``parent`` go over."""
    active = [place for place, state in enumerate(sheet.columns["statecode"]) if state == 0]
    drawn = chance.random.sample(active, 2 * min(_merges(sheet), len(active) // 4))
    _prepare(sheet)
    # The older row stays: its place is before those of all children, so that no circle of parents can come about.
    pairs = [(min(pair), max(pair)) for pair in zip(drawn[::2], drawn[1::2], strict=True)]
    for master, duplicate in pairs:
        _merge(sheet, master, duplicate, shared, _INACTIVE)
    heirs: dict[SqlValue, str] = {sheet.ids[duplicate]: sheet.ids[master] for master, duplicate in pairs}
    sheet.columns[parent] = [heirs.get(value, value) for value in sheet.columns[parent]]


def merge_leads(chance: Chance, leads: Sheet, qualified: Sequence[int]) -> None:
    """Merge one lead in a hundred into one that was qualified."""
    _prepare(leads)
    opened = [place for place, state in enumerate(leads.columns["statecode"]) if state == 0]
    count = min(_merges(leads), len(opened) // 4, len(qualified))
    masters = chance.random.sample(qualified, count)
    for master, duplicate in zip(masters, chance.random.sample(opened, count), strict=True):
        _merge(leads, master, duplicate, PERSON, _CANCELLED)


def _merges(sheet: Sheet) -> int:
    return max(1, int(len(sheet) * _MERGED_SHARE))


def _prepare(sheet: Sheet) -> None:
    sheet.put_same(merged=0, masterid=None)


def _merge(sheet: Sheet, master: int, duplicate: int, shared: Sequence[str], state: dict[str, int]) -> None:
    same = {name: sheet.value(master, name) for name in shared}
    sheet.change(duplicate, {**same, **state, "merged": 1, "masterid": sheet.ids[master]})


def name_primary_contacts(chance: Chance, accounts: Sheet, contacts: Sheet) -> None:
    """Give six accounts in ten that have contacts one of them as its primary contact."""
    staff = contacts_by_company(contacts)
    accounts.put(primarycontactid=chance.sometimes(0.6, [staff.get(key) for key in accounts.ids]))


def contacts_by_company(contacts: Sheet) -> dict[SqlValue, str]:
    """A contact that was not merged, by the account or contact that it belongs to."""
    parents, merged = contacts.columns["parentcustomerid"], contacts.columns["merged"]
    return {parent: key for key, parent, gone in zip(contacts.ids, parents, merged, strict=True) if parent and not gone}


def qualify_some(chance: Chance, leads: Sheet, contacts: Sheet, accounts: Sheet, opportunities: Sheet) -> list[int]:
    """Qualify a tenth of the leads: each became a contact, and perhaps an account and an opportunity.

    Returns the places of the qualified leads.
    """
    opened = [place for place, state in enumerate(leads.columns["statecode"]) if state == 0]
    people = _unrelated(contacts)
    count = min(max(1, int(len(leads) * _QUALIFIED_SHARE)), len(opened), len(people))
    qualified = sorted(chance.random.sample(opened, count))
    companies: dict[SqlValue, int] = {key: place for place, key in enumerate(accounts.ids)}
    sales: dict[SqlValue, list[int]] = {}
    for place, customer in enumerate(opportunities.columns["customerid"]):
        sales.setdefault(customer, []).append(place)
    for lead, contact in zip(qualified, chance.random.sample(people, count), strict=True):
        _hand_over(leads, lead, contacts, contact)
        company = contacts.value(contact, "parentcustomerid")
        if company in companies:
            _join(leads, lead, accounts, companies[company], "parentaccountid")
        sold = sales.get(company) or sales.get(contacts.ids[contact])
        if sold:
            _join(leads, lead, opportunities, sold.pop(), "qualifyingopportunityid")
    return qualified


def _unrelated(contacts: Sheet) -> list[int]:
    """Places of contacts that no merge touched."""
    merged, masters = contacts.columns["merged"], set(contacts.columns["masterid"])
    rows = enumerate(zip(contacts.ids, merged, strict=True))
    return [place for place, (key, gone) in rows if not gone and key not in masters]


def _hand_over(leads: Sheet, lead: int, contacts: Sheet, contact: int) -> None:
    """The contact is the same person as the lead, and was made when the lead was closed."""
    person = {name: leads.value(lead, name) for name in PERSON}
    closed = str(leads.value(lead, "modifiedon"))
    changed = max(closed, str(contacts.value(contact, "modifiedon")))
    contacts.change(contact, {**person, "createdon": closed, "modifiedon": changed})
    leads.change(lead, {"statecode": 1, "statuscode": 3})
    _join(leads, lead, contacts, contact, "parentcontactid")


def _join(leads: Sheet, lead: int, sheet: Sheet, place: int, column: str) -> None:
    """Let a lead and the row that it led to point at each other; a row that came from another lead keeps that one."""
    leads.change(lead, {column: sheet.ids[place]})
    if sheet.value(place, "originatingleadid") is None:
        sheet.change(place, {"originatingleadid": leads.ids[lead]})
