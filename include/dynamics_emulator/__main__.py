"""``python -m dynamics_emulator serve``: a local Dynamics to try things against."""

import argparse
import json
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dynamics_emulator.control.actions import Control
from dynamics_emulator.control.http import build_control_application
from dynamics_emulator.identity import CLIENT_ID, CLIENT_SECRET, TENANT_ID
from dynamics_emulator.sample.seeding import DEFAULT_ROWS, fill
from dynamics_emulator.serving import Emulation, bind, make_server, open_emulation
from dynamics_emulator.settings import Settings

_PORT_TAKEN = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or Ctrl-C. Returns the exit code: 0, or 2 when a port is taken."""
    chosen = _parser().parse_args(arguments)
    try:
        return _serve(chosen)
    except OSError as problem:
        print(f"The emulator could not listen on its port: {problem.strerror}. Nothing was started; name another port.")
        return _PORT_TAKEN


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dynamics_emulator", description="A local Dynamics 365 organisation")
    serve = parser.add_subparsers(dest="command", required=True).add_parser("serve", help="serve an organisation")
    serve.add_argument("--folder", type=Path, required=True, help="where the data live; made when missing")
    serve.add_argument("--port", type=int, default=8443, help="HTTPS port on the loopback address (8443)")
    serve.add_argument("--control-port", type=int, help="port of the control API; it is off without this")
    serve.add_argument("--rows", type=int, default=DEFAULT_ROWS, help="sample rows for an empty folder (12000)")
    serve.add_argument("--seed", type=int, default=7, help="seed of the sample and of random faults (7)")
    return parser


def _serve(chosen: argparse.Namespace) -> int:
    # The ports come first: a port that is taken must not leave half an organisation behind.
    with bind(chosen.port) as listener:
        emulation = open_emulation(chosen.folder, seed=chosen.seed, settings=Settings())
        try:
            if chosen.rows:
                fill(emulation.organisation, chosen.rows, chosen.seed)
            with _control_server(emulation, chosen.control_port) as control_url:
                _announce(chosen.folder, emulation, listener.getsockname()[1], control_url)
                server = make_server(emulation.application, emulation.keys)
                # uvicorn stops by itself and then raises the signal once more; that second one is not to kill us.
                signal.signal(signal.SIGTERM, lambda *_: None)
                signal.signal(signal.SIGINT, lambda *_: None)
                server.run([listener])
        finally:
            emulation.organisation.close()
    return 0


@contextmanager
def _control_server(emulation: Emulation, port: int | None) -> Iterator[str | None]:
    if port is None:
        yield None
        return
    with bind(port) as listener:
        server = make_server(build_control_application(Control(emulation.organisation)), None)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        try:
            yield f"http://localhost:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def _announce(folder: Path, emulation: Emulation, port: int, control_url: str | None) -> None:
    url = f"https://localhost:{port}"
    keys = folder.resolve() / "keys"
    about = {
        "url": url,
        "authority": f"{url}/{TENANT_ID}",
        "tenant_id": TENANT_ID,
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "ca_file": str(emulation.keys.ca_file.resolve()),
        "client_certificate_file": str(keys / "client.pem"),
        "client_private_key_file": str(keys / "client-key.pem"),
        "control_url": control_url,
    }
    # Readers wait for this file, so it appears whole or not at all.
    draft = folder / "connection.json.new"
    draft.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    draft.replace(folder / "connection.json")
    for name, value in about.items():
        print(f"{name.replace('_', ' '):>24}: {value if value is not None else 'off'}")
    print("These credentials are published with the emulator and protect nothing. Stop with Ctrl-C.", flush=True)


if __name__ == "__main__":
    sys.exit(main())
