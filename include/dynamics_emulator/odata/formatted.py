"""Prints values as an English user reads them: SQL expressions for formatted values.

Values in their usual form are printed by SQLite alone, as a call of Python for each value would be most of the cost of
an annotated page. Whatever has another form, such as a raw write may leave behind, goes to the functions of
:mod:`dynamics_emulator.storage.functions`, which print the usual forms in the same way.
"""

import json
from collections.abc import Sequence

from dynamics_emulator.schema.model import OPTION_TYPES, Column, ColumnType, Option
from dynamics_emulator.storage.layout import quote, quote_text

_EXACT = 2**53 - 1
"""Integers up to here are printed alike by SQLite and by Python, which prints them as doubles."""
_MONEY_DIGITS = 15


def formatted_value(column: Column, alias: str) -> str | None:  # noqa: PLR0911 - a return for each type
    """SQL expression for the JSON of a column's formatted value, NULL where the row has none; None without such."""
    stored = f"{alias}.{quote(column.name)}"
    match column.type:
        case ColumnType.MULTI_SELECT:
            labels = quote_text(json.dumps({option.value: option.label for option in column.options}))
            return f"nullif(json_quote(show_options({stored}, {labels})), 'null')"
        case kind if kind in OPTION_TYPES:
            return _labels(column.options, stored)
        case ColumnType.INTEGER | ColumnType.BIG_INT:
            return _integer(stored)
        case ColumnType.MONEY:
            return _money(stored, alias)
        case ColumnType.DOUBLE | ColumnType.DECIMAL:
            return _present(stored, f"json_quote(show_number({stored}, 2))")
        case ColumnType.DATE_TIME:
            return _moment(stored)
        case _:
            return None


def _present(stored: str, expression: str) -> str:
    return f"CASE WHEN {stored} IS NOT NULL THEN {expression} END"


def _integer(stored: str) -> str:
    usual = f"typeof({stored}) = 'integer' AND {stored} BETWEEN -{_EXACT} AND {_EXACT}"
    odd = f"json_quote(show_number({stored}, 0))"
    return _present(stored, f"""CASE WHEN {usual} THEN printf('"%,d"', {stored}) ELSE {odd} END""")


def _money(stored: str, alias: str) -> str:
    """Whole cents are cut out of the text; other amounts need rounding as Python does it."""
    where = f"c.transactioncurrencyid = {alias}.transactioncurrencyid"
    symbol = f"ifnull((SELECT c.currencysymbol FROM transactioncurrency c WHERE {where}), '')"
    usual = (
        f"length({stored}) <= {_MONEY_DIGITS} AND {stored} = printf('%.4f', {stored}) "
        f"AND substr({stored}, -2) = '00' AND {stored} >= '0'"
    )
    cut = f"printf('%,d', {stored}) || substr({stored}, -5, 3)"
    number = f"CASE WHEN {usual} THEN {cut} ELSE show_number({stored}, 2) END"
    return _present(stored, f"json_quote({symbol} || {number})")


def _moment(stored: str) -> str:
    day = f"substr({stored}, 6, 2), substr({stored}, 9, 2), substr({stored}, 1, 4)"
    hour = f"substr({stored}, 12, 2)"
    clock = f"({hour} + 11) % 12 + 1, substr({stored}, 15, 2), iif({hour} < '12', 'A', 'P')"
    # The modifier makes SQLite carry days that a month does not have, so that they are seen to be odd.
    cases = (
        f"""WHEN {stored} < '0001' THEN json_quote(show_time({stored})) """
        f"""WHEN {stored} = strftime('%Y-%m-%dT%H:%M:%SZ', {stored}, '+0 days') """
        f"""THEN printf('"%d/%d/%d %d:%s %sM"', {day}, {clock}) """
        f"""WHEN {stored} = date({stored}, '+0 days') THEN printf('"%d/%d/%d"', {day}) """
        f"""ELSE json_quote(show_time({stored}))"""
    )
    return _present(stored, f"CASE {cases} END")


def _labels(options: Sequence[Option], stored: str) -> str:
    if not options:
        return "NULL"
    cases = " ".join(
        f"WHEN {option.value} THEN {quote_text(json.dumps(option.label, ensure_ascii=False))}" for option in options
    )
    return f"CASE {stored} {cases} END"
