"""``$filter`` against an oracle: random expressions, judged row by row in plain Python from the documented rules.

Nothing here is shared with the emulator's own evaluation. Rows are what the Web API returns without a filter; the
oracle decides with SQL's logic of three values, and both must name the same rows.
"""

import calendar
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamics_emulator.testing import running_emulator
from dynamics_emulator.testing_client import Client, connect

Row = dict[str, Any]
Verdict = bool | None
LOOKUP_TABLE = "Microsoft.Dynamics.CRM.lookuplogicalname"
TWIN = "7e57ab1e-0000-4000-8000-0000000000ff"
"""The id of an account and of a contact: a lookup at both tables must not take one for the other."""
NOW = datetime(2026, 3, 4, 15, 30, 20, tzinfo=UTC)
WORDS = [
    *(
        "Ada",
        "Aa",
        "ada lovelace",
        "ADA",
        "ÄRGER",
        "ärger",
        "arger",
        "Straße",
        "STRASSE",
        "O'Brien",
        "100%",
        "a_b",
        "aXb",
    ),
    *(
        "Ж",
        "ж",
        "東京",
        "[x]",
        "x",
        "Αθήνας",
        "ΑΘΉΝΑΣ",
        "раypal",
        "paypal",
        "tab\tbed",
        "Ünï-côdé 🎈",
        "^",
        "a]b",
        None,
    ),
]
MOMENTS = [
    *("1753-01-01T00:00:00Z", "2024-02-29T23:59:59Z", "2025-04-01T03:59:59Z", "2025-12-31T23:00:00Z", None),
    *("2026-02-25T00:00:00Z", "2026-02-28T04:59:59Z", "2026-03-01T04:00:00Z", "2026-03-01T06:00:00Z", None),
    *("2026-03-03T23:59:59Z", "2026-03-04T03:00:00Z", "2026-03-04T05:00:00Z", "2026-03-04T14:10:00Z"),
    *("2026-03-04T15:30:20Z", "2026-03-04T16:00:00Z", "2026-03-05T04:30:00Z", "2026-03-08T12:00:00Z"),
    *("2026-03-31T23:59:59Z", "2026-04-01T00:00:00Z", "2026-10-01T04:00:00Z", "2027-03-04T15:00:00Z"),
    "9999-12-30T00:00:00Z",
]
DAYS = sorted({moment[:10] for moment in MOMENTS if moment})
INTERESTS = [None, "100000000", "100000000,100000003", "100000003,100000004"]
AMOUNTS = [None, 0, 0.5, 12.25, 1000, -3.1]
COUNTS = [None, 0, 1, 5, 250]
SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "changed": {
        "user_time_zone": "America/New_York",
        "week_starts_on": 0,
        "fiscal_year_start": "04-01",
        "fiscal_periods": "Semiannually",
        "fiscal_windows_reach_now": True,
        "wildcards_in_equality": False,
        "accents_matter": False,
        "not_equal_matches_null": False,
        "in_operator_refused": False,
    },
}


class World:
    """All rows by table and id, linked as the lookups and the N:N relationship say, and the settings in force.

    Not a dataclass: hypothesis would print all of it with each failure.
    """

    def __init__(
        self, client: Client, tables: dict[str, dict[str, Row]], likes: set[tuple[str, str]], *, changed: bool
    ) -> None:
        self.client = client
        self.tables = tables
        self.likes = likes
        self.changed = changed

    def related(self, table: str, row: Row, lookup: str) -> Row | None:
        """The row behind a lookup, if it is one of this table."""
        leads_there = row.get(f"_{lookup}_value@{LOOKUP_TABLE}", "").endswith(table)
        return self.tables[table][row[f"_{lookup}_value"]] if leads_there else None

    def children(self, table: str, lookup: str, parent: str) -> list[Row]:
        """The rows whose lookup points at a parent."""
        rows = self.tables[table].values()
        return [row for row in rows if row[f"_{lookup}_value"] == parent]


def _pick(values: list[Any], number: int) -> Any:
    return values[number % len(values)]


