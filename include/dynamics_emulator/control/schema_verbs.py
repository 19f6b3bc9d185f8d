"""The verbs of the switchboard's command line that change the schema."""

import argparse
import json
from collections.abc import Callable
from typing import get_args

from dynamics_emulator.control.grammar import Call, Parsers, add_leaf, taken
from dynamics_emulator.control.schema_orders import COLUMN_FACTS, RequiredLevel
from dynamics_emulator.schema.model import ColumnType

_FACTS_HELP = f"what else it is, as JSON such as '{{\"length\": 50}}'; of: {', '.join(COLUMN_FACTS)}"


def add_tracking(what: Parsers) -> None:
    """Add the verbs of change tracking."""

    def expire(chosen: argparse.Namespace) -> Call:
        return Call("POST", "/tracking/expire", {"table": chosen.table})

    def switch(*, enabled: bool) -> Callable[[argparse.Namespace], Call]:
        return lambda chosen: Call("POST", "/tracking", {"table": chosen.table, "enabled": enabled})

    add_leaf(what, "expire", "declare delta tokens expired: of one table, or of all", expire).add_argument(
        "table", nargs="?"
    )
    add_leaf(what, "enable", "let a table be read by changes", switch(enabled=True), "table")
    add_leaf(what, "disable", "let a table not be read by changes", switch(enabled=False), "table")


def add_columns(what: Parsers) -> None:
    """Add the verbs of columns."""

    def change(action: str, *words: str) -> Callable[[argparse.Namespace], Call]:
        return lambda chosen: Call("POST", "/columns", {"action": action, **taken(chosen, "table", "column", *words)})

    def made(action: str, text: str) -> None:
        leaf = add_leaf(what, action, text, change(action, "type", "facts"), "table", "column")
        leaf.add_argument("type", choices=[str(kind) for kind in ColumnType])
        leaf.add_argument("--facts", type=_facts, default={}, help=_FACTS_HELP)

    made("add", "add an empty column of a type such as String")
    made("retype", "make a column of another type in the place of one; its values are gone")
    add_leaf(what, "drop", "delete a column", change("drop"), "table", "column")
    add_leaf(what, "rename", "give a column another name", change("rename", "to"), "table", "column", "to")
    leaf = add_leaf(what, "shorten", "set the length of a text column", change("shorten", "length"), "table", "column")
    leaf.add_argument("length", type=int)
    leaf = add_leaf(what, "require", "set the required level", change("require", "level"), "table", "column")
    leaf.add_argument("level", choices=get_args(RequiredLevel))


def add_options(what: Parsers) -> None:
    """Add the verbs of options."""

    def change(action: str, *words: str) -> Callable[[argparse.Namespace], Call]:
        names = ("table", "column", "value", *words)
        return lambda chosen: Call("POST", "/options", {"action": action, **taken(chosen, *names)})

    for action, text in (("add", "add an option"), ("relabel", "give an option another label")):
        leaf = add_leaf(what, action, text, change(action, "label"), "table", "column")
        leaf.add_argument("value", type=int)
        leaf.add_argument("label")
    leaf = add_leaf(what, "remove", "take an option out", change("remove"), "table", "column")
    leaf.add_argument("value", type=int)


def add_keys(what: Parsers) -> None:
    """Add the verbs of alternate keys."""

    def change(action: str, *words: str) -> Callable[[argparse.Namespace], Call]:
        names = ("table", "key", *words)
        return lambda chosen: Call("POST", "/keys", {"action": action, **taken(chosen, *names)})

    add_leaf(what, "add", "add an alternate key", change("add", "columns"), "table", "key").add_argument(
        "columns", nargs="+"
    )
    add_leaf(what, "remove", "remove an alternate key", change("remove"), "table", "key")
    leaf = add_leaf(what, "status", "set the state of a key's index", change("status", "status"), "table", "key")
    leaf.add_argument("status", choices=["Pending", "InProgress", "Active", "Failed"])


def _facts(text: str) -> dict[str, object]:
    try:
        facts = json.loads(text)
    except ValueError:
        facts = None
    if not isinstance(facts, dict):
        message = f"{text!r} is no JSON object; write it like '{{\"length\": 50}}'"
        raise argparse.ArgumentTypeError(message)
    return facts
