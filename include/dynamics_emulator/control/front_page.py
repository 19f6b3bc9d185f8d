"""The page at ``/``: what this organisation holds, how it is set, what was asked of it, and how to connect."""

from functools import cache
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, Template

from dynamics_emulator.connecting import connection_to, recipes
from dynamics_emulator.control.faults import Fault
from dynamics_emulator.control.overview import TableCounts, setting_lines
from dynamics_emulator.organisation import Organisation

_REQUESTS_SHOWN = 25
REFRESH_CHOICES = ("5", "30")


class FrontPage:
    """The page of one organisation. It shows no data of rows, so that it needs no sign-in."""

    def __init__(self, organisation: Organisation, keys_folder: Path) -> None:
        self._organisation = organisation
        self._keys_folder = keys_folder
        self._counts = TableCounts(organisation)
        self.control_url: str | None = None
        """Where the control API is, if it is on."""

    def html(self, address: str, refresh: str = "") -> str:
        """The page for callers at this address; ``refresh`` is after how many seconds browsers load it again."""
        organisation = self._organisation
        counts = self._counts.read()
        now = organisation.clock.now()
        closed = organisation.closed_until
        return _template().render(
            identity=organisation.identity,
            now=now,
            closed_until=closed if closed and now < closed else None,
            recipes=recipes(connection_to(address, str(self._keys_folder.resolve()), self.control_url)),
            tables=[(organisation.schema.tables[name], count) for name, count in counts.items()],
            total=sum(counts.values()),
            settings=setting_lines(organisation.settings),
            requests=organisation.journal.latest(_REQUESTS_SHOWN),
            request_total=organisation.journal.total,
            active=organisation.faults.active(),
            faults=list(Fault),
            refresh=refresh if refresh in REFRESH_CHOICES else "",
            refresh_choices=REFRESH_CHOICES,
        )


@cache
def _template() -> Template:
    text = files("dynamics_emulator.control").joinpath("front_page.html").read_text(encoding="utf-8")
    return Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(text)