def _fill(client: Client) -> None:
    def address(entity: str) -> str:
        return entity.removeprefix(client.emulator.api)

    accounts = [address(client.create("accounts", name=word or "none")) for word in ("Acme", "ärger", "100%")]
    accounts.append(address(client.create("accounts", name="Twin", accountid=TWIN)))
    client.create("contacts", lastname="Twin", contactid=TWIN)
    interests = [address(client.create("acme_interests", acme_name=name)) for name in ("Data", "data", "Ж")]
    contacts = []
    for number in range(14):
        values = {
            "lastname": _pick(WORDS, number * 5 + 1),
            "firstname": _pick(WORDS, number * 7 + 3),
            "numberofchildren": _pick(COUNTS, number),
            "donotemail": _pick([True, False, None], number),
        }
        if number % 4:
            values["parentcustomerid_account@odata.bind"] = _pick(accounts, number)
        elif number % 3:
            values["parentcustomerid_contact@odata.bind"] = f"/contacts({TWIN})"
        contacts.append(address(client.create("contacts", **values)))
    for number in range(9):
        link = {"@odata.id": f"{client.emulator.api}{_pick(interests, number)}"}
        path = f"{_pick(contacts, number * 3).lstrip('/')}/acme_interest_contact/$ref"
        assert client.call("POST", path, json=link).status_code == 204
    events = [
        address(client.create("acme_events", acme_name=_pick(WORDS, number) or "none", acme_startson=moment))
        for number, moment in enumerate(MOMENTS)
    ]
    for number in range(48):
        values = {
            "acme_name": _pick(WORDS, number),
            "acme_eventname": _pick(WORDS, number * 7 + 2),
            "acme_attendedon": _pick(MOMENTS, number),
            "acme_checkindate": (_pick(MOMENTS, number + 1) or "")[:10] or None,
            "acme_status": _pick([None, 100000000, 100000001, 100000002], number),
            "acme_interests": _pick(INTERESTS, number),
            "acme_rating": _pick(AMOUNTS, number) if number % 3 else 12.25,
            "acme_fee": _pick(AMOUNTS, number + 2),
        }
        if values["acme_rating"] == 1000:
            values["acme_rating"] = 99.99
        if number % 5:
            values["acme_ContactId@odata.bind"] = _pick(contacts, number)
        if number % 3:
            values["acme_EventId@odata.bind"] = _pick(events, number)
        client.create("acme_eventattendanceset", **values)


SETS = {
    "contact": "contacts",
    "account": "accounts",
    "event": "acme_events",
    "attendance": "acme_eventattendanceset",
    "interest": "acme_interests",
}
KEYS = {
    "contact": "contactid",
    "account": "accountid",
    "event": "acme_eventid",
    "attendance": "acme_eventattendanceid",
    "interest": "acme_interestid",
}


@pytest.fixture(scope="module")
def filled() -> Iterator[Client]:
    """An organisation of odd values whose clock stands still."""
    with running_emulator(request_limit=10**9) as emulator:
        emulator.organisation.clock.stop_at(NOW)
        client = connect(emulator)
        _fill(client)
        with client.session:
            yield client


@pytest.fixture(params=list(SETTINGS), scope="module")
def world(request: pytest.FixtureRequest, filled: Client) -> Iterator[World]:
    """All rows, under the default settings and under others."""
    prefer = f'odata.include-annotations="{LOOKUP_TABLE}"'
    tables = {name: {row[KEYS[name]]: row for row in filled.rows(SETS[name], prefer=prefer)} for name in SETS}
    joined = filled.rows("contacts?$select=contactid&$expand=acme_interest_contact($select=acme_name)")
    likes = {(row["contactid"], other["acme_interestid"]) for row in joined for other in row["acme_interest_contact"]}
    control = filled.emulator.control
    before = filled.emulator.organisation.settings.model_dump()
    control.change_settings(**SETTINGS[request.param])
    yield World(filled, tables, likes, changed=request.param == "changed")
    control.change_settings(**{name: before[name] for name in SETTINGS[request.param]})


@dataclass(frozen=True)
class Expected:
    """A filter text and what plain Python says about a row."""

    text: str
    holds: Callable[[World, Row], Verdict]


@dataclass(frozen=True)
class Field:
    """A column as a filter names it, perhaps behind lookups, and its value for a row."""

    path: str
    value: Callable[[World, Row], Any]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


# --- text


