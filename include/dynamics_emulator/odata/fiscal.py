"""The organisation's fiscal years and periods."""

from calendar import monthrange
from dataclasses import dataclass
from datetime import date

MONTHS_A_PERIOD = {"Annually": 12, "Semiannually": 6, "Quarterly": 3, "Monthly": 1}


@dataclass(frozen=True)
class FiscalCalendar:
    """Years that begin on one day of the calendar year, in periods of equal months.

    A fiscal year is named after the calendar year in which it begins.
    """

    month: int
    day: int
    months: int

    @property
    def count(self) -> int:
        """Periods in a year."""
        return 12 // self.months

    def start(self, year: int, period: int = 1) -> date:
        """First day of a period, numbered from 1; numbers beyond the year lead into other years."""
        return shift_months(date(year, self.month, self.day), (period - 1) * self.months)

    def span(self, year: int, period: int | None = None) -> tuple[date, date]:
        """First day, and the day after the last, of a year or of one of its periods."""
        if period is None:
            return self.start(year), self.start(year + 1)
        return self.start(year, period), self.start(year, period + 1)

    def year_of(self, day: date) -> int:
        """The fiscal year in which a day lies."""
        return day.year if day >= self.start(day.year) else day.year - 1

    def period_of(self, day: date) -> int:
        """The number of the period in which a day lies."""
        year = self.year_of(day)
        return max(number for number in range(1, self.count + 1) if self.start(year, number) <= day)

    def require_period(self, period: int) -> int:
        """A period's number. Raises ValueError when the year has no such period."""
        if not 1 <= period <= self.count:
            message = f"A fiscal year has {self.count} periods."
            raise ValueError(message)
        return period


def fiscal_calendar(start: str, periods: str) -> FiscalCalendar:
    """The calendar for a first day such as ``04-01`` and a kind of period such as ``Quarterly``."""
    month, day = start.split("-")
    return FiscalCalendar(int(month), int(day), MONTHS_A_PERIOD[periods])


def shift_months(day: date, months: int) -> date:
    """The same day some months away, or the last day of that month when it is shorter.

    Raises ValueError outside of the years 1 to 9999.
    """
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    if not 1 <= year <= 9999:
        message = f"the year {year} is out of range"
        raise ValueError(message)
    return day.replace(year=year, month=month + 1, day=min(day.day, monthrange(year, month + 1)[1]))
