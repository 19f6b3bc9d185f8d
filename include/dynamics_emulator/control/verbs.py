"""The verbs of the switchboard's command line, each with the call of the control API that it stands for."""

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dynamics_emulator.control.faults import Fault

Parsers = Any
"""What ``add_subparsers`` returns, whose type argparse keeps to itself."""


@dataclass(frozen=True)
class Call:
    """One call of the control API."""

    method: str
    path: str
    body: Mapping[str, object] | None = None


def add_verbs(parser: argparse.ArgumentParser) -> None:
    """Add all verbs; each leaves in ``call`` a function from what was parsed to its call."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="verb")
    _leaf(verbs, "status", "identity, clock, counts, faults and last requests", lambda _: Call("GET", "/status"))
    _leaf(verbs, "settings", "all settings with their defaults", lambda _: Call("GET", "/settings"))
    _add_set(verbs)
    _add_faults(_group(verbs, "fault", "what goes wrong"))
    _add_clock(_group(verbs, "clock", "the organisation's clock"))
    _add_tracking(_group(verbs, "tracking", "change tracking"))
    _add_privileges(_group(verbs, "privilege", "what the application may do"))
    _add_sign_in(_group(verbs, "sign-in", "refusals of Entra"))
    _add_columns(_group(verbs, "column", "columns of a table"))
    _add_options(_group(verbs, "option", "options of a column"))
    _add_keys(_group(verbs, "key", "alternate keys"))
    _leaf(verbs, "publish", "publish schema changes that wait for it", lambda _: Call("POST", "/publish", {}))
    _add_jobs(_group(verbs, "job", "bulk jobs"))
    _add_environment(_group(verbs, "environment", "refresh and copy"))
    _add_rules(_group(verbs, "rule", "business logic that refuses rows"))


def _leaf(
    parsers: Parsers, name: str, text: str, call: Callable[[argparse.Namespace], Call], *words: str
) -> argparse.ArgumentParser:
    """Add a verb that takes these positional words."""
    leaf: argparse.ArgumentParser = parsers.add_parser(name, help=text, description=text)
    for word in words:
        leaf.add_argument(word)
    leaf.set_defaults(call=call)
    return leaf


def _group(verbs: Parsers, name: str, text: str) -> Parsers:
    return verbs.add_parser(name, help=text, description=text).add_subparsers(required=True, metavar="what")


def _taken(chosen: argparse.Namespace, *names: str) -> dict[str, object]:
    return {name: getattr(chosen, name) for name in names}


def _add_set(verbs: Parsers) -> None:
    def call(chosen: argparse.Namespace) -> Call:
        pairs = [pair.partition("=") for pair in chosen.pairs]
        return Call("POST", "/settings", {name: _value(text) for name, _, text in pairs})

    leaf = _leaf(verbs, "set", "change settings", call)
    leaf.add_argument("pairs", nargs="+", metavar="name=value", type=_pair)


def _pair(text: str) -> str:
    if "=" not in text:
        message = f"{text!r} is not name=value"
        raise argparse.ArgumentTypeError(message)
    return text


def _value(text: str) -> object:
    """A value as JSON where it is some, else as text: ``5``, ``true``, ``["a"]``, ``ignore``."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _add_faults(what: Parsers) -> None:
    def add(chosen: argparse.Namespace) -> Call:
        asked = {"times": chosen.times, "probability": chosen.probability, "at": chosen.at, "match": chosen.match}
        body = {name: value for name, value in asked.items() if value not in (None, [])}
        return Call("POST", "/faults", {"name": chosen.name, **body})

    leaf = _leaf(what, "add", "switch a fault on; it strikes once unless told otherwise", add)
    leaf.add_argument("name", choices=[fault.value for fault in Fault], metavar="name")
    leaf.add_argument("--probability", type=float, help="share of the requests that it strikes")
    leaf.add_argument("--times", type=int, help="how often it strikes at most")
    leaf.add_argument("--at", type=_numbers, default=[], help="requests that it strikes, counted from 1: 3,7")
    leaf.add_argument("--match", help="only requests whose address contains this")
    _leaf(what, "list", "faults that are on, and all that there are", lambda _: Call("GET", "/faults"))

    def clear(chosen: argparse.Namespace) -> Call:
        return Call("DELETE", f"/faults?name={chosen.name}" if chosen.name else "/faults")

    leaf = _leaf(what, "clear", "switch one fault off, or all", clear)
    leaf.add_argument("name", nargs="?", choices=[fault.value for fault in Fault], metavar="name")


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _add_clock(what: Parsers) -> None:
    def advance(chosen: argparse.Namespace) -> Call:
        return Call("POST", "/clock", {"advance_seconds": chosen.seconds})

    _leaf(what, "advance", "move the clock", advance).add_argument("seconds", type=float)
    _leaf(what, "stop", "stop it at an instant", lambda chosen: Call("POST", "/clock", {"stop_at": chosen.at}), "at")
    _leaf(what, "resume", "follow the system's time again", lambda _: Call("POST", "/clock", {"resume": True}))


def _add_tracking(what: Parsers) -> None:
    def expire(chosen: argparse.Namespace) -> Call:
        return Call("POST", "/tracking/expire", {"table": chosen.table})

    def switch(*, enabled: bool) -> Callable[[argparse.Namespace], Call]:
        return lambda chosen: Call("POST", "/tracking", {"table": chosen.table, "enabled": enabled})

    _leaf(what, "expire", "declare delta tokens expired: of one table, or of all", expire).add_argument(
        "table", nargs="?"
    )
    _leaf(what, "enable", "let a table be read by changes", switch(enabled=True), "table")
    _leaf(what, "disable", "let a table not be read by changes", switch(enabled=False), "table")


