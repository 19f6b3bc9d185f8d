"""The organisation itself: business units, users, teams, currencies, campaigns and connection roles."""

from dynamics_emulator.identity import ROOT_BUSINESS_UNIT_ID
from dynamics_emulator.sample.draft import Draft

_UNITS = ("Europe", "Americas", "Asia")
_TEAMS = ("Inbound team", "Partner desk", "Événements", "Ключевые клиенты", "東京営業部")
_CURRENCIES = (("US Dollar", "USD", "$"), ("Yen", "JPY", "¥"), ("Pound Sterling", "GBP", "£"))
_CURRENCY_RATES = {"USD": "1.0800000000", "JPY": "162.5000000000", "GBP": "0.8500000000"}
_ROLES = ("Stakeholder", "Decision maker", "Influencer", "Former employer", "Champion")
_USERS = 30


def add_structure(draft: Draft) -> None:
    """Everything that other rows point at."""
    _add_units(draft)
    _add_currencies(draft)
    _add_users(draft)
    _add_teams(draft)
    _add_campaigns(draft)
    _add_roles(draft)


def _add_units(draft: Draft) -> None:
    for name in _UNITS:
        row = {"businessunitid": draft.new_id(), "name": name, "parentbusinessunitid": ROOT_BUSINESS_UNIT_ID}
        draft.add("businessunit", {**row, "isdisabled": 0, **draft.stamps()})


def _add_currencies(draft: Draft) -> None:
    for name, code, symbol in _CURRENCIES:
        draft.add(
            "transactioncurrency",
            {
                "transactioncurrencyid": draft.new_id(),
                "currencyname": name,
                "isocurrencycode": code,
                "currencysymbol": symbol,
                "currencyprecision": 0 if code == "JPY" else 2,
                "exchangerate": _CURRENCY_RATES[code],
                "statecode": 0,
                "statuscode": 1,
                **draft.stamps(),
            },
        )


def _add_users(draft: Draft) -> None:
    for number in range(_USERS):
        person = draft.pools.person(draft.random)
        draft.add(
            "systemuser",
            {
                "systemuserid": draft.new_id(),
                "firstname": person.first[:64],
                "lastname": person.last[:64],
                "fullname": f"{person.first} {person.last}",
                "domainname": f"user{number}@acme.example",
                "internalemailaddress": f"user{number}@acme.example",
                "businessunitid": draft.one_of(draft.rows["businessunit"])["businessunitid"],
                "jobtitle": draft.maybe(0.7, person.job),
                "title": None,
                "accessmode": 0,
                "isdisabled": int(number % 8 == 7),
                "islicensed": 1,
                "isintegrationuser": 0,
                **draft.stamps(),
            },
        )


def _add_teams(draft: Draft) -> None:
    for name in _TEAMS:
        team = {
            "teamid": draft.new_id(),
            "name": name,
            "description": draft.maybe(0.5, draft.text()),
            "businessunitid": draft.one_of(draft.rows["businessunit"])["businessunitid"],
            "administratorid": draft.any_row("systemuser")["systemuserid"],
            "teamtype": 0,
            "isdefault": 0,
            "systemmanaged": 0,
        }
        draft.add("team", {**team, **draft.stamps()})
        for user in draft.random.sample(draft.rows["systemuser"], 8):
            member = {"teamid": team["teamid"], "systemuserid": user["systemuserid"]}
            draft.add("teammembership", {"teammembershipid": draft.new_id(), **member})


def _add_campaigns(draft: Draft) -> None:
    for number in range(12):
        row = {
            "campaignid": draft.new_id(),
            "name": f"{draft.text()[:100]} {2023 + number % 3}",
            "codename": f"CMP-{number:05d}",
            "istemplate": 0,
            "statecode": 0,
            "statuscode": number % 5,
            **draft.stamps(),
            **draft.owner(),
        }
        draft.money(row, "budgetedcost", "expectedrevenue")
        draft.add("campaign", row)


def _add_roles(draft: Draft) -> None:
    for name in _ROLES:
        draft.add(
            "connectionrole",
            {
                "connectionroleid": draft.new_id(),
                "connectionroleidunique": draft.new_id(),
                "name": name,
                "category": 1,
                "statecode": 0,
                "statuscode": 1,
                "ismanaged": 0,
                "iscustomizable": 1,
                "componentstate": 0,
                **draft.stamps(),
            },
        )
