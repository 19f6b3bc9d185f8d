"""`python -m dynamics_demo up|demo|stop`."""

import argparse
import signal
import sys
from collections.abc import Sequence

from dynamics_demo.console import say
from dynamics_demo.installation import Installation, Marketing, read_ports
from dynamics_demo.problems import DemoError
from dynamics_demo.services import PROFILES, Sample, Services
from dynamics_demo.story import run_demo, run_up
from dynamics_demo.trouble import Trouble

#: Rows of the sample organisation, over all tables.
_ROWS = 12_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    # A shell that runs us in the background ignores SIGINT, and so would Airflow, which is stopped by it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    chosen = _parser().parse_args(arguments)
    installation = Installation()
    try:
        match chosen.command:
            case "up":
                run_up(installation, Marketing(chosen.marketing), Sample(chosen.rows, chosen.profile))
            case "demo":
                trouble = Trouble(tuple(chosen.fault), chosen.probability)
                sample = Sample(chosen.rows, chosen.profile, is_controlled=bool(trouble.faults))
                run_demo(installation, Marketing(chosen.marketing), sample, trouble)
            case _:
                _stop(installation)
    except DemoError as problem:
        sys.stderr.write(f"\n{problem}\n\nWhat was started still runs; `make stop` ends it. Logs are in .local/logs.\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted. What was started still runs; `make stop` ends it.\n")
        return 130
    return 0


def _stop(installation: Installation) -> None:
    stopped = Services(installation, read_ports(installation)).stop()
    say(f"Ended: {', '.join(stopped)}" if stopped else "Nothing was running.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m dynamics_demo", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (("up", "start everything"), ("demo", "start everything and tell the story")):
        command = commands.add_parser(name, help=text)
        command.add_argument("--marketing", choices=[kind.value for kind in Marketing], default=Marketing.SQLITE.value)
        command.add_argument("--rows", type=int, default=_ROWS, help="rows of the sample organisation, if it is new")
        _add_profile(command)
    text = "let the local Dynamics fail in this way while rows are copied; may be repeated"
    commands.choices["demo"].add_argument("--fault", action="append", default=[], metavar="NAME", help=text)
    text = "share of the requests that each fault hits"
    commands.choices["demo"].add_argument("--probability", type=float, default=0.05, help=text)
    commands.add_parser("stop", help="end what was started")
    return parser


def _add_profile(command: argparse.ArgumentParser) -> None:
    text = "profile of the sample organisation, if it is new (standard)"
    command.add_argument("--profile", choices=PROFILES, help=text)


if __name__ == "__main__":
    sys.exit(main())