def _folded(world: World, text: str) -> str:
    if not world.changed:
        return text.casefold()
    parts = unicodedata.normalize("NFD", text.casefold())
    return "".join(part for part in parts if unicodedata.category(part) not in ("Mn", "Mc", "Me"))


def _like(text: str, pattern: str) -> bool:
    """SQL Server's LIKE over folded text, read letter by letter."""
    if not pattern:
        return not text
    if pattern[0] == "%":
        return any(_like(text[skipped:], pattern[1:]) for skipped in range(len(text) + 1))
    if pattern[0] == "[" and (end := pattern.find("]", 2)) > 0:
        return bool(text) and _in_set(text[0], pattern[1:end]) and _like(text[1:], pattern[end + 1 :])
    return bool(text) and pattern[0] in (text[0], "_") and _like(text[1:], pattern[1:])


def _in_set(letter: str, inside: str) -> bool:
    negated, letters = inside[0] == "^", inside[1:] if inside[0] == "^" else inside
    ranges = re.findall(r"(.)-(.)", letters)
    singles = re.sub(r".-.", "", letters)
    return (letter in singles or any(low <= letter <= high for low, high in ranges)) != negated


ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda left, right: left == right,
    "ne": lambda left, right: left != right,
    "gt": lambda left, right: left > right,
    "ge": lambda left, right: left >= right,
    "lt": lambda left, right: left < right,
    "le": lambda left, right: left <= right,
}


def _without_value(world: World, operator: str) -> Verdict:
    return True if operator == "ne" and not world.changed else None


def compare_text(field: Field, operator: str, literal: str) -> Expected:
    def holds(world: World, row: Row) -> Verdict:
        found = field.value(world, row)
        if found is None:
            return _without_value(world, operator)
        text, other = _folded(world, found), _folded(world, literal)
        if operator in ("eq", "ne") and not world.changed:
            return _like(text, other) == (operator == "eq")
        return ORDER[operator](text, other)

    return Expected(f"{field.path} {operator} {_quoted(literal)}", holds)


def text_function(name: str, field: Field, part: str) -> Expected:
    pattern = {"contains": f"%{part}%", "startswith": f"{part}%", "endswith": f"%{part}"}[name]

    def holds(world: World, row: Row) -> Verdict:
        found = field.value(world, row)
        return None if found is None else _like(_folded(world, found), _folded(world, pattern))

    return Expected(f"{name}({field.path},{_quoted(part)})", holds)


# --- values of any kind


def compare(field: Field, operator: str, value: Any, literal: str) -> Expected:
    def holds(world: World, row: Row) -> Verdict:
        found = field.value(world, row)
        return _without_value(world, operator) if found is None else ORDER[operator](found, value)

    mirrored = {"gt": "lt", "lt": "gt", "ge": "le", "le": "ge"}.get(operator, operator)
    # A literal may stand on the left as well.
    text = f"{field.path} {operator} {literal}" if len(literal) % 2 else f"{literal} {mirrored} {field.path}"
    return Expected(text, holds)


def null(field: Field, operator: str) -> Expected:
    return Expected(
        f"{field.path} {operator} null", lambda world, row: (field.value(world, row) is None) == (operator == "eq")
    )


def listed(field: Field, name: str, values: list[Any]) -> Expected:
    def plain(world: World, value: Any) -> Any:
        return _folded(world, value) if isinstance(value, str) else value

    def holds(world: World, row: Row) -> Verdict:
        found = field.value(world, row)
        if found is None:
            return None
        return (plain(world, found) in [plain(world, value) for value in values]) != (name == "NotIn")

    texts = ",".join('"' + str(value).replace('"', '\\"') + '"' for value in values)
    return Expected(_function(name, field, f"PropertyValues=[{texts}]"), holds)


def between(field: Field, name: str, low: Any, high: Any) -> Expected:
    def holds(world: World, row: Row) -> Verdict:
        found = field.value(world, row)
        return None if found is None else (low <= found <= high) != (name == "NotBetween")

    return Expected(_function(name, field, f'PropertyValues=["{low}","{high}"]'), holds)


