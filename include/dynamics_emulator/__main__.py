"""``python -m dynamics_emulator serve|control``: a local Dynamics to try things against, and its switchboard."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from dynamics_emulator.connecting import beside_python
from dynamics_emulator.control.command import add_control_parser, run_control
from dynamics_emulator.folder import NotStartedError
from dynamics_emulator.launch import Launch, serve
from dynamics_emulator.sample.oddities import Oddities
from dynamics_emulator.sample.seeding import DEFAULT_ROWS
from dynamics_emulator.schema.profiles import Profile

_NOT_STARTED = 2
_LAST_PORT = 65535


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code: 0, 1 when the switchboard refuses, 2 when nothing could be started."""
    chosen = _parser().parse_args(arguments)
    try:
        code = run_control(chosen) if chosen.command == "control" else _serve(chosen)
        sys.stdout.flush()
    except BrokenPipeError:
        # Who read our output, such as `head`, had enough. Python must not fail once more when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


def _serve(chosen: argparse.Namespace) -> int:
    profile = Profile(chosen.profile) if chosen.profile else None
    oddities = Oddities(chosen.oddities)
    launch = Launch(chosen.folder, chosen.port, chosen.control_port, chosen.rows, chosen.seed, profile, oddities)
    try:
        serve(launch)
    except NotStartedError as problem:
        print(f"{problem} Nothing was started.")
        return _NOT_STARTED
    return 0


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > _LAST_PORT:
        message = f"{text!r} is no port: take 0 (a free one) to {_LAST_PORT} (with make: PORT=, CONTROL_PORT=)"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def _rows(text: str) -> int:
    if not text.isdecimal():
        message = f"{text!r} is no number of rows: it is a whole number from 0 (with make: ROWS=)"
        raise argparse.ArgumentTypeError(message)
    return int(text)


def _parser() -> argparse.ArgumentParser:
    program = f"{beside_python(Path(sys.executable).name)} -m dynamics_emulator"
    parser = argparse.ArgumentParser(prog=program, description="A local Dynamics 365 organisation")
    commands = parser.add_subparsers(dest="command", required=True)
    _add_serve_parser(commands.add_parser("serve", help="serve an organisation"))
    add_control_parser(commands.add_parser("control", help="work the switchboard of one that is served"))
    return parser


def _add_serve_parser(serve: argparse.ArgumentParser) -> None:
    serve.add_argument("--folder", type=Path, required=True, help="where the data live; made when missing")
    serve.add_argument("--port", type=_port, default=8443, help="HTTPS port on the loopback address (8443)")
    serve.add_argument("--control-port", type=_port, help="port of the control API; it is off without this")
    serve.add_argument("--rows", type=_rows, help=f"sample rows for a new folder ({DEFAULT_ROWS})")
    serve.add_argument("--seed", type=int, help="seed of the sample and of random faults (7)")
    profiles, oddities = [str(profile) for profile in Profile], [str(oddity) for oddity in Oddities]
    serve.add_argument("--profile", choices=profiles, help="kind of tenant of a new folder (standard)")
    text = "which odd values the sample has (gentle)"
    serve.add_argument("--oddities", choices=oddities, default=str(Oddities.GENTLE), help=text)


if __name__ == "__main__":
    sys.exit(main())