def _add_privileges(what: Parsers) -> None:
    def revoke(chosen: argparse.Namespace) -> Call:
        return Call("POST", "/privileges", {"table": chosen.table, "privilege": chosen.privilege})

    def grant(chosen: argparse.Namespace) -> Call:
        body = {"table": chosen.table, "privilege": chosen.privilege, "depth": chosen.depth}
        return Call("POST", "/privileges", body)

    _leaf(what, "revoke", "take a privilege such as Read", revoke, "table", "privilege")
    leaf = _leaf(what, "grant", "give a privilege such as Read", grant, "table", "privilege")
    leaf.add_argument("--depth", choices=["Basic", "Local", "Deep", "Global"], default="Global")


def _add_sign_in(what: Parsers) -> None:
    def refuse(chosen: argparse.Namespace) -> Call:
        name = int(chosen.name) if chosen.name.isdecimal() else chosen.name
        return Call("POST", "/sign-in-errors", {"name": name, "times": chosen.times})

    leaf = _leaf(what, "refuse", "refuse the next token requests, by a name or an AADSTS number", refuse, "name")
    leaf.add_argument("--times", type=int, default=1)
    _leaf(what, "clear", "answer token requests as they deserve", lambda _: Call("DELETE", "/sign-in-errors"))


def _add_columns(what: Parsers) -> None:
    def change(action: str, *words: str) -> Callable[[argparse.Namespace], Call]:
        return lambda chosen: Call("POST", "/columns", {"action": action, **_taken(chosen, "table", "column", *words)})

    def made(action: str, text: str) -> None:
        leaf = _leaf(what, action, text, change(action, "type", "facts"), "table", "column", "type")
        leaf.add_argument("--facts", type=json.loads, default={}, help='what else it is, as JSON: {"length": 50}')

    made("add", "add an empty column of a type such as String")
    made("retype", "make a column of another type in the place of one; its values are gone")
    _leaf(what, "drop", "delete a column", change("drop"), "table", "column")
    _leaf(what, "rename", "give a column another name", change("rename", "to"), "table", "column", "to")
    leaf = _leaf(what, "shorten", "set the length of a text column", change("shorten", "length"), "table", "column")
    leaf.add_argument("length", type=int)
    _leaf(what, "require", "set the required level", change("require", "level"), "table", "column", "level")


def _add_options(what: Parsers) -> None:
    def change(action: str, *words: str) -> Callable[[argparse.Namespace], Call]:
        names = ("table", "column", "value", *words)
        return lambda chosen: Call("POST", "/options", {"action": action, **_taken(chosen, *names)})

    for action, text in (("add", "add an option"), ("relabel", "give an option another label")):
        leaf = _leaf(what, action, text, change(action, "label"), "table", "column")
        leaf.add_argument("value", type=int)
        leaf.add_argument("label")
    leaf = _leaf(what, "remove", "take an option out", change("remove"), "table", "column")
    leaf.add_argument("value", type=int)


def _add_keys(what: Parsers) -> None:
    def change(action: str, *words: str) -> Callable[[argparse.Namespace], Call]:
        names = ("table", "key", *words)
        return lambda chosen: Call(
            "POST", "/keys", {"action": action, **{name: getattr(chosen, name) for name in names}}
        )

    _leaf(what, "add", "add an alternate key", change("add", "columns"), "table", "key").add_argument(
        "columns", nargs="+"
    )
    _leaf(what, "remove", "remove an alternate key", change("remove"), "table", "key")
    leaf = _leaf(what, "status", "set the state of a key's index", change("status", "status"), "table", "key")
    leaf.add_argument("status", choices=["Pending", "InProgress", "Active", "Failed"])


def _add_jobs(what: Parsers) -> None:
    def run(chosen: argparse.Namespace) -> Call:
        return Call("POST", "/jobs", {"job": chosen.job, "table": chosen.table, "rows": chosen.rows})

    leaf = _leaf(what, "run", "give many rows a new version, or delete them, as a nightly job does", run)
    leaf.add_argument("job", choices=["bulk-update", "bulk-delete"])
    leaf.add_argument("table")
    leaf.add_argument("--rows", type=int, default=1000)


def _add_environment(what: Parsers) -> None:
    def act(action: str) -> Callable[[argparse.Namespace], Call]:
        return lambda chosen: Call(
            "POST", "/environment", {"action": action, "closed_seconds": getattr(chosen, "closed_seconds", 0.0)}
        )

    _leaf(what, "keep", "remember rows, versions and schema of now for a later refresh", act("keep"))
    leaf = _leaf(what, "refresh", "put the kept moment in place of everything, under a new identity", act("refresh"))
    text = "how long requests are refused afterwards, as in administration mode"
    leaf.add_argument("--closed-seconds", type=float, default=0.0, help=text)
    _leaf(what, "copy", "go on as a copy: the same rows under another identity", act("copy"))


def _add_rules(what: Parsers) -> None:
    def add(chosen: argparse.Namespace) -> Call:
        body = {"table": chosen.table, "condition": chosen.condition, "message": chosen.message}
        return Call("POST", "/rules", body)

    text = "refuse rows of a table that fulfil an OData filter, with a message"
    _leaf(what, "add", text, add, "table", "condition", "message")
    _leaf(what, "clear", "take all rules out", lambda _: Call("DELETE", "/rules"))
