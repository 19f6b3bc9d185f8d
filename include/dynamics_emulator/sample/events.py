"""Who came to which event and what they thought of it, who is interested in what, and who is on which list."""

from collections.abc import Mapping, Sequence

from dynamics_emulator.sample.people import Setting
from dynamics_emulator.sample.sheet import Sheet

_DAY = len("2026-03-01")


def make_attendances(setting: Setting, contacts: Sequence[str], count: int) -> Sheet:
    """Attendances of contacts at events; a few belong to nobody, or to an event that was never entered."""
    draft, chance = setting.draft, setting.draft.chance
    sheet = draft.sheet("acme_eventattendance", count)
    visited = chance.choices(setting.marketing.events, count)
    names = [name for _, name in visited]
    instants, offered = chance.instants(count), draft.options(sheet.table, "acme_interests")
    topics = [sorted(set(chance.choices(offered, number))) for number in chance.numbers(0, 3, count)]
    sheet.put(
        acme_name=[f"{name} {setting.first + at}" for at, name in enumerate(names)],
        acme_eventname=names,
        acme_eventid=chance.sometimes(0.9, [key for key, _ in visited]),
        acme_contactid=chance.some(0.95, contacts, count),
        acme_attendedon=chance.sometimes(0.8, instants),
        acme_checkindate=chance.sometimes(0.8, [instant[:_DAY] for instant in instants]),
        acme_status=chance.choices(draft.options(sheet.table, "acme_status"), count),
        acme_interests=[",".join(str(topic) for topic in chosen) or None for chosen in topics],
        acme_rating=chance.sometimes(
            0.5, [f"{hundredths / 100:.2f}" for hundredths in chance.numbers(-500, 500, count)]
        ),
    )
    sheet.put_same(statecode=0, statuscode=1)
    draft.stamp(sheet, setting.structure.users)
    draft.own(sheet, setting.structure.owners)
    setting.treasury.fill(chance, sheet, draft.schema.table(sheet.table), 1, "acme_fee")
    return sheet


def make_feedback(setting: Setting, attendances: Sheet, count: int) -> Sheet:
    """What visitors said; an attendance may have several."""
    draft, chance = setting.draft, setting.draft.chance
    sheet = draft.sheet("acme_attendancefeedback", count)
    sheet.put(
        acme_name=[f"Feedback {setting.first + at}" for at in range(count)],
        acme_attendanceid=chance.some(0.97, attendances.ids, count),
        acme_score=chance.some(0.9, range(11), count),
        acme_comment=draft.memos(0.6, count),
        acme_recommends=chance.flags(0.7, count),
        acme_givenon=chance.sometimes(0.8, chance.instants(count)),
    )
    draft.activate(sheet, 0.97)
    draft.stamp(sheet, setting.structure.users)
    draft.own(sheet, setting.structure.owners)
    return sheet


def make_interests(setting: Setting, contacts: Sequence[str], count: int) -> Sheet:
    """Rows of the N:N relationship between interests and contacts; no pair stands there twice."""
    drawn = _pairs(setting, setting.marketing.interests, contacts, count)
    sheet = setting.draft.sheet("acme_interest_contact", len(drawn))
    sheet.put(acme_interestid=[interest for interest, _ in drawn], contactid=[contact for _, contact in drawn])
    return sheet


def make_members(setting: Setting, people: Mapping[str, Sequence[str]], count: int) -> Sheet:
    """Members of lists. ``people`` are the rows that may be members, by table."""
    lists = setting.marketing.lists
    drawn = [
        (list_id, member, table)
        for table, keys in people.items()
        for list_id, member in _pairs(setting, lists[table], keys, max(1, count // len(people)))
    ]
    sheet = setting.draft.sheet("listmember", len(drawn))
    sheet.put(
        listid=[list_id for list_id, _, _ in drawn],
        entityid=[member for _, member, _ in drawn],
        entitytype=[table for _, _, table in drawn],
    )
    setting.draft.stamp(sheet)
    return sheet


def _pairs(setting: Setting, ones: Sequence[str], others: Sequence[str], count: int) -> list[tuple[str, str]]:
    chance = setting.draft.chance
    drawn = zip(chance.choices(ones, count), chance.choices(others, count), strict=True)
    return list(dict.fromkeys(drawn))
