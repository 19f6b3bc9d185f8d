"""`python -m scale run|stop`: what `make scale-demo` and `make scale-stop` call."""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from dynamics_demo.console import say
from dynamics_demo.problems import DemoError
from scale.report import keep
from scale.servers import stop_all
from scale.site import FIRST_PORT, Site
from scale.start import Size
from scale.story import run_story

_ROWS = 1_000_000
_SLICES = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. Whatever happens, all that was started is ended."""
    # Whatever ends us, what was started ends with us; a shell that runs us in the background ignores SIGINT.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _interrupt)
    chosen = _parser().parse_args(arguments)
    site = Site(place=chosen.folder.resolve())
    if chosen.command == "stop":
        return _stop(site)
    try:
        findings = run_story(site, Size(chosen.rows, chosen.slices), chosen.first_port)
        if chosen.write:
            keep(chosen.write, findings)
            say(f"The report is {chosen.write}.")
    except DemoError as problem:
        sys.stderr.write(f"\n{problem}\n\nNext: look into {site.logs}, then run `make scale-demo` again.\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted.\n")
        return 130
    finally:
        _stop(site)
    return 0


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _stop(site: Site) -> int:
    stopped = stop_all(site)
    say(f"Ended: {', '.join(stopped)}" if stopped else "Nothing was running.")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m scale", description=__doc__)
    parser.add_argument("command", choices=["run", "stop"])
    parser.add_argument("--rows", type=int, default=_ROWS, help="leads to copy")
    parser.add_argument("--slices", type=int, default=_SLICES, help="pieces that they are copied in, about")
    parser.add_argument("--write", type=Path, help="keep the report in this Markdown file, its chart beside it")
    parser.add_argument("--folder", type=Path, default=Site().place, help="where everything lies; it is made anew")
    parser.add_argument("--first-port", type=int, default=FIRST_PORT, help="the port that is tried first")
    return parser


if __name__ == "__main__":
    sys.exit(main())
