"""What marketing works with: campaigns, lists, events and interests."""

from dataclasses import dataclass

from dynamics_emulator.sample.draft import Draft
from dynamics_emulator.sample.money import Treasury
from dynamics_emulator.sample.sheet import Sheet
from dynamics_emulator.sample.structure import Structure

_MEMBER_TYPES = {"account": 1, "contact": 2, "lead": 4}
"""``createdfromcode`` by table; ``membertype`` is the same number."""
_EVENTS = ("Spring summit", "Webinar: e-mail that converts", "Messe Köln", "セミナー", "Вебинар", "ندوة", "कार्यशाला")
_INTERESTS = (
    "E-mail", "Analytics", "Integration", "Lead scoring", "Évènements", "Доставляемость", "自動化", "Privacy 🔒",
)  # fmt: skip
_LISTS_OF_A_CAMPAIGN = 2


@dataclass(frozen=True)
class Marketing:
    """Campaigns, lists, events and interests, as the rows of every part may point at them."""

    sheets: tuple[Sheet, ...]
    campaigns: tuple[str, ...]
    lists: dict[str, list[str]]
    """Lists by the table of their members."""
    events: tuple[tuple[str, str], ...]
    """Keys and names."""
    interests: tuple[str, ...]


def make_marketing(draft: Draft, structure: Structure, treasury: Treasury, rows: int) -> Marketing:
    """As many campaigns, lists and events as an organisation of so many rows has."""
    campaigns = _campaigns(draft, structure, treasury, 12 + rows // 20_000)
    lists = _lists(draft, structure, treasury, 6 + rows // 50_000)
    items = _items(draft, campaigns, lists)
    events = _events(draft, structure, campaigns, 8 + rows // 4_000)
    interests = _interests(draft)
    by_table: dict[str, list[str]] = {name: [] for name in _MEMBER_TYPES}
    for number, key in enumerate(lists.ids):
        by_table[tuple(_MEMBER_TYPES)[number % len(_MEMBER_TYPES)]].append(key)
    sheets = (campaigns, lists, items, events, interests)
    named = zip(events.ids, map(str, events.columns["acme_name"]), strict=True)
    return Marketing(sheets, tuple(campaigns.ids), by_table, tuple(named), tuple(interests.ids))


def _campaigns(draft: Draft, structure: Structure, treasury: Treasury, count: int) -> Sheet:
    sheet = draft.sheet("campaign", count)
    sheet.put(
        name=[f"{text[:100]} {2023 + number % 3}" for number, text in enumerate(draft.texts(count))],
        codename=[f"CMP-{number:05d}" for number in range(count)],
        statuscode=[number % 5 for number in range(count)],
        typecode=draft.chance.choices(draft.options("campaign", "typecode"), count),
        proposedstart=draft.chance.sometimes(0.6, draft.chance.instants(count)),
        description=draft.memos(0.4, count),
    )
    sheet.put_same(istemplate=0, statecode=0)
    draft.stamp(sheet, structure.users)
    draft.own(sheet, structure.owners)
    treasury.fill(draft.chance, sheet, draft.schema.table("campaign"), 1, "budgetedcost", "expectedrevenue")
    return sheet


def _lists(draft: Draft, structure: Structure, treasury: Treasury, count: int) -> Sheet:
    sheet, kinds = draft.sheet("list", count), list(_MEMBER_TYPES.values())
    members = [kinds[number % len(kinds)] for number in range(count)]
    sheet.put(
        listname=[f"{text[:100]} {number}" for number, text in enumerate(draft.texts(count))],
        createdfromcode=members,
        membertype=members,
        purpose=draft.chance.some(0.5, draft.pools.texts, count),
        description=draft.memos(0.3, count),
        lastusedon=draft.chance.sometimes(0.5, draft.chance.instants(count)),
    )
    sheet.put_same(type=0, lockstatus=0, statecode=0, statuscode=0)
    draft.stamp(sheet, structure.users)
    draft.own(sheet, structure.owners)
    treasury.fill(draft.chance, sheet, draft.schema.table("list"), 0.7, "cost")
    return sheet


def _items(draft: Draft, campaigns: Sheet, lists: Sheet) -> Sheet:
    pairs = [
        (campaign, list_id)
        for campaign in campaigns.ids
        for list_id in draft.chance.random.sample(lists.ids, _LISTS_OF_A_CAMPAIGN)
    ]
    sheet = draft.sheet("campaignitem", len(pairs))
    sheet.put(campaignid=[campaign for campaign, _ in pairs], entityid=[list_id for _, list_id in pairs])
    sheet.put_same(entitytype="list")
    draft.stamp(sheet)
    return sheet


def _events(draft: Draft, structure: Structure, campaigns: Sheet, count: int) -> Sheet:
    sheet, chance = draft.sheet("acme_event", count), draft.chance
    # Code and edition together are an alternate key: each event has an edition a year.
    titles = [_EVENTS[number // 3 % len(_EVENTS)] for number in range(count)]
    sheet.put(
        acme_name=[f"{title} {2023 + number % 3}" for number, title in enumerate(titles)],
        acme_code=[f"EV-{number // 3:04d}" for number in range(count)],
        acme_edition=[1 + number % 3 for number in range(count)],
        acme_city=chance.sometimes(0.8, [person.city for person in chance.choices(draft.pools.people, count)]),
        acme_capacity=chance.sometimes(0.7, chance.numbers(0, 5000, count)),
        acme_startson=chance.sometimes(0.9, chance.instants(count)),
        acme_kind=chance.choices(draft.options("acme_event", "acme_kind"), count),
        acme_campaignid=chance.some(0.5, campaigns.ids, count),
    )
    draft.activate(sheet, 0.9)
    draft.stamp(sheet, structure.users)
    draft.own(sheet, structure.owners)
    return sheet


def _interests(draft: Draft) -> Sheet:
    sheet = draft.sheet("acme_interest", len(_INTERESTS))
    weights = [None, *(round(draft.chance.random.random(), 3) for _ in _INTERESTS[1:])]
    sheet.put(acme_name=_INTERESTS, acme_weight=weights)
    sheet.put_same(statecode=0, statuscode=1)
    draft.stamp(sheet)
    return sheet