def _function(name: str, field: Field, arguments: str) -> str:
    path, _, column = field.path.rpartition("/")
    call = f"Microsoft.Dynamics.CRM.{name}(PropertyName='{column}'{',' if arguments else ''}{arguments})"
    return f"{path}/{call}" if path else call


def choices(field: Field, name: str, values: list[int]) -> Expected:
    def holds(world: World, row: Row) -> Verdict:
        found = field.value(world, row)
        inside = found is not None and bool({int(part) for part in found.split(",")} & set(values))
        if name == "ContainValues":
            return inside or (None if found is None else False)
        return not inside

    texts = ",".join(f"'{value}'" for value in values)
    return Expected(_function(name, field, f"PropertyValues=[{texts}]"), holds)


def columns(left: Field, operator: str, right: Field) -> Expected:
    def holds(world: World, row: Row) -> Verdict:
        one, two = left.value(world, row), right.value(world, row)
        if one is None or two is None:
            return None
        if isinstance(one, str):
            one, two = _folded(world, one), _folded(world, two)
        return ORDER[operator](one, two)

    return Expected(f"{left.path} {operator} {right.path}", holds)


# --- dates: every value becomes a wall-clock time of the user before it is judged

FISCAL = {False: (1, 3), True: (4, 6)}
"""First month of the fiscal year and months of a period, by whether the settings are changed."""


def _zone(world: World) -> ZoneInfo:
    return ZoneInfo("America/New_York" if world.changed else "UTC")


def _wall(world: World, kind: str, text: str) -> datetime:
    """The user's clock at a stored value; a value without a zone is such a time already."""
    moment = datetime.fromisoformat(text)
    return moment.astimezone(_zone(world)).replace(tzinfo=None) if kind == "moment" else moment.replace(tzinfo=None)


def _month(day: date) -> int:
    return day.year * 12 + day.month - 1


def _week(world: World, day: date) -> int:
    return (day.toordinal() - (1 if world.changed else 0)) // 7


def _fiscal(world: World, day: date) -> tuple[int, int]:
    """The fiscal year and the period's number."""
    first, months = FISCAL[world.changed]
    passed = _month(day) - (first - 1)
    return passed // 12, passed % 12 // months + 1


