"""The organisation itself: business units, users, teams, currencies and connection roles."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from dynamics_emulator.identity import BASE_CURRENCY_ID, ROOT_BUSINESS_UNIT_ID
from dynamics_emulator.sample.draft import Draft, Owner
from dynamics_emulator.sample.money import Currency
from dynamics_emulator.sample.sheet import Sheet
from dynamics_emulator.security.founding import ADMINISTRATOR, SALESPERSON, named_id

_UNITS = ("Europe", "Americas", "Asia")
_OFFICES = (("DACH", 0), ("Nordics", 0), ("Latin America", 1), ("日本", 2))
"""Units below the others, each with the place of its parent."""
_TEAMS = ("Inbound team", "Partner desk", "Événements", "Ключевые клиенты", "東京営業部")
_CURRENCIES = (
    ("US Dollar", "USD", "$", 2, "1.0800000000", 2),
    ("Yen", "JPY", "¥", 0, "162.5000000000", 1),
    ("Pound Sterling", "GBP", "£", 2, "0.8500000000", 1),
)
"""Name, code, sign, decimals, rate, and how often it is drawn."""
_BASE_WEIGHT = 6
_ROLES = ("Stakeholder", "Decision maker", "Influencer", "Former employer", "Champion")
_TEAM_SIZE = 8
_TEAM_SHARE = 0.15
_SOLUTION_ID = "7e57ab1e-0000-4000-8000-000000000006"


@dataclass(frozen=True)
class Structure:
    """What the rows of every part may point at."""

    sheets: tuple[Sheet, ...]
    users: tuple[str, ...]
    owners: tuple[Owner, ...]
    """As often as they are drawn: a team owns about one row in seven."""
    currencies: tuple[Currency, ...]
    roles: tuple[str, ...]


def make_structure(draft: Draft, organization_id: str, users: int) -> Structure:
    """Everything that other rows point at, with this many users."""
    units = _units(draft, organization_id)
    currencies, money = _currencies(draft)
    people = _users(draft, organization_id, units.ids, users)
    teams, members = _teams(draft, organization_id, units.ids, people)
    roles = _roles(draft, organization_id)
    return Structure(
        sheets=(units, currencies, people, teams, members, roles, *_rights(draft, people, teams)),
        users=tuple(people.ids),
        owners=_owners(people, teams),
        currencies=money,
        roles=tuple(roles.ids),
    )


def _units(draft: Draft, organization_id: str) -> Sheet:
    sheet = draft.sheet("businessunit", len(_UNITS) + len(_OFFICES))
    parents = [ROOT_BUSINESS_UNIT_ID for _ in _UNITS] + [sheet.ids[parent] for _, parent in _OFFICES]
    sheet.put(name=[*_UNITS, *(name for name, _ in _OFFICES)], parentbusinessunitid=parents)
    sheet.put_same(organizationid=organization_id, isdisabled=0)
    draft.stamp(sheet)
    return sheet


def _currencies(draft: Draft) -> tuple[Sheet, tuple[Currency, ...]]:
    sheet = draft.sheet("transactioncurrency", len(_CURRENCIES))
    sheet.put(
        currencyname=[name for name, *_ in _CURRENCIES],
        isocurrencycode=[code for _, code, *_ in _CURRENCIES],
        currencysymbol=[sign for _, _, sign, *_ in _CURRENCIES],
        currencyprecision=[digits for *_, digits, _, _ in _CURRENCIES],
        exchangerate=[rate for *_, rate, _ in _CURRENCIES],
    )
    sheet.put_same(statecode=0, statuscode=1)
    draft.stamp(sheet)
    rates = zip(sheet.ids, _CURRENCIES, strict=True)
    others = [Currency(key, Decimal(rate), weight) for key, (*_, rate, weight) in rates]
    return sheet, (Currency(BASE_CURRENCY_ID, Decimal(1), _BASE_WEIGHT), *others)


def _users(draft: Draft, organization_id: str, units: Sequence[str], count: int) -> Sheet:
    sheet, chance = draft.sheet("systemuser", count), draft.chance
    people = chance.choices(draft.pools.people, count)
    addresses = [f"user{number}@acme.example" for number in range(count)]
    sheet.put(
        firstname=[person.first for person in people],
        lastname=[person.last for person in people],
        fullname=[f"{person.first} {person.last}" for person in people],
        jobtitle=chance.sometimes(0.7, [person.job for person in people]),
        domainname=addresses,
        internalemailaddress=addresses,
        businessunitid=chance.choices(units, count),
        parentsystemuserid=chance.earlier(0.8, sheet.ids),
        # Every eighth user has left; rows that they own keep them.
        isdisabled=[int(number % 8 == 7) for number in range(count)],
        identityid=range(1, count + 1),
    )
    sheet.put_same(organizationid=organization_id, accessmode=0, islicensed=1, defaultodbfoldername="CRM")
    draft.stamp(sheet)
    return sheet


def _teams(draft: Draft, organization_id: str, units: Sequence[str], people: Sheet) -> tuple[Sheet, Sheet]:
    teams, chance = draft.sheet("team", len(_TEAMS)), draft.chance
    teams.put(
        name=_TEAMS,
        description=draft.memos(0.5, len(teams)),
        businessunitid=chance.choices(units, len(teams)),
        administratorid=chance.choices(people.ids, len(teams)),
    )
    teams.put_same(organizationid=organization_id, teamtype=0)
    draft.stamp(teams)
    # The first user is in no team and has no role: somebody who may do nothing.
    joiners = people.ids[1:]
    pairs = [(team, user) for team in teams.ids for user in chance.random.sample(joiners, _TEAM_SIZE)]
    members = draft.sheet("teammembership", len(pairs))
    members.put(teamid=[team for team, _ in pairs], systemuserid=[user for _, user in pairs])
    return teams, members


def _rights(draft: Draft, people: Sheet, teams: Sheet) -> tuple[Sheet, Sheet]:
    """Roles: most users sell, some administer, and every ninth has rights only through its teams."""
    sales, power = (named_id("role", name) for name in (SALESPERSON, ADMINISTRATOR))
    held = {user: power if number % 10 == 0 else sales for number, user in enumerate(people.ids) if number % 9}
    users = draft.sheet("systemuserroles", len(held))
    users.put(systemuserid=held.keys(), roleid=held.values())
    groups = draft.sheet("teamroles", len(teams))
    groups.put(teamid=teams.ids)
    groups.put_same(roleid=sales)
    return users, groups


def _owners(people: Sheet, teams: Sheet) -> tuple[Owner, ...]:
    one, other = (
        [
            Owner(key, sheet.table, str(unit))
            for key, unit in zip(sheet.ids, sheet.columns["businessunitid"], strict=True)
        ]
        for sheet in (people, teams)
    )
    often = max(1, round(len(one) * _TEAM_SHARE / (1 - _TEAM_SHARE) / len(other)))
    return (*one, *other * often)


def _roles(draft: Draft, organization_id: str) -> Sheet:
    sheet = draft.sheet("connectionrole", len(_ROLES))
    sheet.put(name=_ROLES, connectionroleidunique=draft.chance.ids(len(_ROLES)))
    sheet.put_same(organizationid=organization_id, solutionid=_SOLUTION_ID, overwritetime="1900-01-01T00:00:00Z")
    sheet.put_same(category=1, statecode=0, statuscode=1, ismanaged=0, iscustomizable=1, componentstate=0)
    draft.stamp(sheet)
    return sheet
