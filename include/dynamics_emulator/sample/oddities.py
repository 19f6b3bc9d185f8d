"""Values at the edges, put over some of the made-up rows: what real organisations hold and clients trip over."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from dynamics_emulator.identity import BASE_CURRENCY_ID
from dynamics_emulator.sample.sheet import Sheet
from dynamics_emulator.storage.database import SqlValue

_EURO = {"transactioncurrencyid": BASE_CURRENCY_ID, "exchangerate": "1.0000000000"}
_LONG = "Ein sehr langer Text, 長い文章, текст. " * 40_000
"""Longer than every column; it is cut to what fits."""


class Oddities(StrEnum):
    """Which odd rows a sample holds."""

    GENTLE = "gentle"
    """Strange values that still fit the metadata."""
    ALL = "all"
    """Also values from before the metadata were changed: options that are gone, texts that are now too long."""


@dataclass(frozen=True)
class Oddity:
    """Values that one row of a table gets. Values of a legacy one do not fit today's metadata."""

    name: str
    table: str
    values: dict[str, SqlValue]
    legacy: bool = False


def _euros(amount: str, *columns: str) -> dict[str, SqlValue]:
    """One amount in the base currency."""
    return {**_EURO, **{name: amount for column in columns for name in (column, f"{column}_base")}}


ODDITIES = (
    Oddity("blank name", "lead", {"lastname": "   ", "firstname": None}),
    Oddity("wildcards and quotes", "lead", {"lastname": 'O\'Brien "Bob" 100% [x] _y^'}),
    Oddity("control characters", "lead", {"lastname": "line\nbreak", "companyname": "tab\there"}),
    Oddity("emoji with joiners", "lead", {"lastname": "👩‍👩‍👧‍👦🏳️‍🌈", "firstname": "Ze\u0301 👍🏽"}),
    Oddity("precomposed", "lead", {"lastname": "Zo\u00e9", "firstname": "R\u00e9n\u00e9"}),
    Oddity("combining", "lead", {"lastname": "Zoe\u0301", "firstname": "Re\u0301ne\u0301"}),
    Oddity("right to left override", "lead", {"lastname": "\u202eright to left override"}),
    Oddity("zero width", "lead", {"lastname": "zero\u200bwidth\ufeff", "companyname": "soft\u00adhyphen"}),
    Oddity("dotted i and sharp s", "lead", {"lastname": "İstanbul Straße ﬁ", "firstname": "ıI"}),
    Oddity("only white space", "lead", {"companyname": "\u3000\u00a0 "}),
    Oddity("long memo", "lead", {"description": _LONG}),
    Oddity("long name", "lead", {"lastname": "Wolfeschlegelsteinhausenbergerdorff" * 5}),
    Oddity("upper case e-mail", "lead", {"emailaddress1": "ADMIN@MAIL.EXAMPLE"}),
    Oddity("plain e-mail", "lead", {"emailaddress1": "admin@mail.example"}),
    Oddity("cyrillic e-mail", "lead", {"emailaddress1": "\u0430dmin@mail.example"}),
    Oddity("tagged e-mail", "lead", {"emailaddress1": "UPPER.Case+tag@Mail.Example"}),
    Oddity("e-mail with a dot at its end", "lead", {"emailaddress1": "admin@mail.example."}),
    Oddity("e-mail of another alphabet", "lead", {"emailaddress1": "用户@例子.example"}),
    Oddity("no e-mail", "lead", {"emailaddress1": "not an address"}),
    Oddity("duplicate e-mail", "lead", {"emailaddress1": "twice@mail.example"}),
    Oddity("duplicate e-mail again", "lead", {"emailaddress1": "twice@mail.example"}),
    Oddity("the word null", "lead", {"emailaddress1": None, "lastname": "NULL"}),
    Oddity("first instant", "lead", {"mkt_lastinterestingmomentdate": "1753-01-01T00:00:00Z"}),
    Oddity("last instant", "lead", {"mkt_lastinterestingmomentdate": "9999-12-30T23:59:59Z"}),
    Oddity("first day", "lead", {"estimatedclosedate": "1753-01-01"}),
    Oddity("last day", "lead", {"estimatedclosedate": "9999-12-30"}),
    Oddity("zero", "lead", {"numberofemployees": 0}),
    Oddity("code in text", "lead", {"lastname": "=cmd|' /C calc'!A0", "companyname": "<script>alert(1)</script>"}),
    Oddity("duplicate e-mail of a contact", "contact", {"emailaddress1": "twice@mail.example"}),
    Oddity("spaces around", "contact", {"lastname": " leading and trailing "}),
    Oddity("long memo of a contact", "contact", {"description": _LONG}),
    Oddity("born on the first day", "contact", {"birthdate": "1753-01-01"}),
    Oddity("born on a leap day", "contact", {"birthdate": "1904-02-29"}),
    Oddity("line ends", "contact", {"description": "Zeile 1\r\nZeile 2\u2028Zeile 3\u0085Zeile 4"}),
    Oddity("long website", "account", {"websiteurl": "https://example.example/?q=" + "%20a" * 100}),
    Oddity("least amount", "opportunity", _euros("0.0001", "estimatedvalue", "actualvalue")),
    Oddity("greatest amount", "opportunity", _euros("1000000000000.0000", "estimatedvalue", "actualvalue")),
    Oddity("amount below zero", "opportunity", _euros("-12345.6789", "estimatedvalue", "actualvalue")),
    Oddity("fee below zero", "acme_eventattendance", {"acme_rating": "-100.00", **_euros("-0.0001", "acme_fee")}),
    Oddity(
        "last day and first instant",
        "acme_eventattendance",
        {"acme_checkindate": "9999-12-30", "acme_attendedon": "1753-01-01T00:00:00Z"},
    ),
    Oddity("first instant without a zone", "acme_event", {"acme_startson": "1753-01-01T00:00:00Z"}),
    Oddity("long comment", "acme_attendancefeedback", {"acme_comment": _LONG}),
    Oddity("option that is gone", "lead", {"leadsourcecode": 100_900}, legacy=True),
    Oddity("another option that is gone", "lead", {"industrycode": 999}, legacy=True),
    Oddity("text of a longer column", "lead", {"jobtitle": "Head of " * 20}, legacy=True),
    Oddity("number out of range", "lead", {"numberofemployees": -1}, legacy=True),
    Oddity("one of several is gone", "acme_eventattendance", {"acme_interests": "100000000,100000099"}, legacy=True),
)  # fmt: skip


def place_oddities(sheets: Iterable[Sheet], *, legacy: bool) -> None:
    """Overwrite values of rows here and there; the legacy oddities and the others never meet in a row."""
    for sheet in sheets:
        ours = [oddity for oddity in ODDITIES if oddity.table == sheet.table]
        places = _plain(sheet)
        step = max(1, len(places) // max(1, len(ours)))
        for oddity, place in zip(ours, places[::step], strict=False):
            if oddity.legacy is legacy:
                sheet.change(place, oddity.values)
                _name_in_full(sheet, place, oddity)


def _plain(sheet: Sheet) -> list[int]:
    """Places of rows that are active and share their values with no other row."""
    return [
        place
        for place in range(len(sheet))
        if not sheet.value(place, "statecode") and not sheet.value(place, "originatingleadid")
    ]


def _name_in_full(sheet: Sheet, place: int, oddity: Oddity) -> None:
    if oddity.values.keys() & {"firstname", "lastname"}:
        parts = [str(part) for name in ("firstname", "lastname") if (part := sheet.value(place, name))]
        sheet.change(place, {"fullname": " ".join(parts)})
