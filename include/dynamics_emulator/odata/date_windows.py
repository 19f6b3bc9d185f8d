"""The spans of time that the date functions mean: ``Today``, ``LastXDays``, ``InFiscalYear`` and so on.

A calendar function (``LastWeek``) means whole days, weeks, months or years. A rolling one (``LastXWeeks``) reaches
from the first minute of the day that lies so far back up to now; ``NextX`` from now to the end of the day so far
ahead. Hours are different: ``LastXHours`` begins with a full hour, ``NextXHours`` ends exactly so many hours ahead.
"""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from dynamics_emulator.odata.fiscal import FiscalCalendar, shift_months

_ROLLING = re.compile(r"(Last|Next)X(Hours|Days|Weeks|Months|Years)")
_OLDER = re.compile(r"OlderThanX(Minutes|Hours|Days|Weeks|Months|Years)")
_CALENDAR = re.compile(r"(Last|This|Next)(Week|Month|Year|FiscalPeriod|FiscalYear)")
_FISCAL_ROLLING = re.compile(r"(Last|Next)XFiscal(Periods|Years)")
_DAYS = {"Yesterday": -1, "Today": 0, "Tomorrow": 1}
_SHIFTS = {"Last": -1, "This": 0, "Next": 1}
_EXACT = {
    "Minutes": timedelta(minutes=1),
    "Hours": timedelta(hours=1),
    "Days": timedelta(days=1),
    "Weeks": timedelta(weeks=1),
}
_MONTHS = {"Months": 1, "Years": 12}


@dataclass(frozen=True)
class Window:
    """A span of time; an open side is None. The start belongs to it, the end only when ``closed``."""

    start: datetime | None
    end: datetime | None
    closed: bool = False


@dataclass(frozen=True)
class Almanac:
    """What the functions depend on: the present instant in the user's time zone, and the organisation's calendars.

    ``first_weekday`` counts from 0 for Monday. ``fiscal_until_now`` lets ``LastXFiscal...`` reach into the present.
    """

    now: datetime
    first_weekday: int
    fiscal: FiscalCalendar
    fiscal_until_now: bool

    @property
    def today(self) -> date:
        """The user's day."""
        return self.now.date()

    def midnight(self, day: date) -> datetime:
        """The first instant of a day in the user's time zone."""
        return datetime.combine(day, time(), self.now.tzinfo)

    def days(self, first: date, after: date) -> Window:
        """Whole days, without the last one."""
        return Window(self.midnight(first), self.midnight(after))


def window(name: str, arguments: list[int], almanac: Almanac) -> Window | None:
    """The span that a function means; None when the name is no function of time.

    Raises ValueError or OverflowError for arguments out of range.
    """
    if match := _ROLLING.fullmatch(name):
        return _rolling(match[1], match[2], _positive(arguments), almanac)
    if match := _FISCAL_ROLLING.fullmatch(name):
        return _fiscal_rolling(match[1], match[2], _positive(arguments), almanac)
    if match := _OLDER.fullmatch(name):
        return Window(None, _moved(almanac.now, match[1], -_positive(arguments)))
    return _calendar(name, almanac) or _fiscal(name, arguments, almanac)


def _calendar(name: str, almanac: Almanac) -> Window | None:
    """The span of a function without arguments."""
    if name in _DAYS:
        day = almanac.today + timedelta(days=_DAYS[name])
        return almanac.days(day, day + timedelta(days=1))
    if name in ("Last7Days", "Next7Days"):
        return _rolling(name[:4], "Days", 7, almanac)
    match = _CALENDAR.fullmatch(name)
    return _whole(match[2], _SHIFTS[match[1]], almanac) if match else None


def _positive(arguments: list[int]) -> int:
    [count] = arguments
    if count <= 0:
        message = "The value must be greater than 0."
        raise ValueError(message)
    return count


def _whole(unit: str, shift: int, almanac: Almanac) -> Window:
    today, fiscal = almanac.today, almanac.fiscal
    match unit:
        case "Week":
            first = today - timedelta(days=(today.weekday() - almanac.first_weekday) % 7) + timedelta(weeks=shift)
            return almanac.days(first, first + timedelta(weeks=1))
        case "Month":
            first = shift_months(today.replace(day=1), shift)
            return almanac.days(first, shift_months(first, 1))
        case "Year":
            return almanac.days(date(today.year + shift, 1, 1), date(today.year + shift + 1, 1, 1))
        case "FiscalYear":
            return almanac.days(*fiscal.span(fiscal.year_of(today) + shift))
        case _:
            return almanac.days(*fiscal.span(fiscal.year_of(today), fiscal.period_of(today) + shift))


def _rolling(direction: str, unit: str, count: int, almanac: Almanac) -> Window:
    now = almanac.now
    far = _moved(now, unit, count if direction == "Next" else -count)
    if direction == "Next":
        return Window(now, far if unit == "Hours" else almanac.midnight(far.date() + timedelta(days=1)))
    start = far.replace(minute=0, second=0) if unit == "Hours" else almanac.midnight(far.date())
    return Window(start, now, closed=True)


def _moved(moment: datetime, unit: str, count: int) -> datetime:
    """A moment so many units away: hours and minutes as time that passes, the others by the calendar."""
    if unit in _MONTHS:
        return datetime.combine(shift_months(moment.date(), count * _MONTHS[unit]), moment.timetz())
    if unit in ("Minutes", "Hours"):
        return (moment.astimezone(UTC) + count * _EXACT[unit]).astimezone(moment.tzinfo)
    return moment + count * _EXACT[unit]


def _fiscal_rolling(direction: str, unit: str, count: int, almanac: Almanac) -> Window:
    """Whole fiscal years or periods before, or after, the present one."""
    fiscal, today = almanac.fiscal, almanac.today
    year = fiscal.year_of(today)
    step = fiscal.count if unit == "Years" else 1
    present = 1 if unit == "Years" else fiscal.period_of(today)
    if direction == "Next":
        first = almanac.midnight(fiscal.start(year, present + step))
        start = almanac.now if almanac.fiscal_until_now else first
        return Window(start, almanac.midnight(fiscal.start(year, present + step * (count + 1))))
    start = almanac.midnight(fiscal.start(year, present - step * count))
    if almanac.fiscal_until_now:
        return Window(start, almanac.now, closed=True)
    return Window(start, almanac.midnight(fiscal.start(year, present)))


def _fiscal(name: str, arguments: list[int], almanac: Almanac) -> Window | None:
    fiscal = almanac.fiscal
    if name == "InFiscalYear":
        [year] = arguments
        return almanac.days(*fiscal.span(year))
    if name not in ("InFiscalPeriodAndYear", "InOrAfterFiscalPeriodAndYear", "InOrBeforeFiscalPeriodAndYear"):
        return None
    period, year = arguments
    first, after = fiscal.span(year, fiscal.require_period(period))
    if name.startswith("InOrAfter"):
        return Window(almanac.midnight(first), None)
    return Window(None, almanac.midnight(after)) if name.startswith("InOrBefore") else almanac.days(first, after)
