"""The chart of a run: a bar for each try of a task, over time, in the lane of the worker that ran it, as SVG."""

from collections.abc import Sequence
from html import escape

from scale.copying import Death
from scale.tasks import Try

_COLOURS = {"begin": "#6b7280", "extract": "#1d4ed8", "transform": "#0f766e", "load": "#b45309", "finish": "#6b7280"}
_LOST = "#dc2626"
_WIDTH, _LEFT, _TOP, _ROW, _GAP, _BOTTOM = 900, 80, 50, 16, 14, 40
_TICKS = 8


def as_svg(tries: Sequence[Try], began: float, deaths: Sequence[Death]) -> str:
    """Draw the tries of a run that began at that instant; those that died with a worker are red."""
    workers = sorted({one.worker for one in tries})
    lanes = {worker: _lanes([one for one in tries if one.worker == worker]) for worker in workers}
    seconds = max(one.ended for one in tries) - began
    parts, top = [_legend()], _TOP
    for worker in workers:
        height = len(lanes[worker]) * _ROW
        parts.append(_text(4, top + height / 2 + 4, worker))
        parts.append(f'<rect x="{_LEFT}" y="{top}" width="{_WIDTH}" height="{height}" fill="#f3f4f6"/>')
        for number, lane in enumerate(lanes[worker]):
            parts += [_bar(one, top + number * _ROW, began, seconds) for one in lane]
        top += height + _GAP
    parts += [_axis(top, seconds), *(_blow(death, began, seconds, top) for death in deaths)]
    size = f"{_LEFT + _WIDTH + 30} {top + _BOTTOM}"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" font-family="sans-serif" font-size="12">'
    return f'{head}<rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>\n'


def _lanes(tries: Sequence[Try]) -> list[list[Try]]:
    """Give each try the first lane that is free when it begins."""
    lanes: list[list[Try]] = []
    for one in sorted(tries, key=lambda one: one.began):
        free = next((lane for lane in lanes if lane[-1].ended <= one.began), None)
        if free is None:
            lanes.append([one])
        else:
            free.append(one)
    return lanes


def _x(seconds: float, whole: float) -> float:
    return round(_LEFT + _WIDTH * seconds / whole, 1)


def _bar(one: Try, top: float, began: float, whole: float) -> str:
    left, right = _x(one.began - began, whole), _x(one.ended - began, whole)
    colour = _COLOURS.get(one.step, "#6b7280") if one.state == "success" else _LOST
    title = escape(f"{one.name}, try {one.number}: {one.seconds:.1f} s, {one.state}")
    return (
        f'<rect x="{left}" y="{top + 2}" width="{max(right - left, 1):.1f}" height="{_ROW - 4}" fill="{colour}">'
        f"<title>{title}</title></rect>"
    )


def _blow(death: Death, began: float, whole: float, bottom: float) -> str:
    x = _x(death.at - began, whole)
    line = f'<line x1="{x}" x2="{x}" y1="{_TOP - 6}" y2="{bottom}" stroke="{_LOST}" stroke-dasharray="4 3"/>'
    return line + _text(x + 4, _TOP - 8, f"{death.blow.worker} killed", _LOST)


def _axis(top: float, whole: float) -> str:
    parts = []
    for number in range(_TICKS + 1):
        seconds = whole * number / _TICKS
        x = _x(seconds, whole)
        parts.append(f'<line x1="{x}" x2="{x}" y1="{_TOP}" y2="{top}" stroke="#d1d5db" stroke-width="0.5"/>')
        parts.append(f'<text x="{x}" y="{top + 16}" text-anchor="middle">{seconds:.0f} s</text>')
    return "".join(parts)


def _legend() -> str:
    shown = {"extract": "extract", "transform": "transform", "load": "load", "begin": "begin, finish"}
    entries = [(text, _COLOURS[step]) for step, text in shown.items()] + [("lost", _LOST)]
    parts = []
    for number, (text, colour) in enumerate(entries):
        left = _LEFT + number * 130
        parts.append(f'<rect x="{left}" y="10" width="14" height="10" fill="{colour}"/>{_text(left + 20, 20, text)}')
    return "".join(parts)


def _text(x: float, y: float, text: str, colour: str = "black") -> str:
    return f'<text x="{x}" y="{y}" fill="{colour}">{escape(text)}</text>'
