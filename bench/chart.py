"""The chart of the report: seconds of the first copy by rows, both axes logarithmic, as SVG."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence

_NAME = re.compile(r"copy_(postgres|sqlite)_(ours|dlt|floor)_(\d+)([km]?)_s")
_UNITS = {"": 1, "k": 1_000, "m": 1_000_000}
_PANELS = {"postgres": "PostgreSQL", "sqlite": "SQLite"}
_WAYS = {"dlt": ("dlt", "#b45309"), "ours": ("this project, whole DAG run", "#1d4ed8"), "floor": ("floor", "#6b7280")}
_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM, _GAP = 360, 260, 60, 50, 50, 40

Points = Mapping[tuple[str, str], Sequence[tuple[int, float]]]


def points(numbers: Mapping[str, float]) -> Points:
    """By database and way, the pairs of rows and seconds that the numbers of a report hold."""
    found: dict[tuple[str, str], list[tuple[int, float]]] = {}
    for name, seconds in numbers.items():
        if match := _NAME.fullmatch(name):
            rows = int(match[3]) * _UNITS[match[4]]
            found.setdefault((match[1], match[2]), []).append((rows, seconds))
    return {key: sorted(pairs) for key, pairs in found.items()}


def as_svg(drawn: Points) -> str:
    """The chart: a panel a database, a line a way."""
    every = [pair for pairs in drawn.values() for pair in pairs]
    scale = _Scale(_decades(rows for rows, _ in every), _decades(seconds for _, seconds in every))
    width = _LEFT + len(_PANELS) * (_WIDTH + _GAP)
    height = _TOP + _HEIGHT + _BOTTOM
    panels = "".join(_panel(number, kind, drawn, scale) for number, kind in enumerate(_PANELS))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="12"><rect width="100%" height="100%" fill="white"/>{_legend()}{panels}</svg>\n'
    )


class _Scale:
    """Where rows and seconds lie within a panel; each range is two powers of ten."""

    def __init__(self, rows: tuple[int, int], seconds: tuple[int, int]) -> None:
        self.rows, self.seconds = rows, seconds

    def x(self, rows: float) -> float:
        low, high = self.rows
        return round(_WIDTH * (math.log10(rows) - low) / (high - low), 1)

    def y(self, seconds: float) -> float:
        low, high = self.seconds
        return round(_HEIGHT * (1 - (math.log10(seconds) - low) / (high - low)), 1)


def _decades(values: Iterator[float]) -> tuple[int, int]:
    """The powers of ten around the values, two different ones."""
    logarithms = [math.log10(value) for value in values]
    low = math.floor(min(logarithms))
    return low, max(math.ceil(max(logarithms)), low + 1)


def _legend() -> str:
    parts = []
    for number, (title, colour) in enumerate(_WAYS.values()):
        left = _LEFT + number * 210
        parts.append(f'<rect x="{left}" y="12" width="14" height="4" fill="{colour}"/>')
        parts.append(f'<text x="{left + 20}" y="18">{title}</text>')
    return "".join(parts)


def _panel(number: int, kind: str, drawn: Points, scale: _Scale) -> str:
    lines = "".join(
        _line(drawn[kind, way], colour, scale) for way, (_, colour) in _WAYS.items() if (kind, way) in drawn
    )
    title = f'<text x="{_WIDTH / 2}" y="-8" text-anchor="middle">{_PANELS[kind]}: seconds by leads</text>'
    left = _LEFT + number * (_WIDTH + _GAP)
    return f'<g transform="translate({left},{_TOP})">{_grid(scale)}{title}{lines}</g>'


def _grid(scale: _Scale) -> str:
    parts = [f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="none" stroke="#d1d5db"/>']
    for power in range(scale.rows[0], scale.rows[1] + 1):
        x = scale.x(10**power)
        parts.append(f'<line x1="{x}" x2="{x}" y2="{_HEIGHT}" stroke="#e5e7eb"/>')
        parts.append(f'<text x="{x}" y="{_HEIGHT + 18}" text-anchor="middle">{10**power:,}</text>')
    for power in range(scale.seconds[0], scale.seconds[1] + 1):
        y = scale.y(10**power)
        parts.append(f'<line x2="{_WIDTH}" y1="{y}" y2="{y}" stroke="#e5e7eb"/>')
        parts.append(f'<text x="-6" y="{y + 4}" text-anchor="end">{10.0**power:g}</text>')
    return "".join(parts)


def _line(pairs: Sequence[tuple[int, float]], colour: str, scale: _Scale) -> str:
    places = [(scale.x(rows), scale.y(seconds)) for rows, seconds in pairs]
    path = " ".join(f"{x},{y}" for x, y in places)
    dots = "".join(f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>' for x, y in places)
    texts = "".join(
        f'<text x="{x}" y="{y - 8}" text-anchor="middle" fill="{colour}">{seconds:.3g}</text>'
        for (x, y), (_, seconds) in zip(places, pairs, strict=True)
    )
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>{dots}{texts}'
