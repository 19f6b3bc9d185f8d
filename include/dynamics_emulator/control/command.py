"""``python -m dynamics_emulator control``: the switchboard from a terminal."""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import requests

from dynamics_emulator.control.faults import Fault
from dynamics_emulator.control.grammar import Call
from dynamics_emulator.control.verbs import add_verbs

_TIMEOUT = 600
_REFUSED = 1
_FOLDER = Path(".local/emulator")
_WHERE = "its address is control_url in connection.json, which --folder finds by itself"


def add_control_parser(parser: argparse.ArgumentParser) -> None:
    """Add the verbs, and where the switchboard is."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "faults:\n" + "\n".join(f"  {fault.value:<22}{fault.description}" for fault in Fault)
    parser.add_argument("--url", default=os.environ.get("DYNAMICS_CONTROL_URL"), help="address of the control API")
    text = f"folder of the emulator, whose connection.json has the address ({_FOLDER})"
    parser.add_argument("--folder", type=Path, default=_FOLDER, help=text)
    add_verbs(parser)


def run_control(chosen: argparse.Namespace) -> int:
    """Carry a verb out and print the answer. Returns 0, or 1 when it was refused or nothing answers."""
    address = chosen.url or _kept_address(chosen.folder)
    if not address:
        return _fail("No control API is known. Start the emulator with --control-port, or name --url or --folder.")
    if not address.startswith("http://"):
        return _fail(_no_switchboard(address))
    call: Call = chosen.call(chosen)
    try:
        answer = _send(address.rstrip("/"), call)
    except requests.RequestException:
        return _fail(f"Nothing answers at {address}. Nothing was done; is the emulator running?")
    if not answer.ok:
        return _fail(f"The switchboard refused it: {_reason(answer)}. Nothing was done.")
    try:
        found = answer.json()
    except ValueError:
        return _fail(f"What answers at {address} is no switchboard. Nothing was done; {_WHERE}.")
    _show(found)
    return 0


def _no_switchboard(address: str) -> str:
    if address.startswith("https://"):
        return f"{address} is the address of the Web API and not of the switchboard. Nothing was done; {_WHERE}."
    return f"{address} is no address of a switchboard, which begins with http://. Nothing was done; {_WHERE}."


def _kept_address(folder: Path) -> str | None:
    try:
        about = json.loads((folder / "connection.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    address: str | None = about.get("control_url")
    return address


def _send(address: str, call: Call) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.request(call.method, f"{address}{call.path}", json=call.body, timeout=_TIMEOUT)


def _reason(answer: requests.Response) -> str:
    try:
        return str(answer.json()["error"])
    except (ValueError, KeyError):
        return f"status {answer.status_code}"


def _show(answer: dict[str, Any]) -> None:
    print(json.dumps(answer, indent=2, ensure_ascii=False) if answer else "Done.")


def _fail(message: str) -> int:
    sys.stderr.write(message + "\n")
    return _REFUSED
