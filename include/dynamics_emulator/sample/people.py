"""Accounts, contacts and leads."""

from dynamics_emulator.clock import wire_time
from dynamics_emulator.sample.draft import Draft, Row
from dynamics_emulator.sample.pools import Person

_SOURCES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
_MOMENTS = ("Web", "Email", "Milestone")


def add_accounts(draft: Draft, count: int) -> None:
    """Accounts; some belong to another one."""
    for number in range(count):
        person = draft.pools.person(draft.random)
        row: Row = {
            "accountid": draft.new_id(),
            "name": draft.one_of(draft.pools.companies)[:160],
            "accountnumber": f"A-{number:06d}",
            "emailaddress1": draft.maybe(0.7, f"office{number}@company{number % 400}.example"),
            "websiteurl": draft.maybe(0.6, f"https://company{number % 400}.example/"),
            "numberofemployees": draft.maybe(0.6, draft.random.randrange(1, 90_000)),
            "industrycode": draft.maybe(0.7, draft.random.randrange(1, 34)),
            "description": draft.maybe(0.2, draft.text()),
            "creditonhold": 0,
            "donotemail": int(draft.sometimes(0.1)),
            **_address(draft, person),
            **_active(draft),
            **draft.stamps(),
            **draft.owner(),
        }
        if draft.sometimes(0.5):
            draft.money(row, "revenue")
        if number and draft.sometimes(0.1):
            row["parentaccountid"] = draft.any_row("account")["accountid"]
        draft.add("account", row)


def add_contacts(draft: Draft, count: int) -> None:
    """Contacts of accounts, of other contacts, or of nobody."""
    for number in range(count):
        person = draft.pools.person(draft.random)
        row: Row = {
            "contactid": draft.new_id(),
            "birthdate": draft.maybe(0.3, f"{draft.random.randrange(1940, 2005)}-02-{1 + number % 28:02d}"),
            "gendercode": draft.maybe(0.5, draft.random.randrange(1, 3)),
            "mkt_leadscore": draft.maybe(0.4, draft.random.randrange(-20, 150)),
            **_person(draft, person, f"contact{number}"),
            **_address(draft, person),
            **_active(draft),
            **draft.stamps(),
            **draft.owner(),
            **_parent(draft, number),
        }
        if draft.sometimes(0.15):
            draft.money(row, "creditlimit")
        draft.add("contact", row)


def _parent(draft: Draft, number: int) -> Row:
    if draft.sometimes(0.7):
        return {"parentcustomerid": draft.any_row("account")["accountid"], "parentcustomerid__type": "account"}
    if number and draft.sometimes(0.2):
        return {"parentcustomerid": draft.any_row("contact")["contactid"], "parentcustomerid__type": "contact"}
    return {}


def add_leads(draft: Draft, count: int) -> None:
    """Leads; some qualified, some disqualified."""
    for number in range(count):
        person = draft.pools.person(draft.random)
        row: Row = {
            "leadid": draft.new_id(),
            "subject": draft.text()[:300],
            "companyname": draft.maybe(0.8, draft.one_of(draft.pools.companies)[:100]),
            "leadsourcecode": draft.maybe(0.7, draft.one_of(_SOURCES)),
            "leadqualitycode": draft.maybe(0.6, draft.random.randrange(1, 4)),
            "industrycode": draft.maybe(0.5, draft.random.randrange(1, 34)),
            "numberofemployees": draft.maybe(0.3, draft.random.randrange(1, 5000)),
            "campaignid": draft.maybe(0.3, draft.any_row("campaign")["campaignid"]),
            "estimatedclosedate": draft.maybe(0.3, wire_time(draft.instant())[:10]),
            "decisionmaker": int(draft.sometimes(0.3)),
            **_person(draft, person, f"lead{number}"),
            **_address(draft, person),
            **_lead_state(draft),
            **draft.stamps(),
            **draft.owner(),
        }
        if draft.sometimes(0.3):
            draft.money(row, "estimatedamount")
        draft.add("lead", row)


def _lead_state(draft: Draft) -> Row:
    draw = draft.random.random()
    if draw < 0.1:
        return {"statecode": 1, "statuscode": 3}
    if draw < 0.22:
        return {"statecode": 2, "statuscode": draft.one_of((4, 5, 6, 7))}
    return {"statecode": 0, "statuscode": draft.one_of((1, 2))}


def _active(draft: Draft) -> Row:
    return {"statecode": 0, "statuscode": 1} if draft.sometimes(0.93) else {"statecode": 1, "statuscode": 2}


def _person(draft: Draft, person: Person, mailbox: str) -> Row:
    moment = draft.sometimes(0.25)
    # One mailbox in twenty is shared, so that several rows have the same address.
    address = f"shared{draft.random.randrange(40)}@mail.example" if draft.sometimes(0.05) else f"{mailbox}@mail.example"
    return {
        "firstname": draft.maybe(0.95, person.first[:50]),
        "lastname": person.last[:50],
        "fullname": f"{person.first} {person.last}"[:160],
        "emailaddress1": draft.maybe(0.9, address),
        "jobtitle": draft.maybe(0.6, person.job),
        "telephone1": draft.maybe(0.5, f"+49 {draft.random.randrange(10**9, 10**10)}"),
        "mobilephone": draft.maybe(0.3, f"+1 {draft.random.randrange(10**9, 10**10)}"),
        "description": draft.maybe(0.2, draft.text()),
        "donotemail": int(draft.sometimes(0.1)),
        "donotbulkemail": int(draft.sometimes(0.1)),
        "donotphone": 0,
        "mkt_priority": draft.maybe(0.4, draft.random.randrange(0, 100)),
        "mkt_urgency": draft.maybe(0.4, draft.random.randrange(0, 4)),
        "mkt_relativescore": draft.maybe(0.4, draft.random.randrange(0, 4)),
        "mkt_lastinterestingmomentdate": wire_time(draft.instant()) if moment else None,
        "mkt_lastinterestingmomentdesc": draft.text() if moment else None,
        "mkt_lastinterestingmomenttype": draft.one_of(_MOMENTS) if moment else None,
        "mkt_leadinterestingmomentsource": "Newsletter" if moment else None,
        "new_synctomkto": int(draft.sometimes(0.85)),
    }


def _address(draft: Draft, person: Person) -> Row:
    if draft.sometimes(0.25):
        return {}
    return {
        "address1_line1": person.street[:250],
        "address1_city": person.city[:80],
        "address1_postalcode": person.postcode,
        "address1_country": person.country,
        "address1_latitude": draft.maybe(0.2, round(draft.random.uniform(-90, 90), 5)),
        "address1_longitude": draft.maybe(0.2, round(draft.random.uniform(-180, 180), 5)),
    }
