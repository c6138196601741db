"""Curves over proximal steps, with intervals and the places where the reference moved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from comal.reports.html.plots.axes import LETTER, WIDTH, Tick, nice_ticks, shorten, spread, svg_path

_LABEL_GAP = 13.0  # least distance of two labels


@dataclass(frozen=True, slots=True)
class Series:
    """Points (x, y) of a line, optionally with an interval (low, high) at each.

    Attributes:
        moves: x at which the reference moved.
        label: what stands at the line's end; by default the name.
        keys: CSS classes by which the page's checkboxes hide the line.
        dash: number of its line style; 0 is solid.
    """

    name: str
    colour: int
    points: Sequence[tuple[float, float]]
    intervals: Sequence[tuple[float, float]] = ()
    moves: Sequence[float] = ()
    keys: str = ""
    dash: int = 0
    label: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A drawn series.

    Attributes:
        steps, values: of its dots, as text, for those who point at them.
    """

    name: str
    label: str
    colour: int
    path: str
    dots: tuple[tuple[float, float], ...]
    whiskers: tuple[tuple[float, float, float], ...]
    label_y: float
    moves: tuple[float, ...]
    keys: str
    dash: int
    steps: tuple[str, ...]
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LinePlot:
    """Curves over proximal steps."""

    id: str
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

    @property
    def points(self) -> list[dict[str, Any]]:
        """What the page's script shows of the curves where somebody points at them."""
        return [
            {
                "name": line.name,
                "colour": line.colour,
                "points": [
                    [*dot, *texts]
                    for dot, texts in zip(line.dots, zip(line.steps, line.values, strict=True), strict=True)
                ],
            }
            for line in self.lines
        ]

    @property
    def description(self) -> str:
        """The figure in words: where every curve begins and ends."""
        return "; ".join(
            f"{line.name}: {line.values[0]} at step {line.steps[0]}"
            + (f", {line.values[-1]} at step {line.steps[-1]}" if len(line.values) > 1 else "")
            for line in self.lines
        )


@dataclass(frozen=True, slots=True)
class ValueAxis:
    """The vertical axis of a figure of curves.

    Attributes:
        shares: whether the values are shares, written in per cent.
        floor_at: a value that the axis must include.
        top_at: another one.
        rule: a value that gets a line across, and its name.
    """

    shares: bool = False
    floor_at: float | None = None
    top_at: float | None = None
    rule: tuple[float, str] | None = None


PLAIN_AXIS = ValueAxis()


def line_plot(
    id: str,  # noqa: A002 - the page's word
    title: str,
    series: Sequence[Series],
    last_step: int,
    axis: ValueAxis = PLAIN_AXIS,
    *,
    note: str = "",
    dots: bool = True,
) -> LinePlot | None:
    """Curves with their names at their ends; None when no series has a point.

    Args:
        id: of the figure in its page.
        title: of the figure.
        series: the curves.
        last_step: the end of the horizontal axis.
        axis: of the values.
        note: small print under the title.
        dots: whether every point gets a mark.
    """
    shares, rule = axis.shares, axis.rule
    series = [s for s in series if s.points]
    if not series:
        return None
    values = [y for s in series for _, y in s.points] + [v for s in series for pair in s.intervals for v in pair]
    values += [v for v in (axis.floor_at, axis.top_at, rule[0] if rule else None) if v is not None]
    low, high = min(values), max(values)
    margin = 0.05 * (high - low or 1.0)
    low, high = (low if low == axis.floor_at else low - margin), (high if high == axis.top_at else high + margin)
    longest = max(len(shorten(s.label or s.name)) for s in series)
    left, right, top, bottom = 40.0, WIDTH - 12 - longest * LETTER, 10.0, 180.0

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
            Line(
                one.name,
                shorten(one.label or one.name),
                one.colour,
                svg_path(marks),
                marks,
                whiskers,
                round(label_y, 1),
                moves,
                one.keys,
                one.dash,
                tuple(f"{x:g}" for x, _ in one.points),
                _texts(one, shares),
            )
        )
    return LinePlot(
        id,
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


def _texts(series: Series, shares: bool) -> tuple[str, ...]:
    means = [f"{y:.1%}" if shares else f"{y:.3g}" for _, y in series.points]
    spans = [f" ({100 * lo:.1f}–{hi:.1%})" if shares else f" ({lo:.3g} to {hi:.3g})" for lo, hi in series.intervals]
    return tuple(mean + span for mean, span in zip(means, spans or [""] * len(means), strict=True))
