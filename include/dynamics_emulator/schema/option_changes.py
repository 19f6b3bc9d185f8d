"""Changes to the options of a column."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from dynamics_emulator.schema.model import Column, ColumnType, Option


def add_option(column: Column, change: Mapping[str, Any]) -> Column:
    """The column with one option more; a status reason needs its ``state``. Raises ValueError when it is there."""
    option = _read_option(change)
    if option.value in column.labels:
        message = f"{column.name} has an option {option.value}"
        raise ValueError(message)
    if column.type is ColumnType.STATUS and option.state is None:
        message = f"a status reason of {column.name} belongs to a state"
        raise ValueError(message)
    return replace(column, options=(*column.options, option))


def remove_option(column: Column, change: Mapping[str, Any]) -> Column:
    """The column without an option; rows that hold it stay as they are."""
    value = int(change["value"])
    return replace(column, options=tuple(option for option in column.options if option.value != value))


def relabel_option(column: Column, change: Mapping[str, Any]) -> Column:
    """The column with another label on one option, in English or in the ``language`` that the change names."""
    value, text, language = int(change["value"]), str(change["label"]), change.get("language")

    def relabelled(option: Option) -> Option:
        if option.value != value:
            return option
        if language is None:
            return replace(option, label=text)
        others = tuple(pair for pair in option.translations if pair[0] != int(language))
        return replace(option, translations=(*others, (int(language), text)))

    return replace(column, options=tuple(relabelled(option) for option in column.options))


def replace_options(column: Column, change: Mapping[str, Any]) -> Column:
    """The column with a wholly new list; ``options`` is a list of ``value`` and ``label`` pairs."""
    return replace(column, options=tuple(_read_option(entry) for entry in change["options"]))


def _read_option(entry: Mapping[str, Any]) -> Option:
    translations = tuple((int(code), str(text)) for code, text in entry.get("translations", {}).items())
    state = entry.get("state")
    return Option(
        int(entry["value"]), str(entry["label"]), None if state is None else int(state), translations=translations
    )
