"""The verbs of the switchboard's command line, each with the call of the control API that it stands for."""

import argparse
import json
from collections.abc import Callable

from dynamics_emulator.control.faults import Fault
from dynamics_emulator.control.grammar import Call, Parsers, add_group, add_leaf
from dynamics_emulator.control.schema_verbs import add_columns, add_keys, add_options, add_tracking
from dynamics_emulator.security.privileges import Right
from dynamics_emulator.settings import Settings
from dynamics_emulator.signin.refusals import REFUSALS


def add_verbs(parser: argparse.ArgumentParser) -> None:
    """Add all verbs; each leaves in ``call`` a function from what was parsed to its call."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="verb")
    add_leaf(verbs, "status", "identity, clock, counts, faults and last requests", lambda _: Call("GET", "/status"))
    add_leaf(verbs, "settings", "all settings with their defaults", lambda _: Call("GET", "/settings"))
    _add_set(verbs)
    _add_reset(verbs)
    _add_faults(add_group(verbs, "fault", "what goes wrong"))
    _add_clock(add_group(verbs, "clock", "the organisation's clock"))
    add_tracking(add_group(verbs, "tracking", "change tracking"))
    _add_privileges(add_group(verbs, "privilege", "what the application may do"))
    _add_sign_in(add_group(verbs, "sign-in", "refusals of Entra"))
    add_columns(add_group(verbs, "column", "columns of a table"))
    add_options(add_group(verbs, "option", "options of a column"))
    add_keys(add_group(verbs, "key", "alternate keys"))
    add_leaf(verbs, "publish", "publish schema changes that wait for it", lambda _: Call("POST", "/publish", {}))
    _add_jobs(add_group(verbs, "job", "bulk jobs"))
    _add_environment(add_group(verbs, "environment", "refresh and copy"))
    _add_rules(add_group(verbs, "rule", "business logic that refuses rows"))


def _add_set(verbs: Parsers) -> None:
    def call(chosen: argparse.Namespace) -> Call:
        pairs = [pair.partition("=") for pair in chosen.pairs]
        return Call("POST", "/settings", {name: _value(text) for name, _, text in pairs})

    leaf = add_leaf(verbs, "set", "change settings; the value default puts one back", call)
    leaf.add_argument("pairs", nargs="+", metavar="name=value", type=_pair)


def _add_reset(verbs: Parsers) -> None:
    def call(chosen: argparse.Namespace) -> Call:
        return Call("POST", "/settings", dict.fromkeys(chosen.names or Settings.model_fields, "default"))

    leaf = add_leaf(verbs, "reset", "put settings back to their defaults: those named, or all", call)
    leaf.add_argument("names", nargs="*", metavar="name")


def _pair(text: str) -> str:
    if "=" not in text:
        message = f"{text!r} is not name=value"
        raise argparse.ArgumentTypeError(message)
    return text


def _value(text: str) -> object:
    """A value as JSON where it is some, else as text: ``5``, ``true``, ``["a"]``, ``ignore``; ``none`` is null."""
    if text.lower() == "none":
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text


def _add_faults(what: Parsers) -> None:
    def add(chosen: argparse.Namespace) -> Call:
        at = [number for numbers in chosen.at for number in numbers]
        asked = {"times": chosen.times, "probability": chosen.probability, "at": at, "match": chosen.match}
        asked["in_batch"] = chosen.in_batch or None
        body = {name: value for name, value in asked.items() if value not in (None, [])}
        return Call("POST", "/faults", {"name": chosen.name, **body})

    leaf = add_leaf(what, "add", "switch a fault on; it strikes once unless told otherwise", add)
    leaf.add_argument("name", choices=[fault.value for fault in Fault], metavar="name")
    leaf.add_argument("--probability", type=float, help="share of the requests that it strikes")
    leaf.add_argument("--times", type=int, help="how often it strikes at most")
    text = "requests that it strikes, counted from 1: 3,7"
    leaf.add_argument("--at", type=_numbers, nargs="+", default=[], metavar="NUMBER", help=text)
    leaf.add_argument("--match", help="only requests whose address contains this")
    text = "strike parts of batches that write, and not whole requests; --match may then name their method"
    leaf.add_argument("--in-batch", action="store_true", help=text)
    add_leaf(what, "list", "faults that are on, and all that there are", lambda _: Call("GET", "/faults"))

    def clear(chosen: argparse.Namespace) -> Call:
        return Call("DELETE", f"/faults?name={chosen.name}" if chosen.name else "/faults")

    leaf = add_leaf(what, "clear", "switch one fault off, or all", clear)
    leaf.add_argument("name", nargs="?", choices=[fault.value for fault in Fault], metavar="name")


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as problem:
        message = f"{text!r} is no number of a request; write the numbers like 3,7 after the fault's name"
        raise argparse.ArgumentTypeError(message) from problem


def _add_clock(what: Parsers) -> None:
    def advance(chosen: argparse.Namespace) -> Call:
        return Call("POST", "/clock", {"advance_seconds": chosen.seconds})

    add_leaf(what, "advance", "move the clock", advance).add_argument("seconds", type=float)
    add_leaf(what, "stop", "stop it at an instant", lambda chosen: Call("POST", "/clock", {"stop_at": chosen.at}), "at")
    add_leaf(what, "resume", "follow the system's time again", lambda _: Call("POST", "/clock", {"resume": True}))


def _add_privileges(what: Parsers) -> None:
    def revoke(chosen: argparse.Namespace) -> Call:
        return Call("POST", "/privileges", {"table": chosen.table, "privilege": chosen.privilege})

    def grant(chosen: argparse.Namespace) -> Call:
        body = {"table": chosen.table, "privilege": chosen.privilege, "depth": chosen.depth}
        return Call("POST", "/privileges", body)

    rights = [str(right) for right in Right]
    leaf = add_leaf(what, "revoke", "take a privilege such as Read", revoke, "table")
    leaf.add_argument("privilege", choices=rights)
    leaf = add_leaf(what, "grant", "give a privilege such as Read", grant, "table")
    leaf.add_argument("privilege", choices=rights)
    leaf.add_argument("--depth", choices=["Basic", "Local", "Deep", "Global"], default="Global")


def _add_sign_in(what: Parsers) -> None:
    def refuse(chosen: argparse.Namespace) -> Call:
        name = int(chosen.name) if chosen.name.isdecimal() else chosen.name
        return Call("POST", "/sign-in-errors", {"name": name, "times": chosen.times})

    leaf = add_leaf(what, "refuse", "refuse the next token requests, by a name or an AADSTS number", refuse, "name")
    leaf.epilog = f"{leaf.epilog}\n\nnames:\n" + "\n".join(
        f"  AADSTS{refusal.number:<10}{name}" for name, refusal in REFUSALS.items()
    )
    leaf.add_argument("--times", type=int, default=1)
    add_leaf(what, "clear", "answer token requests as they deserve", lambda _: Call("DELETE", "/sign-in-errors"))


def _add_jobs(what: Parsers) -> None:
    def run(chosen: argparse.Namespace) -> Call:
        return Call("POST", "/jobs", {"job": chosen.job, "table": chosen.table, "rows": chosen.rows})

    leaf = add_leaf(what, "run", "give many rows a new version, or delete them, as a nightly job does", run)
    leaf.add_argument("job", choices=["bulk-update", "bulk-delete"])
    leaf.add_argument("table")
    leaf.add_argument("--rows", type=int, default=1000)


def _add_environment(what: Parsers) -> None:
    def act(action: str) -> Callable[[argparse.Namespace], Call]:
        return lambda chosen: Call(
            "POST", "/environment", {"action": action, "closed_seconds": getattr(chosen, "closed_seconds", 0.0)}
        )

    add_leaf(what, "keep", "remember rows, versions and schema of now for a later refresh", act("keep"))
    leaf = add_leaf(what, "refresh", "put the kept moment in place of everything, under a new identity", act("refresh"))
    text = "how long requests are refused afterwards, as in administration mode"
    leaf.add_argument("--closed-seconds", type=float, default=0.0, help=text)
    add_leaf(what, "copy", "go on as a copy: the same rows under another identity", act("copy"))


def _add_rules(what: Parsers) -> None:
    def add(chosen: argparse.Namespace) -> Call:
        body = {"table": chosen.table, "condition": chosen.condition, "message": chosen.message}
        return Call("POST", "/rules", body)

    text = "refuse rows of a table that fulfil an OData filter, with a message"
    add_leaf(what, "add", text, add, "table", "condition", "message")
    add_leaf(what, "clear", "take all rules out", lambda _: Call("DELETE", "/rules"))
