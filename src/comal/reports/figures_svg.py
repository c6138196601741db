"""Geometry of the report's figures, which `figures.svg.j2` draws: where marks, lines and labels go.

A figure is at most 360 units wide so that it fills a phone's screen without shrinking its letters. Colours are numbers
of CSS variables, because light and dark pages need different ones; names stand at the lines' ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import ceil, floor, log10, sqrt

WIDTH = 360
ON_LIGHT = ("#6b7075", "#0072b2", "#c04f00", "#00795a", "#a8468c", "#7d6500", "#2f6fde", "#8a4b2a")
ON_DARK = ("#a2a8ad", "#56b4e9", "#f28e3c", "#2fc79a", "#e695c8", "#dcc64a", "#8fb4ff", "#d6a184")
"""Okabe and Ito's colours, darkened or lightened until letters in them can be read; the first is grey."""
_LETTER = 6.3  # mean width of a letter of the figures' 11.5-unit type
_UNIT = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
_LABEL_GAP = 13.0  # least distance of two labels


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on an axis and what stands there."""

    at: float
    label: str


@dataclass(frozen=True, slots=True)
class Interval:
    """A row of a dot plot."""

    label: str
    value: str
    y: float
    x: float
    low: float
    high: float
    colour: int
    anchor: str


@dataclass(frozen=True, slots=True)
class DotPlot:
    """Means with their intervals, one row each, on a common axis of shares."""

    title: str
    height: float
    rows: tuple[Interval, ...]
    ticks: tuple[Tick, ...]
    half: float
    width: int = WIDTH


def dot_plot(title: str, rows: Sequence[tuple[str, float, float, float, int]], domain: tuple[float, float]) -> DotPlot:
    """Rows of (name, mean, low, high, colour) on an axis over `domain`."""
    left, right, top, row_height = 12.0, WIDTH - 12.0, 10.0, 42.0

    def place(value: float) -> float:
        return left + (value - domain[0]) / (domain[1] - domain[0]) * (right - left)

    def anchor(x: float) -> str:  # the name stands above its dot and must not leave the figure
        return "start" if x < WIDTH * 0.33 else "end" if x > WIDTH * 0.67 else "middle"

    marks = tuple(
        Interval(
            name,
            f"{mean:.1%}",
            top + i * row_height + 28,
            place(mean),
            place(low),
            place(high),
            colour,
            anchor(place(mean)),
        )
        for i, (name, mean, low, high, colour) in enumerate(rows)
    )
    height = top + len(rows) * row_height + 28
    ticks = tuple(Tick(place(t), f"{t:.0%}") for t in nice_ticks(*domain, 5))
    return DotPlot(title, height, marks, ticks, place(0.5))


@dataclass(frozen=True, slots=True)
class Series:
    """Points (x, y) of a line, optionally with an interval (low, high) at each.

    Attributes:
        moves: x at which the reference moved.
    """

    name: str
    colour: int
    points: Sequence[tuple[float, float]]
    intervals: Sequence[tuple[float, float]] = ()
    moves: Sequence[float] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """A drawn series."""

    name: str
    label: str
    colour: int
    path: str
    dots: tuple[tuple[float, float], ...]
    whiskers: tuple[tuple[float, float, float], ...]
    label_y: float
    moves: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class LinePlot:
    """Curves over proximal steps."""

    title: str
    note: str
    height: float
    left: float
    right: float
    top: float
    bottom: float
    lines: tuple[Line, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    rule: Tick | None
    dots: bool
    width: int = WIDTH


def line_plot(
    title: str,
    series: Sequence[Series],
    last_step: int,
    *,
    note: str = "",
    shares: bool = False,
    floor_at: float | None = None,
    top_at: float | None = None,
    rule: tuple[float, str] | None = None,
    dots: bool = True,
) -> LinePlot | None:
    """Curves with their names at their ends; None when no series has a point.

    Args:
        title: of the figure.
        series: the curves.
        last_step: the end of the horizontal axis.
        note: small print under the title.
        shares: whether the values are shares, written in per cent.
        floor_at: a value that the axis must include.
        top_at: another one.
        rule: a value that gets a line across, and its name.
        dots: whether every point gets a mark.
    """
    series = [s for s in series if s.points]
    if not series:
        return None
    values = [y for s in series for _, y in s.points] + [v for s in series for pair in s.intervals for v in pair]
    values += [v for v in (floor_at, top_at, rule[0] if rule else None) if v is not None]
    low, high = min(values), max(values)
    margin = 0.05 * (high - low or 1.0)
    low, high = (low if low == floor_at else low - margin), (high if high == top_at else high + margin)
    longest = max(len(_short(s.name)) for s in series)
    left, right, top, bottom = 40.0, WIDTH - 12 - longest * _LETTER, 10.0, 180.0

    def place_x(step: float) -> float:
        return left + step / max(last_step, 1) * (right - left)

    def place_y(value: float) -> float:
        return bottom - (value - low) / (high - low) * (bottom - top)

    heights = spread([place_y(s.points[-1][1]) for s in series], _LABEL_GAP, top, bottom)
    lines = []
    for one, label_y in zip(series, heights, strict=True):
        marks = tuple((round(place_x(x), 1), round(place_y(y), 1)) for x, y in one.points)
        bars = zip(one.points, one.intervals, strict=True) if one.intervals else ()
        whiskers = tuple(
            (round(place_x(x), 1), round(place_y(lo), 1), round(place_y(hi), 1)) for (x, _), (lo, hi) in bars
        )
        moves = tuple(round(place_x(x), 1) for x in one.moves)
        lines.append(
            Line(one.name, _short(one.name), one.colour, svg_path(marks), marks, whiskers, round(label_y, 1), moves)
        )
    return LinePlot(
        title,
        note,
        bottom + 36,
        left,
        right,
        top,
        bottom,
        tuple(lines),
        tuple(Tick(place_x(t), f"{t:g}") for t in nice_ticks(0, last_step, 5) if t == int(t)),
        tuple(Tick(place_y(t), f"{t:.0%}" if shares else f"{t:g}") for t in nice_ticks(low, high, 5)),
        None if rule is None else Tick(place_y(rule[0]), rule[1]),
        dots,
    )


@dataclass(frozen=True, slots=True)
class Simplex:
    """A path in the triangle of three shares."""

    title: str
    colour: int
    labels: tuple[str, str, str]
    path: str
    dots: tuple[tuple[float, float], ...]
    moves: tuple[tuple[float, float], ...]
    star: tuple[float, float] | None
    height: float = 285
    width: int = WIDTH
    corners: tuple[tuple[float, float], ...] = field(default_factory=lambda: tuple(to_plane(c) for c in _UNIT))


def simplex(
    title: str,
    colour: int,
    labels: tuple[str, str, str],
    points: Sequence[tuple[float, float, float]],
    moves: Sequence[int] = (),
    star: Sequence[float] = (),
) -> Simplex:
    """The way of three shares from the first point to the last; `moves` are numbers of points to mark."""
    placed = tuple(to_plane(p) for p in points)
    marked = tuple(placed[i] for i in moves if i < len(placed))
    return Simplex(title, colour, labels, svg_path(placed), placed, marked, to_plane(star) if len(star) == 3 else None)


_SIDE, _TOP = 264.0, 24.0


def to_plane(shares: Sequence[float]) -> tuple[float, float]:
    """Where three shares lie in the drawn triangle: corners at its top, bottom left and bottom right."""
    a, b, c = shares
    total = a + b + c
    x = (WIDTH - _SIDE) / 2 + _SIDE * (a / 2 + c) / total
    y = _TOP + _SIDE * sqrt(3) / 2 * (1 - a / total)
    return round(x, 1), round(y, 1)


def svg_path(points: Sequence[tuple[float, float]]) -> str:
    """The `d` of a line through points."""
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points) if points else ""


def nice_ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers from `low` to `high`, some `about` of them."""
    if high <= low:
        return [low]
    raw = (high - low) / about
    unit = 10.0 ** floor(log10(raw))
    step = next(factor * unit for factor in (1, 2, 2.5, 5, 10) if factor * unit >= raw * 0.999)
    first = ceil(low / step - 1e-9)
    return [round(k * step, 10) + 0.0 for k in range(first, floor(high / step + 1e-9) + 1)]


def spread(wanted: Sequence[float], gap: float, top: float, bottom: float) -> list[float]:
    """Places near the wanted ones, at least `gap` apart and, where they fit, between `top` and `bottom`."""
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    places = list(wanted)
    for above, below in pairwise(order):
        places[below] = max(places[below], places[above] + gap)
    if order and places[order[-1]] > bottom:
        places[order[-1]] = max(bottom, top + gap * (len(order) - 1))
        for below, above in pairwise(order[::-1]):
            places[above] = min(places[above], places[below] - gap)
    return places


def _short(name: str) -> str:
    return name if len(name) <= 16 else f"{name[:15]}…"
