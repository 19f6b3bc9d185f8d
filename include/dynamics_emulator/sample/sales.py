"""Opportunities, their stakeholders and other connections, and the custom table of event attendances."""

from datetime import timedelta

from dynamics_emulator.clock import wire_time
from dynamics_emulator.sample.draft import Draft, Row
from dynamics_emulator.schema.additions import CUSTOM_TABLE

_STATES = ((0, 1), (0, 2), (1, 3), (2, 4), (2, 5))
_EVENTS = ("Spring summit", "Webinar: e-mail that converts", "Messe Köln", "セミナー", "Вебинар")


def add_opportunities(draft: Draft, count: int) -> None:
    """Opportunities of accounts or contacts, with amounts in several currencies."""
    for number in range(count):
        state, status = draft.one_of(_STATES)
        row: Row = {
            "opportunityid": draft.new_id(),
            "name": f"{draft.text()[:200]} #{number}",
            "estimatedclosedate": wire_time(draft.instant())[:10],
            "actualclosedate": wire_time(draft.instant())[:10] if state else None,
            "closeprobability": draft.maybe(0.7, draft.random.randrange(0, 101)),
            "description": draft.maybe(0.3, draft.text()),
            "campaignid": draft.maybe(0.2, draft.any_row("campaign")["campaignid"]),
            "isrevenuesystemcalculated": 0,
            "statecode": state,
            "statuscode": status,
            **_customer(draft),
            **draft.stamps(),
            **draft.owner(),
        }
        draft.money(row, "estimatedvalue", *(["actualvalue"] if state == 1 else []))
        draft.add("opportunity", row)


def _customer(draft: Draft) -> Row:
    if draft.sometimes(0.75):
        account = draft.any_row("account")["accountid"]
        return {"customerid": account, "customerid__type": "account", "parentaccountid": account}
    contact = draft.any_row("contact")["contactid"]
    return {"customerid": contact, "customerid__type": "contact", "parentcontactid": contact}


def add_connections(draft: Draft, pairs: int) -> None:
    """Connections, always in reciprocal pairs: mostly opportunity to contact, some account to account."""
    for number in range(pairs):
        if number % 10:
            one = ("opportunity", str(draft.any_row("opportunity")["opportunityid"]))
            other = ("contact", str(draft.any_row("contact")["contactid"]))
        else:
            one = ("account", str(draft.any_row("account")["accountid"]))
            other = ("account", str(draft.any_row("account")["accountid"]))
        _add_pair(draft, one, other)


def _add_pair(draft: Draft, one: tuple[str, str], other: tuple[str, str]) -> None:
    first, second = draft.new_id(), draft.new_id()
    role = draft.any_row("connectionrole")["connectionroleid"]
    common = {**draft.stamps(), **draft.owner(), "statecode": 0, "statuscode": 1}
    for own, related, ends, master in ((first, second, (one, other), 1), (second, first, (other, one), 0)):
        draft.add(
            "connection",
            {
                "connectionid": own,
                "relatedconnectionid": related,
                "name": draft.text()[:100],
                "record1id": ends[0][1],
                "record1id__type": ends[0][0],
                "record2id": ends[1][1],
                "record2id__type": ends[1][0],
                "record1roleid": None if master else role,
                "record2roleid": role if master else None,
                "ismaster": master,
                **common,
            },
        )


def add_attendances(draft: Draft, count: int) -> None:
    """Who came to which event."""
    for number in range(count):
        start = draft.instant()
        event = draft.one_of(_EVENTS)
        chosen = sorted(draft.random.sample(range(100000000, 100000005), draft.random.randrange(0, 4)))
        row: Row = {
            "acme_eventattendanceid": draft.new_id(),
            "acme_name": f"{event} {number}",
            "acme_eventname": event,
            "acme_contactid": draft.maybe(0.95, draft.any_row("contact")["contactid"]),
            "acme_attendedon": draft.maybe(0.8, wire_time(start)),
            "acme_checkindate": draft.maybe(0.8, wire_time(start + timedelta(hours=2))[:10]),
            "acme_status": draft.one_of((100000000, 100000001, 100000002)),
            "acme_interests": ",".join(str(value) for value in chosen) or None,
            "acme_rating": draft.maybe(0.5, f"{draft.random.uniform(-5, 5):.2f}"),
            "statecode": 0,
            "statuscode": 1,
            **draft.stamps(),
            **draft.owner(),
        }
        draft.money(row, "acme_fee")
        draft.add(CUSTOM_TABLE, row)
