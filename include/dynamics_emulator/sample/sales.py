"""Opportunities, how they were closed, and connections such as their stakeholders."""

from collections.abc import Sequence

from dynamics_emulator.sample.draft import OWNERSHIP
from dynamics_emulator.sample.links import contacts_by_company
from dynamics_emulator.sample.people import Setting
from dynamics_emulator.sample.sheet import Sheet
from dynamics_emulator.storage.database import SqlValue

_WON = 1
_End = tuple[str, str]
"""Table and key of one end of a connection."""


def make_opportunities(setting: Setting, accounts: Sequence[str], contacts: Sheet, count: int) -> Sheet:
    """Opportunities of these accounts or of contacts, with amounts in several currencies."""
    draft, chance = setting.draft, setting.draft.chance
    sheet = draft.sheet("opportunity", count)
    states = chance.choices(draft.reasons("opportunity"), count)
    closings = chance.days(count)
    sheet.put(
        name=[f"{text[:200]} #{setting.first + at}" for at, text in enumerate(draft.texts(count))],
        estimatedclosedate=chance.days(count),
        actualclosedate=[day if state else None for (state, _), day in zip(states, closings, strict=True)],
        closeprobability=chance.sometimes(0.7, chance.numbers(0, 100, count)),
        description=draft.memos(0.3, count),
        campaignid=chance.some(0.2, setting.marketing.campaigns, count),
        statecode=[state for state, _ in states],
        statuscode=[status for _, status in states],
    )
    _sell(setting, sheet, accounts, contacts)
    draft.stamp(sheet, setting.structure.users)
    draft.own(sheet, setting.structure.owners)
    setting.treasury.fill(chance, sheet, draft.schema.table("opportunity"), 1, "estimatedvalue")
    _win(sheet)
    return sheet


def _sell(setting: Setting, sheet: Sheet, accounts: Sequence[str], contacts: Sheet) -> None:
    """Three in four customers are accounts; the contact beside an account is one of its own."""
    chance, count, staff = setting.draft.chance, len(sheet), contacts_by_company(contacts)
    companies = chance.sometimes(0.75, [accounts[place] for place in chance.places(len(accounts), count)])
    persons = chance.choices(contacts.living(), count)
    customers = list(zip(companies, persons, strict=True))
    sheet.put(
        customerid=[company or person for company, person in customers],
        customerid__type=["account" if company else "contact" for company in companies],
        parentaccountid=companies,
        parentcontactid=[staff.get(company) if company else person for company, person in customers],
    )


def _win(sheet: Sheet) -> None:
    """An opportunity that was won brought what was expected."""
    states = sheet.columns["statecode"]
    for name in ("value", "value_base"):
        expected = sheet.columns[f"estimated{name}"]
        won = [amount if state == _WON else None for state, amount in zip(states, expected, strict=True)]
        sheet.put(**{f"actual{name}": won})


def make_closings(setting: Setting, opportunities: Sheet) -> Sheet:
    """The activity that closed each opportunity that is no longer open."""
    draft = setting.draft
    closed = [place for place, state in enumerate(opportunities.columns["statecode"]) if state]
    sheet = draft.sheet("opportunityclose", len(closed))

    def of(name: str) -> list[SqlValue]:
        return [opportunities.columns[name][place] for place in closed]

    draft.stamp(sheet, setting.structure.users)
    sheet.put(
        subject=["Won" if state == _WON else "Lost" for state in of("statecode")],
        opportunityid=[opportunities.ids[place] for place in closed],
        actualend=[f"{day}T16:00:00Z" for day in of("actualclosedate")],
        actualrevenue=of("actualvalue"),
        actualrevenue_base=of("actualvalue_base"),
        transactioncurrencyid=of("transactioncurrencyid"),
        exchangerate=of("exchangerate"),
        **{name: of(name) for name in OWNERSHIP},
    )
    sheet.put_same(statecode=1, statuscode=2)
    return sheet


def make_connections(
    setting: Setting, accounts: Sequence[str], contacts: Sheet, opportunities: Sheet, pairs: int
) -> Sheet:
    """Connections, always in reciprocal pairs: mostly opportunity to contact, some account to account."""
    draft, chance = setting.draft, setting.draft.chance
    sheet = draft.sheet("connection", pairs * 2)
    sheet.put(name=draft.texts(len(sheet)))
    sheet.put_same(statecode=0, statuscode=1)
    draft.stamp(sheet, setting.structure.users)
    draft.own(sheet, setting.structure.owners)
    roles, people = chance.choices(setting.structure.roles, pairs), contacts.living()
    places = chance.random.sample(range(len(sheet)), len(sheet))
    for number, role in enumerate(roles):
        first: _End = ("opportunity", chance.random.choice(opportunities.ids))
        second: _End = ("contact", chance.random.choice(people))
        if number % 10 == 0:
            first, second = ("account", chance.random.choice(accounts)), ("account", chance.random.choice(accounts))
        _connect(sheet, (places[2 * number], places[2 * number + 1]), (first, second), role)
    return sheet


def _connect(sheet: Sheet, places: tuple[int, int], ends: tuple[_End, _End], role: str) -> None:
    """Two rows for one connection: each sees its other end as record 2, and the role is that of the second end."""
    (one, other), (first, second) = places, ends
    alike = {name: sheet.value(one, name) for name in ("name", "createdon", "modifiedon", "modifiedby", *OWNERSHIP)}
    sheet.change(
        one,
        {
            **_between(first, second),
            "relatedconnectionid": sheet.ids[other],
            "record1roleid": None,
            "record2roleid": role,
            "ismaster": 1,
        },
    )
    sheet.change(
        other,
        {
            **alike,
            **_between(second, first),
            "relatedconnectionid": sheet.ids[one],
            "record1roleid": role,
            "record2roleid": None,
            "ismaster": 0,
        },
    )


def _between(first: _End, second: _End) -> dict[str, str]:
    return {
        "record1id__type": first[0],
        "record1id": first[1],
        "record2id__type": second[0],
        "record2id": second[1],
    }
