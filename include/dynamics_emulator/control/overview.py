"""What the page and the control API show of an organisation: its settings, and how many rows its tables have."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic

from pydantic.types import JsonValue

from dynamics_emulator.organisation import Organisation
from dynamics_emulator.settings import Settings, undocumented_settings

_COUNTS_LAST_SECONDS = 3.0


@dataclass(frozen=True)
class SettingLine:
    """A setting as people see it; ``others`` are further values that a client must live with."""

    name: str
    value: JsonValue
    default: JsonValue
    others: Sequence[JsonValue]
    description: str

    @property
    def is_changed(self) -> bool:
        """Whether somebody set it to something else than its default."""
        return self.value != self.default

    @property
    def shown_others(self) -> str:
        """The further values as text."""
        return "; ".join(self.shown(other) for other in self.others)

    @staticmethod
    def shown(value: JsonValue) -> str:
        """A value as text."""
        match value:
            case None:
                return "none"
            case bool():
                return "yes" if value else "no"
            case list():
                return ", ".join(str(item) for item in value) or "nothing"
            case _:
                return str(value)


class TableCounts:
    """Row counts that are counted anew only after a write, and then at most every few seconds."""

    def __init__(self, organisation: Organisation, clock: Callable[[], float] = monotonic) -> None:
        self._organisation = organisation
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}
        self._version = -1
        self._counted_at = 0.0

    def read(self) -> dict[str, int]:
        """Rows by table, in the order of the tables' names."""
        database = self._organisation.database
        with self._lock:
            version = database.current_version()
            tables = sorted(self._organisation.schema.tables)
            is_old = self._clock() - self._counted_at >= _COUNTS_LAST_SECONDS
            if list(self._counts) != tables or (version != self._version and is_old):
                self._counts = {name: database.count(name) for name in tables}
                self._version, self._counted_at = version, self._clock()
            return dict(self._counts)


def setting_lines(settings: Settings) -> list[SettingLine]:
    """All settings with their values, defaults and descriptions, in the order of the source."""
    current, default = settings.model_dump(mode="json"), Settings().model_dump(mode="json")
    known = undocumented_settings()
    return [
        SettingLine(name, value, default[name], known.get(name, [])[1:], _description(name))
        for name, value in current.items()
    ]


def _description(name: str) -> str:
    """The docstring of a setting as plain text."""
    return (Settings.model_fields[name].description or "").replace("``", "")