def _period(world: World, day: date) -> int:
    year, number = _fiscal(world, day)
    return year * (12 // FISCAL[world.changed][1]) + number - 1


def _months_away(moment: datetime, months: int) -> datetime:
    year, month = divmod(_month(moment.date()) + months, 12)
    return moment.replace(year=year, month=month + 1, day=min(moment.day, calendar.monthrange(year, month + 1)[1]))


def _away(moment: datetime, unit: str, count: int) -> datetime:
    if unit in ("Months", "Years"):
        return _months_away(moment, count * (12 if unit == "Years" else 1))
    return moment + count * timedelta(**{unit.lower(): 1})


DateRule = Callable[[World, datetime, datetime, list[int]], bool]


def _calendar_rules() -> dict[str, DateRule]:
    rules: dict[str, DateRule] = {}
    for name, shift in (("Yesterday", -1), ("Today", 0), ("Tomorrow", 1)):
        rules[name] = lambda _w, at, now, _a, shift=shift: at.date() == now.date() + timedelta(days=shift)
    for word, shift in (("Last", -1), ("This", 0), ("Next", 1)):
        rules[f"{word}Week"] = lambda w, at, now, _a, s=shift: _week(w, at.date()) == _week(w, now.date()) + s
        rules[f"{word}Month"] = lambda _w, at, now, _a, s=shift: _month(at.date()) == _month(now.date()) + s
        rules[f"{word}Year"] = lambda _w, at, now, _a, s=shift: at.year == now.year + s
        rules[f"{word}FiscalYear"] = lambda w, at, now, _a, s=shift: (
            _fiscal(w, at.date())[0] == _fiscal(w, now.date())[0] + s
        )
        rules[f"{word}FiscalPeriod"] = lambda w, at, now, _a, s=shift: (
            _period(w, at.date()) == _period(w, now.date()) + s
        )
    return rules


def _last(unit: str) -> DateRule:
    def rule(_: World, at: datetime, now: datetime, arguments: list[int]) -> bool:
        start = _away(now, unit, -arguments[0])
        start = start.replace(minute=0, second=0) if unit == "Hours" else start.replace(hour=0, minute=0, second=0)
        return start <= at <= now

    return rule


def _next(unit: str) -> DateRule:
    def rule(_: World, at: datetime, now: datetime, arguments: list[int]) -> bool:
        far = _away(now, unit, arguments[0])
        return now <= at and (at < far if unit == "Hours" else at.date() <= far.date())

    return rule


def _fiscal_span(world: World, at: datetime, now: datetime, count: int, unit: str) -> bool:
    """``count`` is negative for the past. The changed settings let the span reach up to, or start, now."""
    number = _period if unit == "Periods" else lambda w, day: _fiscal(w, day)[0]
    here, there = number(world, now.date()), number(world, at.date())
    if count < 0:
        inside = here + count <= there <= here if world.changed else here + count <= there < here
        return inside and (not world.changed or at <= now)
    inside = here <= there <= here + count if world.changed else here < there <= here + count
    return inside and (not world.changed or at >= now)


def _rolling_rules() -> dict[str, DateRule]:
    rules: dict[str, DateRule] = {}
    for unit in ("Hours", "Days", "Weeks", "Months", "Years"):
        rules[f"LastX{unit}"], rules[f"NextX{unit}"] = _last(unit), _next(unit)
    for unit in ("Minutes", "Hours", "Days", "Weeks", "Months", "Years"):
        rules[f"OlderThanX{unit}"] = lambda _w, at, now, a, unit=unit: at < _away(now, unit, -a[0])
    for unit in ("Periods", "Years"):
        rules[f"LastXFiscal{unit}"] = lambda w, at, now, a, unit=unit: _fiscal_span(w, at, now, -a[0], unit)
        rules[f"NextXFiscal{unit}"] = lambda w, at, now, a, unit=unit: _fiscal_span(w, at, now, a[0], unit)
    rules["Last7Days"] = lambda w, at, now, _a: _last("Days")(w, at, now, [7])
    rules["Next7Days"] = lambda w, at, now, _a: _next("Days")(w, at, now, [7])
    return rules


def _in_period(world: World, at: datetime, arguments: list[int]) -> int:
    """-1, 0 or 1: before, in or after the period and year."""
    period, year = arguments
    wanted, found = (year, period), _fiscal(world, at.date())
    return (found > wanted) - (found < wanted)


PLAIN_RULES = _calendar_rules()
COUNTED_RULES = _rolling_rules()
FISCAL_RULES: dict[str, DateRule] = {
    "InFiscalYear": lambda w, at, _n, a: _fiscal(w, at.date())[0] == a[0],
    "InFiscalPeriod": lambda w, at, _n, a: _fiscal(w, at.date())[1] == a[0],
    "InFiscalPeriodAndYear": lambda w, at, _n, a: _in_period(w, at, a) == 0,
    "InOrAfterFiscalPeriodAndYear": lambda w, at, _n, a: _in_period(w, at, a) >= 0,
    "InOrBeforeFiscalPeriodAndYear": lambda w, at, _n, a: _in_period(w, at, a) <= 0,
}


def date_function(kind: str, field: Field, name: str, rule: DateRule, arguments: list[int]) -> Expected:
    def holds(world: World, row: Row) -> Verdict:
        found = field.value(world, row)
        if found is None:
            return None
        now = NOW.astimezone(_zone(world)).replace(tzinfo=None)
        return rule(world, _wall(world, kind, found), now, arguments)

    texts = [f"PropertyValue{'' if len(arguments) == 1 else n + 1}={value}" for n, value in enumerate(arguments)]
    return Expected(_function(name, field, ",".join(texts)), holds)


def on_day(kind: str, field: Field, name: str, day: str) -> Expected:
    def holds(world: World, row: Row) -> Verdict:
        found = field.value(world, row)
        if found is None:
            return None
        here = _wall(world, kind, found).date().isoformat()
        return {"On": here == day, "OnOrAfter": here >= day, "OnOrBefore": here <= day}[name]

    return Expected(_function(name, field, f"PropertyValue='{day}'"), holds)


# --- combinations


def negation(inner: Expected) -> Expected:
    def holds(world: World, row: Row) -> Verdict:
        verdict = inner.holds(world, row)
        return None if verdict is None else not verdict

    return Expected(f"not ({inner.text})", holds)


def combination(left: Expected, right: Expected, word: str) -> Expected:
    def holds(world: World, row: Row) -> Verdict:
        verdicts = (left.holds(world, row), right.holds(world, row))
        decisive = word == "or"
        if decisive in verdicts:
            return decisive
        return None if None in verdicts else not decisive

    return Expected(f"({left.text}) {word} ({right.text})", holds)


def some(name: str, members: Callable[[World, Row], list[Row]], inner: Expected | None, word: str) -> Expected:
    """``name/any(...)`` and ``name/all(...)``: never undecided."""

    def holds(world: World, row: Row) -> Verdict:
        if inner is None:
            return bool(members(world, row))
        verdicts = [inner.holds(world, member) for member in members(world, row)]
        return any(verdicts) if word == "any" else all(verdicts)

    variable = "" if inner is None else f"{_variable(inner.text)}:{inner.text}"
    return Expected(f"{name}/{word}({variable})", holds)


def _variable(text: str) -> str:
    found = re.search(r"\b([vw])/", text)
    return found[1] if found else "v"


# --- which fields there are


def own(name: str, prefix: str = "") -> Field:
    return Field(f"{prefix}{name}", lambda _, row: row[name])


def behind(navigation: str, table: str, lookup: str, name: str, prefix: str = "") -> Field:
    def value(world: World, row: Row) -> Any:
        found = world.related(table, row, lookup)
        return found[name] if found else None

    return Field(f"{prefix}{navigation}/{name}", value)


def _company(world: World, row: Row) -> Any:
    contact = world.related("contact", row, "acme_contactid")
    account = world.related("account", contact, "parentcustomerid") if contact else None
    return account["name"] if account else None


COMPANY = Field("acme_ContactId/parentcustomerid_account/name", _company)
TEXTS = st.sampled_from([word for word in WORDS if word])
WILD = ["a%", "%a%", "a_a", "_", "[a-x]%", "[^a]%", "%[%]", "a[_]b", "[[]x]", "%ß%", "s_rasse", "[z-a]", "%"]
PIECES = ["a", "är", "ar", "Ж", "'", "京", "SS", "ς", "🎈", "_", "%", "[a-c]", "[^a]", "[%]", "[", "]", "[x-b]", "a_a"]
PATTERNS = st.one_of(TEXTS, st.sampled_from(WILD))
PARTS = st.sampled_from(PIECES)
OPERATORS = st.sampled_from(sorted(ORDER))
ARITHMETIC = st.sampled_from([1, 2, 6, 7, 12, 30, 400])


def text_atoms(fields: list[Field]) -> st.SearchStrategy[Expected]:
    field = st.sampled_from(fields)
    return st.one_of(
        st.builds(compare_text, field, OPERATORS, PATTERNS),
        st.builds(text_function, st.sampled_from(["contains", "startswith", "endswith"]), field, PARTS),
        st.builds(null, field, st.sampled_from(["eq", "ne"])),
        st.builds(listed, field, st.sampled_from(["In", "NotIn"]), st.lists(TEXTS, min_size=1, max_size=3)),
    )


def number_atoms(fields: list[Field], values: list[Any]) -> st.SearchStrategy[Expected]:
    field, value = st.sampled_from(fields), st.sampled_from(values)
    return st.one_of(
        st.builds(lambda f, o, v: compare(f, o, v, str(v)), field, OPERATORS, value),
        st.builds(null, field, st.sampled_from(["eq", "ne"])),
        st.builds(listed, field, st.sampled_from(["In", "NotIn"]), st.lists(value, min_size=1, max_size=3)),
        st.builds(between, field, st.sampled_from(["Between", "NotBetween"]), value, value),
    )


def date_atoms(kind: str, field: Field) -> st.SearchStrategy[Expected]:
    literals = DAYS if kind == "date" else [moment for moment in MOMENTS if moment]
    years = st.sampled_from([2023, 2024, 2025, 2026])
    return st.one_of(
        st.builds(lambda o, v: compare(field, o, v, v), OPERATORS, st.sampled_from(literals)),
        st.builds(null, st.just(field), st.sampled_from(["eq", "ne"])),
        st.builds(
            on_day,
            st.just(kind),
            st.just(field),
            st.sampled_from(["On", "OnOrAfter", "OnOrBefore"]),
            st.sampled_from(DAYS),
        ),
        st.sampled_from(sorted(PLAIN_RULES)).map(lambda n: date_function(kind, field, n, PLAIN_RULES[n], [])),
        st.builds(
            lambda n, count: date_function(kind, field, n, COUNTED_RULES[n], [] if "7" in n else [count]),
            st.sampled_from(sorted(COUNTED_RULES)),
            ARITHMETIC,
        ),
        st.builds(
            lambda n, period, year: date_function(
                kind, field, n, FISCAL_RULES[n], [period, year] if n.endswith("AndYear") else [period]
            ),
            st.sampled_from(sorted(set(FISCAL_RULES) - {"InFiscalYear"})),
            st.sampled_from([1, 2]),
            years,
        ),
        st.builds(lambda year: date_function(kind, field, "InFiscalYear", FISCAL_RULES["InFiscalYear"], [year]), years),
    )


def contact_atoms(prefix: str) -> st.SearchStrategy[Expected]:
    """Conditions on a contact: directly, or through a range variable."""
    flag = own("donotemail", prefix)
    return st.one_of(
        text_atoms(
            [
                own("lastname", prefix),
                own("firstname", prefix),
                behind("parentcustomerid_account", "account", "parentcustomerid", "name", prefix),
            ]
        ),
        number_atoms([own("numberofchildren", prefix)], [0, 1, 5, 6]),
        st.builds(lambda o, v: compare(flag, o, v, str(v).lower()), st.sampled_from(["eq", "ne"]), st.booleans()),
        st.builds(columns, st.just(own("lastname", prefix)), OPERATORS, st.just(own("firstname", prefix))),
    )


def attendance_atoms(prefix: str) -> st.SearchStrategy[Expected]:
    """Conditions on an attendance: directly, or through a range variable."""
    contact_name = behind("acme_ContactId", "contact", "acme_contactid", "lastname", prefix)
    company = Field(prefix + COMPANY.path, COMPANY.value)
    event_start = behind("acme_EventId", "event", "acme_eventid", "acme_startson", prefix)
    interests = own("acme_interests", prefix)
    return st.one_of(
        text_atoms([own("acme_name", prefix), own("acme_eventname", prefix), contact_name, company]),
        number_atoms([own("acme_rating", prefix), own("acme_fee", prefix)], [0, 0.5, 12.25, 12.26, -3.1, 1000]),
        number_atoms([own("acme_status", prefix)], [100000000, 100000002]),
        date_atoms("moment", own("acme_attendedon", prefix)),
        date_atoms("date", own("acme_checkindate", prefix)),
        date_atoms("floating", event_start),
        st.builds(
            choices,
            st.just(interests),
            st.sampled_from(["ContainValues", "DoesNotContainValues"]),
            st.lists(st.sampled_from([100000000, 100000003, 100000004]), min_size=1, max_size=2),
        ),
        st.builds(columns, st.just(own("acme_name", prefix)), OPERATORS, st.just(own("acme_eventname", prefix))),
        st.builds(columns, st.just(own("acme_fee", prefix)), OPERATORS, st.just(own("acme_rating", prefix))),
    )


def trees(atoms: st.SearchStrategy[Expected], leaves: int) -> st.SearchStrategy[Expected]:
    return st.recursive(
        atoms,
        lambda inner: st.one_of(
            st.builds(negation, inner), st.builds(combination, inner, inner, st.sampled_from(["and", "or"]))
        ),
        max_leaves=leaves,
    )


def _attendances(world: World, row: Row) -> list[Row]:
    return world.children("attendance", "acme_contactid", row["contactid"])


def _interests(world: World, row: Row) -> list[Row]:
    return [other for key, other in world.tables["interest"].items() if (row["contactid"], key) in world.likes]


def _contacts(world: World, row: Row) -> list[Row]:
    children = world.children("contact", "parentcustomerid", row["accountid"])
    return [child for child in children if world.related("account", child, "parentcustomerid")]


WORDS_OF_LAMBDA = st.sampled_from(["any", "all"])
ATTENDED = "contact_acme_eventattendance_acme_contactid"


def contact_lambdas(prefix: str, variable: str) -> st.SearchStrategy[Expected]:
    """Conditions on what belongs to a contact: 1:N and N:N."""
    return st.one_of(
        st.builds(
            lambda inner, word: some(f"{prefix}{ATTENDED}", _attendances, inner, word),
            trees(attendance_atoms(f"{variable}/"), 2),
            WORDS_OF_LAMBDA,
        ),
        st.builds(
            lambda inner, word: some(f"{prefix}acme_interest_contact", _interests, inner, word),
            trees(text_atoms([own("acme_name", f"{variable}/")]), 2),
            WORDS_OF_LAMBDA,
        ),
        st.just(some(f"{prefix}{ATTENDED}", _attendances, None, "any")),
        st.just(some(f"{prefix}acme_interest_contact", _interests, None, "any")),
    )


def account_lambdas() -> st.SearchStrategy[Expected]:
    """Conditions on an account's contacts, and on what belongs to those."""
    atoms = st.one_of(contact_atoms("v/"), contact_lambdas("v/", "w"))
    nested = trees(atoms, 2).filter(lambda inner: "v/" in inner.text)
    return st.builds(
        lambda inner, word: _named("v", some("contact_customer_accounts", _contacts, inner, word)),
        nested,
        WORDS_OF_LAMBDA,
    )


def _named(variable: str, lambda_: Expected) -> Expected:
    """The outer variable's name, whichever variable the condition names first."""
    return Expected(re.sub(r"\((?:[vw]):", f"({variable}:", lambda_.text, count=1), lambda_.holds)


def _judge(world: World, table: str, expected: Expected) -> None:
    query = {"$filter": expected.text, "$select": KEYS[table]}
    answer = world.client.call("GET", SETS[table], params=query)
    assert answer.status_code == 200, (expected.text, answer.text)
    found = {row[KEYS[table]] for row in answer.json()["value"]}
    rows = world.tables[table]
    assert found == {key for key, row in rows.items() if expected.holds(world, row)}, expected.text


@settings(max_examples=200, deadline=None, derandomize=True)
@given(expected=trees(attendance_atoms(""), 4))
def test_columns_paths_and_functions(world: World, expected: Expected) -> None:
    _judge(world, "attendance", expected)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(expected=trees(st.one_of(contact_atoms(""), contact_lambdas("", "v")), 3))
def test_collections(world: World, expected: Expected) -> None:
    _judge(world, "contact", expected)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(expected=trees(account_lambdas(), 2))
def test_collections_inside_collections(world: World, expected: Expected) -> None:
    _judge(world, "account", expected)


@pytest.mark.parametrize("pattern", WILD)
def test_each_pattern_in_an_equality(world: World, pattern: str) -> None:
    for operator in ("eq", "ne"):
        _judge(world, "attendance", compare_text(own("acme_name"), operator, pattern))


@pytest.mark.parametrize("part", PIECES)
def test_each_part_in_a_text_function(world: World, part: str) -> None:
    for name in ("contains", "startswith", "endswith"):
        _judge(world, "attendance", text_function(name, own("acme_name"), part))


def _every_date_function() -> list[tuple[str, list[int]]]:
    counted = [(name, [count]) for name in sorted(COUNTED_RULES) if "7" not in name for count in (1, 2)]
    fiscal = [
        (name, [1, 2025] if name.endswith("AndYear") else [2025 if name == "InFiscalYear" else 1])
        for name in FISCAL_RULES
    ]
    plain = [(name, []) for name in (*sorted(PLAIN_RULES), "Last7Days", "Next7Days")]
    return [*plain, *counted, *fiscal]


@pytest.mark.parametrize(("name", "arguments"), _every_date_function())
def test_each_date_function_on_each_kind_of_date(world: World, name: str, arguments: list[int]) -> None:
    rule = {**PLAIN_RULES, **COUNTED_RULES, **FISCAL_RULES}[name]
    for kind, column in (("moment", "acme_attendedon"), ("date", "acme_checkindate")):
        _judge(world, "attendance", date_function(kind, own(column), name, rule, arguments))
    _judge(world, "event", date_function("floating", own("acme_startson"), name, rule, arguments))
