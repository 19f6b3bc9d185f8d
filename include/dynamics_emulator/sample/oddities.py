"""Values at the edges, put over some of the made-up rows: what real organisations hold and clients trip over."""

from dynamics_emulator.sample.draft import Draft, Row

_LEADS: tuple[Row, ...] = (
    {"lastname": "   ", "firstname": None},
    {"lastname": 'O\'Brien "Bob" 100% [x] _y^'},
    {"lastname": "line\nbreak", "companyname": "tab\there"},
    {"lastname": "👩‍👩‍👧‍👦🏳️‍🌈", "firstname": "e\u0301 combining"},
    {"lastname": "\u202eright to left override"},
    {"description": "x" * 2000},
    {"emailaddress1": "UPPER.Case+tag@Mail.Example"},
    {"emailaddress1": "twice@mail.example"},
    {"emailaddress1": "twice@mail.example"},
    {"emailaddress1": None, "lastname": "NULL"},
    {"mkt_lastinterestingmomentdate": "1753-01-01T00:00:00Z"},
    {"mkt_lastinterestingmomentdate": "9999-12-30T23:59:59Z"},
    {"estimatedclosedate": "1753-01-01"},
    {"estimatedclosedate": "9999-12-30"},
    {"numberofemployees": 0},
    {"lastname": "=cmd|' /C calc'!A0", "companyname": "<script>alert(1)</script>"},
)
_CONTACTS: tuple[Row, ...] = (
    {"emailaddress1": "twice@mail.example"},
    {"lastname": " leading and trailing "},
    {"birthdate": "1753-01-01"},
    {"birthdate": "1900-02-28"},
    {"description": "Zeile 1\r\nZeile 2\u2028Zeile 3\u0000".replace("\u0000", "")},
)
_OPPORTUNITIES: tuple[Row, ...] = (
    {"estimatedvalue": "0.0001", "estimatedvalue_base": "0.0001"},
    {"estimatedvalue": "1000000000000.0000", "estimatedvalue_base": "922337203685477.0000"},
    {"actualvalue": "-12345.6789", "actualvalue_base": "-12345.6789"},
)
_ATTENDANCES: tuple[Row, ...] = (
    {"acme_rating": "-100.00", "acme_fee": "-0.0001", "acme_fee_base": "-0.0001"},
    {"acme_checkindate": "9999-12-30", "acme_attendedon": "1753-01-01T00:00:00Z"},
)


def add_oddities(draft: Draft) -> None:
    """Overwrite the first rows of some tables."""
    for table, oddities in (
        ("lead", _LEADS),
        ("contact", _CONTACTS),
        ("opportunity", _OPPORTUNITIES),
        ("acme_eventattendance", _ATTENDANCES),
    ):
        for row, odd in zip(draft.rows[table], oddities, strict=False):
            row.update(odd)
            if "lastname" in odd or "firstname" in odd:
                parts = [str(row[name]) for name in ("firstname", "lastname") if row.get(name)]
                row["fullname"] = " ".join(parts)
