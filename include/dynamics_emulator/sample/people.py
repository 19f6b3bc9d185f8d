"""Accounts, contacts and leads, as they were typed in; :mod:`links` then qualifies and merges some of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from dynamics_emulator.sample.draft import Draft
from dynamics_emulator.sample.marketing import Marketing
from dynamics_emulator.sample.money import Treasury
from dynamics_emulator.sample.pools import Person
from dynamics_emulator.sample.sheet import Sheet
from dynamics_emulator.sample.structure import Structure

_MOMENTS = ("Web", "Email", "Milestone")
_SHARED_MAILBOXES = 40
_LOST = 2


@dataclass(frozen=True)
class Setting:
    """What one part of the organisation is made of and where it stands; ``first`` numbers its first row."""

    draft: Draft
    structure: Structure
    marketing: Marketing
    treasury: Treasury
    first: int


def make_accounts(setting: Setting, count: int) -> Sheet:
    """Accounts; some belong to another one."""
    draft, chance = setting.draft, setting.draft.chance
    sheet, numbers = draft.sheet("account", count), range(setting.first, setting.first + count)
    sheet.put(
        name=chance.choices(draft.pools.companies, count),
        accountnumber=[f"A-{number:06d}" for number in numbers],
        emailaddress1=chance.sometimes(0.7, [f"office{number}@company{number % 400}.example" for number in numbers]),
        websiteurl=chance.sometimes(0.6, [f"https://company{number % 400}.example/" for number in numbers]),
        numberofemployees=chance.sometimes(0.6, chance.numbers(1, 90_000, count)),
        industrycode=chance.some(0.7, draft.options("account", "industrycode"), count),
        description=draft.memos(0.2, count),
        donotemail=chance.flags(0.1, count),
        parentaccountid=chance.earlier(0.12, sheet.ids),
    )
    _locate(draft, sheet, chance.choices(draft.pools.people, count))
    draft.activate(sheet, 0.93)
    _finish(setting, sheet, 0.5, "revenue")
    return sheet


def make_contacts(setting: Setting, accounts: Sequence[str], count: int) -> Sheet:
    """Contacts of these accounts, of other contacts, or of nobody."""
    draft, chance = setting.draft, setting.draft.chance
    sheet = draft.sheet("contact", count)
    _introduce(setting, sheet, "contact")
    years, days = chance.numbers(1940, 2004, count), chance.numbers(1, 28, count)
    births = [f"{year}-02-{day:02d}" for year, day in zip(years, days, strict=True)]
    sheet.put(
        birthdate=chance.sometimes(0.3, births),
        gendercode=chance.some(0.5, draft.options("contact", "gendercode"), count),
        mkt_leadscore=chance.sometimes(0.4, chance.numbers(-20, 149, count)),
    )
    homes = [accounts[place] for place in chance.places(len(accounts), count)]
    companies, people = chance.sometimes(0.7, homes), chance.earlier(0.2, sheet.ids)
    sheet.put(
        parentcustomerid=[company or person for company, person in zip(companies, people, strict=True)],
        parentcustomerid__type=[
            "account" if company else person and "contact" for company, person in zip(companies, people, strict=True)
        ],
    )
    draft.activate(sheet, 0.93)
    _finish(setting, sheet, 0.15, "creditlimit", "annualincome")
    return sheet


def make_leads(setting: Setting, count: int) -> Sheet:
    """Leads, open or disqualified."""
    draft, chance = setting.draft, setting.draft.chance
    sheet = draft.sheet("lead", count)
    _introduce(setting, sheet, "lead")
    reasons = draft.reasons("lead")
    opened = chance.choices([reason for state, reason in reasons if state == 0], count)
    closed = chance.choices([reason for state, reason in reasons if state == _LOST], count)
    lost = chance.flags(0.13, count)
    sheet.put(
        subject=draft.texts(count),
        companyname=chance.some(0.8, draft.pools.companies, count),
        leadsourcecode=chance.some(0.7, draft.options("lead", "leadsourcecode"), count),
        leadqualitycode=chance.some(0.6, draft.options("lead", "leadqualitycode"), count),
        industrycode=chance.some(0.5, draft.options("lead", "industrycode"), count),
        numberofemployees=chance.sometimes(0.3, chance.numbers(1, 5000, count)),
        campaignid=chance.some(0.3, setting.marketing.campaigns, count),
        estimatedclosedate=chance.sometimes(0.3, chance.days(count)),
        decisionmaker=chance.flags(0.3, count),
        statecode=[_LOST if is_lost else 0 for is_lost in lost],
        statuscode=[other if is_lost else one for is_lost, one, other in zip(lost, opened, closed, strict=True)],
    )
    _finish(setting, sheet, 0.3, "estimatedamount", "revenue")
    return sheet


def _finish(setting: Setting, sheet: Sheet, moneyed: float, *amounts: str) -> None:
    draft = setting.draft
    draft.stamp(sheet, setting.structure.users)
    draft.own(sheet, setting.structure.owners)
    setting.treasury.fill(draft.chance, sheet, draft.schema.table(sheet.table), moneyed, *amounts)


def _introduce(setting: Setting, sheet: Sheet, mailbox: str) -> None:
    """Names, jobs, addresses and consents of people."""
    draft, chance, count = setting.draft, setting.draft.chance, len(sheet)
    people = chance.choices(draft.pools.people, count)
    firsts = chance.sometimes(0.95, [person.first for person in people])
    sheet.put(
        firstname=firsts,
        lastname=[person.last for person in people],
        fullname=[
            f"{first} {person.last}" if first else person.last for first, person in zip(firsts, people, strict=True)
        ],
        jobtitle=chance.sometimes(0.6, [person.job for person in people]),
        emailaddress1=_mailboxes(setting, mailbox, count),
        telephone1=chance.sometimes(0.5, [f"+49 {digits}" for digits in chance.numbers(10**9, 10**10 - 1, count)]),
        mobilephone=chance.sometimes(0.3, [f"+1 {digits}" for digits in chance.numbers(10**9, 10**10 - 1, count)]),
        description=draft.memos(0.2, count),
        acme_extid=chance.sometimes(0.4, [f"M-{mailbox}-{setting.first + at}" for at in range(count)]),
        donotemail=chance.flags(0.1, count),
        donotbulkemail=chance.flags(0.1, count),
        new_synctomkto=chance.flags(0.85, count),
    )
    _locate(draft, sheet, people)
    _score(draft, sheet)


def _mailboxes(setting: Setting, mailbox: str, count: int) -> "list[str | None]":
    """One mailbox in twenty is shared, so that several rows have the same address; one row in ten has none."""
    chance = setting.draft.chance
    shared = chance.sometimes(0.05, chance.numbers(0, _SHARED_MAILBOXES - 1, count))
    return chance.sometimes(
        0.9,
        [
            f"{mailbox}{setting.first + at}@mail.example" if number is None else f"shared{number}@mail.example"
            for at, number in enumerate(shared)
        ],
    )


def _score(draft: Draft, sheet: Sheet) -> None:
    """What Marketo's solution keeps about people."""
    chance, count = draft.chance, len(sheet)
    moments = chance.sometimes(0.25, chance.instants(count))
    texts, kinds = draft.texts(count), chance.choices(_MOMENTS, count)
    sheet.put(
        mkt_priority=chance.sometimes(0.4, chance.numbers(0, 99, count)),
        mkt_urgency=chance.sometimes(0.4, chance.numbers(0, 3, count)),
        mkt_relativescore=chance.sometimes(0.4, chance.numbers(0, 3, count)),
        mkt_lastinterestingmomentdate=moments,
        mkt_lastinterestingmomentdesc=[moment and text for moment, text in zip(moments, texts, strict=True)],
        mkt_lastinterestingmomenttype=[moment and kind for moment, kind in zip(moments, kinds, strict=True)],
        mkt_leadinterestingmomentsource=[moment and "Newsletter" for moment in moments],
    )


def _locate(draft: Draft, sheet: Sheet, people: Sequence[Person]) -> None:
    """Addresses where these people live; one in four is unknown."""
    chance, count = draft.chance, len(sheet)
    known = chance.sometimes(0.75, people)
    pinned = chance.sometimes(0.15, [round(chance.random.uniform(-90, 90), 5) for _ in range(count)])
    sheet.put(
        address1_line1=[None if person is None else person.street for person in known],
        address1_city=[None if person is None else person.city for person in known],
        address1_postalcode=[None if person is None else person.postcode for person in known],
        address1_country=[None if person is None else person.country for person in known],
        address1_latitude=pinned,
        address1_longitude=[None if north is None else round(north * 2, 5) for north in pinned],
    )
