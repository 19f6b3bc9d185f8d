"""Prints rows as JSON inside SQLite.

A page of 5,000 rows would cost Python hundreds of thousands of small steps. So the SELECT itself makes the JSON text of
each row, annotations and expanded rows included, and Python only joins the lines.
"""

import json
from collections.abc import Callable, Iterable, Sequence

from dynamics_emulator.odata.annotations import (
    FORMATTED_VALUE,
    LOOKUP_NAVIGATION,
    LOOKUP_TABLE,
    AnnotationFilter,
)
from dynamics_emulator.odata.formatted import formatted_value
from dynamics_emulator.schema.model import (
    EXACT_NUMBER_TYPES,
    Column,
    ColumnType,
    Schema,
    Table,
)
from dynamics_emulator.storage.layout import quote, quote_text

_ARGUMENTS_A_CALL = 90
"""SQLite takes at most 127 arguments in a call of format()."""


def row_expression(
    schema: Schema,
    table: Table,
    columns: Sequence[Column],
    annotations: AnnotationFilter,
    alias: str,
    expanded: Iterable[tuple[str, str]] = (),
) -> str:
    """SQL expression for the JSON text of one row.

    ``columns`` are printed in this order; the ETag, the primary key and the currency of a money column are added.
    ``expanded`` holds further members: a literal prefix such as ``"name":`` and the SQL expression of its JSON.
    """
    pieces = [_etag(alias)]
    for column in printed_columns(table, columns):
        pieces += _column_pieces(schema, column, annotations, alias)
    if table.key_is_owner:
        pieces.append((',"ownerid":"%s"', [_name(alias, table.primary_id)]))
    pieces += [(f",{_escape(prefix)}%s", [expression]) for prefix, expression in expanded]
    return _format(pieces)


def printed_columns(table: Table, columns: Sequence[Column]) -> list[Column]:
    """The selected columns, and those that Dataverse always adds to them."""
    chosen = {column.name: column for column in columns}
    currency = table.find("transactioncurrencyid")
    if currency and any(column.type is ColumnType.MONEY for column in columns):
        chosen.setdefault(currency.name, currency)
    chosen.setdefault(table.primary_id, table.columns[table.primary_id])
    return list(chosen.values())


Piece = tuple[str, list[str]]
"""A format string and the SQL expressions that fill it."""


def _format(pieces: Sequence[Piece]) -> str:
    calls: list[str] = []
    text, arguments = "{", list[str]()
    for piece_text, piece_arguments in pieces:
        if len(arguments) + len(piece_arguments) > _ARGUMENTS_A_CALL:
            calls.append(_call(text, arguments))
            text, arguments = "", []
        text += piece_text
        arguments += piece_arguments
    calls.append(_call(text + "}", arguments))
    return "(" + " || ".join(calls) + ")"


def _call(text: str, arguments: Sequence[str]) -> str:
    return f"printf({', '.join([quote_text(text), *arguments])})"


def _escape(text: str) -> str:
    return text.replace("%", "%%")


def _name(alias: str, column: str) -> str:
    return f"{alias}.{quote(column)}"


def _etag(alias: str) -> Piece:
    return '"@odata.etag":"W/\\"%d\\""', [_name(alias, "versionnumber")]


def _column_pieces(schema: Schema, column: Column, annotations: AnnotationFilter, alias: str) -> list[Piece]:
    pieces: list[Piece] = []
    if annotations.any:
        for annotation, expression in _annotations(schema, column, alias):
            if annotations.wants(annotation):
                key = f',"{column.property_name}@{annotation}":'
                value = f"ifnull({quote_text(key)} || {expression}, '')"
                pieces.append(("%s", [value]))
    pieces.append((f',"{column.property_name}":%s', [json_value(column, alias)]))
    return pieces


def json_value(column: Column, alias: str) -> str:
    """SQL expression for the JSON text of a stored value."""
    stored = _name(alias, column.name)
    if column.type is ColumnType.BOOLEAN:
        return f"CASE {stored} WHEN 1 THEN 'true' WHEN 0 THEN 'false' ELSE json_quote({stored}) END"
    if column.type in EXACT_NUMBER_TYPES:
        return f"ifnull({stored}, 'null')"
    if column.is_lookup or column.type is ColumnType.UNIQUEIDENTIFIER:
        return f"""ifnull('"' || {stored} || '"', 'null')"""
    # Quoted by what is really stored: a raw write may have put text where a number belongs.
    return f"json_quote({stored})"


def _annotations(schema: Schema, column: Column, alias: str) -> Iterable[tuple[str, str]]:
    """Annotations of a column and SQL expressions for their JSON; NULL where the row has no value."""
    if column.is_lookup:
        yield FORMATTED_VALUE, f"nullif(json_quote({_lookup_name(schema, column, alias)}), 'null')"
        yield LOOKUP_NAVIGATION, _by_target(column, alias, column.navigation_for)
        yield LOOKUP_TABLE, _by_target(column, alias, str)
        return
    shown = formatted_value(column, alias)
    if shown:
        yield FORMATTED_VALUE, shown


def _lookup_name(schema: Schema, column: Column, alias: str) -> str:
    """The primary name of the row that a lookup points at. The type of a polymorphic one spares the other tables."""
    found = {}
    for target in column.targets:
        table = schema.tables.get(target)
        if table and table.primary_name:
            where = f"n.{quote(table.primary_id)} = {_name(alias, column.name)}"
            found[target] = f"(SELECT n.{quote(table.primary_name)} FROM {quote(target)} n WHERE {where})"
    if not found:
        return "NULL"
    if len(found) == 1:
        return next(iter(found.values()))
    cases = " ".join(f"WHEN {quote_text(target)} THEN {name}" for target, name in found.items())
    return f"CASE {_name(alias, column.type_column)} {cases} END"


def _by_target(column: Column, alias: str, text_for: Callable[[str], str]) -> str:
    if not column.is_polymorphic:
        text = quote_text(json.dumps(text_for(column.targets[0])))
        return f"CASE WHEN {_name(alias, column.name)} IS NOT NULL THEN {text} END"
    cases = " ".join(
        f"WHEN {quote_text(target)} THEN {quote_text(json.dumps(text_for(target)))}" for target in column.targets
    )
    return f"CASE {_name(alias, column.type_column)} {cases} END"
