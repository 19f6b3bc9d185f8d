"""What the switchboard's command line is made of: verbs with their words, an example, and the call they stand for."""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dynamics_emulator.control.examples import EXAMPLES

Parsers = Any
"""What ``add_subparsers`` returns, whose type argparse keeps to itself."""


@dataclass(frozen=True)
class Call:
    """One call of the control API."""

    method: str
    path: str
    body: Mapping[str, object] | None = None


def add_leaf(
    parsers: Parsers, name: str, text: str, call: Callable[[argparse.Namespace], Call], *words: str
) -> argparse.ArgumentParser:
    """Add a verb that takes these positional words; its help ends with an example."""
    leaf: argparse.ArgumentParser = parsers.add_parser(name, help=text, description=text)
    leaf.formatter_class = argparse.RawDescriptionHelpFormatter
    # argparse names a parser by all words that lead to it: "python -m dynamics_emulator control fault add".
    program, _, verb = leaf.prog.partition(" control ")
    leaf.epilog = f"example:\n  {program} control {EXAMPLES[verb]}"
    for word in words:
        leaf.add_argument(word)
    leaf.set_defaults(call=call)
    return leaf


def add_group(verbs: Parsers, name: str, text: str) -> Parsers:
    """Add a word that verbs follow; returns what they are added to."""
    return verbs.add_parser(name, help=text, description=text).add_subparsers(required=True, metavar="what")


def taken(chosen: argparse.Namespace, *names: str) -> dict[str, object]:
    """The words of these names, as the body of a call has them."""
    return {name: getattr(chosen, name) for name in names}
